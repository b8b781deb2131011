// Package redislock gives every instance of an application the same locks, kept in Redis. A lock is owned by token, fenced,
// fair, leased, handed over by push instead of polling, and can be stolen when it is stale. A weak kind serves best-effort dedupe.
//
//	client, err := redislock.New(rdb)
//	err = client.Do(ctx, "invoice/42", func(ctx context.Context) error {
//		return pay(ctx) // ctx ends if the lock is lost
//	})
//
// # Start with these six
//
//   - [New] makes the Client. A process needs one.
//   - [Client.Do] runs a function under a lock, and waits for the lock as long as the context lasts.
//   - [Client.Acquire] returns the lock as a [Lock], where a function does not fit. [Lock.Release] gives it back.
//   - [Lock.With] makes a context that also ends if the lock is lost. Under Do the context of the function is that.
//   - [Lock.Fence] is a number greater than that of all earlier holders. Send it along with what you write.
//   - [Client.Close] ends the Client when the locks are released, or when its context ends.
//
// # All names, in groups
//
// One lock:
//   - taken and given back: [New], [Client], [Client.Do], [Client.TryDo], [DoValue], [Client.Acquire], [Client.TryAcquire], [Lock],
//     [Client.Close], [FromContext], [LocksFromContext]
//   - in other forms: [Client.Wrap], [WrapBy], [WrapValue], [Lockable], [Client.Locker], [Client.Resume] of a
//     [Lock.Handoff]
//   - shaped by an [Option]: [WithLease], [WithWait], [WithMaxQueue], [WithStealAfter], [WithMaxHold], [WithoutRenewal], [WithMetadata],
//     [WithTurn], [WithLinger],
//     [WithMode], [WithWeight], [WithReplicas], [WithFenceFloor], [NonReentrant], [WithFailOpen]
//   - for more than one holder, a [Mode]: [Exclusive], [Read], [Write], [Semaphore], and [NewMode] with a [Rule], [AtMost],
//     [CompatibleWith] or [AtGrant]; with more rules, [Mode.Beside]; limited by [Client.SetLimit], as [Client.Limit] tells in a [Limit]
//
// Many locks:
//   - at once, all or none: [Client.AcquireAll], [Client.DoAll], [Locks]; a path with all that is below it: [Client.AcquirePath]
//   - a pool for any number of resources: [Client.Stripes], [Stripes]
//
// Built on locks:
//   - once in the fleet: [Client.Once], [Client.OnceDone], [Client.OnceReset], [OnceOption], [WithForget]
//   - a value for all who ask: [Share], [Client.ShareReset], [ShareOption], [WithStale], [WithErrorTTL], [WithRefreshTimeout],
//     [WithCodec], [Codec], [WithErrorCodec], [ErrorCodec], [SharedError], [PanicError], [ErrTooLarge]
//   - a job at most once for each tick: [Client.Cron], [CronGuard], [CronOption], [WithAtLeast], [WithAtMost], [WithPause],
//     [WithRetry], [WithGroup], [WithHistory], [WithOverlap], [Overlap], [WithSchedule], [WithTickMemory], [WithTickAhead], [Outcome], [Client.CronStatus],
//     [Client.CronJobs], [CronStatus], [CronRun], [CronGuard.Announce], [Client.CronReset]
//   - a leader: [Client.Elect], [Client.Election], [Election], [Leader]
//
// The weak kind: [Client.AcquireWeak], [WeakLock], [Client.DoWeak], [Client.WrapWeak], [Client.First], [Client.FirstOf], [Client.Forget]
//
// Who has it, and why:
//   - to look: [Client.Inspect], [Client.InspectMore], [Client.List], [Client.Watch], [Info], [Hold], [Place], [Owner], [WithShown]
//   - who waits for whom in the fleet: [Client.Deadlocks], [WaitGraph], [WaitGraphOf], [WaitEdge], [Cycle], [WithDeadlockCheck], [DeadlockError]
//   - in this process, without asking Redis: [Client.Held], [HeldLock], [Client.Waiting], [Waiter]
//   - to have it given up: [Client.Ask], [Request], [Client.Break], [Client.BreakHolds]
//   - to hear of it: [WithObserver], [Observer], [ObserverFunc], [Observers], [Event], [EventKind], [WithTrace]
//
// A Client as a whole: [ClientOption], [WithPrefix], [WithName], [WithDefaults], [WithRetention], [WithClockMargin]; its rights on the
// server, [ACL] and [ACLFor]; at its start [Client.Check], and before its end [Client.Drain].
//
// Errors: [ErrHeld] and [HeldError], [ErrQueueFull], [ErrNotHeld], [ErrUnknown], [ErrLost], [ErrStolen], [ErrReleased], [ErrDeadlock], [ErrOrder],
// [ErrConflict], [ErrMode], [ErrNotReplicated], [ErrClosed], [ErrDraining], [ErrInvalid], [ErrPermission], [ErrServer], [ErrDamaged].
//
// Limits and defaults: [DefaultLease], [MinLease], [MaxLease], [DefaultRetention], [MinRetention], [MaxRetention],
// [DefaultClockMargin], [DefaultPrefix], [MaxName], [MaxMetadata], [MaxReason], [MaxTrace], [MaxTurn], [MaxLinger], [MaxReplicas], [MinReplicaTimeout],
// [MaxReplicaTimeout], [MaxUnits], [MaxModeName], [MaxRules], [MaxStripes], [MaxShared], [DefaultErrorTTL],
// [DefaultRefreshTimeout], [DefaultTickMemory], [DefaultTickAhead], [MaxHistory], [DefaultShown], [MaxShown].
//
// # What a lock promises
//
// At any time of the server at most one holder has a lock, or as many as their modes allow. A holder learns by [Lock.Context] that it may no longer
// trust its lock, before anybody else can get it because of expiry or a steal, also when Redis does not answer. No lock
// with a lease can stop a process that was paused and goes on writing: for that every grant has a fence, which the
// written resource can compare. docs/guarantees.md says exactly what is promised, under which assumptions, and what is
// not; docs/protocol.md says how.
//
// # Modes
//
// A lock is exclusive unless [WithMode] says otherwise: [Read] and [Write], a [Semaphore], or a [NewMode] of your own
// rules. All of them wait in one queue.
//
// # Re-entry
//
// The context of a lock carries its hold. Acquiring the same name under it gives a nested handle, at once and with
// nothing sent; the hold is given back by the last release.
//
// # What people take locks for
//
// [Client.Once] initializes something once in the fleet, [Share] fetches a value once for all who ask, [Client.Cron] runs
// a job once for each tick, and [Client.Elect] keeps a leader. Package fence has what a resource needs to refuse a late
// writer, and adapters/ has modules that serve other libraries.
//
// # Seeing what happens
//
// [Client.Inspect] tells who holds a lock and who waits, [Client.List] goes through all of them, [Client.Watch] follows one
// by push, [Client.Ask] asks a holder to give it up and [Client.Break] takes it away. An [Observer] is told what happens to the
// locks of a Client; adapters/ has some for metrics, traces and logs. docs/operations.md is for those who run all this.
//
// # Hooks of the Redis client
//
// The library sends through the Redis client that it is given, so hooks see its commands: each attempt, with arguments of its own. A
// hook may look, wait, refuse, or put one text before every key; docs/guarantees.md says what follows from each. Subscriptions
// pass no hooks.
//
// # Waiting
//
// Waiters are served in the order of arrival. The release makes the next waiter the owner and tells it so by one
// message: there is no polling, and a hand-over costs one command whatever the number of waiters.
//
// # How it is built
//
// Arrows are imports. They run down: no package under internal/ knows this one, which a test keeps so.
//
//	              redislock: what a user names, and what is built on locks
//	    ┌──────────────┬──────────────┬──────────────┐               │
//	    ▼              ▼              ▼              ▼               ▼
//	who waits      until when    how one hears   replicas       many callers and
//	waiting        lease         wakeup          replication    one call: singleflight, memo
//	    └──────┬───────┴──────┬───────┴──────┬───────┘
//	           ▼              ▼              ▼
//	    when: scheduler    how it is sent: transport
//	                          └──────┬───────┐
//	                                 ▼       ▼
//	               what is said: protocol   what Redis does: lua
//
// Package local gives a Client whose server is in the same process. Package barrier, of processes that wait for each other, has no scripts of its own. Package quorum stands on top of this one: a lock over several masters is one of these locks on each. node.go has what it needs
// beside what every user has.
//
// The comment of each package draws its states. internal/model says the rules of the scripts as a plain state machine, to be read;
// internal/simulation runs whole Clients in fake time; testdata/transcripts shows each case of the protocol, message by message.
//
// # The life of an acquire
//
//  1. [Client.Acquire] (redislock.go) has the options checked (acquire.go, accept), and nests a handle if the context carries a
//     hold of the same lock (hold.go, nest).
//  2. An acquisition begins (acquisition.go). What it does next is decided by a machine (internal/waiting/acquisition.go).
//  3. It makes a token and the request (acquire.go, request; internal/protocol/request.go).
//  4. The request leaves at once or in a batch, and is sent again where no answer comes (internal/transport/ask.go, executor.go).
//  5. Redis runs lua/acquire.lua: a free lock is granted (lua/fast_acquire.lua), else the answer is who holds it.
//  6. A waiter subscribes first (internal/wakeup/wakeup.go, Await), then it asks again, to join the queue.
//  7. The release of the holder grants the lock to the head of the queue, and tells it by a message (lua/rules.lua, hand_over).
//  8. The message settles the wait, within what the last answer bears out; a check finds what a lost message would have said
//     (internal/waiting/queue.go).
//  9. The grant is confirmed where that is needed: a fence above all that were seen, replicas that have it (confirm.go).
//  10. A hold is made of it (acquisition.go, take), and its lease is kept until the release (internal/lease; release.go).
//
// # Where to change what
//
//   - how long a claim lasts: Claim in internal/protocol/wait.go, and CLAIM in lua/layout.lua
//   - what happens when a subscription breaks: run in internal/wakeup/subscription.go; on a cluster lost in sharded.go
//   - what a renewal sends: Run in internal/lease/keeper.go; what Redis does with it: lua/renew.lua
//   - how a place in the queue is left: giveUp in release.go; on the server leave in lua/rules.lua
//   - which answers are tried again: internal/transport/errors.go
//   - what a value in a lock's hash looks like: lua/layout.lua
//   - when a process passes a lock on among its goroutines: internal/turns; turnhold.go and turnread.go do it; on the server pass in lua/rules.lua
//   - when a lock over several masters is granted: decide in quorum/hold.go; what is asked of each: quorum/vote.go
package redislock
