package redislock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"example.com/redislock"
)

// What a body hands off, or gives back, by itself was not lost: the answer is the body's own.
func TestWhatABodyGivesAwayByItselfIsNotLost(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		c, other := e.client(), e.client()
		oh := errors.New("oh")
		var ticket string
		ways := map[string]func(l *redislock.Lock) error{
			"handoff": func(l *redislock.Lock) (err error) {
				ticket, err = l.Handoff()
				return err
			},
			"release": func(l *redislock.Lock) error { return l.Release(ctx) },
		}
		tick := e.tick().Add(-time.Hour)
		for way, give := range ways {
			for _, want := range []error{nil, oh} {
				name := way
				body := func(ctx context.Context) error {
					l, ok := redislock.FromContext(ctx)
					if !ok {
						t.Fatal("no lock")
					}
					if err := give(l); err != nil {
						t.Errorf("%s: %v", way, err)
					}
					return want
				}
				got := func(what string, err error) {
					t.Helper()
					if errors.Is(err, redislock.ErrLost) || errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, want) || want == nil && err != nil {
						t.Errorf("%s, %s: %v, the body said %v", what, way, err, want)
					}
					if ticket == "" {
						return
					}
					l, err := other.Resume(ctx, ticket)
					if err != nil {
						t.Fatalf("%s: the other one has not got it: %v", what, err)
					}
					e.release(l)
					ticket = ""
				}
				got("Do", c.Do(ctx, name, body))
				got("DoAll", c.DoAll(ctx, []string{name}, func(ctx context.Context) error {
					locks := redislock.LocksFromContext(ctx)
					if len(locks) != 1 {
						t.Fatalf("%d locks", len(locks))
					}
					if err := give(locks[0]); err != nil {
						t.Error(err)
					}
					return want
				}))
				if way == "release" {
					got("a Do in a Do", c.Do(ctx, name, func(ctx context.Context) error { return c.Do(ctx, name, body) }))
				}

				tick = tick.Add(time.Second)
				retry := redislock.WithRetry(time.Second)
				outcome, err := c.Cron("report", retry).Run(ctx, tick, body)
				if wanted := map[bool]redislock.Outcome{true: redislock.OutcomeRan, false: redislock.OutcomeFailed}[want == nil]; outcome != wanted {
					t.Errorf("Cron, %s: %v", way, outcome)
				}
				got("Cron", err)
				e.runs(other.Cron("report", retry), tick, redislock.OutcomeElsewhere, idle)
				if s, err := other.CronStatus(ctx, "report"); err != nil || s.Outcome != outcome {
					t.Errorf("Cron, %s: the status is %v, %v", way, s.Outcome, err)
				}

				campaign, stop := context.WithCancel(ctx)
				if err := c.Elect(campaign, name, func(ctx context.Context) error { defer stop(); return body(ctx) }); !errors.Is(err, context.Canceled) || errors.Is(err, redislock.ErrLost) {
					t.Errorf("Elect, %s: %v", way, err)
				}
				got("Elect", want)

				err = c.Once(ctx, name, body) // its success cannot be noted, for that is done under the lock
				if errors.Is(err, redislock.ErrLost) || want == nil && !errors.Is(err, redislock.ErrReleased) || want != nil && !errors.Is(err, want) {
					t.Errorf("Once, %s: %v", way, err)
				}
				got("Once", want)
			}
		}
	})
}
