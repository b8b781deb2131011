package barrier_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/barrier"
	"example.com/redislock/internal/conformance"
	"example.com/redislock/internal/fakenet"
)

// world has a server in memory and the processes that use it, in fake time. Every script is compared with the model.
type world struct {
	*testing.T
	mini    *miniredis.Miniredis
	clients []*redislock.Client
}

// close ends all processes.
func (w *world) close() {
	for _, c := range w.clients {
		if err := c.Close(context.Background()); err != nil {
			w.Error(err)
		}
	}
}

func within(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(2 * time.Minute) }) // at the very end, so that packets under way arrive
		m := miniredis.NewMiniRedis()
		m.ClockTTL(true)
		t.Cleanup(m.Close)
		conformance.Listen(m, func(err error) { t.Error(err) })
		test(&world{T: t, mini: m})
	})
}

// process is a Client with its own network.
func (w *world) process(name string, opts ...redislock.ClientOption) (*redislock.Client, *fakenet.Network) {
	w.Helper()
	return w.processAt(time.Millisecond, name, opts...)
}

// processAt is a Client whose packets take this long.
func (w *world) processAt(delay time.Duration, name string, opts ...redislock.ClientOption) (*redislock.Client, *fakenet.Network) {
	w.Helper()
	return w.processBehind(nil, delay, name, opts...)
}

// processBehind is a Client whose packets take this long, and whose requests pass a hook, if there is one.
func (w *world) processBehind(hook redis.Hook, delay time.Duration, name string, opts ...redislock.ClientOption) (*redislock.Client, *fakenet.Network) {
	w.Helper()
	n := &fakenet.Network{Dial: w.mini.Dial, Delay: delay}
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", Protocol: 2, DisableIdentity: true, Dialer: n.Dialer})
	if hook != nil {
		rdb.AddHook(hook)
	}
	c, err := redislock.New(rdb, append(opts, redislock.WithName(name), redislock.WithShown(2))...)
	if err != nil {
		w.Fatal(err)
	}
	w.clients = append(w.clients, c)
	// The connection for changes is made before several goroutines need it, as a goroutine that waits for a mutex stops fake time.
	watching, end := context.WithCancel(context.Background())
	go func() {
		for range c.Watch(watching, "nothing") {
		}
	}()
	time.Sleep(100 * time.Millisecond)
	end()
	w.Cleanup(func() {
		n.Mend()
		if err := c.Close(context.Background()); err != nil {
			w.Error(err)
		}
		_ = rdb.Close()
	})
	return c, n
}

// coarse is the step between the moments that are tried. With -short there are fewer.
func coarse(step time.Duration) time.Duration {
	if testing.Short() {
		return 5 * step
	}
	return step
}

func TestALatchOpensWhenAllItsPartsAreDone(t *testing.T) {
	within(t, func(w *world) {
		ctx := context.Background()
		var opened atomic.Int32
		var all sync.WaitGroup
		for i := range 3 {
			c, _ := w.process(fmt.Sprint("waits-", i))
			all.Go(func() {
				if err := barrier.NewLatch(c, "import", 4).Wait(ctx); err != nil {
					w.Error(err)
				}
				opened.Add(1)
			})
		}
		c, _ := w.process("works")
		latch := barrier.NewLatch(c, "import", 4)
		for i := range 4 {
			time.Sleep(time.Minute)
			if left, err := latch.Left(ctx); left != 4-i || err != nil || opened.Load() != 0 {
				w.Errorf("%d left after %d parts, %v; %d have passed", left, i, err, opened.Load())
			}
			for range 2 { // a call without an answer is repeated
				if err := latch.CountDown(ctx, fmt.Sprint("part-", i)); err != nil {
					w.Error(err)
				}
			}
		}
		done := time.Now()
		all.Wait()
		if took := time.Since(done); took > time.Second {
			w.Errorf("it is told after %v: by looking, not by push", took)
		}
		if err := latch.CountDown(ctx, "one more"); err != nil {
			w.Errorf("when it is open: %v", err)
		}
		if err := latch.Wait(ctx); err != nil {
			w.Error(err)
		}
		w.close()
		time.Sleep(barrier.Life)
		c, _ = w.process("later")
		if left, err := barrier.NewLatch(c, "import", 4).Left(ctx); left != 4 || err != nil {
			w.Errorf("after its life %d are left, %v", left, err)
		}
	})
}

