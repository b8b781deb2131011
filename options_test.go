package redislock_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

func TestBadInputIsRefusedBeforeAnythingIsSent(t *testing.T) {
	both(t, func(e *env) {
		rdb := e.connect()
		rdb.AddHook(&tap{before: func(text string) error {
			e.Errorf("something was sent: %s", text)
			return nil
		}})
		c, err := redislock.New(rdb)
		if err != nil {
			e.Fatal(err)
		}
		ctx := context.Background()
		refused := func(what, names string, err error) {
			e.Helper()
			if !errors.Is(err, redislock.ErrInvalid) || !strings.Contains(err.Error(), names) {
				e.Errorf("%s: %v", what, err)
			}
		}
		for names, opt := range map[string]redislock.Option{
			"WithLease(99ms)":                   redislock.WithLease(99 * time.Millisecond),
			"WithLease(24h0m1s)":                redislock.WithLease(24*time.Hour + time.Second),
			"WithLease(0s)":                     redislock.WithLease(0),
			"WithWait(-1s)":                     redislock.WithWait(-time.Second),
			"WithStealAfter(0s)":                redislock.WithStealAfter(0),
			"WithMaxHold(-1ns)":                 redislock.WithMaxHold(-1),
			"WithMaxQueue(0)":                   redislock.WithMaxQueue(0),
			"WithMaxQueue(1000001)":             redislock.WithMaxQueue(redislock.MaxUnits + 1),
			"WithMetadata":                      redislock.WithMetadata(strings.Repeat("x", redislock.MaxMetadata+1)),
			"WithFailOpen":                      redislock.WithFailOpen(),
			"WithFenceFloor(-1)":                redislock.WithFenceFloor(-1),
			"WithFenceFloor(10000000000000000)": redislock.WithFenceFloor(1e16),
			"WithReplicas(0, 1s)":               redislock.WithReplicas(0, time.Second),
			"WithReplicas(101, 1s)":             redislock.WithReplicas(101, time.Second),
			"WithReplicas(1, 0s)":               redislock.WithReplicas(1, 0),
			"WithReplicas(1, 1m0.001s)":         redislock.WithReplicas(1, time.Minute+time.Millisecond),
			"nil Option":                        nil,
		} {
			_, err := c.Acquire(ctx, "x", opt)
			refused("Acquire", names, err)
			_, err = c.TryAcquire(ctx, "x", opt)
			refused("TryAcquire", names, err)
			refused("Do", names, c.Do(ctx, "x", func(context.Context) error { e.Error("ran"); return nil }, opt))
			if opt != nil {
				_, err = redislock.New(rdb, redislock.WithDefaults(opt))
				refused("WithDefaults", names, err)
			}
		}
		for _, name := range []string{"", strings.Repeat("n", redislock.MaxName+1)} {
			_, err := c.Acquire(ctx, name)
			refused("Acquire", "name", err)
			_, err = c.AcquireWeak(ctx, name)
			refused("AcquireWeak", "name", err)
			_, err = c.First(ctx, name, time.Minute)
			refused("First", "name", err)
			_, err = c.Inspect(ctx, name)
			refused("Inspect", "name", err)
			_, err = c.Break(ctx, name, "why")
			refused("Break", "name", err)
			refused("Forget", "name", c.Forget(ctx, name))
		}
		_, err = c.Acquire(ctx, "x", redislock.WithMaxHold(time.Hour), redislock.WithoutRenewal())
		refused("contradiction", "WithMaxHold(1h0m0s) with WithoutRenewal", err)
		var none context.Context
		_, err = c.Acquire(none, "x")
		refused("nil context", "nil context", err)
		refused("nil function", "nil function", c.Do(ctx, "x", nil))
		refused("nil function", "nil function", redislock.WrapBy[string](c, nil, func(context.Context, string) error { return nil })(ctx, "x"))
		refused("nil function", "nil function", redislock.WrapBy[string](c, func(string) string { return "x" }, nil)(ctx, "x"))
		redislock.Observers(nil, nil).Observe(redislock.Event{})
		_, err = c.First(ctx, "x", 0)
		refused("window", "window", err)
		_, err = c.Break(ctx, "x", "")
		refused("reason", "reason", err)
		for names, opt := range map[string]redislock.Option{
			"WithStealAfter": redislock.WithStealAfter(time.Minute),
			"WithMaxHold":    redislock.WithMaxHold(time.Minute),
			"WithMetadata":   redislock.WithMetadata("m"),
			"WithoutRenewal": redislock.WithoutRenewal(),
			"WithReplicas":   redislock.WithReplicas(1, time.Second),
			"WithFenceFloor": redislock.WithFenceFloor(1),
		} {
			_, err := c.AcquireWeak(ctx, "x", opt)
			refused("AcquireWeak", names, err)
		}
		for names, opt := range map[string]redislock.ClientOption{
			`WithPrefix("")`:       redislock.WithPrefix(""),
			`WithPrefix("a{b}")`:   redislock.WithPrefix("a{b}"),
			`WithPrefix("a b")`:    redislock.WithPrefix("a b"),
			`WithPrefix("app:w")`:  redislock.WithPrefix("app:w"),
			`WithName("")`:         redislock.WithName(""),
			`WithName("a\nb")`:     redislock.WithName("a\nb"),
			`WithName("a\x00b")`:   redislock.WithName("a\x00b"),
			"WithRetention(1s)":    redislock.WithRetention(time.Second),
			"WithRetention(2161h":  redislock.WithRetention(2161 * time.Hour),
			"WithClockMargin(-1s)": redislock.WithClockMargin(-time.Second),
			"WithClockMargin(11s)": redislock.WithClockMargin(11 * time.Second),
			"WithObserver(nil)":    redislock.WithObserver(nil),
			"nil ClientOption":     nil,
		} {
			_, err := redislock.New(rdb, opt)
			refused("New", names, err)
		}
	})
}

