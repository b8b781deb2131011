package model

import (
	"os"
	"testing"
)

// The models with small budgets. For each rule one of them is searched without the rule.
var (
	races    = configuration{name: "races", file: "lock.pml"}
	messages = configuration{name: "messages", file: "lock.pml", budgets: []string{"TIMEOUTS=0", "CHECKS=0", "LOSSES=1", "BREAKS=1", "UNCOUNTABLE=1", "LATES=1"}}
	steals   = configuration{name: "steals", file: "lock.pml", budgets: []string{"TIMEOUTS=0", "CHECKS=0", "STEALS=1", "LOSSES=1", "DEATHS=1"}}
	tries    = configuration{name: "tries", file: "lock.pml", budgets: []string{"TIMEOUTS=0", "CHECKS=0", "CRUMBLES=0", "TRIES=1", "UNSUBSCRIBED=1", "LATES=1"}}
	claim    = configuration{name: "claim", file: "claim.pml"}
	silent   = configuration{name: "silent", file: "silent.pml"}
	dead     = configuration{name: "dead", file: "dead.pml"}
	clock    = configuration{name: "clock", file: "clock.pml"}
	order    = configuration{name: "order", file: "order.pml"}
	revoke   = configuration{name: "revoke", file: "revoke.pml"}
)

// The same with more of everything: two timeouts, three clients, two waits of each, faults of
// several kinds at once.
var large = []configuration{
	{name: "races, more", file: "lock.pml", budgets: []string{"TIMEOUTS=2"}},
	{name: "three clients", file: "lock.pml", budgets: []string{"CLIENTS=3", "FIRST_WAITS=1"}},
	{name: "two waits of each", file: "lock.pml", budgets: []string{"OTHER_WAITS=2", "CHECKS=0", "CRUMBLES=0"}},
	{name: "messages, more", file: "lock.pml", budgets: []string{"CHECKS=0", "LOSSES=1", "UNCOUNTABLE=1", "DEATHS=1"}},
	{name: "steals, more", file: "lock.pml", budgets: []string{"STEALS=1", "LOSSES=1"}},
	{name: "tries, more", file: "lock.pml", budgets: []string{"TRIES=1", "UNSUBSCRIBED=1"}},
}

// With all rules there is no state in which a promise is broken, and no run at whose end a client waits for ever.
func TestNoPromiseIsBrokenInAnyState(t *testing.T) {
	all := []configuration{races, messages, steals, tries, claim, silent, dead, clock, order, revoke}
	if os.Getenv("TORTURE") == "full" {
		all = append(all, large...)
	}
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			if r := search(t, c, ""); r.Errors > 0 {
				t.Errorf("%s is violated", r.Violated)
			}
		})
	}
}

// The check that nobody waits for ever needs that every run has an end: there is no cycle of steps.
func TestEveryRunEnds(t *testing.T) {
	c := configuration{name: "races, cycles", file: "lock.pml", budgets: []string{"CHECKS=1", "TIMEOUTS=0", "CANCELS=0", "LOSSES=1"}, ends: true}
	if r := search(t, c, ""); r.Errors > 0 {
		t.Errorf("a run goes on for ever: %s", r.Violated)
	}
}

// The models prove their promises because of the rules: without any one of them a promise is broken.
func TestWithoutAnyOneRuleAPromiseBreaks(t *testing.T) {
	for _, rule := range []struct {
		name, removed string
		in            configuration
		violated      string
	}{
		{"a new token for every wait", "NO_NEW_TOKEN", races, "I1_one_body"},
		{"requests are resent by us alone", "NO_OWN_RESENDS", races, "I8_nothing_left_behind"},
		{"giving up leaves a tombstone", "NO_TOMBSTONE", races, "I8_nothing_left_behind"},
		{"a late answer is given back", "NO_GIVE_BACK", races, "I8_nothing_left_behind"},
		{"a check never joins", "NO_CHECK_ONLY", races, "I8_nothing_left_behind"},
		{"a resend has the same answer", "NO_SAME_ANSWER", races, "I3_same_answer"},
		{"a resent release that finds nothing has released", "NO_RESENT_OK", races, "I3_release_tells_the_truth"},
		{"every script repairs a free lock with a queue", "NO_REPAIR", races, "no_waiter_stuck"},
		{"the local bound ends before the deadline", "NO_BOUND", races, "I1_one_body"},
		{"a grant past its bound is none", "NO_LATE", races, "I1_one_body"},
		{"every wait is checked", "NO_CHECKS", messages, "all_done"},
		{"whether receivers can be counted is probed", "NO_PROBE", messages, "I5_no_live_waiter_passed_over"},
		{"subscribe, then join", "NO_SUBSCRIBE", tries, "I5_no_live_waiter_passed_over"},
		{"a revocation is acknowledged", "NO_ACKNOWLEDGE", steals, "I1_one_body"},
		{"a revocation is acknowledged, told by a renewal", "NO_ACKNOWLEDGE", revoke, "I1_one_body"},
		{"what is revoked is not renewed", "NO_REFUSAL", revoke, "a_revoked_hold_ends"},
		{"a claim is longer than two checks", "NO_LONG_CLAIM", claim, "no_grant_lapses_unseen"},
		{"a check confirms a claim", "NO_CONFIRM", claim, "no_grant_lapses_unseen"},
		{"who is not subscribed is gone only when its check is overdue", "NO_LAST_CHECK", messages, "I5_no_live_waiter_passed_over"},
		{"the same, in time", "NO_LAST_CHECK", dead, "a_place_is_kept"},
		{"whom nobody hears for has a claim until its check is overdue", "NO_SHORT_CLAIM", dead, "the_dead_cost_no_more_than_a_check"},
		{"a Client is last seen at its checks", "NO_LAST_SEEN", silent, "silence_costs_two_claims"},
		{"a hold is anchored anew when the clock went back", "NO_ANCHOR", clock, "a_dead_hold_ends"},
		{"tickets are the clock's, places the token's", "NO_CLOCK_TICKETS", order, "no_place_is_lost"},
		{"fences are the clock's", "NO_CLOCK_FENCES", order, "I2_fences_rise"},
	} {
		t.Run(rule.name, func(t *testing.T) {
			r := search(t, rule.in, rule.removed)
			switch {
			case r.Errors == 0:
				t.Error("no promise breaks without it")
			case r.Violated != rule.violated:
				t.Errorf("%s is violated, not %s", r.Violated, rule.violated)
			}
		})
	}
}
