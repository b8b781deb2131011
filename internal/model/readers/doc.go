// Package readers is a lock that the goroutines of a process read together, as a plain state machine: the rules of package turns
// for readers, without I/O, clock or speed.
//
// Process A reads, process B writes, in the ordinary way. A hold of A's is a door:
//
//	          granted at once            somebody waits for the lock, or it is that old,
//	nothing ──────────────────▶ open ──────────────────────────────────────────────────────▶ shut: who reads goes on, and
//	   ▲                       │   ▲     or its bound has passed                               │      the next reader asks anew
//	   │    the last one leaves│   │another comes                                              │
//	   └───────────────────── idle ┘                                                           │
//	   └────────────────────────────────────────── the last one leaves: a release ─────────────┘
//
// A hold that was granted out of the queue is shut from the beginning. All who read under one hold have its fence, so there is
// nothing about fences here. Messages are on their way for as long as they like; a recall may be lost. A may be paused at any
// time: then time passes, and A does nothing. The tests search all states, with all rules and without each of them.
package readers
