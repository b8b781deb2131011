package cronlock_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robfig/cron/v3"

	"example.com/redislock"
	cronlock "example.com/redislock/adapters/cron"
	"example.com/redislock/redislocktest"
)

// On 2 April 2000, in New York, 2:30 does not exist.
func TestTheDayOnWhichTheClocksSkipATimeHasItsRun(t *testing.T) {
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	const spec = "30 2 * * *"
	for name, add := range map[string]func(*cron.Cron, *redislock.Client, *journal){
		"by AddFunc": func(c *cron.Cron, client *redislock.Client, log *journal) {
			_, err := cronlock.AddFunc(c, spec, client, "report", func(context.Context) error { return nil }, quiet(cronlock.WithHandler(log.handle))...)
			if err != nil {
				t.Error(err)
			}
		},
		"by a schedule": func(c *cron.Cron, client *redislock.Client, log *journal) {
			schedule := parse(t, spec)
			g := cronlock.New(client, "report", schedule, quiet(cronlock.WithLocation(newYork), cronlock.WithHandler(log.handle))...)
			c.Schedule(cronlock.CatchUp(schedule), g.Job(func(context.Context) error { return nil }))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(at(t, "2000-04-01T12:00:00-05:00")))
				server := redislocktest.New(t)
				log := &journal{}
				for range 3 {
					c := cron.New(cron.WithLocation(newYork), cron.WithLogger(cron.DiscardLogger))
					add(c, server.NewClient(), log)
					if n := len(c.Entries()); n != 1 {
						t.Errorf("%d entries", n)
					}
					c.Start()
					t.Cleanup(func() { <-c.Stop().Done() })
				}
				time.Sleep(48 * time.Hour)
				synctest.Wait()
				ran := log.count(redislock.OutcomeRan)
				for _, tick := range []string{"2000-04-02T03:00:00-04:00", "2000-04-03T02:30:00-04:00"} {
					if ran[at(t, tick)] != 1 {
						t.Errorf("%s: %d runs", tick, ran[at(t, tick)])
					}
				}
				if len(ran) != 2 || len(log.errors()) > 0 {
					t.Errorf("runs %v, errors %v", ran, log.errors())
				}
				status, err := server.Client.CronStatus(t.Context(), "report")
				if err != nil || !status.Next.Equal(at(t, "2000-04-04T02:30:00-04:00")) {
					t.Errorf("next %v, %v", status.Next, err)
				}
			})
		})
	}
}

// Next returns the first activation after a time, wherever that time is: a walk and a jump give the same.
func TestCatchUpAddsOneActivationAndChangesNoOther(t *testing.T) {
	t.Parallel()
	for _, spec := range []string{"30 2 * * *", "0 2,3 * * *", "*/5 1-4 * * *", "@daily", "30 2 29 3 *"} {
		s := parse(t, "CRON_TZ=Europe/Berlin "+spec)
		whole := cronlock.CatchUp(s)
		change := at(t, "2026-03-29T01:00:00Z")
		plain, more := map[time.Time]bool{}, 0
		from, to := change.Add(-48*time.Hour), change.Add(48*time.Hour)
		for next := s.Next(from); !next.IsZero() && next.Before(to); next = s.Next(next) {
			plain[next.UTC()] = true
		}
		for next := whole.Next(from); !next.IsZero() && next.Before(to); next = whole.Next(next) {
			if !plain[next.UTC()] {
				if more++; !next.Equal(change) {
					t.Errorf("%s: %v", spec, next)
				}
			}
			delete(plain, next.UTC())
		}
		if len(plain) > 0 || more > 1 {
			t.Errorf("%s: %d more, and not %v", spec, more, plain)
		}
		if again := cronlock.CatchUp(whole); again != whole {
			t.Errorf("%s: not the same the second time", spec)
		}
	}
}
