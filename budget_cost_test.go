package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// allocations is how often fn allocates, by the least of some counts: what else runs in the process allocates too.
func allocations(runs int, fn func()) int {
	least := testing.AllocsPerRun(runs, fn)
	for range 2 {
		least = min(least, testing.AllocsPerRun(runs, fn))
	}
	return int(least)
}

// The counts are beside those of go-redis's own commands in the same process and mode: it has pools, from which the race
// detector throws some away. Where less is needed the table is to follow.
func TestAnOperationAllocatesLittleMoreThanGoRedis(t *testing.T) {
	rdb := servertest.Start(t).Connect()
	c, err := redislock.New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	cancellable, cancel := context.WithCancel(ctx)
	defer cancel()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	pair := func(ctx context.Context, held time.Duration, name string) {
		l, err := c.Acquire(ctx, name)
		must(err)
		time.Sleep(held)
		must(l.Release(ctx))
	}
	nothing := func(context.Context) error { return nil }
	share := func() {
		_, err := redislock.Share(ctx, c, "kept", time.Hour, func(context.Context) (int, error) { return 1, nil })
		must(err)
	}
	held, err := c.Acquire(ctx, "held")
	must(err)
	under := held.Context()
	must(c.Once(ctx, "known", nothing))
	share()

	noop := rdb.ScriptLoad(ctx, "return 1").Val()
	script := func() { must(rdb.EvalSha(ctx, noop, []string{"x"}, "token").Err()) }
	const none, set, one, two = "nothing", "a SET", "an EVALSHA", "two EVALSHA"
	floors := map[string]int{
		none: 0,
		set:  allocations(100, func() { must(rdb.Set(ctx, "y", "token", time.Minute).Err()) }),
		one:  allocations(100, script),
		two:  allocations(100, func() { script(); script() }),
	}
	for _, op := range []struct {
		what   string
		beside string
		more   int
		runs   int
		do     func()
	}{
		{"Acquire and Release", two, 6, 100, func() { pair(ctx, 0, "x") }}, // the budget; the rest is what they need today
		{"the same, held longer", two, 6, 20, func() { pair(ctx, redislock.Brief+time.Millisecond, "x") }},
		{"the same, with a context that may end", two, 12, 100, func() { pair(cancellable, 0, "x") }},
		{"Do", two, 28, 100, func() { must(c.Do(ctx, "x", nothing)) }},
		{"a nested pair", none, 8, 100, func() { pair(under, 0, "held") }},
		{"TryAcquire, refused", one, 26, 100, func() {
			if _, err := c.TryAcquire(ctx, "held"); !errors.Is(err, redislock.ErrHeld) {
				t.Fatal(err)
			}
		}},
		{"Inspect", one, 22, 100, func() {
			_, err := c.Inspect(ctx, "held")
			must(err)
		}},
		{"First", set, 33, 100, func() {
			_, err := c.First(ctx, "x", time.Minute)
			must(err)
		}},
		{"a Once that is known", none, 0, 100, func() { must(c.Once(ctx, "known", nothing)) }},
		{"a Share that is kept", one, 36, 100, share},
	} {
		if n := allocations(op.runs, op.do); n > floors[op.beside]+op.more {
			t.Errorf("%s: %d allocations, at most the %d of %s and %d", op.what, n, floors[op.beside], op.beside, op.more)
		}
	}
	must(held.Release(ctx))
	must(c.Close(ctx))
}

// settled waits until the library has no more than that many goroutines: what was under way ends.
func (b *budget) settled(goroutines int) {
	b.Helper()
	b.eventually(fmt.Sprintf("the library has %d goroutines, not %d", goroutines, ours()), func() bool { return ours() <= goroutines })
}

// connectionsAtMost is how many more connections there may be, however many locks are held or waited for: in fake time two
// batches at once, from each of go-redis's two pools, that of commands and that of pipelines. On a real server batches
// leave beside each other when it answers late, as far as the pools go.
func (b *budget) connectionsAtMost() int {
	if b.mini != nil {
		return 4
	}
	return 40
}

func TestWaitersCostNoGoroutineAndNoConnectionEach(t *testing.T) {
	metered(t, func(b *budget) {
		waiters := 1000
		if b.mini != nil {
			waiters = 100
		}
		l := b.line(1)
		l.join(1)
		b.settle()
		goroutines, connections := ours(), l.all[0].wire.dialled()
		if goroutines == 0 {
			t.Error("the library has no goroutine")
		}
		l.join(waiters)
		b.settled(goroutines)
		if n := l.all[0].wire.dialled() - connections; n > b.connectionsAtMost() {
			t.Errorf("%d connections more than %d", n, connections)
		}
		l.end()
	})
}

func TestHeldLocksCostNoGoroutineAndNoConnectionEach(t *testing.T) {
	metered(t, func(b *budget) {
		n := 1000
		if b.mini != nil {
			n = 300
		}
		c := b.instance()
		b.settle()
		goroutines, connections := ours(), c.wire.dialled()
		if goroutines == 0 {
			t.Error("the library has no goroutine")
		}
		const lease = 3 * time.Second
		var locks []*redislock.Lock
		for i := range n {
			locks = append(locks, b.acquire(c.Client, fmt.Sprint(i), redislock.WithLease(lease)))
		}
		b.settled(goroutines)
		b.patiently("all are renewed", func() bool { return c.told.count(redislock.EventRenewed) >= n })
		b.settled(goroutines)
		if more := c.wire.dialled() - connections; more > b.connectionsAtMost() {
			t.Errorf("%d connections more than %d", more, connections)
		}
		for _, l := range locks {
			b.release(l)
		}
	})
}

// heap is the bytes on the heap that are in use.
func heap() int {
	runtime.GC()
	runtime.GC() // what pools have kept goes with the second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func TestAHeldLockTakesAKibibyteAtMost(t *testing.T) {
	b := meteredReal(t)
	c := b.over(b.server.Connect())
	b.warm(c)
	const n = 10_000
	locks := make([]*redislock.Lock, n)
	before := heap()
	for i := range locks {
		var err error
		if locks[i], err = c.Acquire(context.Background(), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if each := (heap() - before) / n; each > 1<<10 {
		t.Errorf("%d bytes for each", each)
	}
	for _, l := range locks {
		b.release(l)
	}
}

func TestAWaiterTakesTwoKibibytesBesideItsStackAtMost(t *testing.T) {
	b := meteredReal(t)
	var queued atomic.Int32
	rdb := b.server.Connect(func(o *redis.Options) { // a connection is not a waiter's, so its buffers are small
		o.ReadBufferSize, o.WriteBufferSize, o.PipelineReadBufferSize, o.PipelineWriteBufferSize = 4096, 4096, 4096, 4096
	})
	c := b.over(rdb, redislock.WithObserver(redislock.ObserverFunc(func(e redislock.Event) {
		if e.Kind == redislock.EventQueued {
			queued.Add(1)
		}
	})))
	b.warm(c)
	l := b.acquire(c, "x")
	ctx, cancel := context.WithCancel(context.Background())
	begin := make(chan struct{})
	var all sync.WaitGroup
	const n = 2000
	for range n {
		all.Go(func() {
			<-begin
			if l, err := c.Acquire(ctx, "x"); err == nil {
				t.Error("two hold it")
				_ = l.Release(context.Background())
			}
		})
	}
	b.settle()
	before := heap()
	close(begin)
	b.patiently("they wait", func() bool { return queued.Load() == n })
	if each := (heap() - before) / n; each > 2<<10 {
		t.Errorf("%d bytes for each", each)
	}
	cancel()
	all.Wait()
	b.release(l)
}
