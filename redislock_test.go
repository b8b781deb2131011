package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

func TestAcquireAndReleaseLeaveOnlyTheFence(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		l := e.acquire(c, "a")
		if l.Name() != "a" || l.Fence() <= 0 || l.Err() != nil || ended(l.Context()) {
			e.Fatalf("a fresh lock: name %q, fence %d, error %v", l.Name(), l.Fence(), l.Err())
		}
		e.release(l)
		if err := l.Release(context.Background()); err != nil {
			e.Errorf("a second release has another answer: %v", err)
		}
		if got := context.Cause(l.Context()); !errors.Is(got, redislock.ErrReleased) {
			e.Errorf("after the release the context's cause is %v", got)
		}
		e.untouched("a")
	})
}

func TestI1HoldersNeverOverlapAndI2FencesRise(t *testing.T) {
	both(t, func(e *env) {
		const instances, workers, rounds = 3, 4, 20
		var (
			wg      sync.WaitGroup
			holders atomic.Int32
			last    atomic.Int64
		)
		for range instances {
			c := e.client()
			for w := range workers {
				wg.Go(func() {
					for round := range rounds {
						l := e.acquire(c, "shared")
						if n := holders.Add(1); n != 1 {
							e.Errorf("%d holders at once", n)
						}
						if before := last.Swap(l.Fence()); before >= l.Fence() {
							e.Errorf("fence %d after %d", l.Fence(), before)
						}
						if (w+round)%5 == 0 {
							time.Sleep(time.Millisecond)
						}
						holders.Add(-1)
						e.release(l)
					}
				})
			}
		}
		wg.Wait()
		e.untouched("shared")
	})
}

func TestTryAcquireSaysWhoHoldsIt(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(redislock.WithName("alpha")), e.client()
		l := e.acquire(a, "x", redislock.WithMetadata("import of\nMonday"))
		_, err := b.TryAcquire(context.Background(), "x")
		var held *redislock.HeldError
		if !errors.Is(err, redislock.ErrHeld) || !errors.As(err, &held) {
			e.Fatalf("got %v, want ErrHeld", err)
		}
		if held.Holder.Client != "alpha" || held.Holder.Metadata != "import of\nMonday" || held.Holder.PID == 0 ||
			held.Waiting != 0 || held.Since.UnixMicro() != l.Fence() || held.Deadline.Sub(held.Since) < redislock.DefaultLease {
			e.Errorf("the error says %+v", held)
		}
		e.release(l)
		l, err = b.TryAcquire(context.Background(), "x")
		if err != nil {
			e.Fatal(err)
		}
		e.release(l)
	})
}

func TestI5WaitersAreServedInTheOrderOfArrival(t *testing.T) {
	both(t, func(e *env) {
		clients := []*redislock.Client{e.client(), e.client(), e.client()}
		first := e.acquire(clients[0], "line")
		var (
			mu    sync.Mutex
			order []int
			wg    sync.WaitGroup
		)
		const waiters = 12
		for i := range waiters {
			wg.Go(func() {
				l := e.acquire(clients[i%3], "line")
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				// I5: a newcomer never passes a queue that is not empty, not even at the moment of a hand-over.
				if i < waiters-1 {
					if _, err := clients[0].TryAcquire(context.Background(), "line"); !errors.Is(err, redislock.ErrHeld) {
						e.Errorf("a newcomer got %v", err)
					}
				}
				e.release(l)
			})
			e.queued(clients[0], "line", i+1)
		}
		e.release(first)
		wg.Wait()
		if !slices.IsSorted(order) || len(order) != waiters {
			e.Errorf("served in the order %v", order)
		}
		e.untouched("line")
	})
}

