// Package turn is a lock that a process keeps for its own goroutines as a plain state machine: the rules of package turns, without I/O,
// clock or speed. What a server does with a queue is the business of package model; here it is the little that a turn needs of it.
//
// One process takes turns (A), another takes the lock in the ordinary way (B). What A has of a hold of the server's:
//
//	          the server grants               its body ends,         another waiter of A is served: a local grant,
//	nothing ────────────────────▶ a body ───────────────────▶ idle ──────────────────────────────────────────────▶ a body
//	   ▲                             │                          │      with a fence of the hold's interval
//	   │                             │                          │
//	   │      its bound has passed; a renewal finds it gone;    │      nobody is to be served, and it does not linger;
//	   └───── the message that it was stolen or broken ─────────┴───── the linger is over, or was recalled: a release
//
// A release, a recall and the message of a steal are on their way for as long as they like; a recall may be lost, and come twice. A
// may be paused at any time: then time passes, and A does nothing. The server loses its data, and its clock goes back, at any time.
// The tests search all states, with all rules and without each of them.
package turn
