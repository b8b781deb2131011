package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cron starts "redislock cron" under the fixture's prefix.
func (f *fixture) cron(schedule string, args ...string) *program {
	f.Helper()
	return f.start(append([]string{"cron", "--prefix", f.prefix, "--schedule", schedule}, args...)...)
}

// heard is a line of a program's standard output.
type heard struct {
	p    *program
	line string
}

// listen collects the lines of all these programs until they have ended.
func listen(programs []*program) <-chan heard {
	lines := make(chan heard)
	for _, p := range programs {
		go func() {
			for {
				text, err := p.stdout.ReadString('\n')
				if err != nil {
					lines <- heard{p, ""}
					return
				}
				lines <- heard{p, strings.TrimSuffix(text, "\n")}
			}
		}()
	}
	return lines
}

func TestCronRunsOncePerTickOnThreeNodes(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	var programs []*program
	for range 3 {
		programs = append(programs, f.cron("* * * * * *", "x", "--", "sh", "-c", `echo "$REDISLOCK_NAME $REDISLOCK_TICK"`))
	}
	for _, p := range programs {
		p.says(`"x": the next tick is 20`) // now the clocks of all of them fire
	}
	lines, open := listen(programs), len(programs)
	runs, running := map[string]int{}, true
	for open > 0 {
		h := <-lines
		if h.line == "" {
			open--
			continue
		}
		name, tick, _ := strings.Cut(h.line, " ")
		if runs[tick]++; name != "x" {
			t.Errorf("its name is %q", name)
		}
		if len(runs) == 5 && running {
			running = false
			for _, p := range programs {
				p.signal(syscall.SIGTERM)
			}
		}
	}
	inOrder := slices.Sorted(maps.Keys(runs))
	for i, tick := range inOrder {
		if runs[tick] != 1 {
			t.Errorf("the tick %s was run %d times", tick, runs[tick])
		}
		if i > 0 && !moment(t, tick).Equal(moment(t, inOrder[i-1]).Add(time.Second)) {
			t.Errorf("after %s came %s", inOrder[i-1], tick)
		}
	}
	told := 0
	for _, p := range programs {
		p.ends(0, "the next tick is")
		told += strings.Count(p.stderr.String(), ": ran in ") + strings.Count(p.stderr.String(), ": signal: terminated after ") // the last run, at its very end
	}
	if told != len(runs) {
		t.Errorf("%d ticks, and %d times it was said that one ran", len(runs), told)
	}
}

func TestCronPassesTheSignalOnAndWaitsForTheEnd(t *testing.T) {
	t.Parallel()
	for sig, name := range signalNames {
		if !stops(sig) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setUp(t)
			p := f.cron("1s", "x", "--", "sh", "-c", "exec 2>/dev/null; trap 'sleep 0.2; echo done; exit 9' "+name+"; echo ready; while :; do sleep 0.02; done")
			p.line()
			p.signal(sig)
			if out := p.ends(0, "exit status 9 after"); out != "done\n" {
				t.Errorf("the command said %q", out)
			}
		})
	}
}

func TestCronThatWaitsEndsAtOnce(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	p := f.cron("@yearly", "x", "--", "true")
	p.says("the next tick is")
	p.signal(syscall.SIGTERM)
	p.ends(0, "the next tick is")
}

func TestCronLeavesSignalsOfItsOwnToTheCommand(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	p := f.cron("1s", "x", "--", "sh", "-c", "trap 'echo told; exit 0' USR1; echo ready; while :; do sleep 0.02; done")
	p.says("the next tick is")
	p.signal(sigUSR2) // nothing runs yet
	p.line()
	p.signal(sigUSR1)
	if got := p.line(); got != "told" {
		t.Errorf("the command said %q", got)
	}
	p.line() // of the next tick
	p.signal(syscall.SIGTERM)
	p.ends(0, "ran in", "signal: terminated after")
}