func TestHandOverCostsOneMessageAndNoPolling(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		a, b := e.client(), e.client()
		warm := e.acquire(b, "warm") // the preflight and the subscription are made once, and the scripts loaded
		time.Sleep(time.Second)
		e.release(warm)
		l := e.acquire(a, "x")
		got := make(chan *redislock.Lock)
		go func() { got <- e.acquire(b, "x") }()
		time.Sleep(time.Second)
		released := time.Now()
		go e.release(l)
		next := <-got
		// One packet carries the release, one the message.
		if took := time.Since(released); took != 2*time.Millisecond {
			e.Errorf("the next waiter had the lock %v after the release began", took)
		}
		if next.Fence() <= l.Fence() {
			e.Errorf("fence %d after %d", next.Fence(), l.Fence())
		}
		e.release(next)
	})
}

func TestOneSubscriptionWhateverTheNumberOfWaits(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(), e.client()
		var held []*redislock.Lock
		var wg sync.WaitGroup
		for i := range 20 {
			name := fmt.Sprint("lock-", i)
			held = append(held, e.acquire(a, name))
			for range 3 {
				wg.Go(func() { e.release(e.acquire(b, name)) })
			}
			e.queued(a, name, 3)
		}
		most := 2
		if e.real != nil && len(e.real.masters) > 1 { // one more for each shard
			most *= 1 + len(e.real.masters)
		}
		if n := e.subscriptions(); n < 2 || n > most {
			e.Errorf("%d subscriptions of two Clients", n)
		}
		for _, l := range held {
			e.release(l)
		}
		wg.Wait()
	})
}

func TestDoReportsALossEvenIfTheBodyReturnsNil(t *testing.T) {
	both(t, func(e *env) {
		c, operator := e.client(), e.client()
		err := c.Do(context.Background(), "x", func(ctx context.Context) error {
			if _, err := operator.Break(context.Background(), "x", "test"); err != nil {
				e.Error(err)
			}
			<-ctx.Done()
			if cause := context.Cause(ctx); !errors.Is(cause, redislock.ErrStolen) {
				e.Errorf("the body's context ended with %v", cause)
			}
			return nil
		})
		if !errors.Is(err, redislock.ErrLost) || !errors.Is(err, redislock.ErrNotHeld) {
			e.Errorf("Do returned %v", err)
		}
		boom := errors.New("boom")
		if err := c.Do(context.Background(), "x", func(context.Context) error { return boom }); !errors.Is(err, boom) || errors.Is(err, redislock.ErrLost) {
			e.Errorf("Do returned %v for a body that failed", err)
		}
		func() {
			defer func() { _ = recover() }()
			_ = c.Do(context.Background(), "x", func(context.Context) error { panic("boom") })
		}()
		e.untouched("x") // also after a panic
	})
}

func TestI10WrapDoesNotRunTheFunctionWithoutTheLock(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(), e.client()
		ran := 0
		wrapped := b.Wrap("x", func(context.Context) error { ran++; return nil }, redislock.WithWait(0))
		by := redislock.WrapBy(b, func(id int) string { return fmt.Sprint("x/", id) },
			func(_ context.Context, id int) error { ran += id; return nil }, redislock.WithWait(0))

		l, m := e.acquire(a, "x"), e.acquire(a, "x/7")
		if err := wrapped(context.Background()); !errors.Is(err, redislock.ErrHeld) || ran != 0 {
			e.Errorf("held: %v, ran %d", err, ran)
		}
		if err := by(context.Background(), 7); !errors.Is(err, redislock.ErrHeld) || ran != 0 {
			e.Errorf("held: %v, ran %d", err, ran)
		}
		if err := by(context.Background(), 8); err != nil || ran != 8 {
			e.Errorf("another argument, another lock: %v, ran %d", err, ran)
		}
		e.release(l)
		e.release(m)
		if err := errors.Join(wrapped(context.Background()), by(context.Background(), 7)); err != nil || ran != 16 {
			e.Errorf("free: %v, ran %d", err, ran)
		}
	})
}

