package ui

import (
	"context"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestWrongTokensAreSlowedAndTheRightOnePasses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var slow throttle
		checked := 0
		try := func(from string, right bool) (took time.Duration) {
			begun := time.Now()
			ok, wait := slow.try(t.Context(), from, func() bool { checked++; return right })
			if ok != right || wait != 0 {
				t.Errorf("from %s: %v, must wait %v", from, ok, wait)
			}
			return time.Since(begun)
		}
		for i := range freeTries + 1 {
			if took := try("192.0.2.1:1000", false); took != 0 {
				t.Fatalf("try %d took %v", i, took)
			}
		}
		if took := try("192.0.2.1:2000", false); took != pace {
			t.Errorf("a wrong one from another port took %v", took)
		}
		if try("192.0.2.2:1000", true) != 0 || try("[2001:db8::1]:1", true) != 0 {
			t.Error("others must wait")
		}
		// Two send wrong tokens as fast as they can for a minute, with the right one in between, which is never refused.
		before, begun := checked, time.Now()
		var guess sync.WaitGroup
		for range 2 {
			guess.Go(func() {
				for time.Since(begun) < time.Minute {
					try("192.0.2.1:1", false)
				}
			})
		}
		right := 0
		for ; time.Since(begun) < time.Minute; time.Sleep(time.Second) {
			if took := try("192.0.2.1:1", true); took > 4*pace {
				t.Errorf("who knows the token waited for %v", took)
			}
			right++
		}
		guess.Wait()
		if n := checked - before - right; n > int(time.Minute/pace)+10 {
			t.Errorf("%d guesses in a minute", n)
		}
		time.Sleep(time.Second)
		if try("192.0.2.1:1", true) != 0 || try("192.0.2.1:1", false) != 0 || try("192.0.2.1:1", false) != 0 {
			t.Error("who knows the token is still slowed")
		}
		// All at once: as many as may wait do, and the others are not checked.
		before, begun = checked, time.Now()
		var refused atomic.Int32
		const crowd = 1000
		for range crowd {
			guess.Go(func() {
				if _, wait := slow.try(t.Context(), "192.0.2.1:1", func() bool { checked++; return false }); wait > 0 {
					refused.Add(1)
				}
			})
		}
		guess.Wait()
		if n := checked - before; n > int(longestWait/pace)+10 || n+int(refused.Load()) != crowd || time.Since(begun) > longestWait+pace {
			t.Errorf("%d looked at, %d refused, in %v", n, refused.Load(), time.Since(begun))
		}
		// Somebody with many addresses: those of a /64 count as one, and otherwise memory is bounded.
		for i := range 10 {
			try("[2001:db8:0:1::"+string(rune('a'+i%6))+"]:1", false)
		}
		if try("[2001:db8:0:1::ffff]:1", true) == 0 {
			t.Error("another address of the same /64 goes on")
		}
		for i := range 3 * maxSources {
			try("10."+itoa(i>>16&255)+"."+itoa(i>>8&255)+"."+itoa(i&255)+":1", false)
		}
		if len(slow.sources) > maxSources {
			t.Errorf("%d are remembered", len(slow.sources))
		}
		// A try whose browser is gone does not wait any longer.
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if ok, _ := slow.try(gone, "192.0.2.9:1", func() bool { t.Error("looked at for nobody"); return true }); ok {
			t.Error("it passed")
		}
	})
}

func TestWhoGuessesLocksNobodyOut(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for range 3 * freeTries {
		s.wants(401, "GET", "/", "", "Authorization", "Bearer wrong")
	}
	s.wants(200, "GET", "/", "", "Authorization", "Bearer "+testToken)
	s.login()

	// Only if too many wait already.
	s.ui.slow.mu.Lock()
	s.ui.slow.sources["192.0.2.1"] = source{failed: 100, last: time.Now(), free: time.Now().Add(2 * longestWait)} // the address of httptest's requests
	s.ui.slow.mu.Unlock()
	if got := s.wants(429, "GET", "/", "", "Authorization", "Bearer "+testToken); got.Header.Get("Retry-After") == "" {
		t.Error("it does not say when to try again")
	}
	got := s.wants(303, "POST", "/login", "token="+testToken, "Content-Type", "application/x-www-form-urlencoded")
	if !regexp.MustCompile(`^login\?slow=\d+$`).MatchString(got.Header.Get("Location")) || len(got.Cookies()) != 0 {
		t.Errorf("%v", got.Header)
	}
}

func itoa(n int) string { return seconds(time.Duration(n) * time.Second) }
