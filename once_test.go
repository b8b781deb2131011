package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
	"example.com/redislock/internal/servertest"
)

func TestOnceRunsToSuccessOnceInTheFleet(t *testing.T) {
	both(t, func(e *env) {
		clients := []*redislock.Client{e.client(), e.client(), e.client()}
		var runs, nils atomic.Int32
		var all sync.WaitGroup
		for i := range 60 {
			all.Go(func() {
				err := clients[i%3].Once(context.Background(), "init", func(context.Context) error {
					time.Sleep(50 * time.Millisecond) // the others come meanwhile
					runs.Add(1)
					return nil
				})
				if err != nil {
					e.Error(err)
					return
				}
				if runs.Load() != 1 {
					e.Error("Once returned before it was done")
				}
				nils.Add(1)
			})
		}
		all.Wait()
		if runs.Load() != 1 || nils.Load() != 60 {
			e.Errorf("%d runs, %d callers served", runs.Load(), nils.Load())
		}
		e.untouched("once:init")
	})
}

func TestAfterAFailureOfOnceTheNextWaiterRunsIt(t *testing.T) {
	both(t, func(e *env) {
		clients := []*redislock.Client{e.client(), e.client()}
		var runs, failed, running atomic.Int32
		var all sync.WaitGroup
		mine := make([]error, 12)
		for i := range mine {
			mine[i] = fmt.Errorf("failure of caller %d", i)
			all.Go(func() {
				err := clients[i%2].Once(context.Background(), "init", func(context.Context) error {
					if running.Add(1) != 1 {
						e.Error("two at a time")
					}
					defer running.Add(-1)
					time.Sleep(5 * time.Millisecond)
					if runs.Add(1) <= 4 {
						return mine[i]
					}
					return nil
				})
				if err != nil {
					failed.Add(1)
					if !errors.Is(err, mine[i]) {
						e.Errorf("caller %d got %v", i, err)
					}
				}
			})
		}
		all.Wait()
		if runs.Load() != 5 || failed.Load() != 4 {
			e.Errorf("%d runs, %d failures", runs.Load(), failed.Load())
		}
		e.untouched("once:init")
	})
}

func TestOnceCostsNoRoundTripInAProcessThatKnows(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		run := func(context.Context) error { return nil }
		if err := e.client().Once(ctx, "init", run); err != nil {
			e.Fatal(err)
		}
		rdb := e.connect()
		sent := &counter{}
		rdb.AddHook(sent)
		c := e.over(rdb)
		must := func() {
			e.Helper()
			if err := c.Once(ctx, "init", func(context.Context) error { e.Error("it ran again"); return nil }); err != nil {
				e.Fatal(err)
			}
		}
		must()
		if got := sent.trips.Load(); got != 1 {
			e.Errorf("a new process needs %d round trips", got)
		}
		time.Sleep(time.Second) // the subscription stands
		must()
		before := sent.trips.Load()
		for range 100 {
			must()
		}
		if got := sent.trips.Load() - before; got != 0 {
			e.Errorf("%d round trips of a process that knows", got)
		}
	})
}

// counter counts round trips, of which a pipeline is one, and commands.
type counter struct{ trips, commands atomic.Int32 }

func (h *counter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if setUp := cmd.Name() == "hello" || strings.Contains(fmt.Sprint(cmd.Args()...), "{%}"); !setUp { // of connection and subscription
			h.trips.Add(1)
			h.commands.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (h *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.trips.Add(1)
		h.commands.Add(int32(len(cmds)))
		return next(ctx, cmds)
	}
}

func TestAResetOfOnceReachesProcessesThatKnow(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		var runs atomic.Int32
		run := func(context.Context) error { runs.Add(1); return nil }
		for _, c := range []*redislock.Client{a, b, a, b} {
			if err := c.Once(ctx, "init", run); err != nil {
				e.Fatal(err)
			}
		}
		if done, err := b.OnceDone(ctx, "init"); !done || err != nil {
			e.Errorf("done: %v, %v", done, err)
		}
		e.acquire(b, "x") // its subscription stands by now
		if err := a.OnceReset(ctx, "init"); err != nil {
			e.Fatal(err)
		}
		if done, err := b.OnceDone(ctx, "init"); done || err != nil {
			e.Errorf("done after the reset: %v, %v", done, err)
		}
		e.eventually("the other process runs it again", func() bool {
			if err := b.Once(ctx, "init", run); err != nil {
				e.Fatal(err)
			}
			return runs.Load() == 2
		})
		l, _ := b.Acquire(ctx, "y")
		e.release(l)
		if _, err := b.Break(ctx, "x", "end of the test"); err != nil {
			e.Fatal(err)
		}
	})
}

