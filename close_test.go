package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// meddler is a context that calls a function in the middle of an operation, when one of its methods is called for the
// at-th time.
type meddler struct {
	context.Context
	mu    sync.Mutex
	asked int
	at    int
	do    func()
}

// steps is how often its methods were called so far.
func (m *meddler) steps() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked
}

func (m *meddler) step() {
	m.mu.Lock()
	m.asked++
	now := m.asked == m.at
	m.mu.Unlock()
	if now {
		m.do()
	}
}

func (m *meddler) Done() <-chan struct{} {
	m.step()
	return m.Context.Done()
}

func (m *meddler) Err() error {
	m.step()
	return m.Context.Err()
}

func (m *meddler) Value(key any) any {
	m.step()
	return m.Context.Value(key)
}

// sentCommands is a hook that counts commands while it is told to.
type sentCommands struct {
	on    atomic.Bool
	count atomic.Int32
}

func (s *sentCommands) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *sentCommands) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if s.on.Load() {
			s.count.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (s *sentCommands) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if s.on.Load() {
			s.count.Add(int32(len(cmds)))
		}
		return next(ctx, cmds)
	}
}

// everything is every operation of a Client that takes a context.
var everything = map[string]func(ctx context.Context, e *env, c *redislock.Client) error{
	"acquire": func(ctx context.Context, e *env, c *redislock.Client) error {
		l, err := c.Acquire(ctx, "x")
		if err == nil {
			err = l.Release(ctx)
		}
		return err
	},
	"wait": func(ctx context.Context, e *env, c *redislock.Client) error {
		busy := e.acquire(e.client(), "x")
		time.AfterFunc(100*time.Millisecond, func() { e.release(busy) })
		l, err := c.Acquire(ctx, "x")
		if err == nil {
			err = l.Release(ctx)
		}
		return err
	},
	"check": func(ctx context.Context, e *env, c *redislock.Client) error { return c.Check(ctx) },
	"acquire nested": func(ctx context.Context, e *env, c *redislock.Client) error {
		return c.Do(ctx, "x", func(ctx context.Context) error {
			return c.Do(ctx, "x", func(context.Context) error { return nil })
		})
	},
	"acquire all": func(ctx context.Context, e *env, c *redislock.Client) error {
		l, err := c.AcquireAll(ctx, []string{"x", "y", "z"})
		if err == nil {
			err = l.Release(ctx)
		}
		return err
	},
	"upgrade and downgrade": func(ctx context.Context, e *env, c *redislock.Client) error {
		l, err := c.Acquire(ctx, "x", redislock.WithMode(redislock.Read))
		if err != nil {
			return err
		}
		defer l.Release(ctx) // also when an Observer panics, as the caller has the lock
		return errors.Join(l.Upgrade(ctx), l.Downgrade(ctx), l.Release(ctx))
	},
	"handoff and resume": func(ctx context.Context, e *env, c *redislock.Client) error {
		l, err := c.Acquire(ctx, "x")
		if err != nil {
			return err
		}
		defer l.Release(ctx)
		ticket, err := l.Handoff()
		if err != nil {
			return errors.Join(err, l.Release(ctx))
		}
		resume := func() error {
			l, err := c.Resume(ctx, ticket)
			if err == nil {
				err = l.Release(ctx)
			}
			return err
		}
		defer resume() // also when an Observer panics, as the caller has the ticket
		return resume()
	},
	"do": func(ctx context.Context, e *env, c *redislock.Client) error {
		return c.Do(ctx, "x", func(context.Context) error { return nil })
	},
	"many together": func(ctx context.Context, e *env, c *redislock.Client) error {
		var names []string
		for i := range 12 {
			names = append(names, fmt.Sprintf("many/%02d", i))
		}
		busy := e.acquire(e.client(), names[9])
		time.AfterFunc(100*time.Millisecond, func() { e.release(busy) })
		return c.DoAll(ctx, names, func(context.Context) error { return nil })
	},
	"a path": func(ctx context.Context, e *env, c *redislock.Client) error {
		l, err := c.AcquirePath(ctx, "a/b/c")
		if err == nil {
			err = l.Release(ctx)
		}
		return err
	},
	"a look for deadlocks": func(ctx context.Context, e *env, c *redislock.Client) error {
		busy := e.acquire(e.client(), "x")
		time.AfterFunc(500*time.Millisecond, func() { e.release(busy) })
		_, err := c.Deadlocks(ctx)
		return errors.Join(err, c.Do(ctx, "outer", func(ctx context.Context) error {
			return c.Do(ctx, "x", func(context.Context) error { return nil }, redislock.WithDeadlockCheck(100*time.Millisecond))
		}))
	},
	"a limit": func(ctx context.Context, e *env, c *redislock.Client) error {
		err := c.SetLimit(ctx, "x", time.Minute, redislock.AtMost(1, "semaphore"))
		_, limitErr := c.Limit(ctx, "x")
		return errors.Join(err, limitErr, c.SetLimit(ctx, "x", time.Minute))
	},
	"turns": func(ctx context.Context, e *env, c *redislock.Client) error {
		return threeAtOnce(func() error {
			return c.Do(ctx, "x", func(context.Context) error { time.Sleep(time.Millisecond); return nil }, redislock.WithTurn(time.Second))
		})
	},
	"turns, lost": func(ctx context.Context, e *env, c *redislock.Client) error {
		return threeAtOnce(func() error {
			return c.Do(ctx, "x", func(context.Context) error {
				_, err := e.client().Break(context.Background(), "x", "why")
				time.Sleep(time.Millisecond)
				return err
			}, redislock.WithTurn(time.Second))
		})
	},
	"linger": func(ctx context.Context, e *env, c *redislock.Client) error {
		again := func() error {
			return c.Do(ctx, "x", func(context.Context) error { return nil }, redislock.WithLinger(100*time.Millisecond))
		}
		return errors.Join(again(), again(), again())
	},
	"readers together": func(ctx context.Context, e *env, c *redislock.Client) error {
		return threeAtOnce(func() error {
			return c.Do(ctx, "x", func(context.Context) error { time.Sleep(time.Millisecond); return nil },
				redislock.WithMode(redislock.Read), redislock.WithTurn(time.Second), redislock.WithLinger(10*time.Millisecond))
		})
	},
	"weak": func(ctx context.Context, e *env, c *redislock.Client) error {
		_, err := c.AcquireWeak(ctx, "x")
		return err
	},
	"weak, taken": func(ctx context.Context, e *env, c *redislock.Client) error {
		e.raw.Set(context.Background(), "redislock:w:{x}", "other", time.Second)
		_, err := c.AcquireWeak(ctx, "x", redislock.WithWait(200*time.Millisecond), redislock.WithFailOpen())
		return err
	},
	"first": func(ctx context.Context, e *env, c *redislock.Client) error {
		_, err := c.First(ctx, "x", time.Second)
		return errors.Join(err, c.Forget(ctx, "x"))
	},
	"once": func(ctx context.Context, e *env, c *redislock.Client) error {
		err := c.Once(ctx, "x", func(context.Context) error { return nil })
		_, doneErr := c.OnceDone(ctx, "x")
		return errors.Join(err, doneErr, c.OnceReset(ctx, "x"))
	},
	"share": func(ctx context.Context, e *env, c *redislock.Client) error {
		_, err := redislock.Share(ctx, c, "x", time.Second, func(context.Context) (int, error) { return 1, nil })
		return errors.Join(err, c.ShareReset(ctx, "x"))
	},
	"cron of a group, with a history": func(ctx context.Context, e *env, c *redislock.Client) error {
		g := c.Cron("x", hourly, redislock.WithGroup("g", 2), redislock.WithHistory(2), redislock.WithPause(time.Second), redislock.WithOverlap(redislock.OverlapReplace))
		err := g.Announce(ctx)
		_, runErr := g.Run(ctx, time.Now(), func(context.Context) error { return nil })
		time.Sleep(2 * time.Second)
		return errors.Join(err, runErr, c.CronReset(ctx, "x"))
	},
	"cron": func(ctx context.Context, e *env, c *redislock.Client) error {
		_, err := c.Cron("x").Run(ctx, time.Now(), func(context.Context) error { return nil })
		_, statusErr := c.CronStatus(ctx, "x")
		err = errors.Join(err, statusErr)
		for _, jobErr := range c.CronJobs(ctx) {
			err = errors.Join(err, jobErr)
		}
		return err
	},
	"elect": func(ctx context.Context, e *env, c *redislock.Client) error {
		resign := errors.New("resign")
		err := c.Elect(ctx, "x", func(context.Context) error { return resign })
		_, leaderErr := c.Election("x").Leader(ctx)
		for range c.Election("x").Watch(ctx) {
			break
		}
		_, _, positionErr := c.Election("x").Position(ctx)
		return errors.Join(err, leaderErr, positionErr)
	},
	"look": func(ctx context.Context, e *env, c *redislock.Client) (err error) {
		info, inspectErr := c.Inspect(ctx, "x")
		for range c.Watch(ctx, "x") {
			break
		}
		for _, listErr := range c.List(ctx, "*") {
			err = errors.Join(err, listErr)
		}
		_, askErr := c.Ask(ctx, "x", "why")
		_, breakErr := c.Break(ctx, "x", "why")
		_, holdsErr := c.BreakHolds(ctx, info, "why")
		return errors.Join(err, inspectErr, askErr, breakErr, holdsErr)
	},
}

