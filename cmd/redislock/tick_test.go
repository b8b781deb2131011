package main

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/redislock"
)

// ticks are times of a schedule, near enough that the server believes in them.
func ticks() (first, second string) {
	now := time.Now().UTC().Truncate(time.Second)
	return now.Format(time.RFC3339), now.Add(time.Second).Format(time.RFC3339)
}

// tickLock is the lock that a tick has while it is run, for which others stand by.
func tickLock(job, tick string) string { return "tick:" + job + "@" + tick }

// saysReady is a command that says when it runs, and ends when it is told to.
const saysReady = "echo ready; read line; exit 0"

func (p *program) finish() {
	p.f.Helper()
	if _, err := p.stdin.Write([]byte("\n")); err != nil {
		p.f.Fatal(err)
	}
}

func TestOfTenRunsOfATickOneRuns(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	for {
		hour := time.Now().Truncate(time.Hour)
		name := f.path("x") + hour.Format(time.RFC3339)
		var programs []*program
		for range 10 {
			programs = append(programs, f.run("--tick", "1h", name, "--", "sh", "-c", `echo $REDISLOCK_TICK`))
		}
		out := ""
		for _, p := range programs {
			out += p.ends(0) // and says nothing: nobody wants the mail
		}
		if !time.Now().Truncate(time.Hour).Equal(hour) {
			continue // the clock struck meanwhile
		}
		if want := hour.UTC().Format(time.RFC3339) + "\n"; out != want {
			t.Errorf("the ticks that were run are %q, want %q", out, want)
		}
		return
	}
}

func TestATickIsADurationACronExpressionOrATime(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	for tick, want := range map[string]string{
		"2020-11-21T10:05:00+01:00": "64", // long ago
		"24h":                       time.Now().UTC().Format("2006-01-02") + "T00:00:00Z",
		"CRON_TZ=UTC 0 0 0 * * *":   time.Now().UTC().Format("2006-01-02") + "T00:00:00Z",
		time.Now().In(time.FixedZone("", 3600)).Format(time.RFC3339): time.Now().UTC().Format("2006-01-02T15"),
	} {
		p := f.run("--tick", tick, "x", "--", "sh", "-c", "echo $REDISLOCK_TICK")
		if want == "64" {
			p.ends(64, "redislock: ")
			continue
		}
		if out := p.ends(0); !strings.HasPrefix(out, want) && out != "" { // two of them are the same tick
			t.Errorf("--tick %s: %q, want %q", tick, out, want)
		}
	}
}

func TestATickTooLongAgoOrTooFarAheadIsNotRun(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.run("--tick", time.Now().Add(-48*time.Hour).Format(time.RFC3339), "x", "--", "touch", "ran").ends(64, "too long ago", "was not run")
	f.run("--tick", time.Now().Add(48*time.Hour).Format(time.RFC3339), "x", "--", "touch", "ran").ends(64, "ahead of the server's clock")
	if f.exists("ran") {
		t.Error("the command ran")
	}
}

func TestATickEndsAsItsCommandDoes(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	for script, status := range map[string]int{"exit 7": 7, "kill -KILL $$": 128 + 9, "exit 0": 0} {
		tick, _ := ticks()
		name := "x" + script
		f.run("--tick", tick, name, "--", "sh", "-c", script).ends(status)
		f.run("--tick", tick, name, "--", "touch", "ran").ends(0) // what was run is run, whatever came of it
		p := f.run("--verbose", "--tick", tick, name, "--", "touch", "ran")
		p.ends(0, "elsewhere: ", "(pid ", map[bool]string{true: "ran in ", false: "failed after "}[status == 0])
	}
	tick, _ := ticks()
	f.run("--tick", tick, "x", "--", "no-such-command").ends(127, "no-such-command")
	f.run("--tick", tick, "x", "--", "true").ends(0) // it was not begun
	if f.exists("ran") {
		t.Error("a tick ran twice")
	}
}

func TestATickIsLeftOutWhileAnEarlierOneRuns(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	first, second := ticks()
	p := f.run("--tick", first, "x", "--", "sh", "-c", saysReady)
	p.line()
	f.run("--tick", second, "x", "--", "touch", "ran").ends(75, "tick "+second, "skipped: the one of "+first+" is still running")
	f.run("--tick", second, "x", "--", "touch", "ran").ends(0) // it was left out for all
	p.finish()
	p.ends(0)
	f.run("--tick", second, "x", "--", "touch", "ran").ends(0)
	if f.exists("ran") {
		t.Error("the command ran")
	}
}

func TestATickWaitsForAPlaceInItsGroupAndAPauseFollowsIt(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	tick, later := ticks()
	first := f.run("--tick", tick, "--group", "reports:1", "--pause", "1h", "a", "--", "sh", "-c", saysReady)
	first.line()
	second := f.run("--tick", tick, "--group", "reports:1", "b", "--", "true")
	f.until("group:reports", func(info redislock.Info) bool { return info.Holders == 1 && info.Waiting == 1 })
	first.finish()
	first.ends(0)
	second.ends(0)
	f.run("--tick", later, "--pause", "1h", "a", "--", "true").ends(75, "skipped")
}

