package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

func TestAnUncontendedPairCostsTwoCommandsAndFourInsideTheServer(t *testing.T) {
	once := func(more ...string) map[string]int {
		all := map[string]int{"evalsha": 1, "hlen": 1, "time": 1, "hset": 1, "hdel": 1}
		for _, name := range more {
			all[name]++
		}
		return all
	}
	cases := []struct {
		what     string
		fresh    bool
		held     time.Duration
		sent     map[string]int
		executed map[string]int
	}{
		{"briefly, a name in use", false, 0, map[string]int{"acquire": 1, "hdel": 1}, once("hget")},
		{"briefly, a fresh name", true, 0, map[string]int{"acquire": 1, "hdel": 1}, once("expire")},
		{"longer, a name in use", false, redislock.Brief + time.Millisecond, map[string]int{"acquire": 1, "release": 1}, once("hget", "evalsha")},
		{"longer, a fresh name", true, redislock.Brief + time.Millisecond, map[string]int{"acquire": 1, "release": 1}, once("expire", "evalsha")},
	}
	metered(t, func(b *budget) {
		c := b.instance()
		b.release(b.acquire(c.Client, "x"))
		names := 0
		for _, one := range cases {
			var sent, executed map[string]int
			var trips int
			b.undisturbed(one.what, func() bool {
				name := "x"
				if one.fresh {
					names++
					name = fmt.Sprint(one.what, names)
				}
				time.Sleep(time.Millisecond) // a greater fence needs a clock that goes on
				b.reset(c)
				begun := time.Now()
				l := b.acquire(c.Client, name)
				time.Sleep(one.held)
				b.release(l)
				briefly := time.Since(begun) < redislock.Brief
				sent, trips = c.wire.count()
				executed = b.executed()
				return briefly || one.held > 0
			})
			if !maps.Equal(sent, one.sent) || trips != 2 {
				b.Errorf("%s: %v was sent in %d round trips, instead of %v in 2", one.what, sent, trips, one.sent)
			}
			if b.server != nil && !maps.Equal(executed, one.executed) {
				b.Errorf("%s: the server executed %v instead of %v", one.what, executed, one.executed)
			}
		}
	})
}

func TestTheReleaseOfABriefHoldThatSomebodyWaitsForCostsOneCommandMore(t *testing.T) {
	metered(t, func(b *budget) {
		holder, waiter := b.instance(), b.instance()
		var held, waited map[string]int
		names := 0
		b.undisturbed("a brief hold that somebody waits for", func() bool {
			names++
			name := fmt.Sprint("x", names)
			queued := waiter.told.count(redislock.EventQueued)
			b.reset(holder, waiter)
			begun := time.Now()
			l := b.acquire(holder.Client, name)
			next := make(chan *redislock.Lock)
			go func() { next <- b.acquire(waiter.Client, name) }()
			b.soon("it waits", func() bool { return waiter.told.count(redislock.EventQueued) > queued })
			b.release(l)
			briefly := time.Since(begun) < redislock.Brief
			b.release(<-next)
			held, _ = holder.wire.count()
			waited, _ = waiter.wire.count()
			return briefly
		})
		if want := map[string]int{"acquire": 1, "hdel": 1, "release": 1}; !maps.Equal(held, want) {
			b.Errorf("the holder sent %v instead of %v", held, want)
		}
		if want := map[string]int{"acquire": 1, "release": 1}; !maps.Equal(waited, want) {
			b.Errorf("the waiter sent %v instead of %v", waited, want)
		}
	})
}

func TestTheNextBriefHoldAfterOneThatSomebodyWaitedForCostsNoCommandMore(t *testing.T) {
	metered(t, func(b *budget) {
		if b.server == nil {
			return // the clock of the embedded server stands still, so the lock keeps the trace of its first waiter
		}
		waiter := b.instance()
		want := map[string]int{"acquire": 2, "release": 2, "hdel": 1}
		var held map[string]int
		names := 0
		b.undisturbed("brief holds that somebody waits for", func() bool {
			names++
			holder, name, briefly := b.instance(), fmt.Sprint("x", names), true
			b.reset(holder, waiter)
			for range 2 {
				queued := waiter.told.count(redislock.EventQueued)
				begun := time.Now()
				l := b.acquire(holder.Client, name)
				next := make(chan *redislock.Lock)
				go func() { next <- b.acquire(waiter.Client, name) }()
				b.soon("it waits", func() bool { return waiter.told.count(redislock.EventQueued) > queued })
				b.release(l)
				briefly = briefly && time.Since(begun) < redislock.Brief
				b.release(<-next)
			}
			held, _ = holder.wire.count()
			return briefly
		})
		if !maps.Equal(held, want) {
			b.Errorf("the holder sent %v instead of %v", held, want)
		}
	})
}

