package redislock_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
	"example.com/redislock/internal/servertest"
)

// breaker is a hook that refuses requests in place of Redis. Like go-redis when a connection is refused, it sets the error of the
// batch and not those of its commands.
type breaker struct {
	refusal error
	open    atomic.Bool   // it refuses
	holding string        // a request that contains this text waits
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

// I11: if Redis refuses the connection, First returns an error and never true. That holds for a batch too, whose commands then
// have no errors of their own.
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

// I11: the error of a refused batch is the answer of each request in it, and says nothing about the keys.
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
			"CronReset": func(_ *env, c *redislock.Client) func() error { return func() error { return c.CronReset(ctx, "a") } },
			"Announce": func(_ *env, c *redislock.Client) func() error {
				return func() error { return c.Cron("a", hourly).Announce(ctx) }
			},
			"CronStatus": func(_ *env, c *redislock.Client) func() error {
				return func() error { return second(c.CronStatus(ctx, "a")) }
			},
			"Leader": func(_ *env, c *redislock.Client) func() error {
				return func() error { return second(c.Election("a").Leader(ctx)) }
			},
			"Position": func(_ *env, c *redislock.Client) func() error {
				return func() error { _, _, err := c.Election("a").Position(ctx); return err }
			},
			"SetLimit": func(_ *env, c *redislock.Client) func() error {
				return func() error { return c.SetLimit(ctx, "a", time.Minute, redislock.AtMost(1, "read")) }
			},
			"Limit": func(_ *env, c *redislock.Client) func() error {
				return func() error { return second(c.Limit(ctx, "a")) }
			},
			"Deadlocks": func(_ *env, c *redislock.Client) func() error {
				return func() error { return second(c.Deadlocks(ctx)) }
			},
			"AcquirePath": func(_ *env, c *redislock.Client) func() error {
				return func() error { return second(c.AcquirePath(ctx, "a/b")) }
			},
			"AcquireAll of many": func(_ *env, c *redislock.Client) func() error {
				return func() error { return second(c.AcquireAll(ctx, strings.Split("abcdefghijkl", ""))) }
			},
			"Acquire in a turn": func(_ *env, c *redislock.Client) func() error {
				return func() error { return second(c.Acquire(ctx, "a", redislock.WithTurn(time.Second))) }
			},
			"Acquire among readers": func(_ *env, c *redislock.Client) func() error {
				return func() error {
					return second(c.Acquire(ctx, "a", redislock.WithMode(redislock.Read), redislock.WithTurn(time.Second)))
				}
			},
			"Release in a turn": func(_ *env, c *redislock.Client) func() error {
				l, err := c.Acquire(ctx, "a", redislock.WithTurn(time.Second))
				if err != nil {
					t.Error(err)
				}
				return func() error { return l.Release(ctx) }
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
					for range 2 { // so that the next requests leave in a batch
						go func() { _, _ = c.Inspect(ctx, "under-way") }()
					}
					time.Sleep(time.Millisecond)
					err := do()
					if !errors.Is(err, said) || errors.Is(err, redislock.ErrDamaged) {
						e.Errorf("%v, want %v", err, said)
					}
					close(b.held)
					b.open.Store(false)
					time.Sleep(2 * time.Second)
				})
			})
		}
	}
}

// If a Redis client returns neither a value nor an error, there is no answer: neither success nor a damaged key.
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
			e.Errorf("FirstOf = %v, %v", first, err)
		}
		for what, err := range map[string]error{
			"OnceReset": c.OnceReset(ctx, "a"), "Forget": c.Forget(ctx, "a"), "Acquire": second(c.Acquire(ctx, "a")),
			"Inspect": second(c.Inspect(ctx, "a")), "Release": l.Release(ctx),
			"SetLimit": c.SetLimit(ctx, "a", time.Minute), "Limit": second(c.Limit(ctx, "a")), "Deadlocks": second(c.Deadlocks(ctx)),
			"List": func() (first error) {
				for _, first = range c.List(ctx, "*") {
					break
				}
				return first
			}(),
			"Announce": c.Cron("a", hourly).Announce(ctx), "CronStatus": second(c.CronStatus(ctx, "a")), "CronReset": c.CronReset(ctx, "a"),
			"Leader": second(c.Election("a").Leader(ctx)), "ShareReset": c.ShareReset(ctx, "a"),
			"Acquire in a turn": second(c.Acquire(ctx, "a", redislock.WithTurn(time.Second))), "Check": c.Check(ctx),
		} {
			if err == nil || errors.Is(err, redislock.ErrDamaged) {
				e.Errorf("%s = %v", what, err)
			}
		}
		silent.is.Store(false)
		time.Sleep(2 * time.Second)
		e.untouched("l")
	})
}

