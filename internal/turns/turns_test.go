package turns

import (
	"testing"
	"time"

	"example.com/redislock/internal/protocol"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

const (
	server = protocol.Micros(1_700_000_000_000_000) // the server's clock at noon
	lease  = 10 * time.Second
	turn   = 10 * time.Millisecond
	linger = 50 * time.Millisecond
)

func after(d time.Duration) time.Time { return noon.Add(d) }

// granted is a turn whose hold was granted at noon.
func granted(alone bool) *Turn {
	t := &Turn{}
	t.Arrive(noon, lease, 0)
	t.Granted(Hold{Since: noon, Lease: lease, Sent: noon, Now: server, Fence: int64(server), Alone: alone, Sought: noon})
	return t
}

func (t *Turn) joined(arrived time.Duration) *Waiter {
	w := &Waiter{Arrived: after(arrived), Lease: lease}
	t.Join(w)
	return w
}

func TestWhatFollowsABody(t *testing.T) {
	for _, test := range []struct {
		name   string
		before func(*Turn)
		alone  bool
		at     time.Duration
		left   time.Duration
		want   Action
	}{
		{"a waiter, within the turn", func(t *Turn) { t.joined(1) }, false, 5 * time.Millisecond, lease, Serve},
		{"a waiter, after the turn, while others wait", func(t *Turn) { t.joined(time.Millisecond) }, false, 20 * time.Millisecond, lease, GiveBack},
		{"a waiter who came before all others", func(t *Turn) { t.joined(-1) }, false, 20 * time.Millisecond, lease, Serve},
		{"a waiter, and nobody else waits", func(t *Turn) { t.joined(time.Millisecond) }, true, 20 * time.Millisecond, lease, Serve},
		{"a waiter, after the longest time", func(t *Turn) { t.joined(time.Millisecond) }, true, Longest, lease, GiveBack},
		{"a waiter, and the bound has passed", func(t *Turn) { t.joined(1) }, true, 5 * time.Millisecond, 0, GiveBack},
		{"a waiter with another lease", func(t *Turn) { t.Join(&Waiter{Arrived: noon, Lease: lease + 1}) }, true, 5 * time.Millisecond, lease, GiveBack},
		{"a waiter, and the fences are ahead of the clock", func(t *Turn) { t.joined(1); t.fence += 1e6 }, true, 5 * time.Millisecond, lease, GiveBack},
		{"a waiter, and the clock is not past the last fence yet", func(t *Turn) { t.joined(0) }, true, 0, lease, Again},
		{"a waiter who came after the ticket of a recall", func(t *Turn) { t.joined(15 * time.Millisecond); t.Recalled(server.Add(14*time.Millisecond), noon) }, true, 20 * time.Millisecond, lease, GiveBack},
		{"a waiter who came before the ticket of a recall", func(t *Turn) { t.joined(12 * time.Millisecond); t.Recalled(server.Add(14*time.Millisecond), noon) }, true, 20 * time.Millisecond, lease, Serve},
		{"nobody", func(*Turn) {}, true, time.Millisecond, lease, Linger},
		{"nobody, and somebody else waits", func(t *Turn) { t.Recalled(server.Add(time.Millisecond), noon) }, true, time.Millisecond, lease, GiveBack},
		{"nobody, and others may wait", func(*Turn) {}, false, time.Millisecond, lease, GiveBack},
		{"nobody, and a recall may have been lost", func(t *Turn) { t.Doubted() }, true, time.Millisecond, lease, GiveBack},
		{"nobody, after the longest time", func(*Turn) {}, true, Longest, lease, GiveBack},
	} {
		m := granted(test.alone)
		test.before(m)
		if got, _ := m.Ended(after(test.at), test.left, turn, linger); got != test.want {
			t.Errorf("%s: %v in place of %v", test.name, got, test.want)
		}
	}
}

func TestWhoComesToALingeringLock(t *testing.T) {
	for _, test := range []struct {
		name        string
		lease, left time.Duration
		at          time.Duration
		fence       int64
		want        Action
	}{
		{"has it", lease, lease, 5 * time.Millisecond, 0, Serve},
		{"has another lease", lease + 1, lease, 5 * time.Millisecond, 0, GiveBack},
		{"comes when the bound has passed", lease, 0, 5 * time.Millisecond, 0, GiveBack},
		{"comes after the longest time", lease, lease, Longest, 0, GiveBack},
		{"comes before the clock is past the last fence", lease, lease, 0, 0, Again},
		{"finds the fences ahead of the clock", lease, lease, 5 * time.Millisecond, 1e6, GiveBack},
	} {
		m := granted(true)
		m.Ended(noon, lease, turn, linger)
		m.fence += test.fence
		if got := m.Arrive(after(test.at), test.lease, test.left); got != test.want {
			t.Errorf("who %s: %v in place of %v", test.name, got, test.want)
		}
	}
}

// I2: a local fence is above the last one, and below the server's clock.
func TestLocalFencesStayBetweenTheLastOneAndTheClock(t *testing.T) {
	m, last, served := granted(true), int64(server), 0
	for at := time.Microsecond; at < 5*time.Millisecond; at += 700 * time.Nanosecond {
		m.joined(0)
		a, _ := m.Ended(after(at), lease, turn, linger)
		if a == Again {
			m.Leave(m.first)
			continue
		}
		if a != Serve || m.Fence() <= last || m.Fence() >= int64(server.Add(at)) {
			t.Fatalf("after %v: %v, fence %d after %d, and the clock says %d", at, a, m.Fence(), last, server.Add(at))
		}
		last = m.Fence()
		served++
	}
	if served < 3000 {
		t.Errorf("%d grants in 5 ms", served)
	}
}

func TestANameThatWasRecalledThriceDoesNotLingerForHalfAMinute(t *testing.T) {
	m, at := granted(true), time.Duration(0)
	again := func() {
		m.Arrive(after(at), lease, 0)
		m.Granted(Hold{Since: after(at), Lease: lease, Sent: after(at), Now: server.Add(at), Fence: int64(server.Add(at)), Alone: true, Sought: after(at)})
	}
	for range 3 {
		if a, _ := m.Ended(after(at), lease, turn, linger); a != Linger {
			t.Fatalf("%v: it does not linger", at)
		}
		if m.Recalled(server, after(at)) != GiveBack {
			t.Fatalf("%v: it is not given back", at)
		}
		at += time.Second
		again()
	}
	if a, _ := m.Ended(after(at), lease, turn, linger); a != GiveBack {
		t.Errorf("after three recalls: %v", a)
	}
	if forgettable, when := m.Forgettable(after(at)); forgettable || when != after(2*time.Second+quiet) {
		t.Errorf("forgotten: %v, or at %v", forgettable, when)
	}
	at = 2*time.Second + quiet
	again()
	if a, _ := m.Ended(after(at), lease, turn, linger); a != Linger {
		t.Errorf("half a minute later: %v", a)
	}
}

// A recall that arrives before the answer of the acquire is not lost. One that comes twice changes nothing.
func TestARecallMayComeEarlyAndTwice(t *testing.T) {
	m := &Turn{}
	m.Arrive(noon, lease, 0)
	m.Recalled(server.Add(time.Millisecond), noon)
	m.Granted(Hold{Since: noon, Lease: lease, Sent: noon, Now: server, Fence: int64(server), Alone: true, Sought: noon})
	m.Recalled(server.Add(time.Millisecond), noon)
	if a, _ := m.Ended(after(2*time.Millisecond), lease, 0, linger); a != GiveBack {
		t.Errorf("%v", a)
	}
}

// If the server's clock goes back, the bound follows it, and the fences wait for the clock.
func TestAClockThatGoesBackEndsLocalGrants(t *testing.T) {
	m := granted(true)
	m.Sampled(server.Add(-time.Minute), after(time.Millisecond))
	m.joined(0)
	if a, _ := m.Ended(after(2*time.Millisecond), lease, turn, linger); a != GiveBack {
		t.Errorf("%v", a)
	}
}
