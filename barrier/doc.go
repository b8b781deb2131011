// Package barrier lets the processes of a fleet wait for each other: a [Latch] opens when all parts of a work are done, a
// [Barrier] lets n parties begin together and end together, and a [Condition] lets those who hold a lock wait until another one has
// changed what it guards. They are built on the locks of package redislock, and have no scripts of their own.
//
//	latch := barrier.NewLatch(client, "import/2026-11-30", 8)
//	err := latch.CountDown(ctx, "part-3") // wherever a part is done, as often as one likes
//	err = latch.Wait(ctx)                 // wherever somebody needs them all
//
//	b := barrier.New(client, "cut-over/42", 3)
//	party, err := b.Enter(ctx)   // all three have come
//	err = party.Leave(ctx)       // all three are done
//
//	c := barrier.NewCondition(client, "stock/not-empty")
//	lock, err = c.Wait(ctx, lock) // gives the lock back, and has it again after a signal
//	err = c.Signal(ctx)           // wherever the stock has changed
//
// A name of a latch or of a barrier is for one use. They keep what was decided for a [Life], and end by themselves; so give each
// use a name of its own, with a date, a version or a number in it.
//
// # How it is built
//
// A hold that was given back by [redislock.Lock.ReleaseAfter] is kept for its time, even if its process dies, and Inspect shows it
// with its metadata. So all processes can read it, and if its lock is exclusive it is written at most once.
//
//	latch:NAME              shared: each part that is done is a hold that stays, with its name
//	latch@count:NAME        held while one part is counted
//	barrier:NAME            a semaphore of n units: the parties, each with a lease that it renews until it has left
//	barrier@out:NAME        likewise: the parties that have come to the end
//	barrier@in-is:NAME      exclusive: a hold that stays, whose metadata is the verdict about the beginning
//	barrier@out-is:NAME     likewise, about the end
//	condition:NAME          exclusive: its queue are those who wait for a signal. A hold that stays shuts it
//	condition@signals:NAME  shared: signals that were given and not heard yet, each a hold that stays, with their number
//	condition@next:NAME     held while one of them is noted or given
//
//	         all n hold barrier:NAME                      all n hold barrier@out:NAME
//	 (enter) ────────────────────────▶ open: all work ──────────────────────────────▶ open: all have left
//	    │    one of them is gone             │             one of barrier:NAME is gone
//	    └────────────────────▶ broken        └──────────────────────────────▶ broken
//
// Callers that wait for a latch or a barrier are told by push ([redislock.Client.Watch]) that a party has come or gone, or that
// there is a verdict. The first party that sees that the verdict is due records it, and all parties use the recorded verdict.
//
// A signal ends the hold that shuts the queue of a condition. So the first in the queue has that lock, as anybody has who waited
// for a lock, and if it is dead, the next one has it. That waiter acquires again the lock with which it came, and then shuts the
// queue:
//
//	            ┌────────── a place ◀─────────── Wait: the place first, then the lock is given back
//	            ▼              │
//	shut ── a signal ──▶ the first one has the queue ── has its lock again ──▶ shut: the next signal, if one was noted
//	                           │         ▲
//	                           └─────────┘ it died, or its context ended: the next one has it
//
// A signal that comes while one who was woken is on its way to its lock is noted, and that one gives it when it has shut the
// queue. If it dies before that, one of those who wait does so, for each of them looks every 10 s. Signals are noted and given
// under one lock, and never more are noted than callers wait.
//
// # What holds
//
//   - There is one verdict about a beginning, and one about an end, for a Life. All parties get that one, or an error.
//   - Open means that at one moment of the server all n parties held their place. A party that is no longer there when it reads the
//     verdict gets the loss of its place in its stead.
//   - A place is given up before the verdict only by a party that leaves, that is told to stop, or that died. The others learn
//     who that was, by a [BrokenError]. A party that is told to stop while it waits for the beginning records that before it
//     gives its place up. That a party died is noticed when its lease is over, if another one had seen it.
//   - Nobody is counted twice: a party of a barrier that is full, or that is over, is refused.
//   - Between the moment at which [Condition.Wait] gives the lock back and a signal, a waiter has its place, or it returns
//     without a signal.
//   - A Signal that returned nil has woken a waiter, or is noted, or at one moment as many were noted as callers waited. Never
//     too few are noted. There are some too many if a process dies, or loses Redis, between two requests.
//   - A signal wakes the waiter that has waited longest. A Wait that returns nil has used the signal; every other end of it
//     passes the signal on.
//   - Those who were woken have their locks again in the order in which they began to wait, and each before the next is woken.
//   - Nothing stays for longer than a Life, and no party longer than its lease.
//
// They hold as well as Redis keeps its data, as the locks themselves do. A process that was paused may go on working for a moment
// after the barrier was broken because of it: [Party.Context] ends first, and a fence is for what that cannot stop.
package barrier