func TestWaitEndsWithHeldAndWithTheContextsError(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(redislock.WithName("alpha")), e.client()
		e.warm(b)
		l := e.acquire(a, "x")
		start := time.Now()
		_, err := b.Acquire(context.Background(), "x", redislock.WithWait(time.Second))
		var held *redislock.HeldError
		if !errors.As(err, &held) || !errors.Is(err, redislock.ErrHeld) || held.Holder.Client != "alpha" ||
			held.Waiting != 0 || errors.Is(err, context.DeadlineExceeded) || time.Since(start) < time.Second {
			e.Errorf("after %v: %v", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		if _, err = b.Acquire(ctx, "x"); !errors.Is(err, redislock.ErrHeld) || !errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("a context that ended: %v", err)
		}
		if _, err = b.Acquire(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, redislock.ErrHeld) {
			e.Errorf("a context that had ended before: %v", err)
		}
		e.release(l)
		e.untouched("x")
	})
}

func TestANonReentrantAcquireUnderItsOwnContextIsADeadlockAtOnce(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		l := e.acquire(c, "x")
		for _, ctx := range []context.Context{l.Context(), l.With(context.Background())} {
			if _, err := c.Acquire(ctx, "x", redislock.NonReentrant()); !errors.Is(err, redislock.ErrDeadlock) {
				e.Errorf("got %v, want ErrDeadlock", err)
			}
			other, err := c.Acquire(ctx, "y")
			if err != nil {
				e.Fatal(err)
			}
			e.release(other)
		}
		e.release(l)
		again, err := c.Acquire(context.WithoutCancel(l.Context()), "x")
		if err != nil {
			e.Fatalf("after the release it is no deadlock: %v", err)
		}
		e.release(again)
	})
}

func TestContextCarriesValuesButNotCancellation(t *testing.T) {
	both(t, func(e *env) {
		type key struct{}
		ctx, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "v"))
		l, err := e.client().Acquire(ctx, "x")
		if err != nil {
			e.Fatal(err)
		}
		cancel()
		if ended(l.Context()) || l.Err() != nil || l.Context().Value(key{}) != "v" {
			e.Errorf("after the caller's context ended: %v, value %v", l.Err(), l.Context().Value(key{}))
		}
		if with := l.With(ctx); !errors.Is(with.Err(), context.Canceled) {
			e.Error("With does not end with the given context")
		}
		with := l.With(context.Background())
		if err := l.Release(ctx); err != nil { // works although ctx has ended
			e.Error(err)
		}
		<-with.Done()
		if cause := context.Cause(with); !errors.Is(cause, redislock.ErrReleased) {
			e.Errorf("With ended with %v", cause)
		}
		e.untouched("x")
	})
}

func TestUnreachableIsNeitherHeldNorLost(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", DialerRetries: 1, DialTimeout: time.Second})
	defer rdb.Close()
	c, err := redislock.New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Acquire(context.Background(), "x")
	if err == nil || errors.Is(err, redislock.ErrHeld) || errors.Is(err, redislock.ErrLost) {
		t.Errorf("got %v", err)
	}
	ran := false
	if err := c.Do(context.Background(), "x", func(context.Context) error { ran = true; return nil }); err == nil || ran {
		t.Errorf("I10: the body ran %v, error %v", ran, err)
	}
	if err := c.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestWithWaitBoundsTheFirstRequestsToo(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, n *fakenet.Network) {
		c := e.client()
		n.Cut()
		start := time.Now()
		_, err := c.Acquire(context.Background(), "x", redislock.WithWait(200*time.Millisecond))
		if took := time.Since(start); took > 600*time.Millisecond || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, redislock.ErrHeld) {
			e.Errorf("a server that never answers: %v after %v", err, took)
		}
		n.Mend()
	})
}