func TestOnePartIsCountedOnceWhoeverCountsIt(t *testing.T) {
	within(t, func(w *world) {
		ctx := context.Background()
		var all sync.WaitGroup
		c, _ := w.process("looks")
		for i := range 8 {
			c, _ := w.process(fmt.Sprint(i))
			all.Go(func() {
				if err := barrier.NewLatch(c, "l", 3).CountDown(ctx, "the same"); err != nil {
					w.Error(err)
				}
			})
		}
		all.Wait()
		if left, err := barrier.NewLatch(c, "l", 3).Left(ctx); left != 2 || err != nil {
			w.Errorf("%d left, %v", left, err)
		}
	})
}

// A count that the process could not finish does not count, and the next call repeats it.
func TestAPartThatDiesWhileItIsCountedIsNotDone(t *testing.T) {
	for after := time.Duration(0); after < 24*time.Millisecond; after += coarse(time.Millisecond) {
		within(t, func(w *world) {
			ctx := context.Background()
			c, n := w.process("dies")
			other, _ := w.process("lives")
			latch := barrier.NewLatch(other, "l", 1)
			time.AfterFunc(after, n.Cut)
			err := barrier.NewLatch(c, "l", 1).CountDown(ctx, "part")
			waited := make(chan error, 1)
			go func() { waited <- latch.Wait(ctx) }()
			time.Sleep(5 * time.Minute)
			left, lookErr := latch.Left(ctx)
			if lookErr != nil || err == nil && left != 0 {
				w.Errorf("cut after %v: %v, and %d left, %v", after, err, left, lookErr)
			}
			if left > 0 {
				select {
				case err := <-waited:
					w.Errorf("cut after %v: it has passed (%v) a latch of which %d are left", after, err, left)
				default:
				}
			}
			if err := latch.CountDown(ctx, "part"); err != nil {
				w.Error(err)
			}
			if err := <-waited; err != nil {
				w.Error(err)
			}
		})
	}
}

func TestAWaitForALatchOutlivesAnOutageAndEndsWithItsContext(t *testing.T) {
	within(t, func(w *world) {
		ctx := context.Background()
		c, n := w.process("waits")
		other, _ := w.process("works")
		waited := make(chan error, 1)
		go func() { waited <- barrier.NewLatch(c, "l", 1).Wait(ctx) }()
		time.Sleep(time.Second)
		n.Cut()
		time.Sleep(time.Minute)
		if err := barrier.NewLatch(other, "l", 1).CountDown(ctx, "part"); err != nil {
			w.Error(err)
		}
		n.Mend()
		if err := <-waited; err != nil {
			w.Error(err)
		}
		bounded, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err := barrier.NewLatch(c, "never", 1).Wait(bounded); !errors.Is(err, context.DeadlineExceeded) {
			w.Error(err)
		}
		closed, _ := w.process("closed")
		time.AfterFunc(time.Second, func() { _ = closed.Close(ctx) })
		if err := barrier.NewLatch(closed, "never", 1).Wait(ctx); !errors.Is(err, redislock.ErrClosed) {
			w.Error(err)
		}
	})
}

func TestAllPartiesComeInAndAllGoOut(t *testing.T) {
	for _, n := range []int{1, 2, 5} { // more than one look shows
		within(t, func(w *world) {
			ctx := context.Background()
			var in, out atomic.Int32
			var all sync.WaitGroup
			for i := range n {
				c, _ := w.process(fmt.Sprint("party-", i))
				all.Go(func() {
					time.Sleep(time.Duration(i) * time.Second)
					in.Add(1)
					p, err := barrier.New(c, "b", n).Enter(ctx)
					if err != nil {
						w.Error(err)
						return
					}
					if got := in.Load(); got != int32(n) {
						w.Errorf("party %d is in, and %d of %d have come", i, got, n)
					}
					time.Sleep(time.Duration(n-i) * time.Second)
					out.Add(1)
					if err := p.Leave(ctx); err != nil {
						w.Error(err)
					}
					if got := out.Load(); got != int32(n) {
						w.Errorf("party %d is out, and %d of %d have come to the end", i, got, n)
					}
				})
			}
			all.Wait()
			c, _ := w.process("late")
			if _, err := barrier.New(c, "b", n).Enter(ctx); !errors.Is(err, barrier.ErrOver) || errors.Is(err, barrier.ErrBroken) {
				w.Errorf("one that comes too late: %v", err)
			}
			w.close() // otherwise they keep their connections alive for two days
			time.Sleep(2 * barrier.Life)
			for _, key := range w.mini.Keys() {
				if strings.Contains(key, "barrier:") {
					w.Errorf("%s is left", key)
				}
			}
		})
	}
}

