// Package quorum takes locks over several independent masters. A majority of them decides, and no single one. Such a lock is
// fair, woken by push, and has fences that rise, as a lock of package redislock over one master.
//
//	locker, err := quorum.New([]*redislock.Client{a, b, c})
//	err = locker.Do(ctx, "invoice/42", func(ctx context.Context) error {
//		return pay(ctx) // ctx ends if the majority is lost
//	})
//
// A lock of the quorum is one lock of package redislock on each node. Queue, hand-over, renewal, tombstones and the loss signal
// are those of each node, and its requests are the same as for any lock. This package adds four rules:
//
//		          ask every node, under one ticket
//		                        │
//		    a vote ─────────────┼──────────── no vote yet: a place in the queue of that node
//		                        ▼
//		       ┌──── a majority of votes? ── no ──▶ inquire of those that have the others; yield to an older ticket
//		       │ yes
//		       ▼
//		choose a fence: the least that is not below those of a majority of the votes
//		               (a node that does not confirm it in time: the greatest of the votes)
//		       │
//		       ▼
//		confirm exactly it on each node ── a node with a greater one, or that came back a moment ago, does not count
//		       │ by a majority
//		       ▼
//		     held ──────▶ the majority is lost: the context ends
//		       │  ▲
//		       ▼  └─ a node that is missing is asked again
//		   released on every node
//
//	  - One ticket. Waiters are served in the order of their tickets, which are the servers' time as a process knows it: the median of what
//	    their clocks said.
//	  - No deadlock of votes: inquiry.go has the rule of Maekawa.
//	  - Fences: hold.go (decide) has the rule, and says where it was searched.
//	  - A node that came back without its data does not count for as long as the longest lease: node.go says why, and how it is known.
//
// The [redislock.Observer] of a node's Client is told what happens to the votes of that node. An inquiry is a request as
// [redislock.Client.Ask] sends one: its EventRequested has a reason that begins with "quorum".
//
// docs/guarantees.md says what a quorum promises under which assumptions, and answers the critique of Redlock. docs/operations.md
// says when to use one. internal/model/quorum has the rules as a state machine, and searches its states.
package quorum
