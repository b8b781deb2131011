// Package redislock gives all instances of an application the same locks, kept in Redis. A lock has a lease and is renewed, so a
// dead holder does not keep it. Waiters get it in the order of arrival, by a message: nobody polls. Each grant has a fence, a number
// by which a resource can refuse a holder that writes too late. A lock that is held too long can be stolen. A weak kind of lock, with
// fewer promises, is for work that is only wasteful if it is done twice.
//
//	client, err := redislock.New(rdb)
//	err = client.Do(ctx, "invoice/42", func(ctx context.Context) error {
//		return pay(ctx) // ctx ends if the lock is lost
//	})
//
// # Start with these six
//
//   - [New] makes the Client. A process needs one Client.
//   - [Client.Do] waits for a lock as long as the context lasts, runs a function under the lock, and gives the lock back.
//   - [Client.Acquire] returns the lock as a [Lock], for code that does not fit into a function. [Lock.Release] gives it back.
//   - [Lock.With] returns a context that also ends if the lock is lost. Do gives its function such a context.
//   - [Lock.Fence] returns a number that is greater than those of all earlier holders. Send it with each write.
//   - [Client.Close] waits until all locks are released or its context ends, and ends the Client.
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
//     [CompatibleWith] or [AtGrant]; with more rules, [Mode.Beside]; a limit for all of them: [Client.SetLimit], [Client.Limit], [Limit]
//
// Many locks:
//   - at once, all or none: [Client.AcquireAll], [Client.DoAll], [Locks]; a path with everything below it: [Client.AcquirePath]
//   - a pool for any number of resources: [Client.Stripes], [Stripes]
//
// Built on locks:
//   - once in the fleet: [Client.Once], [Client.OnceDone], [Client.OnceReset], [OnceOption], [WithForget]
//   - a value for all who ask: [Share], [Client.ShareReset], [ShareOption], [WithStale], [WithErrorTTL], [WithRefreshTimeout],
//     [WithCodec], [Codec], [WithErrorCodec], [ErrorCodec], [SharedError], [PanicError], [ErrTooLarge]
//   - a job at most once for each tick: [Client.Cron], [CronGuard], [CronOption], [WithAtLeast], [WithAtMost], [WithPause],
//     [WithRetry], [WithGroup], [WithHistory], [WithOverlap], [Overlap], [WithSchedule], [WithTickMemory], [WithTickAhead],
//     [Outcome], [Client.CronStatus], [Client.CronJobs], [CronStatus], [CronRun], [CronGuard.Announce], [Client.CronReset]
//   - a leader: [Client.Elect], [Client.Election], [Election], [Leader]
//
// The weak kind: [Client.AcquireWeak], [WeakLock], [Client.DoWeak], [Client.WrapWeak], [Client.First], [Client.FirstOf], [Client.Forget]
//
// Who has it, and why:
//   - to look: [Client.Inspect], [Client.InspectMore], [Client.List], [Client.Watch], [Info], [Hold], [Place], [Owner], [WithShown]
//   - who waits for whom in the fleet: [Client.Deadlocks], [WaitGraph], [WaitGraphOf], [WaitEdge], [Cycle], [WithDeadlockCheck],
//     [DeadlockError]
//   - in this process, without asking Redis: [Client.Held], [HeldLock], [Client.Waiting], [Waiter]
//   - to ask for it, or to take it away: [Client.Ask], [Request], [Client.Break], [Client.BreakHolds]
//   - to be told of events: [WithObserver], [Observer], [ObserverFunc], [Observers], [Event], [EventKind], [WithTrace]
//
// A Client as a whole: [ClientOption], [WithPrefix], [WithName], [WithDefaults], [WithRetention], [WithClockMargin]; its rights on the
// server, [ACL] and [ACLFor]; at its start [Client.Check], and before its end [Client.Drain].
//
// Errors: [ErrHeld] and [HeldError], [ErrQueueFull], [ErrNotHeld], [ErrUnknown], [ErrLost], [ErrStolen], [ErrReleased],
// [ErrDeadlock], [ErrOrder], [ErrConflict], [ErrMode], [ErrNotReplicated], [ErrClosed], [ErrDraining], [ErrInvalid],
// [ErrPermission], [ErrServer], [ErrDamaged].
//
// Limits and defaults: [DefaultLease], [MinLease], [MaxLease], [DefaultRetention], [MinRetention], [MaxRetention],
// [DefaultClockMargin], [DefaultPrefix], [MaxName], [MaxMetadata], [MaxReason], [MaxTrace], [MaxTurn], [MaxLinger],
// [MaxReplicas], [MinReplicaTimeout], [MaxReplicaTimeout], [MaxUnits], [MaxModeName], [MaxRules], [MaxStripes], [MaxShared],
// [DefaultErrorTTL], [DefaultRefreshTimeout], [DefaultTickMemory], [DefaultTickAhead], [MaxHistory], [DefaultShown], [MaxShown].
//
// # What a lock promises
//
// At any server time at most one holder has a lock, or in a shared mode as many as the modes allow. [Lock.Context] ends before
// another caller can get the lock because of expiry or a steal, even if Redis does not answer. No lock with a lease can stop a
// process that was paused and goes on writing. For that every grant has a fence, which the written resource can compare.
// docs/guarantees.md says exactly what is promised, under which assumptions, and what is not promised. docs/protocol.md says how
// the promises are kept.
//
// # Modes
//
// A lock is exclusive unless [WithMode] says otherwise: [Read] and [Write], a [Semaphore], or a [NewMode] with your own
// rules. The waiters of all modes are in one queue.
//
// # Re-entry
//
// The context of a lock carries its hold. An acquire of the same name under that context returns a nested handle at once, and
// sends nothing. The last release gives the hold back.
//
// # What people take locks for
//
// [Client.Once] initializes something once in the fleet. [Share] fetches a value once for all callers. [Client.Cron] runs a job
// once for each tick, that is, for each scheduled time. [Client.Elect] keeps a leader. Package fence has what a resource needs to
// refuse a late writer, and adapters/ has modules for other libraries.
//
// # Seeing what happens
//
// [Client.Inspect] shows who holds a lock and who waits. [Client.List] goes through all locks. [Client.Watch] follows one lock by
// push. [Client.Ask] asks the holder to give a lock up, and [Client.Break] takes it away. An [Observer] is told what happens to the
// locks of a Client; adapters/ has observers for metrics, traces and logs. docs/operations.md is for operators.
//
// # Hooks of the Redis client
//
// The library sends its commands through your Redis client, so the hooks of that client see them. Each attempt has its own copy of
// the arguments. A hook may look, wait, refuse, or put one text before every key; docs/guarantees.md has the effect of each.
// Subscriptions pass no hooks.
//
// # Waiting
//
// Waiters are served in the order of arrival. The release makes the next waiter the owner, and tells it so by one message. There is
// no polling, and a hand-over costs one command, whatever the number of waiters.
//
// # How it is built
//
// Arrows are imports. They run down: no package under internal/ imports this one, which a test checks.
//
//	              redislock: what a user calls, and what is built on locks
//	    ┌──────────────┬──────────────┬──────────────┬──────────────┐
//	    ▼              ▼              ▼              ▼              ▼
//	 waiting         lease         wakeup       replication   singleflight, memo
//	 queues of     renewals,    subscriptions    WAIT for      many callers and
//	this process   deadlines                     replicas          one call
//	    └──────┬───────┴──────┬───────┘              │
//	           ▼              ▼                      │
//	       scheduler      transport ◀────────────────┘
//	       due tasks  requests, resends
//	                          ├──────────────┐
//	                          ▼              ▼
//	                      protocol          lua
//	                       values     scripts for Redis
//
// Package local gives a Client whose server is in the same process. Package barrier lets processes wait for each other, and has no
// scripts of its own. Package quorum is built on this one: a lock over several masters is one of these locks on each. node.go has
// the functions that quorum and barrier need and that are not exported to users.
//
// The comment of each package draws its states. internal/model has the rules of the scripts as a plain state machine that is written
// to be read. internal/simulation runs whole Clients in fake time. testdata/transcripts shows each case of the protocol, message by
// message.
//
// # The life of an acquire
//
//  1. [Client.Acquire] (redislock.go) checks the options (acquire.go, accept), and nests a handle if the context carries a hold of
//     the same lock (hold.go, nest).
//  2. An acquisition begins (acquisition.go). A state machine decides what it does next (internal/waiting/acquisition.go).
//  3. It makes a token and the request (acquire.go, request; internal/protocol/request.go).
//  4. The request leaves at once or in a batch, and is sent again if no answer comes (internal/transport/ask.go, executor.go).
//  5. Redis runs lua/acquire.lua. A free lock is granted (lua/fast_acquire.lua). If it is held, the answer names the holder.
//  6. A waiter subscribes (internal/wakeup/wakeup.go, Await), and then asks again, to join the queue.
//  7. The release of the holder grants the lock to the first waiter, and tells it by a message (lua/rules.lua, hand_over).
//  8. The message ends the wait, if it agrees with the last answer. If the message is lost, a check finds the grant
//     (internal/waiting/queue.go).
//  9. The grant is confirmed if its fence must be raised, or if replicas must have it (confirm.go).
//  10. The acquisition makes a hold (acquisition.go, take), and its lease is renewed until the release (internal/lease; release.go).
//
// # Where to change what
//
//   - how long a claim lasts: Claim in internal/protocol/wait.go, and CLAIM in lua/layout.lua
//   - what happens when a subscription breaks: run in internal/wakeup/subscription.go, and on a cluster lost in sharded.go
//   - what a renewal sends: Run in internal/lease/keeper.go; what Redis does with it: lua/renew.lua
//   - how a place in the queue is left: giveUp in release.go; on the server leave in lua/rules.lua
//   - which answers are tried again: internal/transport/errors.go
//   - what a value in a lock's hash looks like: lua/layout.lua
//   - when a process passes a lock on among its goroutines: internal/turns decides, turnhold.go and turnread.go carry it out; on the
//     server pass in lua/rules.lua
//   - when a lock over several masters is granted: decide in quorum/hold.go; what is asked of each: quorum/vote.go
package redislock