// Whenever a party dies, all others get the same result, and if the barrier is broken, the name of that party.
func TestAPartyThatDiesBreaksTheBarrierAndIsNamed(t *testing.T) {
	for _, when := range []time.Duration{5 * time.Second, 25 * time.Second, 45 * time.Second} { // while it waits, works, and waits at the end
		within(t, func(w *world) {
			ctx := context.Background()
			lease := redislock.WithLease(3 * time.Second)
			var all sync.WaitGroup
			errs := make([]error, 4)
			for i := range errs {
				c, n := w.process(fmt.Sprint("party-", i))
				if i == 0 {
					time.AfterFunc(when, n.Cut)
				}
				all.Go(func() {
					if i > 1 { // perhaps after the first has died
						time.Sleep(20 * time.Second)
					}
					p, err := barrier.New(c, "b", len(errs), lease, redislock.WithMetadata(fmt.Sprint("shard ", i))).Enter(ctx)
					if errs[i] = err; err != nil {
						return
					}
					if i == 0 {
						time.Sleep(20 * time.Second)
					} else {
						time.Sleep(40 * time.Second)
					}
					errs[i] = p.Leave(ctx)
				})
			}
			all.Wait()
			for i, err := range errs {
				broken, is := errors.AsType[*barrier.BrokenError](err)
				switch {
				case i == 0 && err == nil:
					w.Errorf("cut after %v: the one that was cut off has %v", when, err)
				case i > 0 && (!is || broken.Party.Client != "party-0" || broken.Party.Metadata != "shard 0"):
					w.Errorf("cut after %v: party %d has %v", when, i, err)
				}
			}
		})
	}
}

func TestAPartyThatIsToldToStopBreaksTheBarrier(t *testing.T) {
	within(t, func(w *world) {
		a, _ := w.process("a")
		b, _ := w.process("b")
		ctx, stop := context.WithCancel(context.Background())
		told := make(chan error, 1)
		go func() {
			_, err := barrier.New(a, "x", 3).Enter(ctx)
			told <- err
		}()
		time.AfterFunc(time.Minute, stop)
		begun := time.Now()
		_, err := barrier.New(b, "x", 3).Enter(context.Background())
		if broken, is := errors.AsType[*barrier.BrokenError](err); !is || broken.Party.Client != "a" {
			w.Error(err)
		}
		if took := time.Since(begun) - time.Minute; took > time.Second {
			w.Errorf("told after %v: by looking, not by push", took)
		}
		if err := <-told; !errors.Is(err, context.Canceled) {
			w.Error(err)
		}
		if _, err := barrier.New(a, "x", 3).Enter(context.Background()); !errors.Is(err, barrier.ErrOver) || !errors.Is(err, barrier.ErrBroken) {
			w.Errorf("a party of a barrier that is broken: %v", err)
		}
		// A party that leaves in the middle of the work.
		quits := make(chan struct{})
		go func() {
			defer close(quits)
			p, err := barrier.New(a, "y", 2).Enter(context.Background())
			if err != nil {
				w.Error(err)
				return
			}
			time.Sleep(time.Minute)
			if err := p.Quit(context.Background()); err != nil {
				w.Error(err)
			}
		}()
		p, err := barrier.New(b, "y", 2).Enter(context.Background())
		if err != nil {
			w.Fatal(err)
		}
		err = p.Leave(context.Background())
		if broken, is := errors.AsType[*barrier.BrokenError](err); !is || broken.Party.Client != "a" {
			w.Error(err)
		}
		<-quits
	})
}

