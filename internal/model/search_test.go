package model

import (
	"slices"
	"testing"

	"example.com/redislock/internal/model/search"
)

// searched is a search of all states, until one violates something.
func searched(c *config) search.Found[*world] {
	if c.rules == (Rules{}) {
		c.rules = Protocol
	}
	if c.tick == 0 {
		c.tick = Second
	}
	return search.Whole(c.start(), (*world).key, func(w *world) (all []search.Step[*world], stuck string) {
		for _, b := range w.branches() {
			all = append(all, search.Step[*world]{What: b.what, To: b.to, Fault: b.to.fault})
		}
		return all, ""
	})
}

func TestNoPromiseIsBroken(t *testing.T) {
	worlds := smallWorlds
	if !testing.Short() {
		worlds = slices.Concat(smallWorlds, largeWorlds)
	}
	for _, c := range worlds {
		t.Run(c.name, func(t *testing.T) {
			r := searched(&c)
			t.Log(r.States, "states")
			if r.Fault != "" {
				t.Errorf("%s", r)
			}
		})
	}
}

// For each rule there is a world in which a promise is broken without the rule.
func TestWithoutAnyOneRuleAPromiseIsBroken(t *testing.T) {
	if testing.Short() {
		t.Skip("it is about the searches, not about the lock")
	}
	var server Rule
	var client clientRule
	for _, c := range []struct {
		name   string
		world  config
		server Rule
		client clientRule
		number func(*Rules)
		fault  string
	}{
		{name: "a new token for every wait", world: races, client: newToken, fault: "I1"},
		{name: "own resends", world: races, client: ownResends, fault: "I8"},
		{name: "tombstones", world: races, server: Tombstones, fault: "I8"},
		{name: "a check never joins", world: races, server: CheckNeverJoins, fault: "I8"},
		{name: "late answers are given back", world: races, client: giveBack, fault: "I8"},
		{name: "the same answer", world: races, server: SameAnswer, fault: "I3"},
		{name: "a newcomer does not pass the queue", world: shared, server: QueueFirst, fault: "I5"},
		{name: "the fence is named", world: regrant, server: NamedFence, fault: "I2"},
		{name: "receivers are counted first", world: replica, server: CountFirst, fault: "I1"},
		{name: "gone only if a check is overdue", world: subscriptions, server: LastCheck, fault: "I5"},
		{name: "last seen per Client", world: silent, server: SeenPerClient, fault: "silence costs"},
		{name: "a bounded hand-over", world: dead, server: BoundedHandOver, fault: "one script cleared away"},
		{name: "a lane of its own", world: lanes, client: ownLane, fault: "is not renewed"},
		{name: "an acknowledged revocation", world: steals, server: AcknowledgedSteal, fault: "I1"},
		{name: "what frees memory first", world: full, server: FreesFirst, fault: "a release is refused"},
		{name: "a claim longer than two checks", world: claims, number: func(r *Rules) { r.Claim = 2 * Second }, fault: "lapses unseen"},
		{name: "checks confirm", world: claims, server: CheckConfirms, fault: "lapses unseen"},
		{name: "tickets by time", world: losses, server: TicketsByTime, fault: "I5"},
		{name: "fences by time", world: losses, server: FencesByTime, fault: "I2"},
		{name: "anchored", world: clock, server: Anchored, fault: "I4"},
		{name: "retention is only raised", world: retention, server: RetentionRaised, fault: "I4"},
		{name: "a bound", world: bounds, client: ownBound, fault: "I1"},
		{name: "a grant past its bound is none", world: bounds, client: believesLate, fault: "I1"},
	} {
		server, client = server|c.server, client|c.client
		t.Run(c.name, func(t *testing.T) {
			w := c.world
			if w.rules == (Rules{}) {
				w.rules = Protocol
			}
			w.rules.Without, w.without = c.server, c.client
			if c.number != nil {
				c.number(&w.rules)
			}
			w.only = c.fault
			if r := searched(&w); r.Fault == "" {
				t.Errorf("none of %d states breaks %q", r.States, c.fault)
			}
		})
	}
	if server != 1<<allRules-1 || client != 1<<allClientRules-1 {
		t.Errorf("not all rules were left out: %b, %b", server, client)
	}
}
