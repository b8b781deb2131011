package redislock_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// meddler is a context that does something in the middle of an operation: when it is asked for the at-th time.
type meddler struct {
	context.Context
	mu    sync.Mutex
	asked int
	at    int
	do    func()
}

// steps is how often it was asked so far.
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

// everything is what a Client can be asked for, by a context.
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
		defer l.Release(ctx) // also when an Observer panics: it is the caller's
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
		defer resume() // the ticket is the caller's, also when an Observer panics
		return resume()
	},
	"do": func(ctx context.Context, e *env, c *redislock.Client) error {
		return c.Do(ctx, "x", func(context.Context) error { return nil })
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
		return errors.Join(err, leaderErr)
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

// An operation registers itself and then looks whether the Client is closed, so Close sees it or it sees Close, wherever in
// the operation that happens.
func TestNothingIsSentOnceCloseHasReturnedNil(t *testing.T) {
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
						t.Fatal(err)
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
						t.Errorf("closed when the context was asked for the %d. time: %d commands were sent after it", at, n)
					}
					cancel()
					_ = c.Close(context.Background())
					time.Sleep(time.Second)
				}
			})
		})
	}
}