// A party is told to stop before all have come, and another one takes its place at once, before the others look
// again.
func TestAPartyWhosePlaceAnotherOneTakesBreaksTheBarrierForAllOrForNone(t *testing.T) {
	for _, pause := range []time.Duration{0, 5 * time.Millisecond, 30 * time.Millisecond, 100 * time.Millisecond} {
		within(t, func(w *world) {
			var clients []*redislock.Client
			for i := range 4 {
				c, _ := w.process(fmt.Sprint("p-", i))
				clients = append(clients, c)
			}
			left := make(chan error, 3)
			goes := func(c *redislock.Client) {
				p, err := barrier.New(c, "x", 3).Enter(context.Background())
				if err == nil {
					err = p.Leave(context.Background())
				}
				left <- err
			}
			ctx, stop := context.WithCancel(context.Background())
			stopped := make(chan struct{})
			go func() {
				defer close(stopped)
				if _, err := barrier.New(clients[0], "x", 3).Enter(ctx); !errors.Is(err, context.Canceled) {
					w.Error(err)
				}
			}()
			go goes(clients[1])
			time.Sleep(time.Minute) // by then they have seen each other
			stop()
			<-stopped
			time.Sleep(pause)
			go goes(clients[2])
			go goes(clients[3])
			broken := 0
			for range 3 {
				if err := <-left; errors.Is(err, barrier.ErrBroken) {
					broken++
				} else if err != nil {
					w.Error(err)
				}
			}
			if broken != 0 && broken != 3 {
				w.Errorf("after %v: broken for %d of three", pause, broken)
			}
		})
	}
}

func TestTheDefaultsOfAClientDoNotGetInTheWay(t *testing.T) {
	for what, defaults := range map[string][]redislock.Option{
		"turns":    {redislock.WithTurn(time.Millisecond), redislock.WithLinger(50 * time.Millisecond)},
		"a weight": {redislock.WithMode(redislock.Semaphore(10)), redislock.WithWeight(3)},
		"readers":  {redislock.WithMode(redislock.Read)},
		"others":   {redislock.WithMetadata("a text"), redislock.WithMaxQueue(1), redislock.NonReentrant(), redislock.WithDeadlockCheck(time.Second)},
	} {
		within(t, func(w *world) {
			c, _ := w.process("a", redislock.WithDefaults(defaults...))
			latch := barrier.NewLatch(c, "import", 5)
			counted := make(chan error, 5)
			for i := range cap(counted) { // at the same time, so that they wait for each other
				go func() { counted <- latch.CountDown(context.Background(), fmt.Sprint("part ", i)) }()
			}
			for range cap(counted) {
				if err := <-counted; err != nil {
					w.Fatalf("%s: %v", what, err)
				}
			}
			if err := latch.Wait(context.Background()); err != nil {
				w.Errorf("%s: %v", what, err)
			}
			p, err := barrier.New(c, "x", 1).Enter(context.Background())
			if err != nil {
				w.Fatalf("%s: %v", what, err)
			}
			if err := p.Leave(context.Background()); err != nil {
				w.Errorf("%s: %v", what, err)
			}
			if held := c.Held(); len(held) > 0 {
				w.Errorf("%s: it holds %v", what, held)
			}
		})
	}
}

func TestAPartyTooManyIsRefused(t *testing.T) {
	within(t, func(w *world) {
		ctx := context.Background()
		a, _ := w.process("a")
		b, _ := w.process("b")
		c, _ := w.process("c")
		entered := make(chan *barrier.Party, 2)
		for _, one := range []*redislock.Client{a, b} {
			go func() {
				p, err := barrier.New(one, "x", 2).Enter(ctx)
				if err != nil {
					w.Error(err)
				}
				entered <- p
			}()
		}
		time.Sleep(time.Second)
		if _, err := barrier.New(c, "x", 2).Enter(ctx); !errors.Is(err, barrier.ErrOver) && !errors.Is(err, barrier.ErrFull) {
			w.Error(err)
		}
		var all sync.WaitGroup
		for range 2 {
			p := <-entered
			all.Go(func() {
				if err := p.Leave(ctx); err != nil {
					w.Error(err)
				}
				if p.Context().Err() == nil {
					w.Error("it has left, and its context lives")
				}
				if err := p.Quit(ctx); err != nil {
					w.Errorf("it quits after it has left: %v", err)
				}
			})
		}
		all.Wait()
	})
}

