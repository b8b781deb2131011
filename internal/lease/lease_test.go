package lease

import (
	"errors"
	"testing"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return noon.Add(d) }

// kept is a lease of a minute, granted at noon and kept since.
func kept(change ...func(*Lease)) *Lease {
	l := &Lease{length: time.Minute, fence: "0000000000000007", granted: noon, valid: clock.Bound{From: noon, Span: time.Minute}}
	for _, c := range change {
		c(l)
	}
	l.begin(false, noon)
	return l
}

func final(l *Lease) { l.final = true }

func longest(d time.Duration) func(*Lease) {
	return func(l *Lease) { l.total = &clock.Bound{From: noon, Span: d} }
}

func TestALeaseIsRenewedAfterAThirdAndAClaimAfterAQuarter(t *testing.T) {
	claim := &Lease{length: time.Minute, valid: clock.Bound{From: noon, Span: 4 * time.Second}}
	claim.begin(true, noon)
	finalClaim := &Lease{length: time.Minute, final: true, valid: clock.Bound{From: noon, Span: 4 * time.Second}}
	finalClaim.begin(true, noon)
	for _, test := range []struct {
		name string
		l    *Lease
		next time.Duration
	}{
		{"a lease of a minute", kept(), 20 * time.Second},
		{"one that is not renewed ends", kept(final), time.Minute},
		{"one that may be held for 10 s", kept(longest(10 * time.Second)), 10 * time.Second},
		{"a claim of 4 s", claim, time.Second},
		{"a claim of a lease that is not renewed then", finalClaim, time.Second},
	} {
		if got := test.l.next(noon); got != at(test.next) {
			t.Errorf("%s: next at %v, instead of %v", test.name, got.Sub(noon), test.next)
		}
	}
}

// A renewal that is not answered is sent again, on another connection, long before the bound.
func TestARenewalWithoutAnAnswerIsSentAgain(t *testing.T) {
	l := kept()
	sent := 0
	for now := l.next(noon); now.Before(at(time.Minute)); now = l.next(now) {
		if l.due(now, false) {
			sent++
		}
	}
	if sent != 4 { // after 20, 30, 40 and 50 s
		t.Errorf("sent %d times", sent)
	}
	if !errors.Is(l.expired(at(time.Minute), false), ErrLost) {
		t.Error("held past its bound")
	}
}

func TestARenewalThatFailsIsTriedAgainWithGrowingPauses(t *testing.T) {
	l := kept()
	now := at(20 * time.Second)
	var pauses []time.Duration
	for range 9 {
		if !l.due(now, false) {
			t.Fatalf("nothing is due after %v", now.Sub(noon))
		}
		l.failed(now)
		pauses = append(pauses, l.next(now).Sub(now))
		now = l.next(now)
	}
	for i, p := range pauses {
		if want := min(10*time.Millisecond<<i, time.Second); p != want {
			t.Errorf("pause %d is %v, instead of %v", i, p, want)
		}
	}
	if l.extend(clock.Bound{From: now, Span: time.Minute}, now, now); l.failures != 0 || l.next(now) != now.Add(20*time.Second) {
		t.Errorf("after an answer: %d failures, next after %v", l.failures, l.next(now).Sub(now))
	}
	l.failed(now) // of an earlier attempt: another one was answered meanwhile
	if l.next(now) != now.Add(10*time.Millisecond) {
		t.Errorf("a late failure: next after %v", l.next(now).Sub(now))
	}
}

// A lease that has ended stays so, whatever comes (I7): a late answer does not prolong it, and a doubt does not renew
// it.
func TestWhatHasEndedStaysEnded(t *testing.T) {
	fresh := clock.Bound{From: at(time.Minute), Span: time.Minute}
	for name, end := range map[string]func(*Lease){
		"released": func(l *Lease) { l.end(errors.New("released")) },
		"ran out":  func(l *Lease) {},
	} {
		l := kept()
		end(l)
		if l.extend(fresh, at(59*time.Second), at(time.Minute)) {
			t.Errorf("%s: a renewal prolonged it", name)
		}
		if l.expired(at(time.Minute), false) == nil {
			t.Errorf("%s: it is held", name)
		}
	}
	l := kept()
	first := errors.New("first")
	if reason, won := l.end(first); reason != first || !won {
		t.Errorf("the first end: %v, %v", reason, won)
	}
	if reason, won := l.end(errors.New("second")); reason != first || won {
		t.Errorf("the second end: %v, %v", reason, won)
	}
	if l.soon(noon, noon) || l.failed(noon) {
		t.Error("an event after its end is taken for one of a lease that is kept")
	}
}

