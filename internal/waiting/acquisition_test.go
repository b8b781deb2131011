package waiting

import (
	"errors"
	"testing"

	"example.com/redislock/internal/protocol"
)

// The action of an acquisition after each event, and what it must give up if it fails then (I8).
func TestEachEventOfAnAcquisitionHasItsAction(t *testing.T) {
	answer := func(status string) func(*Acquisition) Action {
		return func(a *Acquisition) Action { return a.Answered(protocol.Reply{Status: status, Ticket: "its place"}) }
	}
	held := func(h protocol.Holder, leaving bool) func(*Acquisition) Action {
		return func(a *Acquisition) Action {
			return a.Answered(protocol.Reply{Status: "held", Holder: h, Leaving: leaving})
		}
	}
	settled := func(o Outcome) func(*Acquisition) Action {
		return func(a *Acquisition) Action { return a.Settled(o, protocol.Holder{Info: "b"}) }
	}
	confirmed := func(v Verdict) func(*Acquisition) Action {
		return func(a *Acquisition) Action { return a.Confirmed(v) }
	}
	waits, tries, fixed := Acquisition{Waits: true}, Acquisition{}, Acquisition{Waits: true, Fixed: true, Granted: true}
	granted := Acquisition{Waits: true, Granted: true}
	queued, unanswered := Acquisition{Waits: true, Joined: true, Ticket: "its place"}, Acquisition{Waits: true, Unanswered: true}
	for _, test := range []struct {
		name   string
		before Acquisition
		event  func(*Acquisition) Action
		action Action
		leaves bool
	}{
		{"granted", waits, answer("granted"), Confirm, true},
		{"held, and it waits", waits, answer("held"), Subscribe, false},
		{"held, and it does not wait", tries, answer("held"), Fail, false},
		{"held by a hold that it has revoked", tries, held(protocol.Holder{Since: 10}, true), Subscribe, false},
		{"held by a hold that it has not revoked", tries, held(protocol.Holder{Since: 10}, false), Fail, false},
		{"held by a hold that it has revoked, and others wait", tries, held(protocol.Holder{Since: 10, Waiting: 1}, true), Fail, false},
		{"held, and a change of a hold steals nothing", Acquisition{Fixed: true}, held(protocol.Holder{Since: 10}, true), Fail, false},
		{"held by nobody, and it steals", tries, held(protocol.Holder{}, false), Fail, false},
		{"waiting", waits, answer("waiting"), Await, true},
		{"full: so many wait that it may not", waits, answer("full"), Fail, false},
		{"over: a tombstone lies where it was", unanswered, answer("over"), NewToken, false},
		{"more", queued, answer("more"), Ask, true},
		{"clash", unanswered, answer("clash"), Fail, true},
		{"an answer that there is not", unanswered, answer("nonsense"), Fail, true},
		{"its place is gone", queued, settled(Outcome{Gone: true}), NewToken, true},
		{"granted by message or check", queued, settled(Outcome{Grant: Grant{Fence: "1"}}), Confirm, true},
		{"its context ended", queued, settled(Outcome{Err: errors.New("ended")}), Fail, true},
		{"confirmed", granted, confirmed(Good), Hold, true},
		{"too late, and it waits", granted, confirmed(TooLate), Retreat, true},
		{"too late, and it does not wait", Acquisition{Granted: true}, confirmed(TooLate), Fail, true},
		{"too late for a change of a hold", fixed, confirmed(TooLate), Fail, true},
		{"not to be confirmed", granted, confirmed(Bad), Fail, true},
	} {
		a := test.before
		if got := test.event(&a); got != test.action || a.MayRemain() != test.leaves {
			t.Errorf("%s: action %v, leaves something: %v; instead of %v, %v", test.name, got, a.MayRemain(), test.action, test.leaves)
		}
		if a.Joined && a.Ticket != "its place" {
			t.Errorf("%s: the place is sought again by the ticket %q", test.name, a.Ticket)
		}
	}
	late := waits
	late.Confirmed(TooLate)
	if late.Confirmed(TooLate); late.Late != 2 {
		t.Errorf("%d late grants, of two", late.Late)
	}
	queued.NothingRemains()
	if queued.MayRemain() || queued.Ticket == "" {
		t.Error("under a new token it must keep its ticket, and nothing else")
	}
}

// The decisions that every acquire needs allocate nothing.
func TestAnAnswerThatGrantsAllocatesNothing(t *testing.T) {
	var a Acquisition
	r := protocol.Reply{Status: "granted"}
	if n := testing.AllocsPerRun(100, func() { a.Answered(r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