// threeAtOnce runs a function three times at once. A panic ends only its own goroutine.
func threeAtOnce(do func() error) error {
	errs := make([]error, 3)
	var all sync.WaitGroup
	for i := range errs {
		all.Add(1)
		go func() {
			defer all.Done()
			defer func() { _ = recover() }()
			errs[i] = do()
		}()
		time.Sleep(100 * time.Microsecond)
	}
	all.Wait()
	return errors.Join(errs...)
}

// An operation registers itself and then looks whether the Client is closed. So either Close sees the operation or the
// operation sees Close, at whatever point of the operation Close comes.
func TestNothingIsSentOnceCloseHasReturnedNil(t *testing.T) {
	t.Parallel()
	for name, operation := range everything {
		t.Run(name, func(t *testing.T) {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				holder := e.client()
				busy := e.acquire(holder, "held") // something to list
				defer e.release(busy)
				for at, more := 1, true; more; at++ {
					rdb := e.connect()
					sent := &sentCommands{}
					rdb.AddHook(sent)
					c, err := redislock.New(rdb)
					if err != nil {
						e.Fatal(err)
					}
					ctx, cancel := context.WithCancel(context.Background())
					m := &meddler{Context: ctx, at: at, do: func() {
						bounded, done := context.WithTimeout(context.Background(), time.Second)
						defer done()
						if c.Close(bounded) == nil {
							sent.on.Store(true)
						}
					}}
					_ = operation(m, e, c)
					more = m.steps() >= at
					time.Sleep(time.Second)
					if n := sent.count.Load(); n > 0 {
						e.Errorf("closed when the context was asked for the %d. time: %d commands were sent after it", at, n)
					}
					cancel()
					_ = c.Close(context.Background())
					time.Sleep(time.Second)
				}
			})
		})
	}
}