func TestATickWaitsForAnEarlierOneOrReplacesIt(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	first, second := ticks()
	p := f.run("--tick", first, "x", "--", "sh", "-c", saysReady)
	p.line()
	q := f.run("--tick", second, "--overlap", "wait", "x", "--", "touch", "waited")
	f.until("cron:x", waiting(1))
	if f.exists("waited") {
		t.Error("two ran at a time")
	}
	p.finish()
	p.ends(0)
	q.ends(0)

	p = f.run("--tick", first, "y", "--", "sh", "-c", "echo ready; exec sleep 1000")
	p.line()
	f.run("--tick", second, "--overlap", "replace", "y", "--", "touch", "replaced").ends(0)
	p.ends(70, "stolen", "SIGTERM")
	if !f.exists("waited") || !f.exists("replaced") {
		t.Error("a tick was left out")
	}
}

func TestAtMostEndsATickAndKeepsItsLockUntilTheCommandHasEnded(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	tick, _ := ticks()
	p := f.run("--tick", tick, "--at-most", "3s", "--grace", "1m", "x", "--", "sh", "-c",
		"exec 2>/dev/null; trap 'echo asked to end; read line; exit 0' TERM; while :; do sleep 0.02; done")
	p.line()
	if _, err := f.client.TryAcquire(t.Context(), "cron:x"); !errors.Is(err, redislock.ErrHeld) {
		t.Errorf("the lock, while the command still runs: %v", err)
	}
	p.finish()
	p.ends(70, "--at-most (3s) is over", "SIGTERM", "SIGKILL in 1m0s")
	if s, err := f.client.CronStatus(t.Context(), "x"); err != nil || s.Outcome != redislock.OutcomeFailed || !strings.Contains(s.Err, "--at-most (3s) is over (exit status 0)") {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestATickWhoseLockIsLostIsEnded(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	tick, _ := ticks()
	p := f.run("--tick", tick, "x", "--", "sh", "-c", "echo ready; exec sleep 1000")
	p.line()
	f.breakHold("cron:x")
	p.ends(70, "stolen", "the test says so", "SIGTERM")
}

func TestAnotherTakesATickOverFromANodeThatIsKilled(t *testing.T) {
	t.Parallel()
	for _, retry := range []bool{true, false} {
		f := setUp(t)
		tick, _ := ticks()
		flags := []string{"--tick", tick, "--lease", "1s", "x", "--", "sh", "-c"}
		if retry {
			flags = append([]string{"--retry", "1m"}, flags...)
		}
		p := f.run(append(flags, "echo ready; exec sleep 1000")...)
		p.line()
		q := f.run(append(flags, "echo took over")...)
		if retry {
			f.until(tickLock("x", tick), waiting(1))
		} else if out := q.ends(0); out != "" {
			t.Errorf("it said %q beside the one that ran", out)
		}
		p.signal(syscall.SIGKILL)
		p.wait()
		if !retry {
			f.until(tickLock("x", tick), func(info redislock.Info) bool { return len(info.Holds) == 0 })
			q = f.run(append(flags, "echo took over")...)
		}
		if out, want := q.ends(0), map[bool]string{true: "took over\n"}[retry]; out != want {
			t.Errorf("standing by %v: it said %q, want %q", retry, out, want)
		}
	}
}

func TestANodeThatIsToldToStopLeavesItsTickToAnother(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	tick, _ := ticks()
	p := f.run("--tick", tick, "--retry", "1m", "x", "--", "sh", "-c", "echo ready; exec sleep 1000")
	p.line()
	q := f.run("--tick", tick, "--retry", "1m", "x", "--", "echo", "took over")
	f.until(tickLock("x", tick), waiting(1))
	p.signal(syscall.SIGTERM)
	p.ends(128 + 15)
	if out := q.ends(0); out != "took over\n" {
		t.Errorf("it said %q", out)
	}
}

func TestASignalEndsTheWaitForATick(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	tick, _ := ticks()
	p := f.run("--tick", tick, "x", "--", "sh", "-c", saysReady)
	p.line()
	q := f.run("--tick", tick, "--retry", "1m", "x", "--", "touch", "ran")
	f.until(tickLock("x", tick), waiting(1))
	q.signal(syscall.SIGTERM)
	q.ends(128+15, "the wait", "was not run")
	p.finish()
	p.ends(0)
	if f.exists("ran") {
		t.Error("the command ran")
	}
}

func TestATickIsTriedAgainUntilRedisIsThere(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	tick, _ := ticks()
	f.url = "unix://" + f.path("redis.sock")
	f.run("--tick", tick, "x", "--", "true").ends(69, "cannot reach Redis")
	f.run("--tick", tick, "--retry", "2s", "x", "--", "true").ends(69, "tried again", "cannot reach Redis")
	p := f.run("--tick", tick, "--retry", "1m", "x", "--", "echo", "ran")
	p.says("it is tried again for")
	f.relay("redis.sock")
	if out := p.ends(0, "tried again"); out != "ran\n" {
		t.Errorf("the command said %q", out)
	}
}
