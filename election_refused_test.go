package redislock_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

const noPermission = "NOPERM User app has no permissions to run the 'evalsha' command"

// A right that is missing for a while ends no campaign: before the first term, while it leads, and after it.
func TestACampaignThatIsRefusedForAWhileStandsAgain(t *testing.T) {
	for _, answer := range []string{noPermission, "NOAUTH Authentication required.", "WRONGTYPE Operation against a key holding the wrong kind of value"} {
		embedded(t, 0, func(e *env, _ *fakenet.Network) {
			var seen recorder
			c := e.client(redislock.WithObserver(&seen))
			ctx, stop := context.WithCancel(context.Background())
			refuse := func(d time.Duration) {
				e.refusing(answer)
				time.AfterFunc(d, func() { e.refusing("") })
			}
			refuse(time.Minute)
			begun, terms := time.Now(), 0
			err := c.Elect(ctx, "x", func(ctx context.Context) error {
				took := time.Since(begun)
				switch terms++; {
				case terms == 1 && (took < time.Minute || took > 62*time.Second):
					t.Errorf("elected after %v, refused for a minute", took)
				case terms == 1:
					refuse(2 * time.Minute)
					<-ctx.Done() // its lease cannot be renewed
					begun = time.Now()
				case terms == 2:
					stop()
				}
				return nil
			})
			if !errors.Is(err, context.Canceled) || terms != 2 {
				t.Errorf("%v after %d terms", err, terms)
			}
			if n := seen.gaveUp("elect:x", answer == noPermission); n < 60 || n > 240 {
				t.Errorf("the observer was told of %d candidacies that failed, in some two and a half minutes", n)
			}
		})
	}
}

// gaveUp counts the waits for a lock that ended without it.
func (r *recorder) gaveUp(name string, refused bool) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == redislock.EventGaveUp && e.Name == name && (!refused || errors.Is(e.Err, redislock.ErrPermission)) {
			n++
		}
	}
	return n
}

func TestACampaignThatIsToldToStopWhileItIsRefusedSaysBoth(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		e.refusing(noPermission)
		ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
		defer stop()
		err := c.Elect(ctx, "x", untilOver)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, redislock.ErrPermission) {
			t.Errorf("%v", err)
		}
		e.refusing("")
	})
}

// What will never be again is the end.
func TestACampaignEndsWithItsRedisClient(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		rdb := e.connect()
		c := e.over(rdb)
		begun := time.Now()
		ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
		defer stop()
		err := c.Elect(ctx, "x", func(context.Context) error { return rdb.Close() })
		if !errors.Is(err, redis.ErrClosed) || ctx.Err() != nil {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		time.Sleep(5 * time.Minute) // what it held lapses
	})
}

func TestWhoWatchesGoesOnWhenItIsRefusedForAWhile(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c, other := e.client(), e.client()
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		var all sync.WaitGroup
		var errs, seen [2]int
		all.Go(func() {
			for l, err := range c.Election("x").Watch(ctx) {
				if err != nil {
					errs[0]++
				} else if l.Elected() {
					seen[0]++
				}
			}
		})
		all.Go(func() {
			for info, err := range c.Watch(ctx, "elect:x") {
				if err != nil {
					errs[1]++
				} else if len(info.Holds) > 0 {
					seen[1]++
				}
			}
		})
		time.Sleep(time.Second)
		e.refusing(noPermission)
		time.Sleep(time.Minute)
		e.refusing("")
		time.Sleep(10 * time.Second)
		l := e.acquire(other, "elect:x")
		time.Sleep(time.Minute)
		e.release(l)
		stop()
		all.Wait()
		for i, what := range []string{"the election", "the lock"} {
			if errs[i] == 0 || errs[i] > 60 || seen[i] == 0 {
				t.Errorf("who watches %s saw %d errors and %d holders", what, errs[i], seen[i])
			}
		}
	})
}

// A function that returns at once, with nobody else to lead, does not keep Redis and all who listen busy.
func TestACampaignWhoseTermsEndAtOnceTakesOneASecond(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		heard := e.raw.Subscribe(context.Background(), "redislock:n")
		defer heard.Close()
		told := 0
		var all sync.WaitGroup
		all.Go(func() {
			for range heard.Channel() {
				told++
			}
		})
		c := e.client()
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		defer stop()
		terms := 0
		_ = c.Elect(ctx, "x", func(context.Context) error { terms++; return nil })
		time.Sleep(time.Second)
		_ = heard.Close()
		all.Wait()
		if terms < 55 || terms > 61 || told > 2*terms+4 { // more at the end, which may have been seen
			t.Errorf("%d terms in a minute, and %d broadcasts", terms, told)
		}
	})
}

// A term that has lasted is followed by the next candidacy at once.
func TestALeaderThatHasLedForAWhileStandsAgainAtOnce(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx, stop := context.WithCancel(context.Background())
		var ended time.Time
		_ = e.client().Elect(ctx, "x", func(ctx context.Context) error {
			if !ended.IsZero() {
				if late := time.Since(ended); late > 100*time.Millisecond {
					t.Errorf("%v without a leader", late)
				}
				stop()
			}
			time.Sleep(2 * time.Second)
			ended = time.Now()
			return nil
		})
	})
}