// mute is a hook that swallows requests and reports success.
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

// If a caller acquires its own lock without the context of the hold, the error says that its own process holds the lock.
func TestWhoWaitsForItselfIsTold(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(redislock.WithName("one")), e.client(redislock.WithName("two"))
		l := e.acquire(c, "x")
		const hint = "that is this process itself"
		if _, err := c.TryAcquire(context.Background(), "x"); err == nil || !strings.Contains(err.Error(), hint) {
			e.Errorf("its own: %v", err)
		}
		if _, err := other.TryAcquire(context.Background(), "x"); err == nil || strings.Contains(err.Error(), hint) {
			e.Errorf("another's: %v", err)
		}
		nested, err := c.TryAcquire(l.Context(), "x")
		if err != nil {
			e.Fatal(err)
		}
		e.release(nested)
		e.release(l)
	})
}

// Every operation on a name whose key something else has written reports that (ErrDamaged). After the key is deleted the name
// works again.
func TestANameThatSomethingElseUsesIsDamaged(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c := e.client()
		run := func(context.Context) error { e.Error("it ran"); return nil }
		fetch := func(context.Context) (string, error) { return "", run(ctx) }
		for what, damage := range map[string]func(){
			"a string":                 func() { e.raw.Set(ctx, "redislock:{x}", "theirs", 0) },
			"a hash of something else": func() { e.raw.HSet(ctx, "redislock:{x}", "s", "x", "y", "z") },
			"a list for records": func() {
				for _, key := range []string{"once:x", "cron:x", "share:x"} {
					e.raw.RPush(ctx, "redislock:r:{"+key+"}", "theirs")
				}
			},
		} {
			damage()
			ops := map[string]func() error{
				"acquire":     func() error { return second(c.Acquire(ctx, "x")) },
				"try":         func() error { return second(c.TryAcquire(ctx, "x", redislock.WithMode(redislock.Read))) },
				"inspect":     func() error { return second(c.Inspect(ctx, "x")) },
				"break":       func() error { return second(c.Break(ctx, "x", "why")) },
				"ask":         func() error { return second(c.Ask(ctx, "x", "why")) },
				"acquire all": func() error { return second(c.AcquireAll(ctx, []string{"x", "y"})) },
				"watch": func() (first error) {
					for _, first = range c.Watch(ctx, "x") {
						break
					}
					return first
				},
			}
			if what == "a list for records" {
				ops = map[string]func() error{
					"once":        func() error { return c.Once(ctx, "x", run) },
					"cron":        func() error { return second(c.Cron("x").Run(ctx, time.Now(), run)) },
					"cron status": func() error { return second(c.CronStatus(ctx, "x")) },
					"share":       func() error { return second(redislock.Share(ctx, c, "x", time.Minute, fetch)) },
				}
			}
			for op, do := range ops {
				if err := do(); !errors.Is(err, redislock.ErrDamaged) {
					e.Errorf("%s, %s: %v", what, op, err)
				}
			}
			for _, key := range []string{"{x}", "r:{once:x}", "r:{cron:x}", "r:{share:x}"} {
				e.raw.Del(ctx, "redislock:"+key)
			}
			e.release(e.acquire(c, "x"))
		}
	})
}

