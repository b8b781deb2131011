package redislock

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

const (
	// calm is how many releases in a row find nobody waiting before a name counts as quiet again.
	calm = 16
	// maxCrowds bounds the names that are remembered. When there are more, all are forgotten: each costs one request then.
	maxContended = 1 << 14
)

// contention is the names that others were found to wait for lately. The release of such a lock is sent as the script at once: the
// plain command, which is tried first on a quiet name, would only be in its way.
type contention struct {
	seed maphash.Seed
	some atomic.Bool

	mu    sync.Mutex
	names map[uint64]int // how many quiet releases are to come; names as hashes
}

func newContention() contention {
	return contention{seed: maphash.MakeSeed(), names: map[uint64]int{}}
}

// has reports whether others wait for a name, as far as is known.
func (c *contention) has(name string) bool {
	if !c.some.Load() {
		return false
	}
	key := maphash.String(c.seed, name)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.names[key] > 0
}

// met notes that somebody waited, or that nobody did.
func (c *contention) met(name string, somebody bool) {
	if !somebody && !c.some.Load() {
		return
	}
	key := maphash.String(c.seed, name)
	c.mu.Lock()
	defer c.mu.Unlock()
	left := c.names[key]
	switch {
	case somebody:
		if left == 0 && len(c.names) >= maxContended {
			clear(c.names)
		}
		c.names[key] = calm
	case left > 1:
		c.names[key] = left - 1
	default:
		delete(c.names, key)
	}
	c.some.Store(len(c.names) > 0)
}
