package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"example.com/redislock"
)

func TestWatchSaysEachChange(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"x", "x*"} {
		f := setUp(t)
		p := f.start("watch", "--prefix", f.prefix, "--interval", "100ms", target)
		if target == "x" {
			if got := p.line(); !strings.HasSuffix(got, "\tx\t-\t-\t0\t0") {
				t.Errorf("at first: %q", got)
			}
		}
		lock := f.hold("x")
		if got := strings.Split(p.line(), "\t"); len(got) != 6 || got[1] != "x" || !strings.HasPrefix(got[2], "the-test (pid ") || got[3] != "exclusive" || got[5] != "0" {
			t.Errorf("held: %q", got)
		}
		f.queue("x", 0)
		if got := p.line(); !strings.HasSuffix(got, "\t1") {
			t.Errorf("waited for: %q", got)
		}
		if err := lock.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		for last := ""; !strings.Contains(last, "\tx\t-\t-\t"); { // perhaps after a line with the waiter as the holder
			last = p.line()
		}
		p.signal(syscall.SIGTERM)
		p.ends(128 + 15)
	}
}

func TestWatchForProgramsIsJSON(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.hold("x/1", redislock.WithMetadata("one"))
	p := f.start("watch", "--prefix", f.prefix, "-o", "json")
	var l lockJSON
	if err := json.Unmarshal([]byte(p.line()), &l); err != nil || l.Name != "x/1" || l.Holds[0].Metadata != "one" {
		t.Errorf("%+v, %v", l, err)
	}
	p.signal(syscall.SIGINT)
	p.ends(128 + 2)
}

func TestWatchSurvivesAnOutage(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"x", "x*"} {
		f := setUp(t)
		r := f.relay("redis.sock")
		f.hold("x")
		p := f.start("watch", "--redis", "unix://"+r.path, "--prefix", f.prefix, "--interval", "100ms", target)
		p.line()
		r.stop()
		p.says("cannot reach Redis at " + r.path)
		r.start()
		p.says("answers again")
		p.signal(syscall.SIGTERM)
		p.ends(128+15, "it is tried again")
	}
}