func TestOnceIsForgottenWhenItWasSaid(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		runs := 0
		hour := func(c *redislock.Client) {
			e.Helper()
			if err := c.Once(ctx, "hourly", func(context.Context) error { runs++; return nil }, redislock.WithForget(time.Hour)); err != nil {
				e.Fatal(err)
			}
		}
		for want := 1; want <= 3; want++ {
			for range 3 {
				hour(a)
				hour(b)
				time.Sleep(17 * time.Minute)
			}
			if runs != want {
				e.Fatalf("%d runs in hour %d", runs, want)
			}
			time.Sleep(10 * time.Minute)
		}
		if ttl := e.raw.PTTL(ctx, "redislock:r:{once:hourly}").Val(); ttl > 0 {
			e.Errorf("the record outlives the hour by %v", ttl)
		}
		if err := a.Once(ctx, "init", func(context.Context) error { return nil }); err != nil {
			e.Fatal(err)
		}
		if ttl := e.raw.PTTL(ctx, "redislock:r:{once:init}").Val(); ttl < 9*365*24*time.Hour { // I4
			e.Errorf("it is remembered for %v", ttl)
		}
	})
}

func TestALossDuringOnceIsAFailure(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		runs := 0
		err := a.Once(ctx, "init", func(inner context.Context) error {
			runs++
			if _, err := b.Break(ctx, "once:init", "test"); err != nil {
				e.Error(err)
			}
			<-inner.Done()
			return nil // it does not look
		})
		if !errors.Is(err, redislock.ErrLost) {
			e.Errorf("the robbed runner got %v", err)
		}
		if err := b.Once(ctx, "init", func(context.Context) error { runs++; return nil }); err != nil || runs != 2 {
			e.Errorf("the next one: %v, %d runs", err, runs)
		}
	})
}

func TestTheDeathOfARunnerHandsOnceOn(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		lapses := e.dead("once:init", 20*time.Second)
		c := e.client()
		var runs atomic.Int32
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if err := c.Once(context.Background(), "init", func(context.Context) error { runs.Add(1); return nil }); err != nil {
					e.Error(err)
				}
			})
		}
		all.Wait()
		if late := time.Since(lapses); runs.Load() != 1 || late < 0 || late > 200*time.Millisecond {
			e.Errorf("%d runs, %v after the lease", runs.Load(), late)
		}
	})
}

func TestOnceRefusesWhatItCannotDo(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c := e.client()
		run := func(context.Context) error { return nil }
		bad := map[string]error{
			"no name":        c.Once(ctx, "", run),
			"a long name":    c.Once(ctx, strings.Repeat("n", redislock.MaxName-4), run),
			"no function":    c.Once(ctx, "x", nil),
			"a mode":         c.Once(ctx, "x", run, redislock.WithMode(redislock.Read)),
			"fail-open":      c.Once(ctx, "x", run, redislock.WithFailOpen()),
			"forget at once": c.Once(ctx, "x", run, redislock.WithForget(0)),
			"a nil option":   c.Once(ctx, "x", run, nil),
			"a nil Option":   c.Once(ctx, "x", run, redislock.Option(nil)),
		}
		for what, err := range bad {
			if !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("%s: %v", what, err)
			}
		}
		err := c.Once(ctx, "x", func(ctx context.Context) error { return c.Once(ctx, "x", run) })
		if !errors.Is(err, redislock.ErrDeadlock) {
			e.Errorf("inside itself: %v", err)
		}
		err = c.Once(ctx, "x", func(context.Context) error {
			err := e.client().Once(ctx, "x", run, redislock.WithWait(0))
			var held *redislock.HeldError
			if !errors.As(err, &held) || held.Holder.PID == 0 {
				e.Errorf("without waiting: %v", err)
			}
			if err := e.client().Once(ctx, "x", run, redislock.WithWait(2*time.Second)); !errors.Is(err, redislock.ErrHeld) {
				e.Errorf("waiting a little: %v", err)
			}
			return nil
		})
		if err != nil {
			e.Error(err)
		}
		panicked := func() (p any) {
			defer func() { p = recover() }()
			_ = c.Once(ctx, "y", func(context.Context) error { panic("oh") })
			return nil
		}()
		if panicked != "oh" {
			e.Errorf("the panic became %v", panicked)
		}
		e.untouched("once:y")
		if done, err := c.OnceDone(ctx, "y"); done || err != nil {
			e.Errorf("a panic counts as success: %v, %v", done, err)
		}
	})
}

