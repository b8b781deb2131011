package main

import (
	"testing"
	"time"

	"example.com/redislock"
)

func heldOn(info redislock.Info) bool {
	return len(info.Holds) == 1 && info.Holds[0].Deadline.Sub(info.Now) > 50*time.Minute
}

func TestAtLeastKeepsTheLockAfterTheProgramHasEnded(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.run("--at-least", "1h", "x", "--", "sh", "-c", "exit 7").ends(7)
	f.until("x", heldOn)
	f.run("--no-wait", "x", "--", "touch", "ran").ends(75, "is held")
	if f.exists("ran") {
		t.Error("the command ran")
	}
}

func TestAtLeastCountsFromTheStartAndEndsByItself(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	p := f.run("--at-least", "2s", "x", "--", "sh", "-c", "echo ready; sleep 1.5")
	p.line()
	info := f.until("x", func(info redislock.Info) bool { return len(info.Holds) == 1 })
	p.ends(0)
	lock := f.hold("x")
	if after := time.UnixMicro(lock.Fence()).Sub(info.Holds[0].Since); after < 2*time.Second || after > 3300*time.Millisecond {
		t.Errorf("the lock was free %v after the start", after)
	}
	f.run("--at-least", "10ms", "y", "--", "sleep", "0.05").ends(0) // that was longer
	f.run("--no-wait", "y", "--", "true").ends(0)
}

func TestAtLeastMayBeAnythingBelowThePeriod(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.run("--at-least", "23h59m", "--tick", "24h", "x", "--", "true").ends(0)
	f.until("cron:x", heldOn)
}

func TestAtLeastKeepsTicksApart(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	first, second := ticks()
	f.run("--at-least", "1h", "--tick", first, "x", "--", "true").ends(0)
	f.until("cron:x", heldOn)
	f.run("--tick", second, "x", "--", "touch", "ran").ends(75, "skipped: the one of "+first+" began", "the lock is still held")
	if f.exists("ran") {
		t.Error("the command ran")
	}
}

func TestNothingIsHeldOnForACommandThatDoesNotStart(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.write("torn", "\x7fELF")
	f.run("--at-least", "1h", "x", "--", "./torn").ends(126, "cannot be run")
	f.run("--no-wait", "x", "--", "true").ends(0)
}
