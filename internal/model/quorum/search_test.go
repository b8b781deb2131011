package quorum

import (
	"slices"
	"strings"
	"testing"

	"example.com/redislock/internal/model/search"
)

// searched is a search of all states, until one violates something or is stuck.
func searched(c Config) search.Found[State] {
	same := func(s State) State { return s }
	return search.Whole(c.Start().canonical(), same, func(s State) (all []search.Step[State], stuck string) {
		moves := false
		for _, next := range c.Steps(&s) {
			moves = moves || next.Must
			to := next.To
			if next.Fault == "" {
				to = to.canonical()
			}
			all = append(all, search.Step[State]{What: next.What, To: to, Fault: next.Fault})
		}
		far := slices.ContainsFunc(s.Nodes[:], func(n Node) bool { return c.Fences && n.Last >= c.MostFences })
		if !moves && !c.Clockless && !far && slices.ContainsFunc(s.Attempts[:], func(a Attempt) bool { return a.Phase == Seeking }) {
			stuck = "stuck"
		}
		return all, stuck
	})
}

// The configurations. Each is about one kind of fault, and small enough to be searched whole.
var (
	// fences is about fences alone. A node may drop a hold at any time, so nothing is assumed about clocks.
	fences = Config{Attempts: 2, Fences: true, Clockless: true, MostFences: 9}
	// threeFences is the same with three attempts.
	threeFences = Config{Attempts: 3, Fences: true, Clockless: true, MostFences: 9}
	// threeWishes is the same, and each attempt asks for a fence.
	threeWishes = Config{Attempts: 3, Fences: true, Clockless: true, MostFences: 5, Wishes: [Attempts]int8{3, 3, 2}}
	// votes is about the number of votes, with any delay of every packet.
	votes = Config{Attempts: 3}
	// strays is the same, with inquiries that come late, bounds that pass, and a caller that gives up.
	strays = Config{Attempts: 3, Faults: Faults{Bounds: 1, Strays: 1, Cancels: 1}}
	// restarts is about nodes that come back without data, one after the other.
	restarts = Config{Attempts: 2, Faults: Faults{Restarts: 2, Bounds: 1}}
	// flushes is about one node that loses its data and runs on, while the holder has the votes of all nodes.
	flushes = Config{Attempts: 3, Faults: Faults{Flushes: 1}}
	// steps is about one hold that expires too early because the clock of its node was stepped, while the holder has the votes of all nodes.
	steps = Config{Attempts: 3, Faults: Faults{Steps: 1}}
	// bounds is about renewals that do not arrive.
	bounds = Config{Attempts: 2, Faults: Faults{Bounds: 3, Cancels: 1}}
	// together has votes and fences.
	together = Config{Attempts: 2, Fences: true, MostFences: 3, Faults: Faults{Bounds: 1}}
)

func TestAQuorumKeepsItsPromises(t *testing.T) {
	for name, c := range map[string]Config{
		"fences": fences, "three fences": threeFences, "three wishes": threeWishes, "votes": votes, "strays": strays, "restarts": restarts, "flushes": flushes, "steps": steps, "bounds": bounds, "together": together,
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && c.Attempts > 2 && (c.Fences || c.Faults != (Faults{})) {
				t.Skip("a large search")
			}
			f := searched(c)
			t.Log(f.States, "states")
			if f.Fault != "" {
				t.Error(f)
			}
		})
	}
}

// The same with two attempts, whatever fences they ask for.
func TestAQuorumGivesWishedFencesAsItDoesAnyOther(t *testing.T) {
	for first := range int8(5) {
		for second := range int8(5) {
			c := fences
			c.Wishes, c.AnyWish, c.MostFences = [Attempts]int8{first, second}, true, 5
			if f := searched(c); f.Fault != "" {
				t.Errorf("%d and %d: %v", first, second, f)
			}
		}
	}
}

// Each rule has a configuration in which a promise is broken without it.
func TestWithoutAnyOneRuleAPromiseOfAQuorumIsBroken(t *testing.T) {
	if testing.Short() {
		t.Skip("it is about the searches, not about the lock")
	}
	var left Rule
	for _, c := range []struct {
		name    string
		config  Config
		without Rule
		fault   string
	}{
		{"the greatest fence of a majority, not written back", fences, WriteBack, "fence"},
		{"written back to any majority", threeFences, TokenHolds, "fence"},
		{"written back where the token holds, however great its own fence is", threeFences, NotAbove, "fence"},
		{"no vote is given back", votes, Yield, "stuck"},
		{"a node that came back with nothing counts at once", restarts, FreshWaits, "two holders"},
		{"held for as long as one node has it", bounds, MajorityBound, "two holders"},
	} {
		left |= c.without
		t.Run(c.name, func(t *testing.T) {
			c.config.Without = c.without
			f := searched(c.config)
			t.Log(f.States, "states,", len(f.Steps), "steps")
			if !strings.Contains(f.Fault, c.fault) {
				t.Errorf("none of %d states breaks it (%q)", f.States, f.Fault)
			}
		})
	}
	if left != AllRules {
		t.Errorf("not all rules were left out: %b", left)
	}
}
