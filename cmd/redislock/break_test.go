package main

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// breaking is a proxy to the shared Redis, which knows the scripts of break already, so that requests can be counted.
func (f *fixture) breaking() *servertest.Proxy {
	f.Helper()
	f.hold("warm up")
	f.wants(0, []string{"break", "--yes", "--reason", "why", "warm up"})
	return servertest.NewProxy(f.T, shared.addr)
}

// onX matches each script on the lock x.
func onX(args []string) bool {
	return args[0] == "evalsha" && slices.ContainsFunc(args, func(arg string) bool { return strings.HasSuffix(arg, ":{x}") })
}

func TestWhatIsBrokenIsWhatWasSeen(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		f := setUp(t)
		p := f.breaking()
		lock := f.hold("x")
		var looks atomic.Int32
		fault := p.HoldRequest(func(args []string) bool { return onX(args) && looks.Add(1) == 2 }) // the first is to inspect
		var all sync.WaitGroup
		all.Go(func() {
			status, stdout, stderr := f.cli("redis://"+p.Addr(), "break", "--yes", "-o", format, "--reason", "why", "x")
			if status != 1 || !strings.Contains(stderr, "nothing was broken") || (format == "json") != strings.Contains(stdout, `"broken":false,"fence":0,"reason":"why","holds":[],"next":{"client":"the-test"`) {
				t.Errorf("%d, %q, %q", status, stdout, stderr)
			}
		})
		<-fault.Caught()
		if err := lock.Release(t.Context()); err != nil {
			t.Error(err)
		}
		other := f.hold("x")
		fault.Deliver()
		all.Wait()
		if err := other.Release(t.Context()); err != nil {
			t.Errorf("who got it meanwhile: %v", err)
		}
	}
}

func TestABreakIsToldAlthoughNothingIsSeenAfterIt(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			f := setUp(t)
			p := f.breaking()
			f.hold("x")
			var looks atomic.Int32
			p.HoldRequest(func(args []string) bool { return onX(args) && looks.Add(1) == 3 }) // to inspect, to break, to inspect
			status, stdout, stderr := f.cli("redis://"+p.Addr(), "break", "--yes", "-o", format, "--reason", "why", "x")
			says := "x was broken: the-test"
			if format == "json" {
				says = `"broken":true`
			}
			if status != 0 || !strings.Contains(stdout, says) || strings.Contains(stdout, `"waiting"`) || !strings.Contains(stderr, "what came after is not known: ") {
				t.Errorf("%d, %q, %q", status, stdout, stderr)
			}
		})
	}
}

func TestABreakNamesThoseWhomItEnded(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	var locks []*redislock.Lock
	for range 40 { // more than one script ends
		locks = append(locks, f.hold("x", redislock.WithMode(redislock.Read)))
	}
	s := server{url: f.url, prefix: f.prefix}
	l, err := s.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	info, err := l.inspect("x")
	if err != nil {
		t.Fatal(err)
	}
	if err := locks[39].Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	later := f.hold("x", redislock.WithMode(redislock.Read))
	ended, fence, err := l.breakHolds(info, "why")
	if err != nil || len(ended.Holds) != 39 || fence != locks[38].Fence() || ended.Holds[0].Fence != locks[0].Fence() {
		t.Errorf("%d were ended, the last with %d, %v", len(ended.Holds), fence, err)
	}
	if err := later.Release(t.Context()); err != nil {
		t.Errorf("who came later: %v", err)
	}
}

func TestAskLooksBeforeItAsks(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	lock := f.hold("x")
	f.wants(0, []string{"ask", "--why", "first", "x"})
	<-lock.Asked()
	p := servertest.NewProxy(t, shared.addr)
	told := false
	p.HoldRequest(func(args []string) bool { // every script on x after the holder was told
		if !onX(args) {
			return false
		}
		was := told
		told = told || strings.Contains(args[len(args)-1], "second")
		return was
	})
	status, stdout, stderr := f.cli("redis://"+p.Addr(), "ask", "--why", "second", "x")
	if status != 0 || !strings.Contains(stdout, "1 holder was told (the-test (pid ") {
		t.Errorf("%d, %q, %q", status, stdout, stderr)
	}
	select {
	case <-lock.Asked():
	case <-time.After(10 * time.Second):
		t.Error("nobody was told")
	}
}