func TestCloseNamesTheLocksThatAreStillHeld(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c, err := redislock.New(e.connect())
		if err != nil {
			e.Fatal(err)
		}
		released := e.acquire(c, "released")
		oldest := e.acquire(c, "invoice/42")
		since := time.Now()
		time.Sleep(3 * time.Second)
		var others []*redislock.Lock
		for i := range 12 {
			others = append(others, e.acquire(c, fmt.Sprintf("other/%02d", i)))
		}
		e.release(released)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err = c.Close(ctx)
		want := `"invoice/42" held since ` + since.UTC().Format("2006-01-02T15:04:05.000Z") + `, "other/00" held since`
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), want) || !strings.HasSuffix(err.Error(), " and 3 more") {
			e.Errorf("Close said %v, want ErrDeadlineExceeded and %s…", err, want)
		}
		if strings.Contains(err.Error(), `"released"`) {
			e.Errorf("Close named a lock that was released: %v", err)
		}
		e.release(oldest)
		for _, l := range others {
			e.release(l)
		}
		if err := c.Close(context.Background()); err != nil {
			e.Errorf("a second Close, when all are released: %v", err)
		}
	})
}

func TestACloseThatCannotEndGivesUpAfterTwoMinutes(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c, err := redislock.New(e.connect())
		if err != nil {
			e.Fatal(err)
		}
		begun := time.Now()
		err = c.Do(context.Background(), "x", func(context.Context) error { return c.Close(context.Background()) })
		if took := time.Since(begun); took != 2*time.Minute || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `"x" held since`) {
			e.Errorf("it took %v: %v", took, err)
		}
	})
}

