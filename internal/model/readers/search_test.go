package readers

import (
	"strings"
	"testing"

	"example.com/redislock/internal/model/search"
)

// searched is a search of all states, until one violates something of which the text is a part.
func searched(c Config, text string) search.Found[State] {
	return search.Whole(c.Start(), func(s State) State { return s }, func(s State) (all []search.Step[State], stuck string) {
		all = c.Steps(&s)
		for i := range all {
			if !strings.Contains(all[i].Fault, text) {
				all[i].Fault = ""
			}
		}
		return all, ""
	})
}

// The configurations. Each is small enough to be searched whole.
var (
	lapses = Config{MostTime: 4, Lease: 2, Most: 4, Comers: 3, Rounds: 1}
	losses = Config{MostTime: 3, Lease: 4, Most: 2, Comers: 3, Rounds: 1, Lost: 1}
	breaks = Config{MostTime: 3, Lease: 3, Most: 2, Comers: 3, Rounds: 1, Breaks: 1}
	queues = Config{MostTime: 3, Lease: 3, Most: 2, Comers: 3, Rounds: 2}
)

func TestReadersOfAProcessKeepThePromisesOfALock(t *testing.T) {
	for name, c := range map[string]Config{"lapses": lapses, "losses": losses, "breaks": breaks, "queues": queues} {
		t.Run(name, func(t *testing.T) {
			f := searched(c, "")
			t.Log(f.States, "states")
			if f.Fault != "" {
				t.Error(f)
			}
		})
	}
}

// Each rule has a configuration in which a promise is broken without it.
func TestWithoutAnyOneRuleAPromiseOfReadersIsBroken(t *testing.T) {
	var left Rule
	for _, c := range []struct {
		name    string
		config  Config
		without Rule
		fault   string
	}{
		{"a reader is let in without a look at the bound", lapses, WithinBound, "beside a writer"},
		{"a recall that shuts no door", queues, ShutByRecall, "known to wait"},
		{"a recall that is faster than the answer", queues, ShutEarly, "known to wait"},
		{"others are let in under a hold that came out of the queue", queues, AtOnce, "waited before"},
		{"a lost recall, and readers without an end", losses, Longest, "too late"},
		{"whoever leaves gives the hold back", lapses, LastOne, "beside a writer"},
		{"an idle lock that is kept from who waits", lapses, IdleIsRecalled, "idle"},
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
