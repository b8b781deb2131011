// Package quorum is a lock over several servers as a plain state machine: the rules of package quorum of the root, without I/O, clock or
// speed. What one server does is the business of package model; here a server is the little that a quorum needs of it.
//
// An attempt wants the lock on all nodes at once, under one ticket. What it has on one node:
//
//	            the request is executed                   the answer, or the message, arrives
//	asked ──┬── the lock is free there ───▶ granted ──────────────────────────────────────────▶ vote
//	  ▲     └── it is not ────────────────▶ queued ── its turn ─▶ granted                       │
//	  │                                                                                         │
//	  ├── the release is executed ── yielding ◀── it yields, or the bound of the vote has passed ┤
//	  │                                                                                         │
//	  └── the node does not know it any more: it lost its data ◀────────────────────────────────┤
//	                                                                                            │
//	gone ◀── the release is executed ── leaving ◀── the attempt is over ────────────────────────┘
//
// The attempt as a whole:
//
//	idle ─▶ seeking ── a majority of votes has confirmed one fence ─▶ holding ── released, or the majority is lost ─▶ over
//
// Nothing here assumes that requests are executed in the order in which they were sent, or that a message arrives soon. The tests
// search all states, with all rules and without each of them.
package quorum