func TestCloseUnderTheContextOfALockIsADeadlock(t *testing.T) {
	ctx := context.Background()
	for name, within := range map[string]func(c *redislock.Client, body func(context.Context) error) error{
		"a body": func(c *redislock.Client, body func(context.Context) error) error {
			return c.Do(ctx, "x", body)
		},
		"a lock of several": func(c *redislock.Client, body func(context.Context) error) error {
			return c.DoAll(ctx, []string{"x", "y"}, body)
		},
		"another lock inside": func(c *redislock.Client, body func(context.Context) error) error {
			return c.DoAll(ctx, []string{"x", "y"}, func(ctx context.Context) error { return c.Do(ctx, "z", body) })
		},
		"a fetch": func(c *redislock.Client, body func(context.Context) error) error {
			_, err := redislock.Share(ctx, c, "x", time.Second, func(ctx context.Context) (int, error) { return 0, body(ctx) })
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				c, err := redislock.New(e.connect())
				if err != nil {
					e.Fatal(err)
				}
				other := e.client()
				begun := time.Now()
				err = within(c, func(ctx context.Context) error {
					other := other.Close(ctx) // which has no lock
					if err := c.Close(context.WithoutCancel(ctx)); !errors.Is(err, redislock.ErrDeadlock) {
						e.Errorf("Close said %v", err)
					}
					return other
				})
				if err != nil && !errors.Is(err, redislock.ErrClosed) && !errors.Is(err, redislock.ErrLost) {
					e.Error(err)
				}
				if took := time.Since(begun); took > 0 {
					e.Errorf("it took %v", took)
				}
				if _, err := c.Acquire(ctx, "later"); !errors.Is(err, redislock.ErrClosed) {
					e.Errorf("the Client is not closed: %v", err)
				}
				if err := c.Close(ctx); err != nil {
					e.Errorf("a second Close, when all are released: %v", err)
				}
			})
		})
	}
}

func TestAnObserverMayCallClose(t *testing.T) {
	for name, operation := range everything {
		t.Run(name, func(t *testing.T) {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				for at, more := int32(1), true; more; at++ {
					var calls atomic.Int32
					var c *redislock.Client
					c, err := redislock.New(e.connect(), redislock.WithObserver(redislock.ObserverFunc(func(event redislock.Event) {
						if calls.Add(1) != at {
							return
						}
						begun := time.Now()
						err := c.Close(context.Background())
						switch took := time.Since(begun); {
						case took == 2*time.Minute && errors.Is(err, context.DeadlineExceeded) && strings.Contains(err.Error(), "not released"):
						case took.Round(100*time.Millisecond) != time.Second || err == nil || !strings.Contains(err.Error(), "Observer has not returned"):
							e.Errorf("at %v Close took %v: %v", event.Kind, took, err)
						}
					})))
					if err != nil {
						e.Fatal(err)
					}
					_ = operation(context.Background(), e, c)
					more = calls.Load() >= at
					time.Sleep(3 * time.Minute) // it may still be closing
					if err := c.Close(context.Background()); err != nil {
						e.Errorf("after call %d: %v", at, err)
					}
				}
			})
		})
	}
}

