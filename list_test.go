package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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

// operator is an instance that may do everything on the server.
func (e *env) operator(opts ...redislock.ClientOption) *redislock.Client {
	e.Helper()
	return e.over(e.raw, opts...)
}

// list is the result of List, by name.
func (e *env) list(c *redislock.Client, pattern string) map[string]redislock.Info {
	e.Helper()
	all := map[string]redislock.Info{}
	for info, err := range c.List(context.Background(), pattern) {
		if err != nil {
			e.stop(err)
		}
		if _, twice := all[info.Name]; twice {
			e.Errorf("%q is listed twice", info.Name)
		}
		all[info.Name] = info
	}
	return all
}

func lockNames(all map[string]redislock.Info) []string { return slices.Sorted(maps.Keys(all)) }

func TestListShowsWhoHoldsAndWhoWaits(t *testing.T) {
	both(t, func(e *env) {
		owner, other, operator := e.client(redislock.WithName("owner")), e.client(redislock.WithName("other")), e.operator()
		l := e.acquire(owner, "held", redislock.WithMetadata("import"))
		waits := make(chan *redislock.Lock)
		go func() { waits <- e.acquire(other, "held") }()
		e.queued(owner, "held", 1)
		e.release(e.acquire(other, "idle"))
		var readers []*redislock.Lock
		for range 12 {
			readers = append(readers, e.acquire(owner, "read", redislock.WithMode(redislock.Read)))
		}
		foreign := e.operator(redislock.WithPrefix("foreign"))
		theirs := e.acquire(foreign, "theirs")

		all := e.list(operator, "")
		if got, want := lockNames(all), []string{"held", "idle", "read"}; !slices.Equal(got, want) {
			e.Fatalf("listed %q, want %q", got, want)
		}
		held, idle, read := all["held"], all["idle"], all["read"]
		switch {
		case held.Idle() || held.Holders != 1 || len(held.Holds) != 1 || held.Waiting != 1 || len(held.Places) != 1:
			e.Errorf("held: %+v", held)
		case held.Holds[0].Owner.Client != "owner" || held.Holds[0].Owner.Metadata != "import" || held.Holds[0].Fence != l.Fence():
			e.Errorf("its holder: %+v", held.Holds[0])
		case held.Places[0].Owner.Client != "other":
			e.Errorf("who waits: %+v", held.Places[0])
		}
		if !idle.Idle() || idle.Fence == 0 {
			e.Errorf("idle: %+v", idle)
		}
		if read.Holders != 12 || len(read.Holds) != 10 || read.Holds[0].Mode != redislock.Read {
			e.Errorf("of %d readers %d are shown, the first in %v", read.Holders, len(read.Holds), read.Holds[0].Mode)
		}
		e.release(l)
		e.release(<-waits)
		e.release(theirs)
		for _, l := range readers {
			e.release(l)
		}
	})
}

func TestAHoldHasTheIDOfThePlaceThatItWasGrantedTo(t *testing.T) {
	both(t, func(e *env) {
		owner, other := e.client(), e.client()
		inspect := func() redislock.Info {
			info, err := owner.Inspect(context.Background(), "x")
			if err != nil {
				e.stop(err)
			}
			return info
		}
		l := e.acquire(owner, "x")
		waits := make(chan *redislock.Lock)
		go func() { waits <- e.acquire(other, "x") }()
		e.queued(owner, "x", 1)
		before := inspect()
		e.release(l)
		next := <-waits
		if after := inspect(); len(after.Holds) != 1 || after.Holds[0].ID == "" || after.Holds[0].ID != before.Places[0].ID {
			e.Errorf("the place %+v became the hold %+v", before.Places, after.Holds)
		} else if before.Holds[0].ID == after.Holds[0].ID {
			e.Errorf("two holds have the ID %s", after.Holds[0].ID)
		}
		e.release(next)
		again := e.acquire(other, "x")
		if after := inspect(); after.Holds[0].ID == before.Places[0].ID {
			e.Error("a later hold has the ID of an earlier place")
		}
		e.release(again)
	})
}