// Wherever a party is cut off, all parties get the same result.
func TestThereIsOneVerdict(t *testing.T) {
	for at := time.Duration(0); at < 60*time.Millisecond; at += coarse(3 * time.Millisecond) {
		within(t, func(w *world) {
			ctx := context.Background()
			var mu sync.Mutex
			open, broken := 0, 0
			var all sync.WaitGroup
			for i := range 3 {
				c, n := w.process(fmt.Sprint("party-", i))
				if i == 0 {
					time.AfterFunc(time.Second+at, n.Cut)
				}
				all.Go(func() {
					if i == 2 {
						time.Sleep(time.Second) // so that the result is decided when the first is cut off
					}
					p, err := barrier.New(c, "b", 3, redislock.WithLease(2*time.Second)).Enter(ctx)
					mu.Lock()
					switch {
					case err == nil:
						open++
					case errors.Is(err, barrier.ErrBroken):
						broken++
					case i > 0:
						w.Errorf("cut after %v: %v", at, err)
					}
					mu.Unlock()
					if p != nil {
						_ = p.Leave(ctx)
					}
				})
			}
			all.Wait()
			if open > 0 && broken > 0 {
				w.Errorf("cut after %v: open for %d, broken for %d", at, open, broken)
			}
		})
	}
}

// A party that is about to write the result may die before that. Then its result does not count.
func TestAVerdictThatIsNotWrittenYetIsNone(t *testing.T) {
	within(t, func(w *world) {
		a, _ := w.process("a")
		b, _ := w.process("b")
		writes, err := b.Acquire(context.Background(), "barrier@in-is:x", redislock.WithMetadata(`{"open":true,"last":9000000000000000}`))
		if err != nil {
			w.Fatal(err)
		}
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		defer stop()
		if _, err := barrier.New(a, "x", 2).Enter(ctx); !errors.Is(err, context.DeadlineExceeded) {
			w.Error(err)
		}
		if err := writes.Release(context.Background()); err != nil {
			w.Error(err)
		}
	})
}

func TestWhatCannotBeIsRefused(t *testing.T) {
	within(t, func(w *world) {
		ctx := context.Background()
		c, _ := w.process("a")
		var none context.Context
		second := func(_ any, err error) error { return err }
		for what, err := range map[string]error{
			"a latch without a name":     barrier.NewLatch(c, "", 1).Wait(ctx),
			"a latch without a part":     barrier.NewLatch(c, "x", 0).Wait(ctx),
			"a part without a name":      barrier.NewLatch(c, "x", 1).CountDown(ctx, ""),
			"a long part":                barrier.NewLatch(c, "x", 1).CountDown(ctx, strings.Repeat("p", redislock.MaxMetadata+1)),
			"a latch without a Client":   barrier.NewLatch(nil, "x", 1).Wait(ctx),
			"a count without a Client":   barrier.NewLatch(nil, "x", 1).CountDown(ctx, "p"),
			"a latch of too many parts":  barrier.NewLatch(c, "x", barrier.MaxParts+1).Wait(ctx),
			"a nil latch":                (*barrier.Latch)(nil).Wait(ctx),
			"a wait without a context":   barrier.NewLatch(c, "x", 1).Wait(none),
			"a barrier without a name":   second(barrier.New(c, "", 1).Enter(ctx)),
			"a barrier for nobody":       second(barrier.New(c, "x", 0).Enter(ctx)),
			"a barrier for too many":     second(barrier.New(c, "x", barrier.MaxParties+1).Enter(ctx)),
			"a barrier without a Client": second(barrier.New(nil, "x", 1).Enter(ctx)),
			"a nil barrier":              second((*barrier.Barrier)(nil).Enter(ctx)),
			"no context":                 second(barrier.New(c, "x", 1).Enter(none)),
			"a lease of a moment":        second(barrier.New(c, "x", 1, redislock.WithLease(1)).Enter(ctx)),
			"a party of no barrier":      (&barrier.Party{}).Leave(ctx),
			"a quitter of no barrier":    (*barrier.Party)(nil).Quit(ctx),
		} {
			if !errors.Is(err, redislock.ErrInvalid) {
				w.Errorf("%s: %v", what, err)
			}
		}
	})
}
