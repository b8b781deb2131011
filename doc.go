// Package redislock gives every instance of an application the same locks, kept in Redis: owned by token, fenced,
// fair, leased, woken by push instead of polling, and stealable when stale. A weak kind serves best-effort dedupe.
//
//	client, err := redislock.New(rdb)
//	err = client.Do(ctx, "invoice/42", func(ctx context.Context) error {
//		return pay(ctx) // ctx ends if the lock is lost
//	})
//
// # What a lock promises
//
// At any time of the server at most one holder has a lock, or as many as their modes allow. A holder learns by [Lock.Context] that it may no longer
// trust its lock, before anybody else can get it because of expiry or theft, also when Redis does not answer. No lock
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
package redislock