func TestCronSaysWhatBecameOfEachTick(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	p := f.cron("1s", "-v", "x", "--", "sh", "-c", "[ -e failed ] || { touch failed; exit 3; }; [ -e slow ] || { touch slow; sleep 1.5; }")
	p.says("exit status 3 after")
	p.says("skipped: the one of 20")
	p.says("is still running, for ")
	p.says("ran in 1.")
	q := f.cron("1s", "--at-most", "100ms", "y", "--", "sleep", "1000")
	q.says("ended after ")
	q.says("--at-most (100ms) is over (signal: terminated)")
	r := f.cron("1s", "-v", "x", "--", "true")
	r.says("the next tick is")
	// A node that loses a tick says so, and what it knows of the tick: that it runs, that it has run, or nothing more.
	for !strings.Contains(p.stderr.String()+r.stderr.String(), ": elsewhere: ") {
		time.Sleep(2 * time.Millisecond)
	}
	for _, p := range []*program{p, q, r} {
		p.signal(syscall.SIGTERM)
		p.ends(0, "the next tick is")
	}
}

func TestCronSurvivesAnOutage(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.url = "unix://" + f.path("redis.sock")
	p := f.cron("1s", "x", "--", "sh", "-c", "echo $REDISLOCK_TICK")
	p.says("not run here: cannot reach Redis at " + f.path("redis.sock")) // it starts without Redis
	r := f.relay("redis.sock")
	p.line()
	r.stop()
	before := strings.Count(p.stderr.String(), "not run here")
	for strings.Count(p.stderr.String(), "not run here") == before {
		time.Sleep(2 * time.Millisecond)
	}
	r.start()
	outage := time.Now()
	for !moment(t, p.line()).After(outage) {
	}
	p.signal(syscall.SIGTERM)
	p.ends(0, "ran in")
}

func TestCronTakesOverFromANodeThatIsKilled(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	var programs []*program
	for range 2 {
		programs = append(programs, f.cron("* * * * * *", "--retry", "1m", "--lease", "2s", "x", "--", "sh", "-c",
			`if [ -e both ] && mkdir hung 2>/dev/null; then echo hung $REDISLOCK_TICK; exec sleep 1000; fi; echo ran $REDISLOCK_TICK`))
	}
	for _, p := range programs {
		p.says("the next tick is")
	}
	f.write("both", "") // from now on they stand by
	lines, hung, open := listen(programs), "", len(programs)
	for late := time.After(time.Minute); open > 0; {
		var h heard
		select {
		case h = <-lines:
		case <-late:
			t.Fatalf("the tick %s was not run again", hung)
		}
		what, tick, _ := strings.Cut(h.line, " ")
		switch {
		case h.line == "":
			open--
		case what == "hung":
			hung = tick
			f.until(tickLock("x", tick), waiting(1))
			for _, p := range programs {
				if p != h.p {
					p.signal(sigUSR1) // the signal is for a command, and there is none
				}
			}
			h.p.signal(syscall.SIGKILL)
		case tick == hung:
			h.p.signal(syscall.SIGTERM)
		}
	}
}

func TestCronStartsNothingThatCannotRun(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.cron("1s", "x", "--", "no-such-command").ends(127, "no-such-command")
	f.cron("1s", "x", "--", "/").ends(126, "cannot be run")
}

func TestCronForProgramsSaysObjects(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	p := f.cron("1s", "-o", "json", "x", "--", "sh", "-c", "echo through >&2; exit 3")
	said := p.says(`"outcome":"failed"`)
	p.signal(syscall.SIGTERM)
	p.wait()
	objects := 0
	for line := range strings.Lines(said) {
		var m message
		if line == "through\n" {
			continue // a line of the command
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil || m.Name != "x" || m.Time.IsZero() || m.Message == "" {
			t.Errorf("%q: %+v, %v", line, m, err)
		}
		objects++
		if m.Outcome != "" && m.Tick == nil || m.Outcome == "" && m.Next == nil {
			t.Errorf("%+v", m)
		}
	}
	if objects < 2 || !strings.Contains(said, "through") {
		t.Errorf("it says %q", said)
	}
}
