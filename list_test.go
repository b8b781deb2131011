package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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

// list is what List yields, by name.
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
			t.Fatalf("listed %q, want %q", got, want)
		}
		held, idle, read := all["held"], all["idle"], all["read"]
		switch {
		case held.Idle() || held.Holders != 1 || len(held.Holds) != 1 || held.Waiting != 1 || len(held.Places) != 1:
			t.Errorf("held: %+v", held)
		case held.Holds[0].Owner.Client != "owner" || held.Holds[0].Owner.Metadata != "import" || held.Holds[0].Fence != l.Fence():
			t.Errorf("its holder: %+v", held.Holds[0])
		case held.Places[0].Owner.Client != "other":
			t.Errorf("who waits: %+v", held.Places[0])
		}
		if !idle.Idle() || idle.Fence == 0 {
			t.Errorf("idle: %+v", idle)
		}
		if read.Holders != 12 || len(read.Holds) != 10 || read.Holds[0].Mode != redislock.Read {
			t.Errorf("of %d readers %d are shown, the first in %v", read.Holders, len(read.Holds), read.Holds[0].Mode)
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
			t.Errorf("the place %+v became the hold %+v", before.Places, after.Holds)
		} else if before.Holds[0].ID == after.Holds[0].ID {
			t.Errorf("two holds have the ID %s", after.Holds[0].ID)
		}
		e.release(next)
		again := e.acquire(other, "x")
		if after := inspect(); after.Holds[0].ID == before.Places[0].ID {
			t.Error("a later hold has the ID of an earlier place")
		}
		e.release(again)
	})
}

func TestListFindsEveryLockOnce(t *testing.T) {
	both(t, func(e *env) {
		c, operator := e.client(), e.operator()
		ctx := context.Background()
		want := make([]string, 0, 1000)
		var locks []*redislock.Lock
		for i := range 1000 {
			want = append(want, fmt.Sprintf("n/%04d", i))
			locks = append(locks, e.acquire(c, want[i]))
		}
		if got := lockNames(e.list(operator, "n/*")); !slices.Equal(got, want) {
			t.Errorf("%d of %d are listed", len(got), len(want))
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
				t.Errorf("%q lists %q, want %q", pattern, got, want)
			}
		}
		for _, pattern := range []string{"[", "a[", `a\`, "[]", "[z-a]"} {
			for _, err := range c.List(context.Background(), pattern) {
				if !errors.Is(err, redislock.ErrInvalid) {
					t.Errorf("%q: %v", pattern, err)
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
			t.Errorf("%d are listed, errors of %v", good, bad)
		}
		e.raw.Set(ctx, "redislock:r:{cron:bad}", "not a status", time.Minute)
		if _, err := c.Cron("good").Run(ctx, time.Now(), func(context.Context) error { return nil }); err != nil {
			t.Fatal(err)
		}
		jobs := map[string]error{}
		for status, err := range operator.CronJobs(ctx) {
			jobs[status.Job] = err
		}
		if len(jobs) != 3 || jobs["good"] != nil || !errors.Is(jobs[tooLong], redislock.ErrDamaged) || !errors.Is(jobs["bad"], redislock.ErrDamaged) {
			t.Errorf("jobs: %v", jobs)
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
				t.Errorf("a context that has ended: %v", err)
			}
			if err := only(c, nil); !errors.Is(err, redislock.ErrInvalid) {
				t.Errorf("no context: %v", err)
			}
			n.Cut()
			bounded, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			began := time.Now()
			if err := only(c, bounded); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 110*time.Millisecond {
				t.Errorf("a server that does not answer: %v after %v", err, time.Since(began))
			}
			n.Mend()
			if err := c.Close(context.Background()); err != nil {
				t.Error(err)
			}
			if err := only(c, context.Background()); !errors.Is(err, redislock.ErrClosed) {
				t.Errorf("a closed Client: %v", err)
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
		hourly := redislock.WithSchedule(func(after time.Time) time.Time { return after.Add(time.Hour) })
		ran := func(context.Context) error { return nil }
		if outcome, err := c.Cron("hourly", hourly).Run(ctx, now, ran); outcome != redislock.OutcomeRan || err != nil {
			t.Fatal(outcome, err)
		}
		if _, err := c.Cron("odd {name}%").Run(ctx, now, ran); err != nil {
			t.Fatal(err)
		}
		e.release(e.acquire(c, "cron:no job"))
		all := map[string]redislock.CronStatus{}
		for status, err := range operator.CronJobs(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			all[status.Job] = status
		}
		if len(all) != 2 || all["hourly"].Outcome != redislock.OutcomeRan || !all["hourly"].Tick.Equal(now) {
			t.Errorf("jobs: %+v", all)
		}
		if next := all["hourly"].Next; !next.Equal(now.Add(time.Hour)) {
			t.Errorf("the next run is %v", next)
		}
		if odd, ok := all["odd {name}%"]; !ok || !odd.Next.IsZero() {
			t.Errorf("the other job: %+v", odd)
		}
		var none context.Context
		for _, err := range operator.CronJobs(none) {
			if !errors.Is(err, redislock.ErrInvalid) {
				t.Errorf("no context: %v", err)
			}
		}
		if outcome, err := c.Cron("x", redislock.WithSchedule(nil)).Run(ctx, now, ran); !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("WithSchedule(nil): %v, %v", outcome, err)
		}
	})
}
