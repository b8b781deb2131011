package quorum_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/quorum"
)

var seeds = flag.Int("seeds", 4, "how many seeds TestWhateverHappensToTheNodes plays")

// inside is who holds a name, as far as the holders know.
type inside struct {
	mu    sync.Mutex
	lock  *quorum.Lock
	fence int64
	count int
}

// enter is the event that somebody has acquired the lock.
func (in *inside) enter(l *quorum.Lock) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.lock != nil && in.lock.Err() == nil && l.Err() == nil {
		return fmt.Errorf("two holders: %d and %d", in.lock.Fence(), l.Fence())
	}
	if l.Fence() <= in.fence {
		return fmt.Errorf("fence %d after %d", l.Fence(), in.fence)
	}
	in.lock, in.fence, in.count = l, l.Fence(), in.count+1
	return nil
}

// Whatever happens to one node after the other, and sometimes to two, and whenever callers give up: one holder, fences that rise, and in the end nothing is left.
// What happens, to whom and when is decided by the seed.
func TestWhateverHappensToTheNodes(t *testing.T) {
	n := *seeds
	if testing.Short() {
		n = min(n, 1)
	}
	granted := 0
	for seed := range n {
		nodes := 3
		if seed%4 == 3 {
			nodes = 5
		}
		withFleet(t, nodes, func(f *fleet) { granted += play(f, uint64(seed)) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if granted < 5*n {
		t.Errorf("only %d grants in %d runs", granted, n)
	}
}

const longest = 3 * time.Second

func play(f *fleet, seed uint64) (granted int) {
	random := rand.New(rand.NewPCG(seed, 1))
	names := map[string]*inside{"a": {}, "b": {}}
	end := time.Now().Add(20 * time.Second)
	var all sync.WaitGroup
	for range 4 {
		q := f.locker(quorum.WithLongestLease(longest))
		for name, in := range names {
			one := rand.New(rand.NewPCG(seed, random.Uint64()))
			all.Go(func() {
				for time.Now().Before(end) {
					caller(f, q, name, in, one)
					time.Sleep(time.Duration(one.IntN(50_000)) * time.Microsecond)
				}
			})
		}
	}
	for time.Now().Before(end) {
		time.Sleep(time.Duration(random.IntN(4000)) * time.Millisecond)
		s := f.servers[random.IntN(len(f.servers))]
		long := time.Duration(random.IntN(5000)) * time.Millisecond
		switch random.IntN(5) {
		case 0:
			s.cut()
			time.Sleep(long)
			s.mend()
		case 1:
			s.stop()
			time.Sleep(long)
			s.start(false)
		case 2:
			s.stop()
			time.Sleep(long / 10)
			s.start(true)
			time.Sleep(longest) // until then no other may fail
		case 3: // two of them: who holds the lock loses the majority
			other := f.servers[random.IntN(len(f.servers))]
			s.cut()
			other.cut()
			time.Sleep(long)
			s.mend()
			other.mend()
		case 4: // connections are lost
			s.stop()
			s.start(false)
		}
	}
	all.Wait()
	time.Sleep(time.Minute)
	for name, in := range names {
		f.untouched(name)
		granted += in.count
	}
	return granted
}

// caller takes the lock once, or gives up.
func caller(f *fleet, q *quorum.Locker, name string, in *inside, random *rand.Rand) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	switch random.IntN(6) {
	case 0:
		ctx, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(3000))*time.Microsecond)
		defer cancel()
	case 1, 2, 3:
		ctx, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(3000))*time.Millisecond)
		defer cancel()
	default:
		ctx, cancel = context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
	}
	opts := []redislock.Option{redislock.WithLease(time.Second + time.Duration(random.IntN(2000))*time.Millisecond)}
	if random.IntN(8) == 0 {
		opts = append(opts, redislock.WithWait(0))
	}
	l, err := q.Acquire(ctx, name, opts...)
	if err != nil {
		return
	}
	if err := in.enter(l); err != nil {
		f.Errorf("%s: %v", name, err)
	}
	hold := time.Duration(random.IntN(100_000)) * time.Microsecond
	if random.IntN(10) == 0 { // long enough to lose it
		hold *= 80
	}
	select {
	case <-l.Context().Done():
	case <-time.After(hold):
	}
	_ = l.Release(context.Background())
}
