package monitoring

import (
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"example.com/redislock"
	prometheuslock "example.com/redislock/adapters/prometheus"
)

// now is a minute of a scenario, before its scrape.
type now struct {
	minute  int
	observe func(redislock.Event)
}

// grant is an acquire that was granted after a wait, and released.
func (n now) grant(name string, wait time.Duration) {
	n.observe(redislock.Event{Kind: redislock.EventAsked, Name: name})
	n.observe(redislock.Event{Kind: redislock.EventGranted, Name: name, Wait: wait})
	n.observe(redislock.Event{Kind: redislock.EventReleased, Name: name, Held: time.Second})
}

func (n now) gaveUp(err error) {
	n.observe(redislock.Event{Kind: redislock.EventAsked, Name: "n"})
	n.observe(redislock.Event{Kind: redislock.EventGaveUp, Name: "n", Err: err})
}

// usual is the daily round: locks granted, some waits, some that did not want to wait.
func (n now) usual() {
	for range 20 {
		n.grant("n", 2*time.Millisecond)
	}
	n.grant("n", 200*time.Millisecond)
	n.gaveUp(redislock.ErrHeld)
	n.observe(redislock.Event{Kind: redislock.EventRenewed, Name: "n"})
}

func (n now) once(at int, e redislock.Event) {
	if n.minute == at {
		e.Name = "n"
		n.observe(e)
	}
}

const day = 24 * 60

// Each scenario makes its alerts fire, and no other; each alert has one.
func TestAlertsFireWhenTheyShouldAndOnlyThen(t *testing.T) {
	scenarios := map[string]struct {
		minutes int
		live    func(now)
		want    []string
	}{
		"nothing happens": {60, func(now) {}, nil},
		"the daily round": {60, now.usual, nil},
		"a lock is lost, for the first time": {60, func(n now) {
			n.usual()
			n.once(20, redislock.Event{Kind: redislock.EventLost, Err: redislock.ErrLost})
		}, []string{"RedislockLost"}},
		"a lock was lost unnoticed": {60, func(n now) {
			n.usual()
			n.once(20, redislock.Event{Kind: redislock.EventReleased, Err: redislock.ErrNotHeld})
		}, []string{"RedislockLost"}},
		"a release without an answer lapses by its lease": {60, func(n now) {
			n.usual()
			n.once(20, redislock.Event{Kind: redislock.EventReleased, Err: io.EOF})
		}, nil},
		"a lock is stolen": {60, func(n now) {
			n.usual()
			n.once(20, redislock.Event{Kind: redislock.EventStolen, Err: redislock.ErrStolen})
		}, []string{"RedislockStolen"}},
		"renewals fail for a moment, as in a failover": {60, func(n now) {
			n.usual()
			for range 20 { // locks, each renewed every ten seconds, and for some seconds in vain
				for range 6 {
					n.observe(redislock.Event{Kind: redislock.EventRenewed, Name: "n"})
					n.once(20, redislock.Event{Kind: redislock.EventRenewalFailed, Err: io.EOF})
				}
			}
		}, nil},
		"renewals fail and fail": {60, func(n now) {
			n.usual()
			if n.minute >= 20 && n.minute < 30 {
				n.observe(redislock.Event{Kind: redislock.EventRenewalFailed, Name: "n", Err: io.EOF})
			}
		}, []string{"RedislockRenewalsFail"}},
		"Redis is away for a minute": {60, func(n now) {
			if n.minute == 20 {
				n.gaveUp(io.EOF)
			} else {
				n.usual()
			}
		}, nil},
		"Redis stays away": {60, func(n now) {
			if n.minute >= 20 {
				n.gaveUp(io.EOF)
			} else {
				n.usual()
			}
		}, []string{"RedislockUnavailable"}},
		"the ACL refuses": {60, func(n now) { n.gaveUp(redislock.ErrPermission) }, []string{"RedislockUnavailable"}},
		"all locks are held and nobody wants to wait": {60, func(n now) { n.gaveUp(redislock.ErrHeld) }, nil},
		"a weak lock goes on without Redis": {60, func(n now) {
			n.usual()
			n.once(20, redislock.Event{Kind: redislock.EventFailOpen, Err: io.EOF})
		}, []string{"RedislockFailOpen"}},
		"a waiter is never served": {60, func(n now) {
			n.once(10, redislock.Event{Kind: redislock.EventAsked})
		}, []string{"RedislockNotServed"}},
		"a process has waited since its start, and not for long": {18, func(n now) {
			n.once(0, redislock.Event{Kind: redislock.EventAsked})
		}, nil},
		"a waiter is served after ten minutes": {60, func(n now) {
			n.once(10, redislock.Event{Kind: redislock.EventAsked})
			n.once(20, redislock.Event{Kind: redislock.EventGranted, Wait: 10 * time.Minute})
		}, nil},
		"a busy lock: somebody waits all the time": {60, func(n now) {
			n.once(10, redislock.Event{Kind: redislock.EventAsked})
			n.usual()
		}, nil},
		"candidates wait for a leader to go": {60, func(n now) {
			if n.minute == 1 {
				n.observe(redislock.Event{Kind: redislock.EventAsked, Name: "elect:billing"})
			}
		}, nil},
		"a lock is held for long and nobody waits": {60, func(n now) {
			n.once(1, redislock.Event{Kind: redislock.EventAsked})
			n.once(1, redislock.Event{Kind: redislock.EventGranted})
		}, nil},
		"waits grow": {day + 120, func(n now) {
			if n.minute > day {
				for range 20 {
					n.grant("n", 8*time.Second)
				}
			}
			n.usual()
		}, []string{"RedislockWaitsGrow"}},
		"waits grow for a moment": {day + 120, func(n now) {
			if n.minute > day && n.minute < day+10 {
				n.grant("n", 8*time.Second)
			}
			n.usual()
		}, nil},
		"waits grow, and are still short": {day + 120, func(n now) {
			if n.minute > day {
				n.grant("n", 300*time.Millisecond)
			}
			n.grant("n", 2*time.Millisecond)
		}, nil},
		"waits are long as every day": {day + 120, func(n now) { n.grant("n", 8*time.Second) }, nil},
		"a leader goes after a day": {day + 120, func(n now) {
			n.usual()
			if n.minute == 1 {
				n.observe(redislock.Event{Kind: redislock.EventAsked, Name: "elect:billing"})
			}
			if n.minute == day {
				n.observe(redislock.Event{Kind: redislock.EventGranted, Name: "elect:billing", Wait: 24 * time.Hour})
			}
		}, nil},
	}
	made := map[string]bool{}
	for _, c := range scenarios {
		for _, alert := range c.want {
			made[alert] = true
		}
	}
	for _, r := range rules(t) {
		if !made[r.Alert] {
			t.Errorf("no scenario makes %s fire", r.Alert)
		}
	}
	for name, c := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if fired := play(t, c.minutes, c.live); !slices.Equal(fired, c.want) {
				t.Errorf("fired %q, want %q", fired, c.want)
			}
		})
	}
}

