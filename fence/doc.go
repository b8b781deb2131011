// Package fence has what a resource needs to refuse a late writer: one that was paused or cut off while it held a lock,
// lost the lock by that, and writes all the same. No lock with a lease can prevent this. The resource can: every grant
// of a lock has a fence ([redislock.Lock.Fence]), greater than those before it, and the resource keeps the greatest that
// it has seen.
//
// # The rule
//
// It is the same everywhere. A fence equal to the greatest that was seen is accepted: one holder writes many times. A
// smaller one is refused, with [ErrStale]. A greater one is accepted, and remembered. A fence of 0 or less is
// [redislock.ErrInvalid].
//
// It is right for locks in exclusive modes. Holders that share a lock have different fences too, and the older of them
// is not late.
//
// # Which one
//
// The check and the write it protects must be one step, or a holder that is paused between them is late again. So the
// greatest fence belongs where the data is, whatever that is:
//
//   - [Memory], for what lives in this process: [Memory.Do].
//   - [Redis], for a value in Redis: [Redis.Set].
//   - Package sqlfence, a module of its own, for what is written in a transaction of a database.
//   - [Transport], [Middleware] and [Require], for what is behind HTTP: they carry the fence from the holder to the
//     handler, who checks it as above.
//
// [FromContext] is the fence that comes with a context, be it by a lock or by a request.
package fence