// operation is one of the operations below.
type operation struct {
	name string
	sent map[string]int // "given back" is a release by either command
	most map[string]int // the most that the server may execute for it; nil: not checked
	trip bool           // all commands make one round trip; otherwise each command is one
	run  func(ctx context.Context, b *budget, c *instance, n int) error
}

const givenBack = "given back"

// operations are the operations with what each sends when it is not contended. n is another number each time.
var operations = []operation{
	{name: "Acquire and Release", sent: map[string]int{"acquire": 1, givenBack: 1}, run: func(ctx context.Context, b *budget, c *instance, n int) error {
		l := b.acquire(c.Client, fmt.Sprint("pair", n))
		b.release(l)
		return l.Release(ctx) // a second one sends nothing
	}},
	{name: "Do", sent: map[string]int{"acquire": 1, givenBack: 1}, run: func(ctx context.Context, _ *budget, c *instance, n int) error {
		return c.Do(ctx, fmt.Sprint("do", n), func(context.Context) error { return nil })
	}},
	{name: "a reader", sent: map[string]int{"acquire": 1, givenBack: 1}, run: func(ctx context.Context, b *budget, c *instance, n int) error {
		b.release(b.acquire(c.Client, fmt.Sprint("reader", n), reading))
		return nil
	}},
	{name: "Lock and Unlock", sent: map[string]int{"acquire": 1, givenBack: 1}, run: func(ctx context.Context, _ *budget, c *instance, n int) error {
		m := c.Locker(ctx, fmt.Sprint("locker", n))
		m.Lock()
		defer m.Unlock()
		return nil
	}},
	{name: "an acquire above a floor", sent: map[string]int{"acquire": 1, givenBack: 1}, run: func(ctx context.Context, b *budget, c *instance, n int) error {
		b.release(b.acquire(c.Client, fmt.Sprint("floor", n), redislock.WithFenceFloor(1)))
		return nil
	}},
	{name: "ten nested acquires", sent: map[string]int{"acquire": 1, givenBack: 1}, run: func(ctx context.Context, b *budget, c *instance, n int) error {
		name := fmt.Sprint("nested", n)
		return c.Do(ctx, name, func(ctx context.Context) error {
			for range 10 {
				b.release(b.under(ctx, c.Client, name))
			}
			return nil
		})
	}},
	{name: "TryAcquire, refused", sent: map[string]int{"acquire": 1}, most: contended["refused"], run: func(ctx context.Context, _ *budget, c *instance, _ int) error {
		_, err := c.TryAcquire(ctx, "held")
		if !errors.Is(err, redislock.ErrHeld) {
			return fmt.Errorf("TryAcquire: %w", err)
		}
		return nil
	}},
	{name: "AcquireAll of seven names", sent: map[string]int{"acquire": 7, givenBack: 7}, run: func(ctx context.Context, _ *budget, c *instance, n int) error {
		var names []string
		for i := range 7 {
			names = append(names, fmt.Sprint("all", n, "-", i))
		}
		all, err := c.AcquireAll(ctx, names)
		if err != nil {
			return err
		}
		return all.Release(ctx)
	}},
	// The plain HDEL of a brief hold would find nothing if the hold has changed its mode, so it is not tried.
	{name: "Downgrade and Upgrade", sent: map[string]int{"acquire": 1, "convert": 2, "release": 1}, run: func(ctx context.Context, b *budget, c *instance, n int) error {
		l := b.acquire(c.Client, fmt.Sprint("convert", n), redislock.WithMode(redislock.Write))
		if err := errors.Join(l.Downgrade(ctx), l.Upgrade(ctx)); err != nil {
			return err
		}
		return l.Release(ctx)
	}},
	{name: "Handoff and Resume", sent: map[string]int{"acquire": 1, "renew": 1, "resume": 1, givenBack: 1}, run: func(ctx context.Context, b *budget, c *instance, n int) error {
		ticket, err := b.acquire(c.Client, fmt.Sprint("handoff", n)).Handoff()
		if err != nil {
			return err
		}
		l, err := c.Resume(ctx, ticket)
		if err != nil {
			return err
		}
		return l.Release(ctx)
	}},
	{name: "ReleaseAfter", sent: map[string]int{"acquire": 1, "keep": 1}, run: func(ctx context.Context, b *budget, c *instance, n int) error {
		return b.acquire(c.Client, fmt.Sprint("after", n)).ReleaseAfter(ctx, time.Minute)
	}},
	{name: "a wait that is cancelled", sent: map[string]int{"acquire": 1, "release": 1}, run: func(ctx context.Context, b *budget, c *instance, _ int) error {
		ctx, cancel := context.WithCancel(ctx)
		queued := c.told.count(redislock.EventQueued)
		go func() {
			b.eventually("it waits", func() bool { return c.told.count(redislock.EventQueued) > queued })
			cancel()
		}()
		_, err := c.Acquire(ctx, "held")
		if !errors.Is(err, context.Canceled) {
			return fmt.Errorf("Acquire: %w", err)
		}
		return nil
	}},
	{name: "Inspect", sent: map[string]int{"inspect": 1}, run: func(ctx context.Context, _ *budget, c *instance, _ int) error {
		_, err := c.Inspect(ctx, "held")
		return err
	}},
	{name: "a look of Watch", sent: map[string]int{"watch": 1}, run: func(ctx context.Context, _ *budget, c *instance, _ int) error {
		for _, err := range c.Watch(ctx, "held") {
			return err
		}
		return errors.New("nothing was seen")
	}},
	{name: "Ask", sent: map[string]int{"ask": 1}, run: func(ctx context.Context, _ *budget, c *instance, _ int) error {
		told, err := c.Ask(ctx, "held", "why")
		if err == nil && told != 1 {
			err = fmt.Errorf("%d were told", told)
		}
		return err
	}},
	{name: "First", sent: map[string]int{"set": 1}, most: map[string]int{"set": 1}, run: func(ctx context.Context, _ *budget, c *instance, n int) error {
		_, err := c.First(ctx, fmt.Sprint("first", n), time.Minute)
		return err
	}},
	{name: "FirstOf 1,000 keys", sent: map[string]int{"set": 1000}, most: map[string]int{"set": 1000}, trip: true, run: func(ctx context.Context, _ *budget, c *instance, n int) error {
		keys := make([]string, 1000)
		for i := range keys {
			keys[i] = fmt.Sprint("firstof", n, "-", i)
		}
		_, err := c.FirstOf(ctx, keys, time.Minute)
		return err
	}},
	{name: "a weak lock", sent: map[string]int{"set": 1, "weak_release": 1}, most: map[string]int{"set": 1, "evalsha": 1, "get": 1, "del": 1}, run: func(ctx context.Context, _ *budget, c *instance, n int) error {
		l, err := c.AcquireWeak(ctx, fmt.Sprint("weak", n))
		if err != nil {
			return err
		}
		return l.Release(ctx)
	}},
	{name: "the first Once", sent: map[string]int{"recall": 2, "acquire": 1, "record": 1, givenBack: 1}, run: func(ctx context.Context, _ *budget, c *instance, n int) error {
		return c.Once(ctx, fmt.Sprint("once", n), func(context.Context) error { return nil })
	}},
	{name: "a Once that is known", sent: map[string]int{}, most: map[string]int{}, run: func(ctx context.Context, _ *budget, c *instance, _ int) error {
		return c.Once(ctx, "known", func(context.Context) error { return errors.New("it ran again") })
	}},
	{name: "OnceDone", sent: map[string]int{"recall": 1}, most: map[string]int{"evalsha": 1, "time": 1, "get": 1, "pttl": 1}, run: func(ctx context.Context, _ *budget, c *instance, _ int) error {
		_, err := c.OnceDone(ctx, "known")
		return err
	}},
	{name: "the first Share", sent: map[string]int{"recall": 2, "acquire": 1, "record": 1, givenBack: 1}, run: func(ctx context.Context, _ *budget, c *instance, n int) error {
		return share(ctx, c, fmt.Sprint("share", n))
	}},
	{name: "a Share that is kept", sent: map[string]int{"recall": 1}, most: map[string]int{"evalsha": 1, "time": 1, "get": 1, "pttl": 1}, run: func(ctx context.Context, _ *budget, c *instance, _ int) error {
		return share(ctx, c, "kept")
	}},
}