func TestPrefixesShareNothing(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.prefixed("app:a"), e.prefixed("app:b")
		l := e.acquire(a, "x")
		m, err := b.TryAcquire(context.Background(), "x")
		if err != nil {
			e.Fatal(err)
		}
		e.release(l)
		e.release(m)
	})
}

func TestDefaultsAreOverriddenByTheCall(t *testing.T) {
	both(t, func(e *env) {
		c := e.client(redislock.WithDefaults(redislock.WithWait(0), redislock.WithLease(time.Minute), redislock.WithMetadata("default")))
		l := e.acquire(c, "x")
		info, err := c.Inspect(context.Background(), "x")
		if err != nil || len(info.Holds) != 1 {
			e.Fatalf("%+v, %v", info, err)
		}
		if h := info.Holds[0]; h.Owner.Metadata != "default" || h.Deadline.Sub(h.Since) < time.Minute {
			e.Errorf("the defaults: %+v", h)
		}
		if _, err := c.Acquire(context.Background(), "x"); !errors.Is(err, redislock.ErrHeld) {
			e.Errorf("the default wait: %v", err)
		}
		start := time.Now()
		if _, err := c.Acquire(context.Background(), "x", redislock.WithWait(500*time.Millisecond)); !errors.Is(err, redislock.ErrHeld) || time.Since(start) < 500*time.Millisecond {
			e.Errorf("an own wait: %v after %v", err, time.Since(start))
		}
		e.release(l)
	})
}

