package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/redislock"
)

func TestWhatIsKeptAfterItsOwnerGaveItBackIsSaid(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	p := f.start("watch", "--prefix", f.prefix, "x")
	p.line()
	lock := f.hold("x")
	if got := p.line(); strings.Contains(got, "given back") {
		t.Errorf("held: %q", got)
	}
	if err := lock.ReleaseAfter(t.Context(), time.Hour+30*time.Second); err != nil {
		t.Fatal(err)
	}
	if got := p.line(); !strings.Contains(got, "\tthe-test (pid ") || !strings.Contains(got, "), given back\texclusive\t") {
		t.Errorf("given back: %q", got)
	}
	p.signal(syscall.SIGTERM)
	p.ends(128 + 15)

	out := f.wants(0, []string{"show", "x"}, "kept      given back by its owner, kept until 20", ", in 1h0m", "has given it back")
	if strings.Contains(out, "unless it is renewed") || strings.Contains(out, "deadline") {
		t.Errorf("it may be renewed: %s", out)
	}
	f.wants(0, []string{"show", "-o", "json", "x"}, `"kept":true`)
	f.wants(0, []string{"ls"}, "), given back\texclusive\t")
	f.wants(0, []string{"ls", "--color", "always"}, "kept 1h0m")
	f.wants(1, []string{"ask", "--why", "why", "x"}, "given back by its owner, kept until 20", "nobody is there to hear")
	f.wants(1, []string{"ask", "-o", "json", "--why", "why", "x"}, `"told":0`, `"kept":true`, "nobody is there to hear")
	s := f.atTerminal("break", "--prefix", f.prefix, "--reason", "why", "x")
	if shown := s.shows("[y/N] "); !strings.Contains(shown, ", given back by its owner, kept until 20") {
		t.Errorf("break shows %q", shown)
	}
	s.typed("y\n")
	s.shows("x was broken: it was kept for the-test")
	s.ends(0)
}

func TestOneOfSeveralThatWasStolenIsSeen(t *testing.T) {
	now := time.Now()
	hold := redislock.Hold{Owner: redislock.Owner{Client: "api"}, Since: now, Deadline: now.Add(time.Minute), Fence: 7, Weight: 1}
	revoked, kept := hold, hold
	revoked.Revoked, kept.Kept = true, true
	for want, holds := range map[string][]redislock.Hold{
		"stolen": {hold, kept, revoked}, "kept 1m0s": {kept, kept}, "1m0s": {kept, hold},
	} {
		if got := lockRow(forPeople(redislock.Info{Name: "x", Now: now, Holders: len(holds), Holds: holds}), 0, false)[4].text; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