func TestNamesNeverCollide(t *testing.T) {
	names := []string{"a", "{a}", "%7Ba%7D", "a}", "{a", "a b", "a\x00b", "\xff\xfe", "ä", "w:{a}", "a%", "a%25", " ", "\n", "c:x"}
	both(t, func(e *env) {
		c := e.client()
		var locks []*redislock.Lock
		for _, name := range names {
			l, err := c.TryAcquire(context.Background(), name)
			if err != nil {
				e.Fatalf("%q: %v", name, err)
			}
			locks = append(locks, l)
			weak, err := c.AcquireWeak(context.Background(), name, redislock.WithWait(0))
			if err != nil {
				e.Fatalf("weak %q: %v", name, err)
			}
			defer weak.Release(context.Background())
			if first, err := c.First(context.Background(), name, time.Minute); err != nil || !first {
				e.Fatalf("first %q: %v %v", name, first, err)
			}
		}
		for _, l := range locks {
			e.release(l)
		}
	})
}

// wrapped is how applications add something to a client.
type wrapped struct{ redis.UniversalClient }

func TestAWrapperOfWhatCannotServeIsRefused(t *testing.T) {
	ring := redis.NewRing(&redis.RingOptions{
		Addrs: map[string]string{"a": "127.0.0.1:1"}, HeartbeatFn: func(context.Context, *redis.Client) bool { return true },
	})
	defer ring.Close()
	for reason, rdb := range map[string]redis.UniversalClient{
		"shard": &wrapped{wrapped{ring}},
		"nil":   wrapped{},
	} {
		c, err := redislock.New(rdb)
		if c != nil || !errors.Is(err, redislock.ErrInvalid) || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

// A wrapper of a cluster client is one: its locks are on all masters, and a grant goes to one shard alone.
func TestAWrappedClusterIsTakenForOne(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	wrap := func() *redislock.Client { return f.over(&wrapped{f.cluster.Connect()}) }
	a, b := wrap(), wrap()
	before := f.calls("spublish")
	f.handOver(a, b, "name-0")
	if n := f.calls("spublish") - before; n == 0 {
		t.Error("the grant went to all nodes")
	}
	var locks []*redislock.Lock
	for _, name := range names(20) {
		locks = append(locks, f.acquire(a, name))
	}
	if got := f.list(a, "name-*"); len(got) != len(locks) {
		t.Errorf("%d of %d locks are listed", len(got), len(locks))
	}
	for _, l := range locks {
		f.release(l)
	}
	// What a WAIT counts is written beside it, past the wrapper: that would not see the command.
	if _, err := a.Acquire(t.Context(), "x", redislock.WithReplicas(1, time.Second)); !errors.Is(err, redislock.ErrInvalid) {
		t.Errorf("WithReplicas over a wrapper: %v", err)
	}
}

// broken is a client that panics while a flag is set.
type broken struct {
	redis.UniversalClient
	now atomic.Bool
}

func (b *broken) check() {
	if b.now.Load() {
		panic("out of order")
	}
}

func (b *broken) Process(ctx context.Context, cmd redis.Cmder) error {
	b.check()
	return b.UniversalClient.Process(ctx, cmd)
}

func (b *broken) Pipeline() redis.Pipeliner {
	b.check()
	return b.UniversalClient.Pipeline()
}

func (b *broken) Subscribe(ctx context.Context, channels ...string) *redis.PubSub {
	b.check()
	return b.UniversalClient.Subscribe(ctx, channels...)
}

// The library renews, checks and subscribes on its own goroutines, where the application cannot recover.
func TestAPanicOfTheRedisClientIsAnErrorAndEndsNoProcess(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		rdb := &broken{UniversalClient: e.connect()}
		c, other := e.over(rdb), e.client()
		ctx := context.Background()
		held := e.acquire(c, "held", redislock.WithLease(time.Second))
		theirs := e.acquire(other, "theirs")

		rdb.now.Store(true)
		for what, err := range map[string]error{
			"Acquire": func() error { _, err := c.Acquire(ctx, "x"); return err }(),
			"Forget":  c.Forget(ctx, "x"),
			"FirstOf": func() error { _, err := c.FirstOf(ctx, []string{"a", "b"}, time.Minute); return err }(),
			"List": func() error {
				for _, err := range c.List(ctx, "") {
					return err
				}
				return nil
			}(),
		} {
			if err == nil || !strings.Contains(err.Error(), "out of order") {
				e.Errorf("%s: %v", what, err)
			}
		}
		bounded, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		if _, err := c.Acquire(bounded, "theirs"); err == nil {
			e.Error("a lock of another")
		}
		<-held.Context().Done() // its renewals fail
		if err := held.Err(); !errors.Is(err, redislock.ErrLost) {
			e.Errorf("a lock that could not be renewed: %v", err)
		}

		rdb.now.Store(false)
		waits := make(chan *redislock.Lock)
		go func() { waits <- e.acquire(c, "theirs") }()
		e.queued(other, "theirs", 1)
		e.release(theirs)
		e.release(<-waits)
	})
}