// A look changes nothing, so it is sent again.
func TestALostReplyOfALookIsAskedAgain(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	c := x.behind(3)
	for range 3 {
		x.proxy.SwallowReplyAndClose(requests("recall", "redislock:r:{once:"+x.name+"}"), 1)
		if done, err := c.OnceDone(t.Context(), x.name); done || err != nil {
			t.Errorf("%v, %v", done, err)
		}
	}
}

// A success is recorded, whether or not the caller still waits.
func TestASuccessCountsThoughItsCallerHasGone(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(), e.client()
		ctx, leave := context.WithCancel(context.Background())
		if err := a.Once(ctx, "init", func(context.Context) error { leave(); return nil }); err != nil {
			e.Error(err)
		}
		if done, err := b.OnceDone(context.Background(), "init"); !done || err != nil {
			e.Errorf("%v, %v", done, err)
		}
	})
}

// They wait as readers. Otherwise they would learn of it one after the other.
func TestAllWhoWaitForOnceLearnOfTheEndAtOnce(t *testing.T) {
	const trip = 10 * time.Millisecond
	embedded(t, trip, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		var ended time.Time
		var slowest atomic.Int64
		var all sync.WaitGroup
		runner := e.client()
		begun := make(chan struct{})
		all.Go(func() {
			_ = runner.Once(ctx, "init", func(context.Context) error {
				close(begun)
				time.Sleep(time.Second)
				ended = time.Now()
				return nil
			})
		})
		<-begun
		for range 20 {
			c := e.client()
			all.Go(func() {
				if err := c.Once(ctx, "init", idle); err != nil {
					e.Error(err)
				}
				slowest.Store(max(slowest.Load(), int64(time.Since(ended))))
			})
		}
		all.Wait()
		if took := time.Duration(slowest.Load()); took > 20*trip {
			e.Errorf("the last one learned of it after %v", took)
		}
	})
}

// Redis refuses to keep anything for less than a millisecond.
func TestAnErrorThatIsSharedForAMomentIsKept(t *testing.T) {
	both(t, func(e *env) {
		seen := &recorder{}
		_, err := redislock.Share(context.Background(), e.client(redislock.WithObserver(seen)), "n", time.Minute, func(context.Context) (int, error) {
			return 0, errors.New("oh")
		}, redislock.WithErrorTTL(time.Microsecond))
		if err == nil || seen.count(redislock.EventNotKept) > 0 {
			e.Errorf("%v, %d", err, seen.count(redislock.EventNotKept))
		}
	})
}

// A closed Client answers nothing any more, not even from memory.
func TestAClosedClientDoesNotSayDone(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		for i, want := range []error{nil, nil, redislock.ErrClosed} {
			if err := c.Once(context.Background(), "init", idle); !errors.Is(err, want) {
				e.Errorf("call %d: %v", i, err)
			}
			if time.Sleep(time.Second); i == 1 { // its subscription stands, and it knows
				_ = c.Close(context.Background())
			}
		}
	})
}

// Records that may have changed while there was no subscription are asked for again.
func TestAResetWhileTheSubscriptionIsDownIsNoticedAfterwards(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	c := x.behind(3)
	runs := 0
	run := func(context.Context) error { runs++; return nil }
	if err := x.look.Once(t.Context(), x.name, run); err != nil {
		t.Fatal(err)
	}
	if err := c.Once(t.Context(), x.name, run); err != nil { // it only looks: no lock of its own, and yet it hears
		t.Fatal(err)
	}
	x.eventually("it is subscribed", func() bool { return x.proxy.Stats().Subscribed > 0 })
	x.proxy.MuteSubscriptions()
	if err := x.look.OnceReset(t.Context(), x.name); err != nil {
		t.Fatal(err)
	}
	x.proxy.CloseSubscriptions()
	x.eventually("it runs again", func() bool {
		if err := c.Once(t.Context(), x.name, run); err != nil {
			t.Fatal(err)
		}
		return runs == 2
	})
}

