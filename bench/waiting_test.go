package main

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/internal/servertest"
)

// TestMain runs this program as a part of a measurement if its arguments say so, as main does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == partArgument {
		if err := runPart(context.Background(), os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func of(all []finding, quantity string) float64 {
	for _, f := range all {
		if f.Quantity == quantity {
			return f.Value
		}
	}
	return -1
}

func TestWhoPollsIsSeenToPoll(t *testing.T) {
	s := servertest.Start(t)
	for name, polls := range map[string]bool{peer.Ours: false, "bsm/redislock": true} {
		work := task{Peer: name, Addr: s.Addr(), Number: 40, Watch: 300 * time.Millisecond}
		holder, _, _, err := work.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := lockForGood(t.Context(), holder, work.name(0)); err != nil {
			t.Fatal(err)
		}
		all, err := work.inChild(t.Context(), "waiting")
		if err != nil {
			t.Fatal(err)
		}
		if n := of(all, "failures"); n != 0 {
			t.Errorf("%s: %v waiters ended", name, n)
		}
		// Each waiter polls ten times a second if the machine is fast enough; or there is at most one check for all of them.
		if n := of(all, "requests per second while waiting"); polls && n < 40 || !polls && n > 20 {
			t.Errorf("%s: %v requests per second", name, n)
		}
		if n := of(all, "connections"); n < 1 || n > 100 {
			t.Errorf("%s: %v connections", name, n)
		}
		if n := of(all, "goroutines per waiter"); n < -0.5 || n > 0.5 {
			t.Errorf("%s: %v goroutines per waiter", name, n)
		}
		if n := of(all, "KiB of a bare goroutine's stack"); n < 1 {
			t.Errorf("%s: a stack has %v KiB", name, n)
		}
		s.Admin().FlushAll(t.Context())
	}
}

func TestHeldLocksAreRenewedAndLostOnesSeen(t *testing.T) {
	for name, every := range map[string]time.Duration{peer.Ours: time.Second, "rueidislock": 1500 * time.Millisecond} {
		s := servertest.Start(t)
		const locks = 300
		all, err := task{Peer: name, Addr: s.Addr(), Number: locks, Lease: 3 * time.Second, Watch: every}.inChild(t.Context(), "holding")
		if err != nil {
			t.Fatal(err)
		}
		if lost, failed := of(all, "locks lost"), of(all, "failures"); lost != 0 || failed != 0 {
			t.Errorf("%s: %v lost, %v failed", name, lost, failed)
		}
		want := locks / every.Seconds()
		if n := of(all, "renewals per second"); n < want*0.6 || n > want*1.4 {
			t.Errorf("%s: %v renewals per second, not about %v", name, n, want)
		}
		if n := of(all, "server time for renewals, %"); n <= 0 || n > 100 {
			t.Errorf("%s: %v %% of the server's time", name, n)
		}
	}
}

func TestALockThatIsNoLongerHeldIsLost(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, name := range []string{peer.Ours, "rueidislock"} {
		l, look, _, err := task{Peer: name, Addr: s.Addr()}.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		h := holds{locker: l, locks: make([]*redislock.Lock, 3)}
		for i, lock := range []string{"a", "b", "c"} {
			if err := h.take(t.Context(), i, lock); err != nil {
				t.Fatal(err)
			}
		}
		if lost, err := h.lost(t.Context(), look, 0); lost != 0 || err != nil {
			t.Errorf("%s: %v lost, %v", name, lost, err)
		}
		if h.locks[1] != nil {
			if err := h.locks[1].Release(t.Context()); err != nil {
				t.Error(err)
			}
		} else if err := look.Del(t.Context(), look.Keys(t.Context(), "*b").Val()...).Err(); err != nil {
			t.Error(err)
		}
		if lost, err := h.lost(t.Context(), look, 0); lost != 1 || err != nil {
			t.Errorf("%s: of one that was given back: %v lost, %v", name, lost, err)
		}
		s.Admin().FlushAll(t.Context())
	}
}