// The waiter's context ends at every moment around the hand-over: before its request arrives, while it waits, while
// the grant is on its way, with it, and after it. Packets take 10 ms, so that each order of events is met.
func TestI8CancelAtTheInstantOfTheGrantLeavesNothing(t *testing.T) {
	t.Parallel()
	const delay = 10 * time.Millisecond
	outcomes, step := map[string]int{}, time.Duration(unlessShort(2, 10))*time.Millisecond
	for warm := range 2 { // the waiter's Client has its subscription already, or must make it first
		for offset := time.Duration(0); offset <= 160*time.Millisecond; offset += step {
			for _, nudge := range []time.Duration{0, 500 * time.Microsecond} {
				embedded(t, delay, func(e *env, _ *fakenet.Network) {
					holder, waiter, third := e.client(), e.client(), e.client()
					e.release(e.acquire(third, "warm"))
					if warm == 1 {
						e.release(e.acquire(waiter, "warm"))
						time.Sleep(100 * time.Millisecond)
					}
					l := e.acquire(holder, "x")
					go func() {
						time.Sleep(100 * time.Millisecond)
						e.release(l)
					}()
					ctx, cancel := context.WithCancel(context.Background())
					go func() {
						time.Sleep(offset + nudge)
						cancel()
					}()
					got, err := waiter.Acquire(ctx, "x")
					cancel()
					switch {
					case err == nil:
						outcomes["granted"]++
						if got.Err() != nil {
							e.Errorf("offset %v: granted, but %v", offset, got.Err())
						}
						e.release(got)
					case errors.Is(err, context.Canceled):
						outcomes[fmt.Sprint("cancelled, held ", errors.Is(err, redislock.ErrHeld))]++
					default:
						e.Errorf("offset %v: %v", offset, err)
					}
					next := e.acquire(third, "x", redislock.WithWait(time.Second))
					e.release(next)
					e.untouched("x")
				})
			}
		}
	}
	t.Log(outcomes)
	if len(outcomes) != 3 {
		t.Errorf("the sweep met only %v", outcomes)
	}
}

// The same on a real server, at random: nothing is left in Redis, and no goroutine here.
func TestI8AStormOfCancelsLeavesNothing(t *testing.T) {
	both(t, func(e *env) {
		const workers = 24
		rounds := unlessShort(40, 10)
		clients := []*redislock.Client{e.client(), e.client(), e.client()}
		for i, c := range clients { // on a cluster a Client that waits subscribes to the lock's shard, and stays so
			held := e.acquire(clients[(i+1)%len(clients)], "storm")
			waiter := e.waiter(c, "storm")
			e.queued(c, "storm", 1)
			e.release(held)
			e.release(<-waiter)
		}
		before := ours()
		var wg sync.WaitGroup
		var granted, cancelled atomic.Int32
		for w := range workers {
			wg.Go(func() {
				c := clients[w%len(clients)]
				for range rounds {
					ctx, cancel := context.WithTimeout(context.Background(), rand.N(4*time.Millisecond))
					l, err := c.Acquire(ctx, "storm")
					switch {
					case err == nil:
						granted.Add(1)
						if rand.N(2) == 0 {
							time.Sleep(rand.N(time.Millisecond))
						}
						e.release(l)
					case errors.Is(err, context.DeadlineExceeded):
						cancelled.Add(1)
					default:
						e.Error(err)
					}
					cancel()
				}
			})
		}
		wg.Wait()
		e.Logf("%d granted, %d cancelled", granted.Load(), cancelled.Load())
		if e.real != nil && cancelled.Load() == 0 {
			e.Error("nothing was cancelled, so this test shows nothing")
		}
		e.untouched("storm")
		if e.real != nil {
			e.eventually("no goroutine is left", func() bool { return ours() <= before })
		}
	})
}

