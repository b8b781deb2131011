// Package barrier lets the processes of a fleet wait for each other: a [Latch] opens when all parts of a work are done, and a
// [Barrier] lets n parties begin together and end together. Both are built on the locks of package redislock, and have no scripts of
// their own.
//
//	latch := barrier.NewLatch(client, "import/2026-11-30", 8)
//	err := latch.CountDown(ctx, "part-3") // wherever a part is done, as often as one likes
//	err = latch.Wait(ctx)                 // wherever somebody needs them all
//
//	b := barrier.New(client, "cut-over/42", 3)
//	party, err := b.Enter(ctx)   // all three have come
//	err = party.Leave(ctx)       // all three are done
//
// A name is for one use. A latch and a barrier keep what was decided for a [Life], and end by themselves; so give each use a name of
// its own, with a date, a version or a number in it.
//
// # How it is built
//
// A hold that [redislock.Lock.ReleaseAfter] has left behind stays for its time, whoever dies, and Inspect shows it with its metadata.
// So such a hold is a fact that all can read, and it is written at most once where its lock is exclusive.
//
//	latch:NAME            shared: each part that is done is a hold that stays, with its name
//	latch:NAME@count      held while one part is counted
//	barrier:NAME          a semaphore of n units: the parties, each with a lease that it renews until it has left
//	barrier:NAME@out      likewise: the parties that have come to the end
//	barrier:NAME@in-is    exclusive: a hold that stays, whose metadata is the verdict about the beginning
//	barrier:NAME@out-is   likewise, about the end
//
//	         all n hold barrier:NAME                      all n hold barrier:NAME@out
//	 (enter) ────────────────────────▶ open: all work ──────────────────────────────▶ open: all have left
//	    │    one of them is gone             │             one of barrier:NAME is gone
//	    └────────────────────▶ broken        └──────────────────────────────▶ broken
//
// Those who wait are told by push ([redislock.Client.Watch]) that a party has come or gone, or that there is a verdict. Whoever sees
// that the verdict is due writes it down, unless another was faster, and then all go by what is written.
//
// # What holds
//
//   - There is one verdict about a beginning, and one about an end, for a Life. All parties get that one, or an error.
//   - Open means that at one moment of the server all n parties held their place. A party that is no longer there when it reads the
//     verdict gets the loss of its place in its stead.
//   - A place is given up before the verdict only by a party that leaves, that is told to stop, or that died. The others learn who that
//     was, by a [BrokenError]. Who died is noticed when its lease is over.
//   - Nobody is counted twice: a party of a barrier that is full, or that is over, is refused.
//   - Nothing stays for longer than a Life, and no party longer than its lease.
//
// They hold as well as Redis keeps its data, as the locks themselves do. A process that was paused may go on working for a moment
// after the barrier was broken because of it: [Party.Context] ends first, and a fence is for what that cannot stop.
package barrier