// Only an answer of the server moves a bound, and never to an earlier time (I6).
func TestABoundOnlyMovesToALaterTime(t *testing.T) {
	l := kept()
	if l.extend(clock.Bound{From: at(-time.Minute), Span: time.Minute}, noon, at(time.Second)); l.left(at(time.Second)) != 59*time.Second {
		t.Errorf("an older bound: %v left", l.left(at(time.Second)))
	}
	if l.extend(clock.Bound{From: at(time.Second), Span: time.Minute}, at(time.Second), at(2*time.Second)); l.left(at(2*time.Second)) != 59*time.Second {
		t.Errorf("a later bound: %v left", l.left(at(2*time.Second)))
	}
	l = kept(longest(90 * time.Second))
	if l.extend(clock.Bound{From: at(50 * time.Second), Span: time.Minute}, at(50*time.Second), at(50*time.Second)); l.left(at(50*time.Second)) != 40*time.Second {
		t.Errorf("over its longest time: %v left", l.left(at(50*time.Second)))
	}
	if err := l.expired(at(90*time.Second), false); !errors.Is(err, ErrLost) {
		t.Errorf("after its longest time: %v", err)
	}
}

func TestAFinalLeaseIsRenewedNoMoreThanAClaimNeeds(t *testing.T) {
	l := &Lease{length: time.Minute, final: true, valid: clock.Bound{From: noon, Span: 4 * time.Second}}
	l.begin(true, noon)
	if !l.due(at(time.Second), false) {
		t.Error("the claim is not made whole")
	}
	l.extend(clock.Bound{From: at(time.Second), Span: time.Minute}, at(time.Second), at(time.Second))
	if !l.renewAt.IsZero() || l.soon(at(2*time.Second), at(2*time.Second)) {
		t.Error("it is renewed once more")
	}
	l.failed(at(3 * time.Second)) // a late failure
	if !l.renewAt.IsZero() {
		t.Error("a late failure has it renewed once more")
	}
}

func TestWithoutARedisClientNothingIsRenewed(t *testing.T) {
	l := kept()
	if l.due(at(20*time.Second), true) || l.next(at(20*time.Second)) != at(time.Minute) {
		t.Error("a renewal is planned that cannot come through")
	}
	if err := l.expired(at(time.Minute), true); !errors.Is(err, ErrLost) || !errors.Is(err, transport.ErrOrphaned) {
		t.Errorf("it ended with %v", err)
	}
}

func TestAClaimThatRanOutIsNotCalledTheWholeLease(t *testing.T) {
	began := time.Now()
	for _, c := range []struct {
		what    string
		renewed bool
		says    string
	}{
		{"a claim", false, "lock lost: it was handed over for 5s at first, and no renewal was answered in that time"},
		{"one that a renewal has made whole", true, "lock lost: its lease of 30s ran out"},
	} {
		l := Lease{length: 30 * time.Second, granted: began, valid: clock.Bound{From: began, Span: protocol.Claim}}
		l.begin(true, began)
		if c.renewed {
			l.extend(clock.Bound{From: began, Span: 30 * time.Second}, began, began.Add(time.Second))
		}
		err := l.expired(began.Add(time.Minute), false)
		if !errors.Is(err, ErrLost) || err.Error() != c.says {
			t.Errorf("%s: %v", c.what, err)
		}
		if err := l.expired(began.Add(time.Minute), true); err.Error() != c.says+": "+transport.ErrOrphaned.Error() {
			t.Errorf("%s, where the Redis client is closed: %v", c.what, err)
		}
	}
}

func TestRenewalsKeepTheTimesOfTheirLeaseAndShareThoseOfOthers(t *testing.T) {
	granted := time.Now()
	began := granted.Add(-7123 * time.Millisecond)
	const part = 10 * time.Second / gathered
	for _, c := range []struct {
		what              string
		now, due, at      time.Duration // since the grant
		failures, exactly uint8
		length            time.Duration
	}{
		{what: "the first", now: 0, due: 10 * time.Second, at: 10 * time.Second},
		{what: "after one in doubt", now: 13 * time.Second, due: 23 * time.Second, at: 20 * time.Second},
		{what: "in doubt, before its own time", now: 11 * time.Second, due: 15 * time.Second, at: 15 * time.Second},
		{what: "in doubt, past its own time", now: 18 * time.Second, due: 22 * time.Second, at: 20 * time.Second},
		{what: "after a failure", now: 13 * time.Second, due: 13200 * time.Millisecond, at: 13200 * time.Millisecond, failures: 1, exactly: 1},
		{what: "at once", now: 13 * time.Second, due: 13 * time.Second, at: 13 * time.Second, exactly: 1},
		{what: "of a lease too short for that", now: 0, due: 10, at: 10, length: 30, exactly: 1},
	} {
		l := Lease{length: 30 * time.Second, granted: granted, renewAt: granted.Add(c.due), failures: c.failures}
		if c.length > 0 {
			l.length = c.length
		}
		l.gather(began, granted.Add(c.now))
		if got := l.renewAt.Sub(granted); got > c.at || got <= c.at-part || c.exactly > 0 && got != c.at {
			t.Errorf("%s: renewed after %v, want %v", c.what, got, c.at)
		}
		if early := l.renewAt.Sub(began) % part; c.exactly == 0 && early != 0 {
			t.Errorf("%s: %v after the beginning of a part", c.what, early)
		}
	}
}