// Keys that something else has written among locks and records are reported, each by its name, and everything else is
// listed.
func TestAListingTellsOfEachDamagedKeyAndGoesOn(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c, operator := e.client(), e.operator()
		idle := func(context.Context) error { return nil }
		for _, name := range []string{"a", "z"} {
			e.release(e.acquire(c, name))
			if _, err := c.Cron(name).Run(ctx, time.Now(), idle); err != nil {
				e.Fatal(err)
			}
		}
		long := strings.Repeat("l", redislock.MaxName+1)
		e.raw.Set(ctx, "redislock:{text}", "theirs", 0)
		e.raw.RPush(ctx, "redislock:{list}", "theirs")
		e.raw.HSet(ctx, "redislock:{hash}", "f", "x", "y", "z")
		e.raw.Set(ctx, "redislock:{"+long+"}", "theirs", 0)
		e.raw.Set(ctx, "redislock:{a{b}", "theirs", 0) // no name has that key: a brace is escaped
		e.raw.Set(ctx, "redislock:r:{cron:text}", "theirs", 0)
		e.raw.RPush(ctx, "redislock:r:{cron:list}", "theirs")
		e.raw.Set(ctx, "redislock:r:{cron:c{d}", "theirs", 0)
		for job, record := range map[string]string{
			"late":    `{"tick":"9999-12-31T23:59:59-05:00","outcome":1}`, // in UTC it is the year 10000
			"next":    `{"tick":"2026-11-21T10:05:00Z","outcome":1,"next":"9999-12-31T23:59:59-05:00"}`,
			"nothing": `{}`,
			"outcome": `{"tick":"2026-11-21T10:05:00Z","outcome":99}`,
		} {
			e.raw.Set(ctx, "redislock:r:{cron:"+job+"}", "17952622668000001"+record, time.Hour)
		}

		locks, jobs := map[string]bool{}, map[string]bool{}
		for info, err := range operator.List(ctx, "*") {
			if err != nil && !errors.Is(err, redislock.ErrDamaged) {
				e.Errorf("list: %q: %v", info.Name, err)
			}
			if _, twice := locks[info.Name]; twice {
				e.Errorf("list: %q is listed twice", info.Name)
			}
			locks[info.Name] = err == nil
		}
		for status, err := range operator.CronJobs(ctx) {
			if err != nil && !errors.Is(err, redislock.ErrDamaged) {
				e.Errorf("cron jobs: %q: %v", status.Job, err)
			}
			jobs[status.Job] = err == nil
		}
		for _, name := range []string{"text", "list", "hash", long, "a{b"} {
			if good, known := locks[name]; good || !known {
				e.Errorf("the list does not tell of the key of %.20q", name)
			}
		}
		for _, job := range []string{"text", "list", "late", "next", "nothing", "outcome", "c{d"} {
			if good, known := jobs[job]; good || !known {
				e.Errorf("the jobs do not tell of the record of %q", job)
			}
		}
		for _, name := range []string{"a", "z"} {
			if !locks[name] || !jobs[name] {
				e.Errorf("%q is listed as a lock: %t, as a job: %t", name, locks[name], jobs[name])
			}
		}
	})
}

// WithWait and a context bound the wait: if Redis does not answer, the clean-up goes on in the background.
func TestWithWaitIsABoundWhereRedisIsSilent(t *testing.T) {
	ctx := context.Background()
	const nearly = 10 * time.Millisecond // for a place that Redis has confirmed and may give up at once
	for what, wait := range map[string]func(c *redislock.Client) error{
		"WithWait": func(c *redislock.Client) error { return second(c.Acquire(ctx, "x", redislock.WithWait(time.Second))) },
		"a context": func(c *redislock.Client) error {
			bounded, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			return second(c.Acquire(bounded, "x"))
		},
	} {
		for _, queued := range []bool{false, true} {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				n := &fakenet.Network{Dial: e.mini.Dial}
				c, other := e.clientOn(n), e.client()
				e.release(e.acquire(c, "warm"))
				l := e.acquire(other, "x")
				if queued {
					time.AfterFunc(500*time.Millisecond, n.Cut)
				} else {
					n.Cut()
				}
				begun := time.Now()
				err := wait(c)
				if took := time.Since(begun); err == nil || took < time.Second || took > time.Second+nearly || !queued && took != time.Second {
					e.Errorf("%s, queued: %v: %v after %v", what, queued, err, took)
				}
				n.Mend()
				time.Sleep(20 * time.Second)
				e.release(l)
				e.untouched("x")
			})
		}
	}
}