func TestInspectShowsHoldersAndWaitersInOrder(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.client(redislock.WithName("alpha")), e.client(redislock.WithName("beta"))
		if info, err := a.Inspect(context.Background(), "x"); err != nil || len(info.Holds)+len(info.Places)+info.Waiting != 0 || info.Fence != 0 {
			e.Errorf("a name nobody uses: %+v, %v", info, err)
		}
		l := e.acquire(a, "x", redislock.WithMetadata("m0"))
		done := make(chan struct{})
		for _, m := range []string{"m1", "m2"} {
			go func() {
				e.release(e.acquire(b, "x", redislock.WithMetadata(m)))
				done <- struct{}{}
			}()
			e.queued(a, "x", int(m[1]-'0'))
		}
		info, err := a.Inspect(context.Background(), "x")
		if err != nil || len(info.Holds) != 1 || len(info.Places) != 2 || info.Fence != l.Fence() {
			e.Fatalf("%+v, %v", info, err)
		}
		if o := info.Holds[0].Owner; o.Client != "alpha" || o.Metadata != "m0" || info.Holds[0].Fence != l.Fence() {
			e.Errorf("the holder: %+v", info.Holds[0])
		}
		for i, p := range info.Places {
			if p.Owner.Client != "beta" || p.Owner.Metadata != []string{"m1", "m2"}[i] || p.Since.Before(info.Holds[0].Since) {
				e.Errorf("place %d: %+v", i, p)
			}
		}
		e.release(l)
		<-done
		<-done
	})
}

// A lease that is not renewed in time is how others see that a process is paused, gone or cut off.
func TestInspectShowsWhenAHoldWasLastRenewed(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		hold := func(name string) redislock.Hold {
			info, err := c.Inspect(context.Background(), name)
			if err != nil || len(info.Holds) != 1 {
				e.Fatalf("%s: %+v, %v", name, info, err)
			}
			return info.Holds[0]
		}
		renewed, left := e.acquire(c, "renewed", redislock.WithLease(12*time.Second)), e.acquire(c, "left", redislock.WithLease(12*time.Second), redislock.WithoutRenewal())
		before := hold("renewed")
		if before.Lease != 12*time.Second || before.Renewed().Sub(before.Since) > time.Second {
			e.Errorf("after the grant: %v, renewed %v after it", before.Lease, before.Renewed().Sub(before.Since))
		}
		time.Sleep(10 * time.Second)
		if after := hold("renewed"); after.Lease != 12*time.Second || after.Renewed().Sub(after.Since) < 7*time.Second {
			e.Errorf("after two thirds of the lease: %v, renewed %v after the grant", after.Lease, after.Renewed().Sub(after.Since))
		}
		if h := hold("left"); h.Renewed().Sub(h.Since) > time.Second {
			e.Errorf("without renewal: renewed %v after the grant", h.Renewed().Sub(h.Since))
		}
		if err := left.ReleaseAfter(context.Background(), time.Minute); err != nil {
			e.Fatal(err)
		}
		if h := hold("left"); !h.Kept || !h.Renewed().IsZero() {
			e.Errorf("kept: renewed at %v", h.Renewed())
		}
		e.release(renewed)
	})
}

// The name of a program is chosen by the person who starts it.
func TestAnyArgumentsOfTheProgramGiveAName(t *testing.T) {
	was := os.Args
	defer func() { os.Args = was }()
	for _, args := range [][]string{
		nil, {""}, {"/usr/bin/api"}, {"api (pid 1 on node)\nforged\n1\n"}, {"a\x00b\x7f\u0085"}, {"\xff\xfe"}, {strings.Repeat("ä", 100)},
	} {
		embedded(t, 0, func(e *env, _ *fakenet.Network) {
			os.Args = args
			named, c := e.client(redislock.WithName("named")), e.client()
			e.release(e.acquire(named, "x"))
			l := e.acquire(c, "x")
			info, err := c.Inspect(context.Background(), "x")
			if err != nil || len(info.Holds) != 1 {
				e.Fatalf("%q: %+v, %v", args, info, err)
			}
			owner := info.Holds[0].Owner
			name := owner.Client
			if name == "" || len(name) > 128 || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
				e.Errorf("%q: the name is %q", args, name)
			}
			if owner.PID != os.Getpid() || owner.Metadata != "" {
				e.Errorf("%q: the owner is %+v", args, owner)
			}
			e.release(l)
		})
	}
}

