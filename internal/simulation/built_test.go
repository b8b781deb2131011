package simulation_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"example.com/redislock"
)

// built runs an operation of a type that is built on locks.
func (d *doing) built() error {
	c, w := d.client, d.world
	switch d.Kind {
	case "once":
		ran := false
		err := c.Once(d.ctx, "once", func(ctx context.Context) error {
			ran = false
			d.pause(ctx, time.Second)
			if d.draw.IntN(4) == 0 {
				return errors.New("this time it fails")
			}
			ran = true
			return nil
		}, redislock.WithLease(upTo(d.draw, 200*time.Millisecond, 5*time.Second)))
		if err == nil && ran {
			w.checks.once("once", d.asked)
		}
		return err
	case "share":
		value, err := redislock.Share(d.ctx, c, "share", upTo(d.draw, 10*time.Millisecond, 10*time.Second), func(ctx context.Context) (string, error) {
			d.pause(ctx, time.Second)
			if d.draw.IntN(4) == 0 {
				return "", errors.New("this time it fails")
			}
			return fmt.Sprintf("value of %d", d.Number), nil
		}, redislock.WithLease(upTo(d.draw, 200*time.Millisecond, 5*time.Second)))
		if err == nil && !strings.HasPrefix(value, "value of ") {
			w.checks.find("I11", "%d: Share has %q", d.Number, value)
		}
		return err
	case "cron":
		tick := w.history.began.Truncate(10 * time.Second).Add(time.Since(w.history.began).Truncate(5 * time.Second))
		overlap := []redislock.Overlap{redislock.OverlapSkip, redislock.OverlapWait, redislock.OverlapReplace}[d.draw.IntN(3)]
		job, opts := "job", []redislock.CronOption{redislock.WithLease(upTo(d.draw, 200*time.Millisecond, 5*time.Second)), redislock.WithOverlap(overlap)}
		grouped := d.Seed%4 == 0 // not drawn at random, so that the other runs stay as they were
		if grouped {
			opts = append(opts, redislock.WithGroup("g", 1), redislock.WithHistory(2), redislock.WithPause(time.Duration(d.Seed%8)*50*time.Millisecond))
			if d.Seed%16 == 0 {
				job = "other"
			}
		}
		outcome, err := c.Cron(job, opts...).Run(d.ctx, tick, func(ctx context.Context) error {
			if grouped {
				b := w.checks.enter(&body{doing: d, name: "group:g", class: "exclusive", weight: 1, ctx: ctx, err: ctx.Err})
				defer d.leave(b)
			}
			d.pause(ctx, 3*time.Second)
			return nil
		})
		if outcome == redislock.OutcomeRan {
			w.checks.once("tick "+job+tick.Format(time.TimeOnly), d.asked)
		}
		if err != nil {
			return err
		}
		return fmt.Errorf("outcome %v", outcome)
	case "elect":
		ctx, cancel := context.WithTimeout(d.ctx, upTo(d.draw, 100*time.Millisecond, 20*time.Second))
		defer cancel()
		return c.Elect(ctx, "e", func(ctx context.Context) error {
			l, ok := redislock.FromContext(ctx)
			if !ok {
				w.checks.find("I10", "%d: a leader without a lock", d.Number)
				return nil
			}
			b := d.enter(l)
			d.work(b)
			d.leave(b)
			return nil
		}, redislock.WithLease(upTo(d.draw, 200*time.Millisecond, 5*time.Second)))
	case "weak":
		l, err := c.AcquireWeak(d.ctx, "weak", redislock.WithLease(upTo(d.draw, 100*time.Millisecond, 10*time.Second)))
		if err != nil {
			return err
		}
		b := w.checks.enter(&body{doing: d, name: "weak", class: "exclusive", weight: 1, ctx: l.Context(), err: l.Err})
		d.pause(l.Context(), 2*time.Second)
		d.leave(b)
		return l.Release(d.ctx)
	case "first":
		window := upTo(d.draw, 10*time.Second, time.Hour)
		first, err := c.First(d.ctx, "first", window)
		if first && err == nil {
			w.checks.within("first", d.asked, window)
		}
		return err
	}
	panic(d.Kind)
}