// A wait that ends in an outage says what is wrong with Redis, beside the end of its context.
func TestAWaitThatEndsInAnOutageSaysWhy(t *testing.T) {
	ctx := context.Background()
	down := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	bounded := func(d time.Duration, do func(context.Context) error) func() error {
		return func() error {
			ctx, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			return do(ctx)
		}
	}
	for what, do := range map[string]struct {
		ended bool // the context of the caller ends the wait
		do    func(c *redislock.Client) func() error
	}{
		"Acquire": {true, func(c *redislock.Client) func() error {
			return bounded(3*time.Second, func(ctx context.Context) error { return second(c.Acquire(ctx, "free")) })
		}},
		"Acquire, queued": {true, func(c *redislock.Client) func() error {
			return bounded(6*time.Second, func(ctx context.Context) error { return second(c.Acquire(ctx, "held")) })
		}},
		"WithWait, queued": {false, func(c *redislock.Client) func() error {
			return func() error { return second(c.Acquire(ctx, "held", redislock.WithWait(6*time.Second))) }
		}},
		"WithWait": {false, func(c *redislock.Client) func() error {
			return func() error { return second(c.Acquire(ctx, "free", redislock.WithWait(3*time.Second))) }
		}},
		"Inspect": {true, func(c *redislock.Client) func() error {
			return bounded(3*time.Second, func(ctx context.Context) error { return second(c.Inspect(ctx, "free")) })
		}},
		"First": {true, func(c *redislock.Client) func() error {
			return bounded(3*time.Second, func(ctx context.Context) error { return second(c.First(ctx, "free", time.Minute)) })
		}},
		"AcquireWeak": {false, func(c *redislock.Client) func() error {
			return func() error { return second(c.AcquireWeak(ctx, "free", redislock.WithWait(3*time.Second))) }
		}},
		"Once": {false, func(c *redislock.Client) func() error {
			return func() error {
				return c.Once(ctx, "free", func(context.Context) error { return nil }, redislock.WithWait(3*time.Second))
			}
		}},
	} {
		t.Run(what, func(t *testing.T) {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				var out atomic.Bool
				c, other := e.tapped(&tap{before: func(string) error {
					if out.Load() {
						time.Sleep(1200 * time.Millisecond) // as long as go-redis dials
						return down
					}
					return nil
				}}), e.client()
				e.release(e.acquire(c, "warm"))
				l := e.acquire(other, "held")
				time.AfterFunc(500*time.Millisecond, func() { out.Store(true) })
				if !strings.Contains(what, "queued") {
					time.Sleep(time.Second)
				}
				err := do.do(c)()
				if !strings.Contains(err.Error(), "connection refused") || !errors.Is(err, syscall.ECONNREFUSED) {
					e.Errorf("%v: that the connection is refused is not told", err)
				}
				if do.ended && !errors.Is(err, context.DeadlineExceeded) {
					e.Errorf("%v is not the end of its context", err)
				}
				if strings.Contains(what, "queued") && !errors.Is(err, redislock.ErrHeld) {
					e.Errorf("%v is not ErrHeld", err)
				}
				if strings.Contains(err.Error(), "\n") || strings.Count(err.Error(), "connection refused") > 1 {
					e.Errorf("%q says it twice", err)
				}
				out.Store(false)
				time.Sleep(10 * time.Second)
				e.release(l)
				e.untouched("free")
			})
		})
	}
}

// A server whose clock has not been set says so: its keys are not damaged, and nothing is written that would live for years.
func TestAServerWhoseClockIsNotSetSaysThatItIsTheClock(t *testing.T) {
	ctx := context.Background()
	for _, at := range []time.Time{time.Unix(0, 0), time.Unix(90_000_000, 0)} {
		embedded(t, 0, func(e *env, _ *fakenet.Network) {
			c := e.client()
			e.mini.SetTime(at)
			for what, err := range map[string]error{
				"Acquire": second(c.Acquire(ctx, "x")), "with a mode": second(c.Acquire(ctx, "x", redislock.WithMode(redislock.Read))),
				"Inspect": second(c.Inspect(ctx, "x")), "Break": second(c.Break(ctx, "x", "why")),
			} {
				if err == nil || errors.Is(err, redislock.ErrDamaged) || !strings.Contains(err.Error(), "the server's clock says") {
					e.Errorf("%v: %s: %v", at.UTC(), what, err)
				}
			}
			if keys := e.mini.Keys(); len(keys) > 0 {
				e.Errorf("%v: written: %q", at.UTC(), keys)
			}
			e.mini.SetTime(time.Now())
			e.release(e.acquire(c, "x"))
		})
	}
	for _, at := range []time.Time{time.Unix(100_000_000, 0), time.Unix(999_999_999, 0), time.Unix(9_000_000_000, 0)} {
		embedded(t, 0, func(e *env, _ *fakenet.Network) {
			c := e.client()
			e.mini.SetTime(at)
			e.release(e.acquire(c, "x"))
			e.mini.SetTime(time.Time{})
		})
	}
}