// Texts of others in an error cannot steer a terminal or add lines to a log.
func TestAnErrorShowsWhatOthersWroteOnOneLineWithoutControls(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		const nasty = "a\x1b]52;c;x\x07\nheld by root\u202e\u200b\xff"
		shown := func(text string) {
			e.Helper()
			if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				e.Errorf("shown: %q", text)
			}
		}
		ctx := context.Background()
		a, b := e.client(redislock.WithName("api\u202e\u200b")), e.client()
		l := e.acquire(a, "x", redislock.WithMetadata(nasty))
		_, err := b.TryAcquire(ctx, "x")
		held, is := errors.AsType[*redislock.HeldError](err)
		if !is || held.Holder.Metadata != nasty { // who computes with it has it as it is
			e.Fatalf("%v", err)
		}
		shown(err.Error())
		shown(held.Holder.String())
		if _, err := b.Break(ctx, "x", nasty); err != nil {
			e.Fatal(err)
		}
		<-l.Context().Done()
		shown(l.Err().Error())
		shown(l.Release(ctx).Error())

		// A mode whose name no call of NewMode makes.
		key := "redislock:{y}"
		l = e.acquire(a, "y", redislock.WithMode(redislock.NewMode("shared", redislock.CompatibleWith("shared"))))
		for field, value := range e.raw.HGetAll(ctx, key).Val() {
			e.raw.HSet(ctx, key, field, strings.ReplaceAll(value, "shared", "sh\x1b[2J"))
		}
		info, err := b.Inspect(ctx, "y")
		if err != nil || len(info.Holds) != 1 {
			e.Fatalf("%+v, %v", info, err)
		}
		shown(info.Holds[0].Mode.String())
		shown(info.Holds[0].Mode.Name())
		e.raw.Del(ctx, key)
		_ = l.Release(ctx)
	})
}

// The defaults of a Client for its acquires must not make an exclusive lock a shared one, nor change whether a caller
// waits.
func TestWhatIsBuiltOnLocksIsExclusiveWhateverTheDefaultsAre(t *testing.T) {
	both(t, func(e *env) {
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		c := e.client(redislock.WithDefaults(redislock.WithMode(redislock.Semaphore(9)), redislock.WithWeight(2), redislock.WithWait(0)))
		exclusive := func(name string) {
			e.Helper()
			info, err := c.Inspect(ctx, name)
			if err != nil || info.Holders != 1 || info.Holds[0].Mode != redislock.Exclusive || info.Holds[0].Weight != 1 {
				e.Errorf("%+v, %v", info, err)
			}
		}
		if err := c.Once(ctx, "x", func(context.Context) error { exclusive("once:x"); return nil }); err != nil {
			e.Error(err)
		}
		if _, err := redislock.Share(ctx, c, "x", time.Minute, func(context.Context) (int, error) { exclusive("share:x"); return 1, nil }); err != nil {
			e.Error(err)
		}
		begun, end := make(chan struct{}), make(chan struct{})
		done := make(chan error, 2)
		go func() {
			tick := e.tick()
			g := c.Cron("x", redislock.WithOverlap(redislock.OverlapWait))
			go func() {
				<-begun
				outcome, err := g.Run(ctx, tick.Add(time.Second), idle)
				if outcome != redislock.OutcomeRan {
					err = errors.Join(err, errors.New(outcome.String()))
				}
				done <- err
			}()
			_, err := g.Run(ctx, tick, func(context.Context) error { exclusive("cron:x"); close(begun); <-end; return nil })
			done <- err
		}()
		<-begun
		e.queued(c, "cron:x", 1)
		close(end)
		for range 2 {
			if err := <-done; err != nil {
				e.Error(err)
			}
		}
		leader := e.acquire(e.client(), "elect:x")
		go func() {
			done <- c.Elect(ctx, "x", func(context.Context) error { exclusive("elect:x"); return errors.New("enough") })
		}()
		e.queued(c, "elect:x", 1) // the campaign waits
		e.release(leader)
		if err := <-done; errors.Is(err, redislock.ErrHeld) {
			e.Error(err)
		}
	})
}