func share(ctx context.Context, c *instance, key string) error {
	_, err := redislock.Share(ctx, c.Client, key, time.Hour, func(context.Context) (int, error) { return 1, nil })
	return err
}

func TestEachOperationSendsWhatItMustAndNoMore(t *testing.T) {
	ctx := context.Background()
	metered(t, func(b *budget) {
		c, other := b.instance(), b.instance()
		held := b.acquire(other.Client, "held")
		if err := errors.Join(c.Once(ctx, "known", func(context.Context) error { return nil }), share(ctx, c, "kept")); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, op := range operations {
			var sent, executed map[string]int
			var trips int
			b.undisturbed(op.name, func() bool {
				n++
				time.Sleep(time.Millisecond)
				b.reset(c, other)
				if err := op.run(ctx, b, c, n); err != nil {
					t.Fatalf("%s: %v", op.name, err)
				}
				executed = b.executed()
				sent, trips = c.wire.count()
				others, _ := other.wire.count()
				return sent["check"] == 0 && len(others) == 0 // otherwise it was a check, or the renewal of a hold
			})
			trips -= sent["subscribe"] // Watch subscribes while its first look is under way
			delete(sent, "subscribe")
			want := 0
			for _, times := range op.sent {
				want += times
			}
			if op.trip {
				want = 1
			}
			if back := sent["release"] + sent["hdel"]; op.sent[givenBack] > 0 {
				delete(sent, "release")
				delete(sent, "hdel")
				sent[givenBack] = back
			}
			if !maps.Equal(sent, op.sent) || trips != want {
				b.Errorf("%s: %v was sent in %d round trips, instead of %v in %d", op.name, sent, trips, op.sent, want)
			}
			if op.most != nil {
				b.within(op.name, executed, op.most)
			}
		}
		b.release(held)
	})
}