func TestCloseFailsWaitersAndEndsHoldsButTakesNothingAway(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(), e.client()
		busy := e.acquire(other, "busy")
		waiting := make(chan error)
		go func() {
			_, err := c.Acquire(context.Background(), "busy")
			waiting <- err
		}()
		e.queued(other, "busy", 1)
		l := e.acquire(c, "x", redislock.WithLease(2*time.Second))

		closed := make(chan error)
		go func() { closed <- c.Close(context.Background()) }()
		if err := <-waiting; !errors.Is(err, redislock.ErrClosed) {
			e.Errorf("the waiter got %v", err)
		}
		<-l.Context().Done()
		if cause := context.Cause(l.Context()); !errors.Is(cause, redislock.ErrClosed) {
			e.Errorf("the hold's context ended with %v", cause)
		}
		time.Sleep(3 * time.Second) // the body goes on for a while: its lease is renewed
		if _, err := other.TryAcquire(context.Background(), "x"); !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("the lock was taken from under a running body: %v", err)
		}
		select {
		case err := <-closed:
			e.Errorf("Close returned before the release: %v", err)
		default:
		}
		if err := l.Release(context.Background()); err != nil {
			e.Errorf("the release of a hold whose Client closes: %v", err)
		}
		if err := <-closed; err != nil {
			e.Error(err)
		}
		if _, err := c.Acquire(context.Background(), "y"); !errors.Is(err, redislock.ErrClosed) {
			e.Errorf("after Close: %v", err)
		}
		e.release(busy)
		e.untouched("busy")
		e.untouched("x")
	})
}

func TestCloseEndsWithItsContextAndLetsTheLeaseLapse(t *testing.T) {
	both(t, func(e *env) {
		c, err := redislock.New(e.connect())
		if err != nil {
			e.Fatal(err)
		}
		other := e.client()
		e.warm(other)
		l := e.acquire(c, "x", redislock.WithLease(2*time.Second))
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("Close returned %v", err)
		}
		if _, err := other.TryAcquire(context.Background(), "x"); !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("taken away: %v", err)
		}
		next := e.acquire(other, "x", redislock.WithWait(10*time.Second)) // the lock is not renewed any more
		if err := l.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) {
			e.Errorf("a release after the lease: %v", err)
		}
		e.release(next)
		time.Sleep(time.Second) // what is under way ends
	})
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	both(t, func(e *env) { // in fake time synctest itself fails if a goroutine is left
		before := ours()
		for range 5 {
			c, err := redislock.New(e.connect())
			if err != nil {
				e.Fatal(err)
			}
			l := e.acquire(c, "x")
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			if _, err := c.Acquire(ctx, "x"); !errors.Is(err, redislock.ErrHeld) {
				e.Errorf("got %v", err)
			}
			cancel()
			e.release(l)
			if err := c.Close(context.Background()); err != nil {
				e.Error(err)
			}
			if err := c.Close(context.Background()); err != nil {
				e.Errorf("a second Close: %v", err)
			}
		}
		if e.real != nil {
			e.eventually("no goroutine is left", func() bool { return ours() <= before })
		}
	})
}

