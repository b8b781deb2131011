package turn

import (
	"strings"
	"testing"

	"example.com/redislock/internal/model/search"
)

// searched is a search of all states, until one violates something of which the text is a part.
func searched(c Config, text string) search.Found[State] {
	return search.Whole(c.Start(), func(s State) State { return s }, func(s State) (all []search.Step[State], stuck string) {
		for _, next := range c.Steps(&s) {
			if !strings.Contains(next.Fault, text) {
				next.Fault = ""
			}
			all = append(all, search.Step[State]{What: next.What, To: next.To, Fault: next.Fault})
		}
		return all, ""
	})
}

// The configurations. Each is about one kind of fault, and small enough to be searched whole.
var (
	small = Config{MostTime: 5, Lease: 3, Turn: 1, Most: 4, Arrivals: 2, Rounds: 2}
	// recalls is about recalls that are late, lost, or come twice, a process that is paused, and a hold that lapses while it lingers.
	recalls = small.under(Faults{Lost: 1, Doubles: 1, Renewals: 1})
	// renewals is about a hold that its process renews for as long as it may.
	renewals = small.under(Faults{Lost: 1, Renewals: 2})
	// backs is about a server whose clock goes back.
	backs = small.under(Faults{Backs: 1, Renewals: 1})
	// losses is about a server that loses its data.
	losses = small.under(Faults{Losses: 1, Renewals: 1})
	// breaks is about an operator that breaks the lock, and whose message is late.
	breaks = small.under(Faults{Breaks: 1, Renewals: 1})
	// steals is about a waiter that steals, and a clock that then goes back.
	steals = small.under(Faults{Steals: 1, Backs: 1})
)

func (c Config) under(f Faults) Config {
	c.Faults = f
	return c
}

func TestATurnKeepsThePromisesOfALock(t *testing.T) {
	for name, c := range map[string]Config{"recalls": recalls, "renewals": renewals, "backs": backs, "losses": losses, "breaks": breaks, "steals": steals} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() {
				c.MostTime, c.Rounds = c.MostTime-1, c.Rounds-1
			}
			f := searched(c, "")
			t.Log(f.States, "states")
			if f.Fault != "" {
				t.Error(f)
			}
		})
	}
}

// Each rule has a configuration in which a promise is broken without it.
func TestWithoutAnyOneRuleAPromiseOfATurnIsBroken(t *testing.T) {
	var left Rule
	for _, c := range []struct {
		name    string
		config  Config
		without Rule
		fault   string
	}{
		{"local fences run ahead of the server's clock", losses, BelowClock, "fence"},
		{"a release that does not tell the last fence", backs, CarriesLast, "fence"},
		{"an end that leaves the fence where it was", breaks, PastInterval, "fence"},
		{"a clock that goes back, and leaves the fence where it was", backs, PastInterval, "fence"},
		{"a local grant without a look at the bound", recalls, LookAtBound, "two holders"},
		{"who waits elsewhere is served last", recalls, TicketFirst, "passes"},
		{"an idle lock that is kept from who waits", recalls, LingerAlone, "idle"},
		{"a lost recall, and a process that always wants the lock", renewals, Longest, "too long"},
	} {
		left |= c.without
		t.Run(c.name, func(t *testing.T) {
			c.config.Without = c.without
			f := searched(c.config, c.fault)
			t.Log(f.States, "states,", len(f.Steps), "steps")
			if f.Fault == "" {
				t.Errorf("none of %d states breaks it", f.States)
			}
		})
	}
	if left != AllRules {
		t.Errorf("not all rules were left out: %b", left)
	}
}
