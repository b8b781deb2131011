package main

import (
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func (f *fixture) breakHold(name string) {
	f.Helper()
	fence, err := f.client.Break(f.Context(), name, "the test says so")
	if err != nil || fence == 0 {
		f.Fatalf("break: fence %d, %v", fence, err)
	}
}

func TestLossEndsTheCommandBySIGTERM(t *testing.T) {
	f := setUp(t)
	p := f.runScript([]string{"--grace", "1m"}, "trap 'echo asked to end; exit 0' TERM")
	f.breakHold("x")
	if out := p.ends(70, "stolen", "the test says so", "SIGTERM", "1m0s"); out != "asked to end\n" {
		t.Errorf("the command said %q", out)
	}
}

func TestLossEndsTheCommandBySIGKILLAfterTheGrace(t *testing.T) {
	f := setUp(t)
	p := f.runScript([]string{"--grace", "200ms"}, "trap 'echo asked to end' TERM")
	began := time.Now()
	f.breakHold("x")
	if out := p.ends(70, "SIGKILL in 200ms"); out != "asked to end\n" {
		t.Errorf("the command said %q", out)
	}
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("it was killed after %v, before its grace was over", took)
	}
}

func TestLossEndsAllThatTheCommandStarted(t *testing.T) {
	f := setUp(t)
	// The command ends at once, but a process that it started ignores the signal.
	p := f.run("--grace", "200ms", "x", "--", "sh", "-c", `sh -c 'trap "" TERM; echo ready; while :; do sleep 0.02; done' & wait`)
	p.line()
	f.breakHold("x")
	p.ends(70, "SIGTERM") // standard output ends only with both
}

func TestLossWakesACommandThatIsStopped(t *testing.T) {
	f := setUp(t)
	p := f.run("--grace", "1m", "x", "--", "sh", "-c", `trap 'echo asked to end; exit 0' TERM; echo ready; kill -STOP $$; while :; do sleep 0.02; done`)
	p.line()
	f.breakHold("x")
	if out := p.ends(70, "SIGTERM"); out != "asked to end\n" {
		t.Errorf("the command said %q", out)
	}
}

func TestSignalsAreStillPassedOnDuringTheGrace(t *testing.T) {
	f := setUp(t)
	p := f.runScript([]string{"--grace", "1m"}, "trap 'echo asked to end' TERM", "trap 'echo told; exit 0' USR1")
	f.breakHold("x")
	if got := p.line(); got != "asked to end" {
		t.Fatalf("the command said %q", got)
	}
	p.signal(sigUSR1)
	if out := p.ends(70, "SIGTERM"); out != "told\n" {
		t.Errorf("the command said %q", out)
	}
}

func TestAtMostEndsTheCommand(t *testing.T) {
	f := setUp(t)
	p := f.run("--at-most", "300ms", "x", "--", "sh", "-c", "echo ready; exec sleep 1000")
	p.line()
	p.ends(70, "held for its longest time of 300ms", "SIGTERM")
}

func TestStealAfterTakesTheLockFromAnotherRun(t *testing.T) {
	f := setUp(t)
	old := f.run("x", "--", "sh", "-c", "echo ready; exec sleep 1000")
	old.line()
	f.run("--steal-after", "100ms", "x", "--", "touch", "ran").ends(0)
	old.ends(70, "stolen")
	if !f.exists("ran") {
		t.Error("the command did not run")
	}
}

func TestLossOfRedisEndsTheCommand(t *testing.T) {
	t.Parallel() // it takes its time
	server, err := startRedis()
	if err != nil {
		t.Fatal(err)
	}
	defer runtime.UnlockOSThread()
	defer server.stop()
	f := setUpOn(t, server)
	p := f.run("--lease", "300ms", "x", "--", "sh", "-c", "echo ready; exec sleep 1000")
	p.line()
	server.stop()
	p.ends(70, "its lease of 300ms ran out", "SIGTERM")
}

func TestLossThatNobodyNoticedIsSeenAtTheRelease(t *testing.T) {
	f := setUp(t)
	p := f.run("--lease", "1h", "x", "--", "sh", "-c", "echo ready; read line; exit 0") // the lease is so long that no renewal comes in time to notice
	p.line()
	keys, err := f.rdb.Keys(t.Context(), f.prefix+":{x}").Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("the lock's keys are %q, %v", keys, err)
	}
	if err := f.rdb.Del(t.Context(), keys...).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.stdin.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	p.ends(70, "was lost before the command ended", "check what it did last")
}

func TestCommandEndsWithAProgramThatIsKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("only Linux ends a process with its parent; elsewhere the lease bounds how long it is alone")
		return
	}
	f := setUp(t)
	p := f.run("x", "--", "sh", "-c", "echo ready; exec sleep 1000")
	p.line()
	p.signal(syscall.SIGKILL)
	if status, _, _ := p.wait(); status != -9 { // standard output ends only with the sleep
		t.Errorf("exit status %d", status)
	}
}

func TestLeaseOfAKilledProgramIsWhatOthersWaitFor(t *testing.T) {
	f := setUp(t)
	p := f.run("--lease", "300ms", "x", "--", "sh", "-c", "echo ready; exec sleep 1000")
	p.line()
	if info := f.until("x", waiting(0)); len(info.Holds) != 1 || info.Holds[0].Deadline.Sub(info.Now) > 300*time.Millisecond {
		t.Errorf("the hold is %+v at %v, want a lease of 300ms", info.Holds, info.Now)
	}
	p.signal(syscall.SIGKILL)
	p.wait()
	f.run("--wait", "1m", "x", "--", "true").ends(0)
}

func TestPrefixesKeepLocksApart(t *testing.T) {
	f := setUp(t)
	f.hold("x")
	f.start("run", "--no-wait", "--prefix", f.prefix+"-other", "x", "--", "true").ends(0)
	f.run("--no-wait", "x", "--", "true").ends(75, "is held")
}

func TestRegisterRefusesAFenceThatIsTooLate(t *testing.T) {
	r := register{t.TempDir() + "/register"}
	for _, c := range []struct {
		fence int64
		taken bool
		seen  int64
	}{{8, true, 8}, {8, true, 8}, {1_795_262_366_925_055, true, 1_795_262_366_925_055}, {9, false, 1_795_262_366_925_055}} {
		taken, seen, err := r.write(c.fence)
		if err != nil || taken != c.taken || seen != c.seen {
			t.Errorf("fence %d: taken %v, seen %d, %v", c.fence, taken, seen, err)
		}
	}
	if err := os.WriteFile(r.path, []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if taken, _, err := r.write(1 << 60); taken || err == nil || !strings.Contains(err.Error(), "torn") {
		t.Errorf("a register that cannot be read took a write: %v", err)
	}
}
