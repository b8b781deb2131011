package redislock

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"strconv"
)

// MaxStripes is the largest pool of [Client.Stripes].
const MaxStripes = 1 << 20

// Stripes is a fixed pool of locks that stands for any number of resources: each resource belongs to one lock of the
// pool, its stripe, so that keys and memory in Redis are bounded by the pool, whatever the resources. Two resources
// with the same stripe exclude each other. It is made by [Client.Stripes] and safe for use by many goroutines.
//
// Since two keys can share a stripe, who holds the one and waits for the other may wait for itself: that never ends.
// Either pass the lock's context to the second acquire, which then nests in the first ([Client.Acquire]), or take all
// at once by [Client.AcquireAll] over Name(Index(key)), which takes a shared stripe once and does not deadlock with
// others that do the same.
//
// The number of stripes must be the same wherever the pool is used, for it says which stripe a key belongs to. Change
// it only while nothing of the pool is held: with two numbers at a time one key has two locks.
type Stripes struct {
	client *Client
	name   string
	n      int   // 0 if it cannot be used
	fault  error // why
}

// Stripes is the pool of n locks under a name, from 1 to [MaxStripes]. The locks are ordinary ones, with the names
// "name#0" to "name#(n-1)", which have at most [MaxName] bytes. Nothing is sent, and the pool needs no closing.
//
// A pool that cannot be used is reported by its acquires, as [ErrInvalid].
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

// Acquire is [Client.Acquire] of the stripe of a number: any number, for it counts modulo the size of the pool. With 16
// stripes 19 is stripe 3, and so is -13.
func (s *Stripes) Acquire(ctx context.Context, i int, opts ...Option) (*Lock, error) {
	if s == nil {
		s = &Stripes{}
	}
	if s.fault != nil {
		return nil, wrapOp("acquire", s.name, s.fault)
	}
	return s.client.Acquire(ctx, s.Name(i), opts...)
}

// AcquireKey is [Client.Acquire] of the stripe of a key, [Stripes.Index]. A key is any text.
func (s *Stripes) AcquireKey(ctx context.Context, key string, opts ...Option) (*Lock, error) {
	return s.Acquire(ctx, s.Index(key), opts...)
}

// Index is the number of a key's stripe: the first 8 bytes of the SHA-256 of the key, as an unsigned big-endian number,
// modulo the size of the pool. It spreads any keys evenly, and stays as it is, so that programs in other languages
// and later versions agree on it. Of a pool that cannot be used it is 0.
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

// Name is the name of the lock of a number, counted as by [Stripes.Acquire], such as "name#3": for [Client.Do],
// [Client.Inspect], [Client.AcquireAll] and all else that takes a name. Of a pool that cannot be used it is empty,
// which those refuse with [ErrInvalid].
func (s *Stripes) Name(i int) string {
	if s == nil {
		return ""
	}
	if s.n == 0 {
		return ""
	}
	return s.name + "#" + strconv.Itoa((i%s.n+s.n)%s.n)
}

// Len is the number of stripes, 0 of a pool that cannot be used.
func (s *Stripes) Len() int {
	if s == nil {
		return 0
	}
	return s.n
}
