package redislock_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
)

// What something else has written under a name is told as such by whatever uses the name, and hinders nobody after it is gone.
func TestANameThatSomethingElseUsesIsDamaged(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c := e.client()
		run := func(context.Context) error { t.Error("it ran"); return nil }
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
					t.Errorf("%s, %s: %v", what, op, err)
				}
			}
			for _, key := range []string{"{x}", "r:{once:x}", "r:{cron:x}", "r:{share:x}"} {
				e.raw.Del(ctx, "redislock:"+key)
			}
			e.release(e.acquire(c, "x"))
		}
	})
}

// What something else has left where locks and records are is told of, each by its name, and everything else is listed.
func TestAListingTellsOfEachDamagedKeyAndGoesOn(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c := e.client()
		idle := func(context.Context) error { return nil }
		for _, name := range []string{"a", "z"} {
			e.release(e.acquire(c, name))
			if _, err := c.Cron(name).Run(ctx, time.Now(), idle); err != nil {
				t.Fatal(err)
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
		for info, err := range c.List(ctx, "*") {
			if err != nil && !errors.Is(err, redislock.ErrDamaged) {
				t.Errorf("list: %q: %v", info.Name, err)
			}
			if _, twice := locks[info.Name]; twice {
				t.Errorf("list: %q is listed twice", info.Name)
			}
			locks[info.Name] = err == nil
		}
		for status, err := range c.CronJobs(ctx) {
			if err != nil && !errors.Is(err, redislock.ErrDamaged) {
				t.Errorf("cron jobs: %q: %v", status.Job, err)
			}
			jobs[status.Job] = err == nil
		}
		for _, name := range []string{"text", "list", "hash", long, "a{b"} {
			if good, known := locks[name]; good || !known {
				t.Errorf("the list does not tell of the key of %.20q", name)
			}
		}
		for _, job := range []string{"text", "list", "late", "next", "nothing", "outcome", "c{d"} {
			if good, known := jobs[job]; good || !known {
				t.Errorf("the jobs do not tell of the record of %q", job)
			}
		}
		for _, name := range []string{"a", "z"} {
			if !locks[name] || !jobs[name] {
				t.Errorf("%q is listed as a lock: %t, as a job: %t", name, locks[name], jobs[name])
			}
		}
	})
}
