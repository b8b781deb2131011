package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// damage writes something else into the keys of a lock and a job.
func (f *fixture) damage() {
	f.Helper()
	if err := f.rdb.HSet(f.Context(), f.prefix+":{bad}", "f", "x", "y", "z").Err(); err != nil {
		f.Fatal(err)
	}
	if err := f.rdb.Set(f.Context(), f.prefix+":r:{cron:bad}", "junk", 0).Err(); err != nil {
		f.Fatal(err)
	}
	if err := f.rdb.Set(f.Context(), f.prefix+":{text}", "junk", 0).Err(); err != nil {
		f.Fatal(err)
	}
	late := `17952622668000001{"tick":"9999-12-31T23:59:59-05:00","outcome":1}` // in UTC that is the year 10000
	if err := f.rdb.Set(f.Context(), f.prefix+":r:{cron:late}", late, time.Hour).Err(); err != nil {
		f.Fatal(err)
	}
}

func TestALockThatIsDamagedDoesNotHideTheOthers(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.hold("good")
	f.hold("a/1")
	f.wants(0, []string{"run", "--tick", "1h", "job", "--", "true"})
	f.damage()
	for _, args := range [][]string{{"ls"}, {"ls", "-o", "json"}, {"ls", "--color", "always"}} {
		out := f.wants(69, args, "bad: Redis at ", "text: Redis at ", "damaged key", "something else has written to its key")
		if !strings.Contains(out, "good") || !strings.Contains(out, "a/1") || strings.Contains(out, "bad") {
			t.Errorf("%v lists %q", args, out)
		}
	}
	f.wants(69, []string{"ls", "-o", "json"}, `"name":"bad"`, `"status":69`)
	f.wants(0, []string{"ls", "good"}, "good\t")
	if out := f.wants(69, []string{"ls", "bad"}); out != "" {
		t.Errorf("it lists %q", out)
	}
	f.wants(69, []string{"show", "bad"}, "something else has written to its key")
	for _, args := range [][]string{{"cron-status"}, {"cron-status", "-o", "json"}} {
		if out := f.wants(69, args, "bad: Redis at ", "late: Redis at ", "the year 10000", "something else has written to its key"); !strings.Contains(out, "job") {
			t.Errorf("%v lists %q", args, out)
		}
	}
	f.wants(69, []string{"cron-status", "-o", "json", "late"}, "the year 10000")
	f.wants(69, []string{"cron-status", "bad"}, "something else has written to its key")
	for _, c := range [][2]string{{"show", "good\n"}, {"cron-status", "job\n"}} {
		var out, stderr strings.Builder
		if Run([]string{cobra.ShellCompRequestCmd, c[0], "--redis", f.url, "--prefix", f.prefix, ""}, nil, &out, &stderr); !strings.Contains(out.String(), c[1]) {
			t.Errorf("%s is completed by %q", c[0], out.String())
		}
	}
}

// Redis returns -1 for a key without an expiry.
func TestWhatIsNeverForgottenHasNoTimeLeft(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	for _, command := range []string{"once", "share"} {
		f.rdb.Set(f.Context(), f.prefix+":r:{"+command+":x}", "17952622668000001", 0)
		f.wants(0, []string{command}, "x\t2026-11-21T11:57:46.800000Z\tnever\t")
		f.wants(0, []string{command, "--color", "always"}, "never")
		if out := f.wants(0, []string{command, "-o", "json"}); strings.Contains(out, "forgotten_in_seconds") {
			t.Errorf("%s says %q", command, out)
		}
	}
}

func TestWatchGoesOnBesideALockThatIsDamaged(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	lock := f.hold("x")
	p := f.start("watch", "--prefix", f.prefix, "--interval", "100ms")
	p.line()
	f.damage()
	p.says("bad: Redis at ")
	// It is no longer in the list, and cannot be opened either.
	key := f.prefix + ":{x}"
	if err := f.rdb.Rename(t.Context(), key, key+"-kept").Err(); err != nil {
		t.Fatal(err)
	}
	if err := f.rdb.Set(t.Context(), key, "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	p.says("redislock: x: Redis at ")
	f.hold("y")
	for line := p.line(); !strings.Contains(line, "\ty\tthe-test"); line = p.line() { // x may have been seen while the server was away
	}
	if err := f.rdb.Rename(t.Context(), key+"-kept", key).Err(); err != nil {
		t.Fatal(err)
	}
	if err := f.rdb.Del(t.Context(), f.prefix+":{bad}", f.prefix+":{text}").Err(); err != nil {
		t.Fatal(err)
	}
	p.says("answers again")
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	for line := p.line(); !strings.Contains(line, "\tx\t-\t"); line = p.line() {
	}
	p.signal(syscall.SIGTERM)
	said := p.stderr.String()
	if p.wait(); strings.Count(said, "bad: Redis at ") != 1 {
		t.Errorf("it says %q", said)
	}
}

func TestWatchTakesANameForWhatItIs(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.hold("a1")
	p := f.start("watch", "--prefix", f.prefix, "--name", "a*")
	if got := p.line(); !strings.HasSuffix(got, "\ta*\t-\t-\t0\t0") {
		t.Errorf("at first: %q", got)
	}
	f.hold("a*")
	if got := p.line(); !strings.Contains(got, "\ta*\tthe-test") {
		t.Errorf("held: %q", got)
	}
	p.signal(syscall.SIGTERM)
	p.ends(128 + 15)
	f.wants(0, []string{"show", "a*"}, "redislock watch --name 'a*'")
	f.wants(64, []string{"watch", "--name"}, "--name: which?")
}

func TestWhatIsRememberedAndDamagedDoesNotHideTheRest(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	for _, key := range []string{":r:{once:bad}", ":r:{share:bad}", ":d:{bad}"} {
		if err := f.rdb.LPush(t.Context(), f.prefix+key, "x").Err(); err != nil {
			t.Fatal(err)
		}
	}
	if first, err := f.client.First(t.Context(), "good", time.Hour); err != nil || !first {
		t.Fatal(first, err)
	}
	for _, command := range []string{"once", "share", "first"} {
		for _, args := range [][]string{{command}, {command, "-o", "json"}, {command, "--color", "always"}} {
			if out := f.wants(69, args, "bad: Redis at ", "something else has written to its key"); strings.Contains(out, "good") != (command == "first") || strings.Contains(out, "bad") {
				t.Errorf("%v lists %q", args, out)
			}
		}
		f.wants(69, []string{command, "bad"}, "something else has written to its key")
	}
}
