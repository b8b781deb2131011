package redislock_test

import (
	"context"
	"errors"
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