func TestI8AReplyThatNeverComesLeavesNothing(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, n *fakenet.Network) {
		c, other := e.client(), e.client()
		e.release(e.acquire(c, "warm"))
		for _, cutAfter := range []time.Duration{0, 500 * time.Microsecond, time.Millisecond, 1500 * time.Microsecond, 2 * time.Millisecond} {
			go func() {
				time.Sleep(cutAfter)
				n.Cut()
				time.Sleep(500 * time.Millisecond)
				n.Mend()
			}()
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			l, err := c.Acquire(ctx, "x")
			cancel()
			if err == nil {
				time.Sleep(time.Second)
				if err := l.Release(context.Background()); err != nil {
					e.Error(err)
				}
			} else if errors.Is(err, redislock.ErrHeld) {
				e.Errorf("an unanswered acquire says %v", err)
			}
			time.Sleep(10 * time.Second)
			e.untouched("x")
			next := e.acquire(other, "x", redislock.WithWait(0))
			e.release(next)
		}
	})
}

func TestARingIsRefusedWithTheReason(t *testing.T) {
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	defer ring.Close()
	var none *redis.Client
	for _, rdb := range []redis.UniversalClient{ring, none, nil} {
		if _, err := redislock.New(rdb); !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("%T: %v", rdb, err)
		}
	}
	if _, err := redislock.New(ring); !strings.Contains(err.Error(), "two owners") {
		t.Errorf("the reason is missing: %v", err)
	}
}

// ways are the ways in which a callback does not return.
var ways = map[string]func(){
	"panic":             func() { panic("of a callback") },
	"end the goroutine": runtime.Goexit,
}

// If a callback panics or ends its goroutine, at whichever of its calls, the lock that the caller then does not get is given
// back, and Close does not wait for the interrupted operation (I8).
func TestACallbackThatDoesNotReturnLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	callbacks := map[string]func(func()) redislock.ClientOption{
		"observer": func(step func()) redislock.ClientOption {
			return redislock.WithObserver(redislock.ObserverFunc(func(redislock.Event) { step() }))
		},
		"trace": func(step func()) redislock.ClientOption {
			return redislock.WithTrace(func(context.Context) string {
				step()
				return "trace"
			})
		},
	}
	for name, operation := range everything {
		for which, callback := range callbacks {
			for how, way := range ways {
				t.Run(fmt.Sprintf("%s, %s, %s", name, which, how), func(t *testing.T) {
					embedded(t, 0, func(e *env, _ *fakenet.Network) {
						for at, more := int32(1), true; more; at++ {
							var calls atomic.Int32
							c, err := redislock.New(e.connect(), callback(func() {
								if calls.Add(1) == at {
									way()
								}
							}))
							if err != nil {
								e.Fatal(err)
							}
							ended := make(chan struct{})
							go func() {
								defer close(ended)
								defer func() { _ = recover() }() // as net/http does
								_ = operation(context.Background(), e, c)
							}()
							<-ended
							more = calls.Load() >= at
							ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
							if err := c.Close(ctx); err != nil {
								e.Errorf("after call %d: %v", at, err)
							}
							cancel()
							time.Sleep(time.Second) // others end too
							for info, err := range e.client().List(context.Background(), "*") {
								if err != nil || !info.Idle() {
									e.Errorf("after call %d: %+v, %v", at, info, err)
								}
							}
							e.raw.FlushAll(context.Background())
						}
					})
				})
			}
		}
	}
}

