package redislock

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"strconv"
)

// MaxStripes is the largest pool of [Client.Stripes].
const MaxStripes = 1 << 20

// Stripes is a fixed pool of locks that stands for any number of resources. Each resource belongs to one lock of the pool,
// its stripe. So the pool bounds the keys and the memory in Redis, however many resources there are. Two resources with the
// same stripe exclude each other. [Client.Stripes] makes it. Many goroutines may use it at once.
//
// Two keys can share a stripe. So a caller that holds the lock of one key and waits for that of another may wait for itself,
// for ever. Either pass the lock's context to the second acquire, which then nests in the first ([Client.Acquire]). Or take
// all at once by [Client.AcquireAll] over Name(Index(key)), which takes a shared stripe once and does not deadlock with other
// callers that do the same.
//
// The number of stripes must be the same wherever the pool is used, because it decides which stripe a key belongs to. Change
// it only while nothing of the pool is held: with two numbers at a time, one key has two locks.
type Stripes struct {
	client *Client
	name   string
	n      int   // 0 if the pool cannot be used
	fault  error // why
}

// Stripes makes the pool of n locks under a name, from 1 to [MaxStripes]. The locks are ordinary ones. Their names are
// "name#0" to "name#(n-1)", with at most [MaxName] bytes. Nothing is sent, and the pool needs no closing.
//
// If the pool cannot be used, its acquires return [ErrInvalid].
func (c *Client) Stripes(name string, n int) *Stripes {
	s := &Stripes{client: c, name: name}
	switch longest := len(name) + len("#") + len(strconv.Itoa(n-1)); {
	case n < 1 || n > MaxStripes:
		s.fault = invalid("Stripes(%q, %d): must be from 1 to %d locks", name, n, MaxStripes)
	case name == "":
		s.fault = checkName(name)
	case longest > MaxName:
		s.fault = invalid("Stripes: a name of %d bytes, with the number behind it %d, at most %d", len(name), longest, MaxName)
	default:
		s.n = n
	}
	return s
}

// Acquire is [Client.Acquire] of the stripe with a number. Any number will do, because it counts modulo the size of the pool:
// with 16 stripes 19 is stripe 3, and so is -13.
func (s *Stripes) Acquire(ctx context.Context, i int, opts ...Option) (*Lock, error) {
	if err := s.usable(); err != nil {
		return nil, wrapOp("acquire", s.pool(), err)
	}
	return s.client.Acquire(ctx, s.Name(i), opts...)
}

// AcquireKey is [Client.Acquire] of the stripe of a key; see [Stripes.Index]. A key is any text.
func (s *Stripes) AcquireKey(ctx context.Context, key string, opts ...Option) (*Lock, error) {
	return s.Acquire(ctx, s.Index(key), opts...)
}

// TryAcquire is [Client.TryAcquire] of the stripe with a number, which counts as in [Stripes.Acquire].
func (s *Stripes) TryAcquire(ctx context.Context, i int, opts ...Option) (*Lock, error) {
	if err := s.usable(); err != nil {
		return nil, wrapOp("acquire", s.pool(), err)
	}
	return s.client.TryAcquire(ctx, s.Name(i), opts...)
}

// TryAcquireKey is [Client.TryAcquire] of the stripe of a key; see [Stripes.Index].
func (s *Stripes) TryAcquireKey(ctx context.Context, key string, opts ...Option) (*Lock, error) {
	return s.TryAcquire(ctx, s.Index(key), opts...)
}

// Do is [Client.Do] under the stripe with a number, which counts as in [Stripes.Acquire].
func (s *Stripes) Do(ctx context.Context, i int, fn func(context.Context) error, opts ...Option) error {
	if err := s.usable(); err != nil {
		return wrapOp("do", s.pool(), err)
	}
	return s.client.Do(ctx, s.Name(i), fn, opts...)
}

// DoKey is [Client.Do] under the stripe of a key; see [Stripes.Index]. Two keys can share a stripe: under the context of fn,
// a DoKey of the other key is then nested in this one, and runs at once.
func (s *Stripes) DoKey(ctx context.Context, key string, fn func(context.Context) error, opts ...Option) error {
	return s.Do(ctx, s.Index(key), fn, opts...)
}

// usable is nil for a pool that can be used.
func (s *Stripes) usable() error {
	switch {
	case s == nil:
		return errNoClient
	case s.fault != nil:
		return s.fault
	case s.n == 0:
		return errNoClient
	}
	return nil
}

// pool is the name of the pool, for errors.
func (s *Stripes) pool() string {
	if s == nil {
		return ""
	}
	return s.name
}

// Index is the number of a key's stripe: the first 8 bytes of the SHA-256 of the key, as an unsigned big-endian number,
// modulo the size of the pool. It spreads any keys evenly. It will not change, so programs in other languages and later
// versions agree on it. For a pool that cannot be used it is 0.
func (s *Stripes) Index(key string) int {
	if s == nil {
		return 0
	}
	if s.n == 0 {
		return 0
	}
	sum := sha256.Sum256([]byte(key))
	return int(binary.BigEndian.Uint64(sum[:]) % uint64(s.n))
}

// Name is the name of the lock with a number, such as "name#3". The number counts as in [Stripes.Acquire]. The name is for
// [Client.Do], [Client.Inspect], [Client.AcquireAll] and every other call that takes a name. For a pool that cannot be used
// it is empty, and those calls refuse it with [ErrInvalid].
func (s *Stripes) Name(i int) string {
	if s == nil {
		return ""
	}
	if s.n == 0 {
		return ""
	}
	return s.name + "#" + strconv.Itoa((i%s.n+s.n)%s.n)
}

// Len is the number of stripes, or 0 for a pool that cannot be used.
func (s *Stripes) Len() int {
	if s == nil {
		return 0
	}
	return s.n
}