// allocations is how often fn allocates. It is the least of some counts, as other goroutines of the process allocate
// too.
func allocations(runs int, fn func()) int {
	least := testing.AllocsPerRun(runs, fn)
	for range 2 {
		least = min(least, testing.AllocsPerRun(runs, fn))
	}
	return int(least)
}

// The counts are compared with those of go-redis's own commands in the same process and mode, as go-redis has pools,
// which the race detector empties at random. If fewer allocations are needed, lower the table.
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
		{"Acquire and Release", two, 6, 100, func() { pair(ctx, 0, "x") }}, // the budget; the other rows are what they need today
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

// settled waits until the library has at most that many goroutines, as those for work under way end.
func (b *budget) settled(goroutines int) {
	b.Helper()
	b.eventually(fmt.Sprintf("the library has %d goroutines, not %d", goroutines, ours()), func() bool { return ours() <= goroutines })
}

// connectionsAtMost is how many more connections there may be, however many locks are held or waited for. In fake time
// there are at most two batches at once, each with a connection of go-redis's two pools, for commands and for pipelines.
// On a real server more batches are under way at once when it answers late, up to the size of the pools.
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
	runtime.GC() // the second one frees what pools have kept
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
	rdb := b.server.Connect(func(o *redis.Options) { // small buffers, as connections are not part of the memory of a waiter
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

// contended is the most that the server may execute for one script on a lock that is held and waited for, the script itself
// included. If less is needed, lower the table, so that it does not become more again.
var contended = map[string]map[string]int{
	"refused":                                {"evalsha": 1, "hlen": 1, "time": 1, "hgetall": 1},
	"join":                                   {"evalsha": 1, "hlen": 1, "time": 1, "hmget": 2, "hget": 1, "hset": 1},
	"hand-over":                              {"evalsha": 1, "time": 1, "hmget": 1, "hget": 2, "hset": 1, "hdel": 2, "pubsub": 1, "publish": 1},
	"renewal":                                {"evalsha": 1, "hlen": 1, "time": 1, "hmget": 1, "hset": 1, "expireat": 1},
	"renewal of a hold that others wait for": {"evalsha": 1, "hlen": 1, "time": 1, "hmget": 1, "hset": 1, "expireat": 1},
	"check of 64 waits":                      {"evalsha": 1, "hlen": 1, "time": 1, "hmget": 2, "hget": 3, "hset": 1, "expireat": 1},
}

// soon waits without a pause. In fake time no time passes meanwhile, so the number of looks is bounded too.
func (b *budget) soon(what string, is func() bool) {
	b.Helper()
	until := time.Now().Add(10 * time.Second)
	for looks := 0; looks < 10_000_000 && time.Now().Before(until); looks++ {
		if is() {
			return
		}
		runtime.Gosched()
	}
	b.stop(fmt.Errorf("not soon: %s", what))
}

// patiently waits until a crowd has done something, however slow the machine is.
func (b *budget) patiently(what string, is func() bool) {
	b.Helper()
	for until := time.Now().Add(time.Minute); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			b.stop(fmt.Errorf("not within a minute: %s", what))
		}
	}
}

