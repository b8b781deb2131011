package redislock_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
	"example.com/redislock/internal/servertest"
)

// breaker is a hook that refuses requests in place of Redis. As go-redis itself where a connection is refused, it leaves the error
// with the batch and not with its commands.
type breaker struct {
	refusal error
	open    atomic.Bool   // it refuses
	holding string        // a request with this waits
	held    chan struct{} // until this is closed
}

func (b *breaker) DialHook(next redis.DialHook) redis.DialHook { return next }

func (b *breaker) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		switch {
		case !b.open.Load():
			return next(ctx, cmd)
		case b.holding != "" && strings.Contains(textOf(cmd), b.holding):
			<-b.held
		}
		return b.refusal
	}
}

func (b *breaker) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if b.open.Load() {
			return b.refusal
		}
		return next(ctx, cmds)
	}
}

// I11: where Redis refuses the connection, nothing was the first: also of a batch, whose commands then have no error of their own.
func TestFirstOfARefusedConnectionIsAnErrorAndNoYes(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	limited := s.AddUser("limited", "on >secret ~* &* +@all -select -client|setname")
	for what, o := range map[string]func(*redis.Options){
		"a wrong password":    func(o *redis.Options) { o.Username, o.Password = "limited", "wrong" },
		"no such database":    func(o *redis.Options) { o.DB = 99 },
		"no right to SELECT":  func(o *redis.Options) { limited(o); o.DB = 1 },
		"no right to a name":  func(o *redis.Options) { limited(o); o.ClientName = "app" },
		"no right whatsoever": s.AddUser("nobody", "on >secret -@all"),
	} {
		c, err := redislock.New(s.Connect(o))
		if err != nil {
			t.Fatal(err)
		}
		first, err := c.FirstOf(t.Context(), []string{"a", "b", "c"}, time.Minute)
		if err == nil || slices.Contains(first, true) {
			t.Errorf("%s: %v, %v", what, first, err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if n := s.Admin().DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys were written", n)
	}
}

// I11: what a batch was refused with is the answer of each that was in it, and says nothing about their keys.
func TestARefusedBatchIsAnErrorOfAllThatWereInIt(t *testing.T) {
	ctx := context.Background()
	run := func(context.Context) error { return nil }
	fetch := func(context.Context) (string, error) { return "fetched", nil }
	for _, said := range []error{
		errors.New("the circuit is open"),
		refusal("WRONGPASS invalid username-password pair or user is disabled."),
		refusal("ERR DB index is out of range"),
	} {
		for what, prepare := range map[string]func(e *env, c *redislock.Client) func() error{
			"FirstOf": func(_ *env, c *redislock.Client) func() error {
				return func() error {
					first, err := c.FirstOf(ctx, []string{"a", "b"}, time.Minute)
					if slices.Contains(first, true) {
						t.Errorf("FirstOf: %v", first)
					}
					return err
				}
			},
			"Forget": func(_ *env, c *redislock.Client) func() error { return func() error { return c.Forget(ctx, "a") } },
			"Inspect": func(_ *env, c *redislock.Client) func() error {
				return func() error { return second(c.Inspect(ctx, "a")) }
			},
			"Break": func(_ *env, c *redislock.Client) func() error {
				return func() error { return second(c.Break(ctx, "a", "why")) }
			},
			"Ask": func(_ *env, c *redislock.Client) func() error {
				return func() error { return second(c.Ask(ctx, "a", "why")) }
			},
			"Acquire": func(_ *env, c *redislock.Client) func() error {
				return func() error { return second(c.Acquire(ctx, "a")) }
			},
			"TryAcquire": func(_ *env, c *redislock.Client) func() error {
				return func() error { return second(c.TryAcquire(ctx, "a")) }
			},
			"Once": func(_ *env, c *redislock.Client) func() error { return func() error { return c.Once(ctx, "a", run) } },
			"OnceDone": func(_ *env, c *redislock.Client) func() error {
				return func() error { return second(c.OnceDone(ctx, "a")) }
			},
			"OnceReset": func(_ *env, c *redislock.Client) func() error { return func() error { return c.OnceReset(ctx, "a") } },
			"Share": func(_ *env, c *redislock.Client) func() error {
				return func() error { return second(redislock.Share(ctx, c, "a", time.Minute, fetch)) }
			},
			"ShareReset": func(_ *env, c *redislock.Client) func() error { return func() error { return c.ShareReset(ctx, "a") } },
			"Cron": func(_ *env, c *redislock.Client) func() error {
				return func() error { return second(c.Cron("a").Run(ctx, time.Now(), run)) }
			},
			"CronStatus": func(_ *env, c *redislock.Client) func() error {
				return func() error { return second(c.CronStatus(ctx, "a")) }
			},
			"Leader": func(_ *env, c *redislock.Client) func() error {
				return func() error { return second(c.Election("a").Leader(ctx)) }
			},
			"Release": func(e *env, c *redislock.Client) func() error {
				l := e.acquire(c, "a")
				return func() error { return l.Release(ctx) }
			},
			"Release after a while": func(e *env, c *redislock.Client) func() error {
				l := e.acquire(c, "a")
				time.Sleep(time.Second)
				return func() error { return l.Release(ctx) }
			},
			"ReleaseAfter": func(e *env, c *redislock.Client) func() error {
				l := e.acquire(c, "a")
				return func() error { return l.ReleaseAfter(ctx, time.Second) }
			},
			"WeakLock.Release": func(_ *env, c *redislock.Client) func() error {
				w, err := c.AcquireWeak(ctx, "a")
				if err != nil {
					t.Error(err)
				}
				return func() error { return w.Release(ctx) }
			},
		} {
			t.Run(what, func(t *testing.T) {
				embedded(t, 0, func(e *env, _ *fakenet.Network) {
					b := &breaker{refusal: said, held: make(chan struct{}), holding: "under-way"}
					rdb := e.connect()
					c := e.over(rdb)
					e.warm(c)
					do := prepare(e, c)
					rdb.AddHook(b)
					b.open.Store(true)
					for range 2 { // so that what follows leaves with a batch
						go func() { _, _ = c.Inspect(ctx, "under-way") }()
					}
					time.Sleep(time.Millisecond)
					err := do()
					if !errors.Is(err, said) || errors.Is(err, redislock.ErrDamaged) {
						t.Errorf("%v, want %v", err, said)
					}
					close(b.held)
					b.open.Store(false)
					time.Sleep(2 * time.Second)
				})
			})
		}
	}
}

// A client that comes back with nothing has no answer: that is no yes, and no damaged key either.
func TestNothingIsNoAnswer(t *testing.T) {
	ctx := context.Background()
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		rdb := e.connect()
		c := e.over(rdb)
		e.warm(c)
		l := e.acquire(c, "l")
		silent := &mute{}
		rdb.AddHook(silent)
		silent.is.Store(true)
		first, err := c.FirstOf(ctx, []string{"a", "b"}, time.Minute)
		if err == nil || slices.Contains(first, true) {
			t.Errorf("FirstOf = %v, %v", first, err)
		}
		for what, err := range map[string]error{
			"OnceReset": c.OnceReset(ctx, "a"), "Forget": c.Forget(ctx, "a"), "Acquire": second(c.Acquire(ctx, "a")),
			"Inspect": second(c.Inspect(ctx, "a")), "Release": l.Release(ctx),
		} {
			if err == nil || errors.Is(err, redislock.ErrDamaged) {
				t.Errorf("%s = %v", what, err)
			}
		}
		silent.is.Store(false)
		time.Sleep(2 * time.Second)
		e.untouched("l")
	})
}

// mute is a hook that swallows requests, and says that all went well.
type mute struct{ is atomic.Bool }

func (m *mute) DialHook(next redis.DialHook) redis.DialHook { return next }

func (m *mute) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if m.is.Load() {
			return nil
		}
		return next(ctx, cmd)
	}
}

func (m *mute) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if m.is.Load() {
			return nil
		}
		return next(ctx, cmds)
	}
}

// refusal is an answer of the server.
type refusal string

func (e refusal) Error() string { return string(e) }
func (refusal) RedisError()     {}