// A record that was looked up before a reset is not remembered after it.
func TestALookBeforeAResetIsNotRememberedAfterIt(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		a := e.client()
		var slow atomic.Bool
		b := e.tapped(&tap{after: func(text string) error {
			if strings.Contains(text, digest("recall")) && slow.CompareAndSwap(true, false) {
				time.Sleep(time.Second)
			}
			return nil
		}})
		e.release(e.acquire(b, "x"))
		time.Sleep(time.Second) // its subscription stands
		runs := 0
		run := func(context.Context) error { runs++; return nil }
		if err := a.Once(ctx, "init", run); err != nil {
			e.Fatal(err)
		}
		slow.Store(true)
		looked := make(chan error)
		go func() { looked <- b.Once(ctx, "init", run) }()
		time.Sleep(500 * time.Millisecond)
		if err := a.OnceReset(ctx, "init"); err != nil {
			e.Fatal(err)
		}
		if err := <-looked; err != nil {
			e.Error(err)
		}
		if err := b.Once(ctx, "init", run); err != nil || runs != 2 {
			e.Errorf("%v, %d runs", err, runs)
		}
	})
}

// The process that resets a record does not wait for its own message.
func TestWhoeverResetsOnceMayRunItAtOnce(t *testing.T) {
	embedded(t, 50*time.Millisecond, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		c := e.client()
		runs := 0
		for range 3 {
			if err := c.Once(ctx, "init", func(context.Context) error { runs++; return nil }); err != nil {
				e.Fatal(err)
			}
			if err := c.OnceReset(ctx, "init"); err != nil {
				e.Fatal(err)
			}
		}
		if runs != 3 {
			e.Errorf("%d runs", runs)
		}
	})
}

// Close never takes the lock of a running body, and the success of that body counts.
func TestASuccessOfOnceWhileTheClientClosesIsKept(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		closed := make(chan error, 1)
		err := a.Once(ctx, "init", func(inner context.Context) error {
			go func() { closed <- a.Close(ctx) }()
			<-inner.Done()
			return nil // it came to its end, under its lock
		})
		if err != nil {
			e.Errorf("the lock was held to the end, and Once says %v", err)
		}
		if err := <-closed; err != nil {
			e.Error(err)
		}
		if err := b.Once(ctx, "init", func(context.Context) error { e.Error("it ran again"); return nil }); err != nil {
			e.Error(err)
		}
	})
}