// line is a holder and the waiters for the same lock, spread over some instances.
type waiters struct {
	*budget
	all     []*instance
	held    *redislock.Lock
	waiting int
	granted chan *redislock.Lock
}

const lineName = "line"

func (b *budget) line(instances int) *waiters {
	b.Helper()
	l := &waiters{budget: b, granted: make(chan *redislock.Lock, 1)}
	for range instances {
		l.all = append(l.all, b.instance())
	}
	l.held = b.acquire(l.all[0].Client, lineName)
	time.Sleep(2 * redislock.Brief)
	return l
}

// join lets more of them wait, and returns when they do.
func (l *waiters) join(n int) {
	l.Helper()
	before := l.queued()
	for i := range n {
		c := l.all[(l.waiting+i)%len(l.all)]
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
			defer cancel()
			lock, err := c.Acquire(ctx, lineName)
			if err != nil {
				l.Error(err)
			}
			l.granted <- lock
		}()
	}
	l.waiting += n
	l.patiently(fmt.Sprint("they wait: ", n), func() bool { return l.queued() == before+n })
}

func (l *waiters) queued() (n int) {
	for _, c := range l.all {
		n += c.told.count(redislock.EventQueued)
	}
	return n
}

// pass hands the lock over to the next.
func (l *waiters) pass() {
	l.Helper()
	l.release(l.held)
	if l.held = <-l.granted; l.held == nil {
		l.FailNow()
	}
	l.waiting--
}

// end hands it over until nobody waits.
func (l *waiters) end() {
	l.Helper()
	for l.waiting > 0 {
		l.pass()
	}
	l.release(l.held)
}

// sent is what all instances have sent.
func (l *waiters) sent() map[string]int {
	all := map[string]int{}
	for _, c := range l.all {
		sent, _ := c.wire.count()
		for name, n := range sent {
			all[name] += n
		}
	}
	return all
}

func TestAHandOffCostsTwoCommandsHoweverManyWait(t *testing.T) {
	metered(t, func(b *budget) {
		sizes := []int{2, 32}
		if b.server != nil {
			sizes = append(sizes, 1000)
		}
		for _, size := range sizes {
			l := b.line(2)
			begun := time.Now()
			b.reset(l.all...)
			l.join(size)
			l.end()
			sent := l.sent()
			checks := len(l.all) * int(time.Since(begun)/(1500*time.Millisecond))
			if sent["check"] > checks {
				b.Errorf("%d waiters: %d checks in %v", size, sent["check"], time.Since(begun))
			}
			delete(sent, "check")
			if want := (map[string]int{"acquire": size, "release": size + 1}); !maps.Equal(sent, want) {
				b.Errorf("%d waiters: %v was sent instead of %v", size, sent, want)
			}
		}
	})
}

func TestWhoWaitsSendsAtMostACheckOfAllWaitersInAWhile(t *testing.T) {
	meteredEmbedded(t, func(b *budget) {
		l := b.line(2)
		l.join(100)
		b.reset(l.all...)
		time.Sleep(time.Minute)
		sent := l.sent()
		if want := len(l.all) * int(time.Minute/(1500*time.Millisecond)); sent["check"] > want {
			b.Errorf("%d checks in a minute, at most %d", sent["check"], want)
		}
		if sent["renew"] > 6 {
			b.Errorf("%d renewals of the one hold", sent["renew"])
		}
		delete(sent, "check")
		delete(sent, "renew")
		if len(sent) > 0 {
			b.Errorf("they also sent %v", sent)
		}
		l.end()
	})
}