// play has a scenario scraped every minute by a process of its own, and the rules looked at as often during its last hour
// and a half. It returns the alerts that fired.
func play(t *testing.T, minutes int, live func(now)) []string {
	t.Helper()
	o, err := prometheuslock.New()
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(o)
	var db database
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for minute := range minutes {
		live(now{minute, o.Observe})
		if minute < minutes-120 && minute%5 > 0 {
			continue // what is long ago need not be so fine
		}
		db.add(start.Add(time.Duration(minute)*time.Minute), scrape(t, registry))
	}
	var times []time.Time
	for minute := max(0, minutes-90); minute < minutes; minute++ {
		times = append(times, start.Add(time.Duration(minute)*time.Minute))
	}
	return slices.Sorted(maps.Keys(alerts(t, &db, times)))
}

// alerts are those that fire when the rules are looked at at these times, each with the first one.
func alerts(t *testing.T, db *database, times []time.Time) map[string]time.Time {
	t.Helper()
	fired := map[string]time.Time{}
	for _, rule := range rules(t) {
		since := map[uint64]time.Time{} // when each alert began to be pending
		for _, at := range times {
			pending := map[uint64]time.Time{}
			for _, s := range db.ask(t, rule.Expr, at) {
				id := s.Metric.Hash()
				pending[id] = at
				if began, ok := since[id]; ok {
					pending[id] = began
				}
				if _, known := fired[rule.Alert]; !known && at.Sub(pending[id]) >= time.Duration(rule.For) {
					fired[rule.Alert] = at
				}
			}
			since = pending
		}
	}
	return fired
}