// prefixer is a hook that puts the name of a tenant before each key, in place, which is the only way that hooks have. It can lose
// the answers of the next requests.
type prefixer struct {
	name string

	mu   sync.Mutex
	lose int
	seen []string // the keys that it was given
}

func (h *prefixer) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *prefixer) rewrite(cmd redis.Cmder) {
	args := cmd.Args()
	from, n := 1, 1
	switch args[0] {
	case "evalsha", "eval":
		from = 3
		n, _ = args[2].(int)
	case "hello", "client", "select", "ping", "publish":
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := from; i < from+n; i++ {
		h.seen = append(h.seen, args[i].(string))
		args[i] = h.name + args[i].(string)
	}
}

func (h *prefixer) lost() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lose == 0 {
		return nil
	}
	h.lose--
	return errors.New("the answer was lost")
}

func (h *prefixer) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.rewrite(cmd)
		if err := next(ctx, cmd); err != nil {
			return err
		}
		return h.lost()
	}
}

func (h *prefixer) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			h.rewrite(cmd)
		}
		if err := next(ctx, cmds); err != nil {
			return err
		}
		err := h.lost()
		if err != nil {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
		}
		return err
	}
}

func (e *env) ofTenant(h *prefixer) *redislock.Client {
	rdb := e.connect()
	rdb.AddHook(h)
	return e.over(rdb)
}

// I1: a hook that changes the arguments in place is given what was meant at every attempt: after an answer that was lost, and where
// the server did not know the script. So the lock of a tenant stays one lock.
func TestAHookIsGivenItsArgumentsAnewAtEveryAttempt(t *testing.T) {
	ctx := context.Background()
	run := func(context.Context) error { return nil }
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		h, other := &prefixer{name: "tenant:"}, &prefixer{name: "tenant:"}
		c, rival := e.ofTenant(h), e.ofTenant(other)
		losing := func(n int) {
			h.mu.Lock()
			h.lose = n
			h.mu.Unlock()
		}
		losing(2)
		l := e.acquire(c, "x", redislock.WithLease(10*time.Second)) // of a server without the scripts
		time.Sleep(100 * time.Millisecond)                          // renewals and the subscription's probe are under way
		if _, err := rival.TryAcquire(ctx, "x"); !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("two holders: %v", err)
		}
		losing(1)
		time.Sleep(30 * time.Second) // renewals
		if err := l.Err(); err != nil {
			e.Error(err)
		}
		losing(1)
		e.release(l)
		losing(1)
		if first, err := c.FirstOf(ctx, []string{"a", "b", "c"}, time.Minute); err != nil || slices.Contains(first, false) {
			e.Errorf("FirstOf = %v, %v", first, err)
		}
		losing(1)
		w, err := c.AcquireWeak(ctx, "weak")
		if err != nil {
			e.Fatal(err)
		}
		losing(1)
		if err := w.Release(ctx); err != nil {
			e.Error(err)
		}
		losing(1)
		if err := c.Once(ctx, "job", run); err != nil {
			e.Error(err)
		}
		losing(1)
		if err := c.OnceReset(ctx, "job"); err != nil {
			e.Error(err)
		}
		held := e.acquire(rival, "y") // and what is handed over
		done := make(chan struct{})
		go func() {
			defer close(done)
			e.release(e.acquire(c, "y"))
		}()
		e.queued(c, "y", 1)
		losing(1)
		e.release(held)
		<-done
		for _, key := range e.mini.Keys() {
			if !strings.HasPrefix(key, "tenant:redislock:") {
				e.Errorf("a key is %q", key)
			}
		}
		for _, h := range []*prefixer{h, other} {
			for _, key := range h.seen {
				if !strings.HasPrefix(key, "redislock:") {
					e.Errorf("the hook was given the key %q", key)
				}
			}
		}
	})
}

