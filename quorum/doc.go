// Package quorum takes locks over several independent masters, of which a majority counts: no single one of them decides. Such a
// lock is fair, woken by push, and has fences that rise, as a lock of package redislock over one master.
//
//	locker, err := quorum.New([]*redislock.Client{a, b, c})
//	err = locker.Do(ctx, "invoice/42", func(ctx context.Context) error {
//		return pay(ctx) // ctx ends if the majority is lost
//	})
//
// A lock of the quorum is one lock of package redislock on each node. Queue, hand-over, renewal, tombstones and the signal of a loss are
// those of each node, and nothing of what is sent there is different. This package adds four rules:
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
// An [redislock.Observer] of a node's Client hears what happens to the votes of that node. An inquiry is a request as
// [redislock.Client.Ask] sends one: its EventRequested has a reason that begins with "quorum".
//
// docs/guarantees.md says what a quorum promises and under what, and what Redlock was criticized for; docs/operations.md when to take
// one. internal/model/quorum has the rules as a state machine, whose states are searched.
package quorum