func TestListFindsEveryLockOnce(t *testing.T) {
	both(t, func(e *env) {
		c, operator := e.client(), e.operator()
		ctx := context.Background()
		n := unlessShort(1000, 200)
		want := make([]string, 0, n)
		var locks []*redislock.Lock
		for i := range n {
			want = append(want, fmt.Sprintf("n/%04d", i))
			locks = append(locks, e.acquire(c, want[i]))
		}
		if got := lockNames(e.list(operator, "n/*")); !slices.Equal(got, want) {
			e.Errorf("%d of %d are listed", len(got), len(want))
		}
		seen := 0
		for _, err := range operator.List(ctx, "") { // who has enough may leave
			if err != nil {
				e.stop(err)
			}
			if seen++; seen == 3 {
				break
			}
		}
		for _, l := range locks {
			e.release(l)
		}
	})
}

func TestAPatternIsThatOfRedis(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		for _, name := range []string{"a", "b", "ab", "a/b", "a*", "{x}", "100%", "a\nb", "[", `\`, "ä", "a+b"} {
			e.release(e.acquire(c, name))
		}
		for pattern, want := range map[string][]string{
			"a":        {"a"},
			"a*":       {"a", "a\nb", "a*", "a+b", "a/b", "ab"},
			"*b":       {"a\nb", "a+b", "a/b", "ab", "b"},
			"?":        {"[", `\`, "a", "b", "ä"},
			"[ab]":     {"a", "b"},
			"[^a]":     {"[", `\`, "b", "ä"},
			"[a-b]*b":  {"a\nb", "a+b", "a/b", "ab"},
			`a\*`:      {"a*"},
			"{?}":      {"{x}"},
			"100%":     {"100%"},
			`\[`:       {"["},
			`\\`:       {`\`},
			"a+b":      {"a+b"},
			`[\d]`:     nil, // the letter d
			`[\a]`:     {"a"},
			`[\]\\\-]`: {`\`},
			"nothing":  nil,
		} {
			if got := lockNames(e.list(c, pattern)); !slices.Equal(got, want) {
				e.Errorf("%q lists %q, want %q", pattern, got, want)
			}
		}
		for _, pattern := range []string{"[", "a[", `a\`, "[]", "[z-a]"} {
			for _, err := range c.List(context.Background(), pattern) {
				if !errors.Is(err, redislock.ErrInvalid) {
					e.Errorf("%q: %v", pattern, err)
				}
			}
		}
	})
}

func TestALockThatWasTamperedWithHidesNoOther(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c, operator := e.client(), e.operator()
		for i := range 150 {
			e.release(e.acquire(c, fmt.Sprint("good/", i)))
		}
		e.raw.HSet(ctx, "redislock:{a bad one}", "s", "x", "y", "z")
		e.raw.HSet(ctx, "redislock:{bad in another way}", "f", "1")
		tooLong := strings.Repeat("a", redislock.MaxName+1) // no lock is called so
		e.raw.HSet(ctx, "redislock:{"+tooLong+"}", "s", "x", "y", "z")
		e.raw.Set(ctx, "redislock:r:{cron:"+tooLong+"}", "not a status", time.Minute)
		good, bad := 0, map[string]bool{}
		for info, err := range operator.List(ctx, "") {
			if err != nil {
				bad[info.Name] = errors.Is(err, redislock.ErrDamaged)
			} else {
				good++
			}
		}
		if good != 150 || len(bad) != 3 || !bad[tooLong] || !bad["a bad one"] || !bad["bad in another way"] {
			e.Errorf("%d are listed, errors of %v", good, bad)
		}
		e.raw.Set(ctx, "redislock:r:{cron:bad}", "not a status", time.Minute)
		if _, err := c.Cron("good").Run(ctx, time.Now(), func(context.Context) error { return nil }); err != nil {
			e.Fatal(err)
		}
		jobs := map[string]error{}
		for status, err := range operator.CronJobs(ctx) {
			jobs[status.Job] = err
		}
		if len(jobs) != 3 || jobs["good"] != nil || !errors.Is(jobs[tooLong], redislock.ErrDamaged) || !errors.Is(jobs["bad"], redislock.ErrDamaged) {
			e.Errorf("jobs: %v", jobs)
		}
	})
}

func TestListSaysWhyItEnds(t *testing.T) {
	only := func(c *redislock.Client, ctx context.Context) error {
		var last error
		n := 0
		for info, err := range c.List(ctx, "") {
			if last = err; info.Name != "" {
				t.Errorf("it ends with an error that is about %q alone: %v", info.Name, err)
			}
			n++
		}
		if n != 1 {
			t.Errorf("it yields %d times, last %v", n, last)
		}
		return last
	}
	t.Run("embedded", func(t *testing.T) {
		embedded(t, time.Millisecond, func(e *env, n *fakenet.Network) {
			c := e.client()
			e.release(e.acquire(c, "x"))
			gone, cancel := context.WithCancel(context.Background())
			cancel()
			if err := only(c, gone); !errors.Is(err, context.Canceled) {
				e.Errorf("a context that has ended: %v", err)
			}
			if err := only(c, nil); !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("no context: %v", err)
			}
			n.Cut()
			bounded, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			began := time.Now()
			if err := only(c, bounded); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 110*time.Millisecond {
				e.Errorf("a server that does not answer: %v after %v", err, time.Since(began))
			}
			n.Mend()
			if err := c.Close(context.Background()); err != nil {
				e.Error(err)
			}
			if err := only(c, context.Background()); !errors.Is(err, redislock.ErrClosed) {
				e.Errorf("a closed Client: %v", err)
			}
		})
	})
	t.Run("acl", func(t *testing.T) {
		t.Parallel()
		s := servertest.Start(t)
		var o redis.Options
		s.AddUser("app", redislock.ACL("redislock"))(&o)
		app := s.Connect(func(to *redis.Options) { to.Username, to.Password = o.Username, o.Password })
		s.AddUser("operator", redislock.ACL("redislock")+" +scan")(&o)
		operator := s.Connect(func(to *redis.Options) { to.Username, to.Password = o.Username, o.Password })
		e := &env{T: t}
		if err := only(e.over(app), t.Context()); !errors.Is(err, redislock.ErrPermission) || !strings.Contains(err.Error(), "scan") {
			t.Errorf("a user who may not: %v", err)
		}
		c := e.over(operator)
		l := e.acquire(c, "x")
		if all := e.list(c, ""); len(all) != 1 {
			t.Errorf("the operator sees %q", lockNames(all))
		}
		e.release(l)
	})
}

func TestJobsAreListedWithTheirNextRun(t *testing.T) {
	both(t, func(e *env) {
		c, operator := e.client(), e.operator()
		ctx := context.Background()
		now := time.Now().Truncate(time.Second)
		ran := func(context.Context) error { return nil }
		if outcome, err := c.Cron("hourly", hourly).Run(ctx, now, ran); outcome != redislock.OutcomeRan || err != nil {
			e.Fatal(outcome, err)
		}
		if _, err := c.Cron("odd {name}%").Run(ctx, now, ran); err != nil {
			e.Fatal(err)
		}
		e.release(e.acquire(c, "cron:no job"))
		all := map[string]redislock.CronStatus{}
		for status, err := range operator.CronJobs(ctx) {
			if err != nil {
				e.Fatal(err)
			}
			all[status.Job] = status
		}
		if len(all) != 2 || all["hourly"].Outcome != redislock.OutcomeRan || !all["hourly"].Tick.Equal(now) {
			e.Errorf("jobs: %+v", all)
		}
		if next := all["hourly"].Next; !next.Equal(now.Add(time.Hour)) {
			e.Errorf("the next run is %v", next)
		}
		if odd, ok := all["odd {name}%"]; !ok || !odd.Next.IsZero() {
			e.Errorf("the other job: %+v", odd)
		}
		var none context.Context
		for _, err := range operator.CronJobs(none) {
			if !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("no context: %v", err)
			}
		}
		if outcome, err := c.Cron("x", redislock.WithSchedule(nil)).Run(ctx, now, ran); !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("WithSchedule(nil): %v, %v", outcome, err)
		}
	})
}

// seen is the last state that a watch has yielded.
type seen struct {
	redislock.Info
	err error
}

// watch watches a lock until the test ends.
func (e *env) watch(c *redislock.Client, name string) <-chan seen {
	e.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	all, done := make(chan seen, 1000), make(chan struct{})
	go func() {
		defer close(done)
		for info, err := range c.Watch(ctx, name) {
			all <- seen{info, err}
		}
		close(all)
	}()
	e.Cleanup(func() {
		cancel()
		<-done
	})
	return all
}

// until is the first state that is as wanted, and how many came before it.
func (e *env) until(all <-chan seen, what string, is func(redislock.Info) bool) redislock.Info {
	e.Helper()
	timeout := time.After(5 * time.Second)
	for {
		select {
		case s, open := <-all:
			switch {
			case !open:
				e.stop(errors.New("the sequence has ended before: " + what))
			case s.err == nil && is(s.Info):
				return s.Info
			}
		case <-timeout:
			e.stop(errors.New("not seen within five seconds: " + what))
		}
	}
}

func free(i redislock.Info) bool { return i.Holders == 0 }

func heldBy(client string) func(redislock.Info) bool {
	return func(i redislock.Info) bool { return i.Holders == 1 && i.Holds[0].Owner.Client == client }
}

func TestWatchIsToldOfEveryChange(t *testing.T) {
	both(t, func(e *env) {
		a, b, watcher := e.client(redislock.WithName("a")), e.client(redislock.WithName("b")), e.client()
		all := e.watch(watcher, "odd {name}%")
		e.until(all, "nobody", free)
		l := e.acquire(a, "odd {name}%")
		e.until(all, "a has it", heldBy("a"))
		next := make(chan *redislock.Lock, 1)
		go func() { next <- e.acquire(b, "odd {name}%") }()
		e.until(all, "b waits", func(i redislock.Info) bool { return i.Waiting == 1 && i.Places[0].Owner.Client == "b" })
		e.release(l)
		e.until(all, "b has it", heldBy("b"))
		second := <-next
		if _, err := watcher.Break(context.Background(), "odd {name}%", "test"); err != nil {
			e.Error(err)
		}
		e.until(all, "it was broken", free)
		if err := second.Release(context.Background()); !errors.Is(err, redislock.ErrStolen) {
			e.Errorf("release after Break: %v", err)
		}
		// A hold that is as short as can be, of a lock that nobody waits for: released by one command that is no script.
		before := e.until(e.watch(watcher, "odd {name}%"), "nobody", free).Fence
		e.release(e.acquire(a, "odd {name}%"))
		e.until(all, "it came and went", func(i redislock.Info) bool { return i.Fence > before && free(i) })
	})
}

func TestWhoWatchesSeesSharedModesChangesAndSteals(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c, watcher := e.client(), e.client()
		all := e.watch(watcher, "x")
		one := e.acquire(c, "x", redislock.WithMode(redislock.Read))
		two := e.acquire(c, "x", redislock.WithMode(redislock.Read))
		e.until(all, "two readers", func(i redislock.Info) bool { return i.Holders == 2 })
		e.release(two)
		e.until(all, "one reader", func(i redislock.Info) bool { return i.Holders == 1 })
		if err := one.Upgrade(ctx); err != nil {
			e.Fatal(err)
		}
		e.until(all, "a writer", func(i redislock.Info) bool { return i.Holders == 1 && i.Holds[0].Mode == redislock.Write })
		time.Sleep(redislock.MinLease)
		thief, err := c.TryAcquire(ctx, "x", redislock.WithStealAfter(redislock.MinLease))
		if err != nil {
			e.Fatal(err)
		}
		if !ended(one.Context()) {
			e.Error("the holder does not know")
		}
		e.until(all, "the thief has it", func(i redislock.Info) bool { return i.Holders == 1 && i.Holds[0].Mode == redislock.Exclusive })
		e.release(thief)
		e.until(all, "it was given back", free)
		_ = one.Release(ctx)
	})
}

func TestAHoldThatLapsesIsSeenToEnd(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		all := e.watch(e.client(), "x")
		e.until(all, "nobody", free)
		due := e.dead("x", 3*time.Second)
		e.until(all, "somebody", func(i redislock.Info) bool { return i.Holders == 1 })
		e.until(all, "nobody", free)
		if late := time.Since(due); late < 0 || late > 100*time.Millisecond {
			e.Errorf("seen %v after the end of the lease", late)
		}
	})
}

func TestAHoldThatIsRevokedAndNotGivenUpIsSeen(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		c := e.client()
		e.dead("x", time.Minute)
		all := e.watch(e.client(), "x")
		e.until(all, "somebody", func(i redislock.Info) bool { return i.Holders == 1 && !i.Holds[0].Revoked })
		time.Sleep(time.Second)
		_, _ = c.TryAcquire(context.Background(), "x", redislock.WithStealAfter(time.Second))
		began := time.Now()
		e.until(all, "it was stolen", func(i redislock.Info) bool { return i.Holders == 1 && i.Holds[0].Revoked })
		if late := time.Since(began); late > 100*time.Millisecond {
			e.Errorf("seen after %v", late)
		}
	})
}

func TestWhoWatchesALockThatIsBusyIsToldOnceALook(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		c := e.client()
		all := e.watch(e.client(), "x")
		e.until(all, "nobody", free)
		heard := e.raw.Subscribe(context.Background(), "redislock:n:{x}")
		defer heard.Close()
		messages := heard.Channel()
		time.Sleep(time.Second)
		began := time.Now()
		for range 500 {
			e.release(e.acquire(c, "x"))
		}
		took := time.Since(began)
		time.Sleep(time.Second)
		looks := 0
		for len(all) > 0 {
			<-all
			looks++
		}
		if most := int(took/(50*time.Millisecond)) + 2; len(messages) > most || len(messages) == 0 {
			e.Errorf("1000 changes in %v were told by %d messages, at most %d", took, len(messages), most)
		}
		if looks == 0 {
			e.Error("nothing was seen")
		}
	})
}

func TestWatchGoesOnWhenRedisIsBack(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		own := &fakenet.Network{Dial: e.mini.Dial}
		c, watcher := e.client(), e.clientOn(own)
		all := e.watch(watcher, "x")
		e.until(all, "nobody", free)
		cut := time.Now()
		own.Cut()
		l := e.acquire(c, "x")
		for s := range all {
			if s.err != nil {
				break
			}
		}
		if late := time.Since(cut); late > 25*time.Second { // not by the look that comes every 30 s, and then fails
			e.Errorf("told %v after Redis fell silent", late)
		}
		own.Mend()
		e.until(all, "it is held", func(i redislock.Info) bool { return i.Holders == 1 })
		for len(all) > 0 {
			<-all
		}
		time.Sleep(time.Minute) // the subscription is there again
		e.release(l)
		now := time.Now()
		e.until(all, "it is free", free)
		if late := time.Since(now); late > 200*time.Millisecond {
			e.Errorf("told %v after the release", late)
		}
	})
}

func TestWatchEndsWhereItCannotGoOn(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		for _, watch := range []struct {
			what string
			all  <-chan seen
		}{
			{"no name", e.watch(c, "")},
			{"too long", e.watch(c, strings.Repeat("x", redislock.MaxName+1))},
			{"closed Client", nil}, // last: the others need it open
		} {
			what, all, want := watch.what, watch.all, redislock.ErrInvalid
			if all == nil {
				all, want = e.watch(c, "x"), redislock.ErrClosed
				<-all
				if err := c.Close(context.Background()); err != nil {
					e.Fatal(err)
				}
			}
			if s := <-all; !errors.Is(s.err, want) {
				e.Errorf("%s: %+v", what, s)
			}
			if s, open := <-all; open {
				e.Errorf("%s: then %+v", what, s)
			}
			c = e.client()
		}
	})
}

func TestALockThatIsNotWatchedAnyMoreIsAsFastAsBefore(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		l := e.acquire(c, "x")
		for range c.Watch(context.Background(), "x") {
			break
		}
		e.release(l) // which is told, and so the last
		if all := e.raw.HGetAll(context.Background(), "redislock:{x}").Val(); len(all) != 1 {
			e.Errorf("the hash has %q, not the fence alone", all)
		}
		for range c.Watch(context.Background(), "never used") {
			break
		}
		if e.raw.PTTL(context.Background(), "redislock:{never used}").Val() <= 0 {
			e.Error("a key without an expiry (I4)")
		}
		l = e.acquire(c, "never used")
		if e.raw.PTTL(context.Background(), "redislock:{never used}").Val() <= 0 {
			e.Error("a lock without an expiry (I4)")
		}
		e.release(l)
		if e.raw.PTTL(context.Background(), "redislock:{never used}").Val() <= 0 {
			e.Error("an idle lock without an expiry (I4)")
		}
		if all := e.raw.HGetAll(context.Background(), "redislock:{never used}").Val(); len(all) != 1 {
			e.Errorf("the hash has %q, not the fence alone", all)
		}
	})
}

func TestForgedNewsOnlyHasSomebodyLook(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		all := e.watch(c, "x")
		e.until(all, "nobody", free)
		for _, forged := range []string{"vx", "v", "v{", "", "v\x00", "a", "s"} {
			e.raw.Publish(context.Background(), "redislock:n:{x}", forged)
		}
		time.Sleep(time.Second)
		if len(all) > 0 {
			e.Errorf("it yields %+v, and nothing has changed", <-all)
		}
		if found := lockNames(e.list(c, "")); !slices.Equal(found, nil) {
			e.Errorf("there is %q", found)
		}
	})
}

// The messages about a lock go to its watchers, and to nobody else.
func TestAChangeReachesOnlyThoseWhoWatchTheLock(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		listening := func(name string) int64 {
			channel := "redislock:n:{" + name + "}"
			if e.mini != nil {
				return e.raw.PubSubNumSub(ctx, channel).Val()[channel]
			}
			n := int64(0)
			e.real.each(e, func(ctx context.Context, admin *redis.Client) error {
				n += admin.PubSubNumSub(ctx, channel).Val()[channel]
				return nil
			})
			return n
		}
		both, one := e.client(), e.client()
		e.warm(both, one, e.client())
		first, second := e.watch(both, "x"), e.watch(one, "x")
		y, end := context.WithCancel(ctx)
		var other sync.WaitGroup
		other.Go(func() {
			for range both.Watch(y, "y") {
			}
		})
		e.eventually("both are subscribed", func() bool { return listening("x") == 2 && listening("y") == 1 })
		end()
		other.Wait()
		e.eventually("what nobody watches is not subscribed", func() bool { return listening("y") == 0 })
		if n := listening("x"); n != 2 {
			e.Errorf("%d are subscribed to what two watch", n)
		}
		l := e.acquire(both, "x")
		e.until(first, "held", func(i redislock.Info) bool { return i.Holders == 1 })
		e.until(second, "held", func(i redislock.Info) bool { return i.Holders == 1 })
		e.release(l)
		e.until(first, "free", free)
		e.until(second, "free", free)
	})
}

// Sixteen watches of a lock by one Client cost the server as much as one, and each sees every state.
func TestAllWhoWatchALockByOneClientShareTheirLooks(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		var looks atomic.Int32
		look := digest("watch")
		c := e.tapped(&tap{before: func(text string) error {
			looks.Add(int32(strings.Count(text, look)))
			return nil
		}})
		other := e.client()
		var all []<-chan seen
		for range 16 {
			all = append(all, e.watch(c, "x"))
		}
		for _, one := range all {
			e.until(one, "nobody", free)
		}
		time.Sleep(time.Second)
		if n := looks.Load(); n == 0 || n > 4 { // one at the beginning, one for who came during that, one when it is subscribed
			e.Errorf("%d looks at the beginning", n)
		}
		looks.Store(0)
		for range 10 {
			l := e.acquire(other, "x")
			for _, one := range all {
				e.until(one, "held", func(i redislock.Info) bool { return i.Holders == 1 })
			}
			time.Sleep(time.Second)
			e.release(l)
			for _, one := range all {
				e.until(one, "free", free)
			}
			time.Sleep(time.Second)
		}
		if n := looks.Load(); n < 20 || n > 40 {
			e.Errorf("%d looks at 20 changes", n)
		}
	})
}

// The first state of a watch is never older than its call.
func TestWhoBeginsToWatchSeesAStateThatIsNotOlder(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, n *fakenet.Network) {
		c, other := e.client(), e.client()
		e.watch(c, "x") // there is somebody who has looked before
		time.Sleep(time.Second)
		for i := range 30 {
			l := e.acquire(other, "x")
			time.Sleep(time.Duration(i) * 300 * time.Microsecond) // a look of the first may be under way
			for info, err := range c.Watch(context.Background(), "x") {
				if err != nil || info.Holders != 1 {
					e.Errorf("%d: %d holders, %v", i, info.Holders, err)
				}
				break
			}
			e.release(l)
		}
	})
}

// Repeated short watches do not count as an outage, and do not lead to checks whether the Redis client is closed.
func TestWhoWatchesForAMomentLeavesNoTrace(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		events := &recorder{}
		var pings atomic.Int32
		c := e.tapped(&tap{before: func(text string) error {
			pings.Add(int32(strings.Count(text, "ping")))
			return nil
		}}, redislock.WithObserver(events))
		for i := range 50 {
			for _, err := range c.Watch(context.Background(), "x") {
				if err != nil {
					e.Error(err)
				}
				time.Sleep(time.Duration(i%10) * time.Millisecond) // in all states of the subscription
				break
			}
			time.Sleep(time.Duration(i%7) * time.Millisecond)
		}
		time.Sleep(time.Second)
		if n := events.count(redislock.EventSubscribeFailed); n != 0 {
			e.Errorf("%d outages are told", n)
		}
		if n := pings.Load(); n != 0 {
			e.Errorf("%d pings", n)
		}
	})
}

// A user that may take locks, but may not subscribe to their changes, gets an error.
func TestWhoMayNotHearOfChangesLearnsThat(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	allow := func(rule string) {
		t.Helper()
		if err := x.raw.ACLSetUser(t.Context(), x.name, rule).Err(); err != nil {
			t.Fatal(err)
		}
	}
	without := strings.Replace(sufficient, " &redislock:n:{* ", " ", 1)
	c := x.user(without, 3)
	ctx, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	refused, heard := false, false
	for _, err := range c.Watch(ctx, x.name) {
		switch {
		case errors.Is(err, redislock.ErrPermission):
			refused = true
			allow("&redislock:n:{*")
		case err != nil:
			t.Error(err)
		case refused:
			heard = true
		}
		if heard {
			break
		}
	}
	if !refused || !heard {
		t.Errorf("refused is %v and heard after it %v: %v", refused, heard, ctx.Err())
	}
	// A user that may not publish changes gets the error before the first lock.
	if _, err := x.user(without, 3).Acquire(ctx, x.name); !errors.Is(err, redislock.ErrPermission) {
		t.Errorf("who may not tell of a change got %v", err)
	}
}