// A hook may keep the commands that it sees, as they are not changed afterwards.
func TestAHookMayKeepTheCommandsThatItSaw(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		k := &keeper{}
		rdb := e.connect()
		rdb.AddHook(k)
		c := e.over(rdb)
		for i := range 20 {
			e.release(e.acquire(c, "x"+strconv.Itoa(i)))
		}
		for i, cmd := range k.kept {
			if textOf(cmd) != k.text[i] {
				e.Errorf("was %q, is %q", k.text[i], textOf(cmd))
			}
		}
	})
}

type keeper struct {
	mu   sync.Mutex
	kept []redis.Cmder
	text []string
}

func (k *keeper) DialHook(next redis.DialHook) redis.DialHook { return next }

func (k *keeper) keep(cmds ...redis.Cmder) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, cmd := range cmds {
		k.kept, k.text = append(k.kept, cmd), append(k.text, textOf(cmd))
	}
}

func (k *keeper) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		k.keep(cmd)
		return next(ctx, cmd)
	}
}

func (k *keeper) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		k.keep(cmds...)
		return next(ctx, cmds)
	}
}

// untold are the errors of invalid calls, which are returned before anything is sent.
var untold = []error{redislock.ErrInvalid, redislock.ErrNotHeld, redislock.ErrOrder, redislock.ErrClosed, redislock.ErrLost}

// plausible is a valid argument, so that only the context or the receiver is invalid.
func plausible(of reflect.Type) reflect.Value {
	switch of {
	case reflect.TypeFor[string]():
		return reflect.ValueOf("x")
	case reflect.TypeFor[[]string]():
		return reflect.ValueOf([]string{"x", "y"})
	case reflect.TypeFor[int]():
		return reflect.ValueOf(1)
	case reflect.TypeFor[time.Duration]():
		return reflect.ValueOf(time.Minute)
	case reflect.TypeFor[time.Time]():
		return reflect.ValueOf(time.Now())
	case reflect.TypeFor[redislock.Info]():
		return reflect.ValueOf(redislock.Info{Name: "x", Holders: 1, Holds: []redislock.Hold{{Fence: 1}}})
	case reflect.TypeFor[func(context.Context) error]():
		return reflect.ValueOf(func(context.Context) error { return errors.New("ran") })
	}
	return reflect.Zero(of)
}

// call calls a method without optional arguments, and uses what it returns as its caller would. The error is what it says,
// with how it panicked.
func call(t *testing.T, what string, method reflect.Value, ctx context.Context, argument func(reflect.Type) reflect.Value) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("%s panics: %v", what, p)
		}
	}()
	var args []reflect.Value
	in := method.Type().NumIn()
	if method.Type().IsVariadic() {
		in--
	}
	needs := false
	for i := range in {
		if method.Type().In(i) == reflect.TypeFor[context.Context]() {
			needs = true
			args = append(args, reflect.Zero(method.Type().In(i)))
			if ctx != nil {
				args[i] = reflect.ValueOf(ctx)
			}
			continue
		}
		args = append(args, argument(method.Type().In(i)))
	}
	for _, out := range method.Call(args) {
		switch result := out.Interface().(type) {
		case func(context.Context) error:
			told(t, what, result(ctx))
		case context.Context:
			if result.Err() == nil && needs {
				t.Errorf("%s: a context that goes on", what)
			}
		case iter.Seq2[redislock.Info, error]:
			for _, err := range result {
				told(t, what, err)
				break
			}
		case iter.Seq2[redislock.Leader, error]:
			for _, err := range result {
				told(t, what, err)
				break
			}
		case iter.Seq2[redislock.CronStatus, error]:
			for _, err := range result {
				told(t, what, err)
				break
			}
		case error:
			told(t, what, result)
		case nil:
			if out.Type() == reflect.TypeFor[error]() && needs {
				t.Errorf("%s: no error", what)
			}
		}
	}
}