func TestWhatTheServerDoesForAWaiterDoesNotGrowWithTheQueue(t *testing.T) {
	b := meteredReal(t)
	few := map[string]map[string]int{}
	for _, size := range []int{10, 1000} {
		l := b.line(2)
		l.join(size)
		for what, step := range map[string]func(){"join": func() { l.join(1) }, "hand-over": l.pass} {
			most := map[string]int{} // of each command: it depends a little on the Client of the next waiter
			for range 6 {
				var executed map[string]int
				b.undisturbed(what, func() bool {
					if l.waiting < 2 {
						l.join(size)
					}
					b.reset(l.all...)
					step()
					executed = b.executed()
					sent := l.sent()
					return sent["check"]+sent["renew"] == 0
				})
				for name, n := range executed {
					most[name] = max(most[name], n)
				}
			}
			b.within(fmt.Sprintf("%s, %d wait", what, size), most, contended[what])
			if few[what] == nil {
				few[what] = most
			}
			if !maps.Equal(most, few[what]) {
				b.Errorf("%s: the server executed %v where %d wait, and %v where few do", what, most, size, few[what])
			}
		}
		l.end()
	}
}

func TestARenewalIsOneCommandAndManyShareAPipeline(t *testing.T) {
	meteredEmbedded(t, func(b *budget) {
		c := b.instance()
		for _, n := range []int{1, 257} {
			var locks []*redislock.Lock
			for i := range n {
				locks = append(locks, b.acquire(c.Client, fmt.Sprint(n, "-", i)))
			}
			c.wire.reset()
			time.Sleep(redislock.DefaultLease / 2)
			sent, trips := c.wire.count()
			if want := (map[string]int{"renew": n}); !maps.Equal(sent, want) || trips != (n+255)/256 {
				b.Errorf("%d locks: %v was sent in %d round trips, instead of %v in %d", n, sent, trips, want, (n+255)/256)
			}
			for _, l := range locks {
				b.release(l)
			}
		}
	})
}

func TestARenewalCostsTheServerAConstant(t *testing.T) {
	b := meteredReal(t)
	c := b.instance()
	for what, waiting := range map[string]int{"renewal": 0, "renewal of a hold that others wait for": 20} {
		var executed map[string]int
		b.undisturbed(what, func() bool {
			ctx, cancel := context.WithCancel(context.Background())
			name := what
			l := b.acquire(c.Client, name, redislock.WithLease(3*time.Second))
			queued := c.told.count(redislock.EventQueued)
			var all sync.WaitGroup
			for range waiting {
				all.Go(func() {
					if l, err := c.Acquire(ctx, name); err == nil {
						_ = l.Release(ctx)
					}
				})
			}
			b.patiently("they wait", func() bool { return c.told.count(redislock.EventQueued) == queued+waiting })
			b.reset(c)
			renewed := c.told.count(redislock.EventRenewed)
			b.eventually("it is renewed", func() bool { return c.told.count(redislock.EventRenewed) > renewed })
			executed = b.executed()
			sent, _ := c.wire.count()
			cancel()
			all.Wait()
			b.release(l)
			return maps.Equal(sent, map[string]int{"renew": 1})
		})
		b.within(what, executed, contended[what])
	}
}

func TestACheckCostsTheServerAConstant(t *testing.T) {
	b := meteredReal(t)
	l := b.line(1)
	l.join(100)
	var executed map[string]int
	b.undisturbed("a check", func() bool {
		b.reset(l.all...)
		b.eventually("it is checked", func() bool {
			executed = b.executed()
			return executed["evalsha"] > 0
		})
		return maps.Equal(l.sent(), map[string]int{"check": 1})
	})
	b.within("a check", executed, contended["check of 64 waits"])
	l.end()
}

// BenchmarkUncontended is the latency of an uncontended acquire and release, beside two scripts that do nothing.
func BenchmarkUncontended(b *testing.B) {
	rdb := servertest.Start(b).Connect()
	ctx := context.Background()
	b.Run("redislock", func(b *testing.B) {
		c, err := redislock.New(rdb)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			l, err := c.Acquire(ctx, "x")
			if err == nil {
				err = l.Release(ctx)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		closing, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := c.Close(closing); err != nil {
			b.Error(err)
		}
	})
	b.Run("floor", func(b *testing.B) {
		sha := rdb.ScriptLoad(ctx, "return 1").Val()
		b.ReportAllocs()
		for b.Loop() {
			for range 2 {
				if err := rdb.EvalSha(ctx, sha, []string{"x"}, "token").Err(); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
