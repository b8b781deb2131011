package main

import (
	"context"
	"slices"
	"testing"
	"time"
)

// A step is the change of the wall clock during a timer. Without a suspension or a clock change it is the time of the
// timer.
type step func(now time.Time, wait time.Duration) time.Time

func on(now time.Time, wait time.Duration) time.Time { return now.Add(wait) }

func by(d time.Duration) step {
	return func(now time.Time, wait time.Duration) time.Time { return now.Add(wait + d) }
}

// rung returns the ticks that an alarm sends from a time on, while the clock takes these steps.
func rung(t *testing.T, text, from string, steps ...step) (ticks []string, waits []time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sent := make(chan time.Time)
	now := moment(t, from)
	at := 0
	c := clock{now: func() time.Time { return now }, after: func(wait time.Duration) <-chan time.Time {
		if at == len(steps) {
			cancel()
			return nil
		}
		waits = append(waits, wait)
		now = steps[at](now, wait)
		at++
		fired := make(chan time.Time)
		close(fired)
		return fired
	}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		alarm(ctx, parsed(t, text, time.UTC), c, sent)
	}()
	for {
		select {
		case tick := <-sent:
			ticks = append(ticks, tick.UTC().Format("15:04:05"))
		case <-done:
			return ticks, waits
		}
	}
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("rang at %v, want %v", got, want)
	}
}

func TestEveryTickRingsInItsTimeAndTheFirstIsToCome(t *testing.T) {
	ticks, waits := rung(t, "*/10 * * * * *", "2026-11-21T10:00:03Z", on, on, on, on)
	expect(t, ticks, "10:00:10", "10:00:20", "10:00:30", "10:00:40")
	if want := []time.Duration{7 * time.Second, 10 * time.Second, 10 * time.Second, 10 * time.Second}; !slices.Equal(waits, want) {
		t.Errorf("waited %v, want %v", waits, want)
	}
}

func TestAnAlarmLooksAtTheClockAgainAndAgain(t *testing.T) {
	ticks, waits := rung(t, "@daily", "2026-11-21T23:58:50Z", on, on, on)
	expect(t, ticks, "00:00:00")
	if want := []time.Duration{recheck, recheck, 10 * time.Second}; !slices.Equal(waits, want) {
		t.Errorf("waited %v, want %v", waits, want)
	}
	if recheck > time.Minute {
		t.Errorf("it looks every %v", recheck)
	}
}

func TestATimerThatIsEarlyRingsNothing(t *testing.T) {
	ticks, _ := rung(t, "*/10 * * * * *", "2026-11-21T10:00:03Z", by(-time.Millisecond), on)
	expect(t, ticks, "10:00:10")
}

func TestAfterASuspensionOnlyTheLatestTickRings(t *testing.T) {
	ticks, _ := rung(t, "*/5 * * * *", "2026-11-21T10:04:50Z", on, by(3*time.Hour), on, on)
	expect(t, ticks, "10:05:00", "13:05:00")
}

func TestAClockThatIsSteppedBackRingsAsItSays(t *testing.T) {
	// At 10:05 an operator sets the clock back by an hour.
	steps := append([]step{on, by(-time.Hour)}, slices.Repeat([]step{on}, 10)...)
	ticks, _ := rung(t, "*/5 * * * *", "2026-11-21T10:04:50Z", steps...)
	expect(t, ticks, "10:05:00", "09:10:00")
}

func TestATickThatComesWhileTheLastOneIsSentIsNotLost(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sent, fired := make(chan time.Time), make(chan time.Time)
	close(fired)
	looks := []string{"00.5", "00.5", "01.0", "02.9"} // the receiver is busy after the third
	c := clock{now: func() time.Time {
		at := moment(t, "2026-11-21T10:00:"+looks[0]+"Z")
		looks = looks[min(1, len(looks)-1):]
		return at
	}, after: func(time.Duration) <-chan time.Time { return fired }}
	go alarm(ctx, parsed(t, "* * * * * *", time.UTC), c, sent)
	for _, want := range []int{1, 2} {
		select {
		case tick := <-sent:
			if tick.Second() != want {
				t.Errorf("rang at %v", tick)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("did not ring at %d s", want)
		}
	}
}