func told(t *testing.T, what string, err error) {
	t.Helper()
	for _, want := range untold {
		if errors.Is(err, want) {
			return
		}
	}
	t.Errorf("%s: %v", what, err)
}

// each calls all methods of a value.
func each(t *testing.T, kind string, value any, ctx context.Context, argument func(reflect.Type) reflect.Value, but ...string) {
	t.Helper()
	v := reflect.ValueOf(value)
	for i := range v.NumMethod() {
		name := v.Type().Method(i).Name
		if !strings.Contains(" "+strings.Join(but, " ")+" ", " "+name+" ") {
			call(t, fmt.Sprintf("%s %T.%s", kind, value, name), v.Method(i), ctx, argument)
		}
	}
}

func TestNothingPanicsWithoutAContextOrOfAZeroValue(t *testing.T) {
	zeros := []any{
		&redislock.Client{}, &redislock.Lock{}, &redislock.Locks{}, &redislock.Lockable{}, &redislock.WeakLock{}, &redislock.CronGuard{},
		&redislock.Stripes{}, &redislock.Election{}, &redislock.HeldError{}, &redislock.SharedError{}, &redislock.PanicError{}, &redislock.DeadlockError{},
		(*redislock.Client)(nil), (*redislock.Lock)(nil), (*redislock.Locks)(nil), (*redislock.WeakLock)(nil),
		(*redislock.CronGuard)(nil), (*redislock.Stripes)(nil), (*redislock.Election)(nil),
	}
	values := []any{
		redislock.Mode{},
		redislock.Owner{},
		redislock.Info{},
		redislock.Hold{},
		redislock.Place{},
		redislock.CronStatus{},
		redislock.CronRun{},
		redislock.Leader{},
		redislock.Limit{},
		redislock.Rule{},
		redislock.WaitGraph{},
		redislock.WaitEdge{},
		redislock.Cycle{},
		redislock.HeldLock{},
		redislock.Waiter{},
		redislock.Outcome(0), redislock.Outcome(255), redislock.Overlap(255), redislock.EventKind(0), redislock.EventKind(255),
		redislock.Event{},
	}
	for _, zero := range append(zeros, values...) {
		for _, ctx := range []context.Context{nil, context.Background()} {
			for _, argument := range []func(reflect.Type) reflect.Value{reflect.Zero, plausible} {
				each(t, "zero", zero, ctx, argument)
			}
		}
	}
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		ctx := context.Background()
		lock, err := c.Acquire(ctx, "lock")
		if err != nil {
			e.Fatal(err)
		}
		weak, err := c.AcquireWeak(ctx, "weak")
		if err != nil {
			e.Fatal(err)
		}
		locks, err := c.AcquireAll(ctx, []string{"a", "b"})
		if err != nil {
			e.Fatal(err)
		}
		for _, argument := range []func(reflect.Type) reflect.Value{reflect.Zero, plausible} {
			for _, live := range []any{c, c.Stripes("s", 2), c.Cron("job"), c.Election("e"), locks, lock, weak} {
				each(e.T, "live", live, nil, argument, "Close", "Locker", "Lock", "Handoff", "Asked", "Context")
			}
		}
		// What was refused has changed nothing.
		for what, err := range map[string]error{"lock": lock.Release(ctx), "weak lock": weak.Release(ctx), "locks": locks.Release(ctx)} {
			if err != nil {
				e.Errorf("the %s after it: %v", what, err)
			}
		}
	})
}
