// Package fence has what a resource needs to refuse a late writer. A late writer was paused or cut off while it held a lock, has
// lost the lock, and writes all the same. No lock with a lease can prevent this. The resource can: every grant of a lock has a
// fence ([redislock.Lock.Fence]), greater than those before it, and the resource keeps the greatest that it has seen.
//
// # The rule
//
// It is the same everywhere. A fence equal to the greatest that was seen is accepted: one holder writes many times. A
// smaller one is refused, with [ErrStale]. A greater one is accepted, and remembered. A number that no lock can have
// ([Validate]) is [redislock.ErrInvalid]: a register that accepted it would refuse all rightful holders after it.
//
// It is right for locks in exclusive modes. Holders that share a lock have different fences too, and the older of them
// is not late.
//
// # Which one
//
// The check and the write it protects must be one step, or a holder that is paused between them is late again. So keep the
// greatest fence where the data is:
//
//   - [Memory], for what lives in this process: [Memory.Do].
//   - [Redis], for a value in Redis: [Redis.Set].
//   - Package sqlfence, a module of its own, for what is written in a transaction of a database.
//   - [Transport], [Middleware] and [Require], for what is behind HTTP: they carry the fence from the holder to the
//     handler, who checks it as above.
//
// # Which fence
//
// The numbers of different locks do not compare: each is the time of a grant. So a resource is known to its register by the
// name of the lock that guards it, and a fence travels with the name of its lock. [Of] is the fence of a lock by name, be it
// held under this context or come by a request. The innermost lock need not be the right one: a handler that takes another lock
// while it writes to an account must send the account's.
package fence