// Every operation that waits ends with an error when the Redis client is closed, even if its context does not end.
func TestWhoWaitsFailsWhenTheRedisClientIsClosed(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		rdb := e.connect()
		c, err := redislock.New(rdb)
		if err != nil {
			e.Fatal(err)
		}
		other := e.client()
		busy, writing := e.acquire(other, "busy"), e.acquire(other, "written", redislock.WithMode(redislock.Read))
		led, once, group := e.acquire(other, "elect:led"), e.acquire(other, "once:done"), e.acquire(other, "group:full")
		weak, err := other.AcquireWeak(ctx, "weak", redislock.WithLease(time.Minute))
		if err != nil {
			e.Fatal(err)
		}
		reading := e.acquire(c, "written", redislock.WithMode(redislock.Read), redislock.WithLease(2*time.Second))
		held := e.acquire(c, "held", redislock.WithLease(2*time.Second))
		nothing := func(context.Context) error { return nil }
		ends := make(chan error)
		waits := map[string]func() error{
			"acquire": func() error {
				_, err := c.Acquire(ctx, "busy")
				return err
			},
			"acquire, for a turn": func() error {
				_, err := c.Acquire(ctx, "busy", redislock.WithTurn(time.Second))
				return err
			},
			"acquire, behind it": func() error {
				time.Sleep(time.Millisecond)
				_, err := c.Acquire(ctx, "busy", redislock.WithTurn(time.Second))
				return err
			},
			"acquire, with a look for deadlocks": func() error {
				_, err := c.Acquire(held.Context(), "busy", redislock.WithDeadlockCheck(100*time.Millisecond))
				return err
			},
			"acquire of many": func() error {
				_, err := c.AcquireAll(ctx, append(strings.Split("abcdefghijkl", ""), "busy"))
				return err
			},
			"cron, for a place in a group": func() error {
				_, err := c.Cron("x", redislock.WithGroup("full", 1)).Run(ctx, time.Now(), nothing)
				return err
			},
			"upgrade": func() error { return reading.Upgrade(ctx) },
			"weak": func() error {
				_, err := c.AcquireWeak(ctx, "weak")
				return err
			},
			"elect": func() error { return c.Elect(ctx, "led", nothing) },
			"once":  func() error { return c.Once(ctx, "done", nothing) },
			"watch": func() (last error) {
				for _, last = range c.Watch(ctx, "busy") {
				}
				return last
			},
			"watch an election": func() (last error) {
				for _, last = range c.Election("led").Watch(ctx) {
				}
				return last
			},
		}
		for name, wait := range waits {
			go func() {
				err := wait()
				if !errors.Is(err, redis.ErrClosed) {
					e.Errorf("%s: %v", name, err)
				}
				ends <- err
			}()
		}
		for name, waiting := range map[string]int{"busy": 4, "written": 1, "elect:led": 1, "once:done": 1, "group:full": 1} {
			e.queued(other, name, waiting)
		}
		begun := time.Now()
		_ = rdb.Close()
		for range waits {
			<-ends
		}
		if took := time.Since(begun); e.mini != nil && took > 2500*time.Millisecond { // the checks find out, if a subscription outlives its client
			e.Errorf("it took %v", took)
		}
		e.ends(held.Context())
		if err := held.Err(); !errors.Is(err, redislock.ErrLost) || !errors.Is(err, redis.ErrClosed) {
			e.Errorf("the hold: %v", err)
		}
		for _, l := range []*redislock.Lock{busy, writing, led, once, group} {
			e.release(l)
		}
		if err := weak.Release(ctx); err != nil {
			e.Error(err)
		}
		ended, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err := c.Close(ended); err != nil { // the other hold has lapsed too
			e.Error(err)
		}
	})
}

// A closed Redis client is not called again and again.
func TestNothingIsAskedOfAClosedRedisClient(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		rdb := e.connect()
		sent := &sentCommands{}
		rdb.(*redis.Client).AddHook(sent)
		c, err := redislock.New(rdb)
		if err != nil {
			e.Fatal(err)
		}
		l := e.acquire(c, "x")
		e.acquire(e.client(), "busy", redislock.WithLease(time.Second), redislock.WithoutRenewal())
		go func() { _, _ = c.Acquire(context.Background(), "busy", redislock.WithWait(time.Hour)) }()
		_ = rdb.Close()
		time.Sleep(3 * time.Second)
		sent.on.Store(true)
		time.Sleep(25 * time.Second)
		if err := l.Err(); err != nil {
			e.Errorf("before the bound: %v", err)
		}
		time.Sleep(5 * time.Second)
		if err := l.Err(); !errors.Is(err, redislock.ErrLost) {
			e.Errorf("at the bound: %v", err)
		}
		if n := sent.count.Load(); n > 1 { // one request, to give the hold up
			e.Errorf("%d commands", n)
		}
		_ = c.Close(context.Background())
	})
}
