package torture

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
)

// stuffing are the keys that fill a server's memory, as if of other users. They expire after a day, so that every
// policy may drop them.
type stuffing struct {
	x    *Run
	keys int
}

// cram adds this many keys of 4 KiB.
func (s *stuffing) cram(keys int) {
	s.x.Helper()
	ctx := context.Background()
	all := s.x.Admin.Pipeline()
	text := strings.Repeat("x", 4<<10)
	for range keys {
		s.keys++
		all.Set(ctx, fmt.Sprint("other:", s.keys), text, 24*time.Hour)
	}
	_, err := all.Exec(ctx)
	s.x.done(err)
}

// limit sets the memory limit to what the server uses plus this many MiB, or minus if negative.
func (s *stuffing) limit(more int) {
	s.x.Helper()
	limit := s.x.stat("memory", "used_memory") + more<<20
	s.x.done(s.x.Admin.ConfigSet(context.Background(), "maxmemory", strconv.Itoa(limit)).Err())
}

// unlimited removes the limit.
func (s *stuffing) unlimited() {
	s.x.Helper()
	s.x.done(s.x.Admin.ConfigSet(context.Background(), "maxmemory", "0").Err())
}

// drop takes the keys away again.
func (s *stuffing) drop() {
	s.x.Helper()
	ctx := context.Background()
	all := s.x.Admin.Pipeline()
	for ; s.keys > 0; s.keys-- {
		all.Unlink(ctx, fmt.Sprint("other:", s.keys))
	}
	_, err := all.Exec(ctx)
	s.x.done(err)
}

// stat is a number of INFO.
func (x *Run) stat(section, field string) int {
	x.Helper()
	text, err := x.Admin.Info(context.Background(), section).Result()
	x.done(err)
	for line := range strings.Lines(text) {
		if number, found := strings.CutPrefix(strings.TrimSpace(line), field+":"); found {
			n, err := strconv.Atoi(number)
			x.done(err)
			return n
		}
	}
	x.Fatalf("INFO %s lacks %s", section, field)
	return 0
}

func TestFullMemoryRefusesNewLocksAndNothingElse(t *testing.T) {
	renewed := 0
	x := played(t, Row{
		Fault: "maxmemory reached with noeviction",
		Promise: "While the server has no memory left, it may refuse an acquire with the error OOM, and the acquire leaves nothing " +
			"behind. Releases, renewals and cancelled waits succeed, because the first write of each is a command that Redis never " +
			"refuses.",
		Topology:    OneServer("--maxmemory-policy", "noeviction"),
		Unheard:     "MONITOR does not tell which command of a script is refused",
		Load:        Load{Operations: 5000}, // refusals are quick
		Unreachable: true,                   // acquires may fail
		Inject: func(x *Run) {
			s := stuffing{x: x}
			for i := 0; x.Every(300 * time.Millisecond); i++ {
				w := x.Workers()[i%len(x.Workers())]
				x.Hold(w, "a", "exclusive")
				x.Fault("memory was full")
				s.cram(1024)
				s.limit(-2) // low enough that memory which is freed by the way does not suffice
				if x.renews(w, "a") {
					renewed++
				}
				x.Drop(w, "a")
				x.Eventually("the lock is given back all the same", func() bool { return !w.keeps("a") })
				s.unlimited()
				s.drop()
			}
		},
	})
	refused := 0
	for _, w := range x.workers {
		for _, e := range w.log() {
			switch {
			case e.Err != Failed:
			case e.Kind == Acquired && strings.Contains(e.Text, "OOM"):
				refused++
			default:
				t.Errorf("worker %d: %s: %s", w.Index, e.Kind, e.Text)
			}
		}
	}
	if t.Logf("%d acquires were refused, and %d holds renewed", refused, renewed); refused == 0 || renewed == 0 {
		t.Error("memory was never full, or no hold was renewed in that time")
	}
}

func TestEvictionIsALossThatFencesSurvive(t *testing.T) {
	policies := []string{"volatile-ttl", "allkeys-random"}
	if Full() {
		policies = []string{"volatile-ttl", "volatile-lru", "volatile-lfu", "volatile-random", "allkeys-lru", "allkeys-lfu", "allkeys-random"}
	}
	for _, policy := range policies {
		t.Run(policy, func(t *testing.T) { evict(t, policy) })
	}
}

// evict is the row of one policy.
func evict(t *testing.T, policy string) {
	const idle = 100 // locks that the harness holds, in addition to those of the workers
	held, survived, evicted := 0, 0, 0
	playLoss(t, Row{
		Fault: "eviction, " + policy,
		Promise: "An eviction removes a whole lock, hold and queue together. The holder learns of it at its next renewal, and the " +
			"waiters at their next check. Fences follow the clock, so they rise all the same.",
		Topology:    OneServer("--maxmemory-policy", policy),
		Unheard:     "MONITOR does not tell which key is evicted",
		Load:        Load{Lease: time.Second},
		Physics:     "The server may drop a lock that is held.",
		Unreachable: true, // if few keys may be evicted, acquires may be refused
		Short:       1500 * time.Millisecond,
		Inject: func(x *Run) {
			s := stuffing{x: x}
			for i := 0; x.Every(200 * time.Millisecond); i++ {
				w := x.Workers()[i%len(x.Workers())]
				x.Hold(w, "a", "exclusive")
				locks := x.take(idle)
				before := x.stat("stats", "evicted_keys")
				x.Loss("memory was full", func() {
					s.limit(2)
					for x.stat("stats", "evicted_keys")-before < 2000 {
						s.cram(128)
					}
					s.unlimited()
				})
				held += len(locks)
				survived += x.left(locks)
				evicted += x.stat("stats", "evicted_keys") - before
				s.drop()
				x.giveBack(locks)
				x.Remark("%d of %d held locks that nobody touched survived, when %d keys were evicted.", survived, held, evicted)
				x.Drop(w, "a")
			}
		},
	})
}

// take takes this many locks for the harness, each of another name.
func (x *Run) take(n int) (locks []*redislock.Lock) {
	x.Helper()
	for i := range n {
		l, err := x.Client().Acquire(context.Background(), fmt.Sprint("idle", i), redislock.WithLease(time.Minute))
		x.done(err)
		locks = append(locks, l)
	}
	return locks
}

// left is how many of these the server still has.
func (x *Run) left(locks []*redislock.Lock) int {
	x.Helper()
	var keys []string
	for _, l := range locks {
		keys = append(keys, x.Key(l.Name()))
	}
	n, err := x.Admin.Exists(context.Background(), keys...).Result()
	x.done(err)
	return int(n)
}

func (x *Run) giveBack(locks []*redislock.Lock) {
	for _, l := range locks {
		_ = l.Release(context.Background()) // many are lost
	}
}
