package monitoring

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"example.com/redislock"
	prometheuslock "example.com/redislock/adapters/prometheus"
)

// outage is a number of locks of one process with the default lease of 30 s, each renewed every ten seconds, on a Redis
// that is away from the second begins to the second ends. A renewal in vain is tried again, and after 30 s the lock is lost.
type outage struct {
	locks        int
	every        int // seconds between two attempts to renew while it is away
	begins, ends int
	after        bool // the lost locks are taken again when it is back
}

func (o outage) away(second int) bool { return second >= o.begins && second < o.ends }

// live is one second of it.
func (o outage) live(second int, observe func(redislock.Event)) {
	lost := o.ends-o.begins >= 30
	for lock := range o.locks {
		turn := (second+lock)%10 == 0
		switch e := (redislock.Event{Name: "n"}); {
		case o.away(second) && second < o.begins+30:
			if e.Kind, e.Err = redislock.EventRenewalFailed, io.EOF; (second-o.begins)%o.every == 0 {
				observe(e)
			}
		case lost && second == o.begins+30:
			e.Kind, e.Err = redislock.EventLost, redislock.ErrLost
			observe(e)
		case o.away(second):
			if turn {
				observe(redislock.Event{Kind: redislock.EventAsked, Name: "n"})
				observe(redislock.Event{Kind: redislock.EventGaveUp, Name: "n", Err: io.EOF})
			}
		case turn && (!lost || second < o.begins || o.after):
			e.Kind = redislock.EventRenewed
			observe(e)
		}
	}
}

func TestRenewalsThatFailAreToldWhateverTheScrapes(t *testing.T) {
	const begins, never, whole = 20 * 60, 1 << 30, 45 * 60
	for name, c := range map[string]struct {
		live func(int, func(redislock.Event))
		want []string
	}{
		"an outage that refuses at once":         {outage{1, 1, begins, never, false}.live, []string{"RedislockLost", "RedislockRenewalsFail", "RedislockUnavailable"}},
		"an outage in which nothing is answered": {outage{1, 8, begins, never, false}.live, []string{"RedislockLost", "RedislockRenewalsFail", "RedislockUnavailable"}},
		"an outage of many locks":                {outage{50, 8, begins, never, false}.live, []string{"RedislockLost", "RedislockRenewalsFail", "RedislockUnavailable"}},
		"an outage of 40 s":                      {outage{20, 1, begins, begins + 40, true}.live, []string{"RedislockLost", "RedislockRenewalsFail"}},
		"a failover of 8 s":                      {outage{20, 2, begins, begins + 8, true}.live, nil},
		"a failover of 8 s, and one lock":        {outage{1, 2, begins, begins + 8, true}.live, nil},
		"one failure in an hour, of one that renews seldom": {func(second int, observe func(redislock.Event)) {
			if second == begins {
				observe(redislock.Event{Kind: redislock.EventRenewalFailed, Name: "n", Err: io.EOF})
			}
		}, nil},
	} {
		for _, scrapes := range []int{15, 60} {
			t.Run(fmt.Sprint(name, ", each ", scrapes, " s"), func(t *testing.T) {
				t.Parallel()
				o, err := prometheuslock.New()
				if err != nil {
					t.Fatal(err)
				}
				registry := prometheus.NewRegistry()
				registry.MustRegister(o)
				var db database
				var times []time.Time
				start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
				for second := range whole {
					c.live(second, o.Observe)
					if second%scrapes == 7 {
						db.add(start.Add(time.Duration(second)*time.Second), scrape(t, registry))
					}
					if second%scrapes == 11 {
						times = append(times, start.Add(time.Duration(second)*time.Second))
					}
				}
				fired := alerts(t, &db, times)
				if got := slices.Sorted(maps.Keys(fired)); !slices.Equal(got, c.want) {
					t.Errorf("fired %q, want %q", got, c.want)
				}
				if at, ok := fired["RedislockRenewalsFail"]; ok && at.Sub(start) > (begins+5*60)*time.Second {
					t.Errorf("it fires only %v after the beginning", at.Sub(start)-begins*time.Second)
				}
			})
		}
	}
}