// A cluster client may send what only reads to replicas, which may be behind.
func TestOnceAsksTheMasterAlone(t *testing.T) {
	t.Parallel()
	master, replica := servertest.Start(t), servertest.Start(t)
	host, port, _ := strings.Cut(master.Addr(), ":")
	admin := replica.Connect()
	if err := admin.ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	e := &env{T: t}
	e.eventually("the replica is in step", func() bool {
		return strings.Contains(admin.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	connect := func() redis.UniversalClient {
		rdb := redis.NewClusterClient(&redis.ClusterOptions{
			ReadOnly: true,
			ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) {
				return []redis.ClusterSlot{{Start: 0, End: 16383, Nodes: []redis.ClusterNode{{Addr: master.Addr()}, {Addr: replica.Addr()}}}}, nil
			},
		})
		t.Cleanup(func() { _ = rdb.Close() })
		return rdb
	}
	a, b := e.over(connect()), e.over(connect())
	if err := admin.ReplicaOf(t.Context(), "127.0.0.1", "1").Err(); err != nil { // its link breaks: it serves what it has
		t.Fatal(err)
	}
	runs := 0
	for _, c := range []*redislock.Client{a, b} {
		if err := c.Once(context.Background(), "init", func(context.Context) error { runs++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if runs != 1 {
		t.Errorf("it ran %d times to success", runs)
	}
	done, err := b.OnceDone(context.Background(), "init")
	if !done || err != nil {
		t.Errorf("OnceDone says %v, %v", done, err)
	}
}

// Between the grant and the function a record is looked at, which may take longer than the lease lasts.
func TestOnceDoesNotBeginAfterItsLockIsLost(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		var looks atomic.Int32
		a := e.tapped(&tap{after: func(text string) error {
			if strings.Contains(text, digest("recall")) && looks.Add(1) == 2 { // the look under the lock
				time.Sleep(900 * time.Millisecond)
			}
			return nil
		}})
		b := e.client()
		lease := redislock.WithLease(500 * time.Millisecond)
		wide := redislock.WithoutRenewal() // as if the process stood still
		var runs atomic.Int32
		var all sync.WaitGroup
		all.Go(func() {
			err := a.Once(ctx, "init", func(context.Context) error { runs.Add(1); return nil }, lease, wide)
			if runs.Load() > 1 {
				e.Errorf("it began without its lock, and so ran to success twice (%v)", err)
			}
		})
		all.Go(func() {
			time.Sleep(100 * time.Millisecond)
			if err := b.Once(ctx, "init", func(context.Context) error { runs.Add(1); return nil }); err != nil {
				e.Error(err)
			}
		})
		all.Wait()
	})
}

// A success that is recorded late, when another holder already runs, is a loss.
func TestALateNoteOfOnceDoesNotCountWhileAnotherRuns(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		slow := once(e.T)
		a := e.tapped(&tap{before: func(text string) error {
			if strings.Contains(text, digest("record")) && slow() {
				time.Sleep(2 * time.Second) // the process was paused before it left
			}
			return nil
		}})
		b, c := e.client(), e.client()
		if err := c.Once(ctx, "warm", idle); err != nil { // the script is loaded
			e.Fatal(err)
		}
		lease := redislock.WithLease(500 * time.Millisecond)
		var running atomic.Bool
		var all sync.WaitGroup
		all.Go(func() {
			err := a.Once(ctx, "init", idle, lease, redislock.WithoutRenewal())
			if running.Load() && !errors.Is(err, redislock.ErrLost) {
				e.Errorf("another runs it, and this one says %v", err)
			}
		})
		all.Go(func() {
			time.Sleep(100 * time.Millisecond)
			err := b.Once(ctx, "init", func(context.Context) error {
				running.Store(true)
				defer running.Store(false)
				time.Sleep(5 * time.Second)
				if done, err := c.OnceDone(ctx, "init"); done {
					e.Errorf("done while it runs: %v", err)
				}
				return errors.New("it fails")
			})
			if err == nil {
				e.Error("the failure was lost")
			}
		})
		all.Wait()
	})
}

// WithWait bounds the whole.
func TestOnceDoesNotWaitLongerThanItWasTold(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		line := &fakenet.Network{Dial: n.Dial}
		c := e.clientOn(line)
		e.release(e.acquire(c, "x"))
		line.Cut()
		begun := time.Now()
		err := c.Once(context.Background(), "init", idle, redislock.WithWait(200*time.Millisecond))
		if took := time.Since(begun); err == nil || took > time.Second {
			e.Errorf("%v after %v", err, took)
		}
		line.Mend()
		time.Sleep(time.Minute)
	})
}

// Idempotent requests are sent again.
func TestAResetSurvivesALostReply(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	x := newScene(t, s)
	ctx := context.Background()
	c := x.behind(3)
	if err := c.Once(ctx, x.name, idle); err != nil {
		t.Fatal(err)
	}
	x.proxy.SwallowReplyAndClose(requests("erase", "redislock:r:{once:"+x.name+"}"), 1)
	if err := c.OnceReset(ctx, x.name); err != nil {
		t.Errorf("a lost reply: %v", err)
	}
}

// A Client's default mode is only for its own locks. The lock of Once is exclusive whatever that mode is.
func TestOnceWorksWhateverTheDefaultModeIs(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client(redislock.WithDefaults(redislock.WithMode(redislock.Read)))
		if err := c.Once(context.Background(), "init", idle); err != nil {
			e.Errorf("Once: %v", err)
		}
		if o, err := c.Cron("job").Run(context.Background(), e.tick(), idle); o != redislock.OutcomeRan {
			e.Errorf("Cron: %v, %v", o, err)
		}
	})
}

// A process that cannot be told of resets does not rely on what it knows.
func TestAProcessThatHearsOfNoResetsAsks(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	ctx := context.Background()
	if err := s.Connect().Do(ctx, "acl", "setuser", "app", "on", ">pw", "+@all", "~*", "resetchannels", "&redislock:c:*").Err(); err != nil {
		t.Fatal(err)
	}
	e := &env{T: t}
	deaf := e.over(s.Connect(func(o *redis.Options) { o.Username, o.Password = "app", "pw" }))
	other := e.over(s.Connect())
	for _, c := range []*redislock.Client{other, deaf} {
		if err := c.Once(ctx, "init", idle); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.OnceReset(ctx, "init"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	ran := false
	if err := deaf.Once(ctx, "init", func(context.Context) error { ran = true; return nil }); err == nil && !ran {
		t.Error("it was reset, and nothing ran")
	}
}
