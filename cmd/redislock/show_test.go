package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"example.com/redislock"
	"example.com/redislock/ui/history"
)

func nothing(context.Context) error { return nil }

func TestShowTellsWhoHoldsItAndWhatCanBeDone(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.wants(1, []string{"show", "x"}, `nothing is known of a lock "x"`, "ls --all", f.prefix)
	lock := f.hold("x", redislock.WithMetadata("the import"))
	f.queue("x", 0, redislock.WithMetadata("the first"))
	f.queue("x", 1, redislock.WithMetadata("the second"))
	out := f.wants(0, []string{"show", "x"},
		"x: held, 2 waiting\n", fmt.Sprintf("  last fence  %d\n", lock.Fence()), fmt.Sprintf("the-test (pid %d on ", os.Getpid()), "metadata  the import\n", "since     20", "deadline  20", "s unless it is renewed",
		"mode      exclusive\n", ": the first\n", ": the second\n", "What it means", "redislock ask x --why", "redislock break x --reason", fmt.Sprintf("ps -o pid,stat,etime,time,wchan,args -p %d", os.Getpid()))
	if strings.Index(out, "   1  ") > strings.Index(out, "   2  ") || strings.Index(out, "the first") > strings.Index(out, "the second") {
		t.Errorf("the queue is not in order: %s", out)
	}
	if strings.Contains(out, "\x1b") {
		t.Errorf("there are colours where nobody sees them: %q", out)
	}
	f.wants(0, []string{"show", "-o", "json", "x"}, `"name":"x"`, fmt.Sprintf(`"pid":%d`, os.Getpid()), `"metadata":"the second"`)
	if err := f.hold("y").Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.wants(0, []string{"show", "y"}, "y: free", "Nobody holds it and nobody waits")
}

func TestShowSaysWhatALookAtTheLockDoesNot(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	tick := time.Now().Add(-10 * time.Minute).Truncate(time.Minute)
	job := f.client.Cron("charge", redislock.WithSchedule(func(after time.Time) time.Time { return after.Truncate(time.Minute).Add(time.Minute) }))
	if _, err := job.Run(t.Context(), tick, nothing); err != nil {
		t.Fatal(err)
	}
	f.wants(0, []string{"show", "cron:charge"}, "The job charge is overdue, by ", "Start a process that runs the job", "redislock cron-status charge")

	lost := f.hold("x")
	fence := lost.Fence()
	f.wants(0, []string{"show", "x"}, "x: held")
	log := history.Open(f.rdb, f.prefix)
	for i, e := range []history.Entry{
		{Name: "y", Kind: "lost", Fence: 1, Told: true},
		{Name: "x", Kind: "released", Fence: fence - 2},
		{Name: "x", Kind: "ended", Fence: fence - 1, Owner: &history.Owner{Client: "jvm", Host: "node-1", PID: 7}, How: "lapsed", Ended: time.Now().Add(-time.Minute).UnixMilli()},
	} {
		if err := log.Add(t.Context(), e); err != nil {
			t.Fatal(i, err)
		}
	}
	out := f.wants(0, []string{"show", "x"}, "jvm (pid 7 on node-1) lost the lock: its lease ran out, 1m0s ago.", fmt.Sprintf(" %d, or a smaller one", fence-1))
	if n := strings.Count(out, "lost the lock"); n != 1 {
		t.Errorf("it tells of %d losses: %s", n, out)
	}
}

func TestALockInTurnsIsSaidToBeSo(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.hold("x", redislock.WithTurn(time.Millisecond))
	f.hold("y")
	f.wants(0, []string{"show", "x"}, "turns     another goroutine of this process may have it by now, or none")
	f.wants(0, []string{"show", "-o", "json", "x"}, `"turns":true`)
	f.wants(0, []string{"ls", "x"}, "), in turns\texclusive\t")
	for _, args := range [][]string{{"show", "y"}, {"show", "-o", "json", "y"}, {"ls", "y"}} {
		if out := f.wants(0, args); strings.Contains(out, "turns") {
			t.Errorf("%v: %s", args, out)
		}
	}
}

func TestALimitIsSetShownAndRemoved(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.wants(1, []string{"limit", "x"}, "no limit is set for x on Redis at")
	f.wants(1, []string{"limit", "-o", "json", "x"}, `{"name":"x","rules":[],"left_seconds":0}`)
	f.wants(0, []string{"limit", "--for", "2h", "x", "semaphore=2", "small+large=3"}, "x: at most 3 large+small, at most 2 semaphore, until 20", ", for another ")
	f.wants(0, []string{"show", "x"}, "x: free", "  limit       at most 3 large+small, at most 2 semaphore, until 20")
	f.wants(0, []string{"ls", "--all", "-o", "json", "x"}, `"limit":{"rules":[{"modes":["large","small"],"most":3},{"modes":["semaphore"],"most":2}],"until":"20`)
	for range 2 {
		f.hold("x", redislock.WithMode(redislock.Semaphore(10)))
	}
	if _, err := f.client.TryAcquire(t.Context(), "x", redislock.WithMode(redislock.Semaphore(10))); !errors.Is(err, redislock.ErrHeld) {
		t.Errorf("a third one: %v", err)
	}
	f.wants(0, []string{"limit", "x", "semaphore=0"}, "x: at most 0 semaphore, until 20", ", for another ")
	f.wants(0, []string{"show", "-o", "json", "x"}, `"holders":2`, `"limit":{"rules":[{"modes":["semaphore"],"most":0}]`)
	f.wants(0, []string{"limit", "--off", "x"}, "x: no limit any more\n")
	f.wants(1, []string{"limit", "x"})
	if out := f.wants(0, []string{"show", "x"}); strings.Contains(out, "limit") {
		t.Errorf("it has none: %s", out)
	}
	for _, args := range [][]string{{"x", "semaphore"}, {"x", "=3"}, {"x", "semaphore=many"}, {"x", "semaphore=-1"}, {"x", "a b=1"}, {"--off", "x", "read=1"}, {"--for", "1h", "x"}, {"--for", "1ms", "x", "read=1"}, {}} {
		f.wants(64, append([]string{"limit"}, args...))
	}
}

// TestAdviceFitsTheState tests the form of the advice. Its content comes from package trouble.
func TestAdviceFitsTheState(t *testing.T) {
	now := time.Now()
	owner := redislock.Owner{Client: "api", Host: "node-3", PID: 12}
	hold := redislock.Hold{Owner: owner, Since: now.Add(-time.Hour), Lease: 30 * time.Second, Deadline: now.Add(29 * time.Second), Fence: 7, Weight: 1}
	paused, revoked, lapsed, kept, other := hold, hold, hold, hold, hold
	kept.Kept, other.Owner = true, redislock.Owner{Client: "api", Host: "node-4", PID: 13}
	revoked.Revoked, lapsed.Deadline, lapsed.Lease, paused.Deadline = true, now.Add(-time.Second), 0, now.Add(10*time.Second)
	waits := []redislock.Place{{Owner: other.Owner, Since: now.Add(-3 * time.Minute)}}
	for name, c := range map[string]struct {
		info redislock.Info
		says []string
	}{
		"free with a queue": {redislock.Info{Name: "x", Now: now, Waiting: 2}, []string{"about to go to the first"}},
		"stolen":            {redislock.Info{Name: "x", Now: now, Holders: 1, Holds: []redislock.Hold{revoked}}, []string{"api (pid 12 on node-3) was robbed of the lock"}},
		"lapsed":            {redislock.Info{Name: "x", Now: now, Holders: 1, Holds: []redislock.Hold{lapsed}}, []string{"The lease of api (pid 12 on node-3) is over"}},
		"held":              {redislock.Info{Name: "x", Now: now, Holders: 1, Holds: []redislock.Hold{hold}}, []string{"did so 1s ago: the process is alive", "Ask api (pid 12 on node-3) for it.\n    ! Nothing is taken: that program decides, and may not heed it:\n      redislock ask x --why '...' --prefix p\n"}},
		"paused":            {redislock.Info{Name: "x", Now: now, Holders: 1, Holds: []redislock.Hold{paused}}, []string{"api (pid 12 on node-3) does not renew its hold, which ends at ", ", last renewed 20s ago.", "kill -CONT 12"}},
		"waited for":        {redislock.Info{Name: "x", Now: now, Holders: 1, Holds: []redislock.Hold{hold}, Waiting: 1, Places: waits}, []string{"1 waits for long: api (pid 12 on node-3) holds it, the first for 3m0s."}},
		"a job":             {redislock.Info{Name: "cron:a b", Now: now, Holders: 1, Holds: []redislock.Hold{hold}}, []string{"the job a b", "redislock cron-status 'a b'", "redislock break 'cron:a b' --reason"}},
		"an election":       {redislock.Info{Name: "elect:x", Now: now, Holders: 1, Holds: []redislock.Hold{hold}}, []string{"the holder is the leader"}},
		"kept":              {redislock.Info{Name: "x", Now: now, Holders: 1, Holds: []redislock.Hold{kept}}, []string{"api (pid 12 on node-3) has given it back: it is kept until ", "redislock watch x", "redislock break x"}},
		"kept beside one":   {redislock.Info{Name: "x", Now: now, Holders: 2, Holds: []redislock.Hold{kept, other}}, []string{"api (pid 12 on node-3) has given it back", "A holder that lives renews", "On node-4, see what process 13 does"}},
		"a pattern":         {redislock.Info{Name: "a*", Now: now, Holders: 1, Holds: []redislock.Hold{hold}}, []string{"redislock watch --name 'a*' "}},
		"begins with quote": {redislock.Info{Name: `"a`, Now: now, Holders: 1, Holds: []redislock.Hold{hold}}, []string{`redislock watch '"a'`}},
		"cannot be typed":   {redislock.Info{Name: "a\nb", Now: now, Holders: 1, Holds: []redislock.Hold{hold}}, []string{"redislock ask NAME --why"}},
	} {
		text := ansi.Strip(advise(c.info, "--prefix p", 0))
		for _, want := range c.says {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %s; want %q", name, text, want)
			}
		}
		if name == "kept" && (strings.Contains(text, "ps -o") || strings.Contains(text, "redislock ask") || strings.Contains(text, "renews")) {
			t.Errorf("it says to look for who may have ended: %s", text)
		}
		for _, line := range strings.Split(ansi.Strip(advise(c.info, "", 60)), "\n") {
			if len(line) > 60 && !strings.HasPrefix(line, "      ") {
				t.Errorf("%s: wider than the terminal: %q", name, line)
			}
		}
	}
}

func TestBreakNeedsAConfirmation(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	lock := f.hold("x")
	f.wants(64, []string{"break", "--reason", "why", "x"}, "needs a confirmation", "--yes")
	f.wants(64, []string{"break", "--yes", "x"}, "--reason")
	for _, dots := range []string{"...", "…", " . "} { // as in what is advised
		f.wants(64, []string{"break", "--yes", "--reason", dots, "x"}, "in the place of the dots")
		f.wants(64, []string{"ask", "--why", dots, "x"}, "in the place of the dots")
	}
	f.wants(64, []string{"break", "--yes", "--reason", strings.Repeat("x", 513), "x"}, "at most 512")
	if err := lock.Err(); err != nil {
		t.Fatalf("it was broken all the same: %v", err)
	}
	f.wants(1, []string{"break", "--yes", "--reason", "why", "y"}, "nobody holds y")
	f.queue("x", 0, redislock.WithMetadata("the next"))
	f.wants(0, []string{"break", "--yes", "--reason", "why not", "x"}, "x was broken", fmt.Sprintf("with the fence %d", lock.Fence()))
	select {
	case <-lock.Context().Done():
	case <-time.After(10 * time.Second):
	}
	if err := lock.Err(); err == nil || !strings.Contains(err.Error(), "why not") {
		t.Errorf("the holder saw %v", err)
	}
	f.hold("z")
	f.wants(0, []string{"break", "-y", "-o", "json", "--reason", "why", "z"}, `"broken":true`, `"reason":"why"`)
	f.wants(1, []string{"break", "-y", "-o", "json", "--reason", "why", "z"}, `"broken":false`, `"holds":[]`)
}

func TestAskTellsTheHolder(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.wants(64, []string{"ask", "x"}, "--why")
	f.wants(1, []string{"ask", "--why", "the hotfix", "x"}, "nobody holds x")
	p := f.runScript([]string{"--on-ask", "USR1"}, "trap 'echo asked; exit 3' USR1")
	out := f.wants(0, []string{"ask", "--why", "the\x1bhotfix", "x"}, "1 holder was told", "redislock watch x")
	if strings.Contains(out, "\x1b") {
		t.Errorf("%q", out)
	}
	if got := p.ends(3, `asks for "x": "the\x1bhotfix"; the command gets SIGUSR1`); got != "asked\n" {
		t.Errorf("the command said %q", got)
	}

	p = f.runScript([]string{"-o", "json"}, "trap 'exit 4' TERM")
	f.wants(0, []string{"ask", "-o", "json", "--why", "the hotfix", "x"}, `"told":1`)
	said := p.says(`"why":"the hotfix"`)
	if !strings.HasPrefix(said, `{"time":"20`) || !strings.Contains(said, `"by":{"client":`) || !strings.Contains(said, `"name":"x"`) {
		t.Errorf("it says %q", said)
	}
	p.signal(syscall.SIGTERM)
	if status, _, _ := p.wait(); status != 4 {
		t.Errorf("exit status %d", status)
	}

	c := f.cron("1s", "--on-ask", "TERM", "job", "--", "sh", "-c", "echo ready; exec sleep 1000")
	c.line()
	f.wants(0, []string{"ask", "--why", "it must end", "cron:job"}, "1 holder was told")
	c.says("it must end; the command gets SIGTERM")
	c.says("signal: terminated after")
	c.signal(syscall.SIGTERM)
	c.wait()
	refuses(t, []string{"run", "--on-ask", "KILL", "x", "--", "true"}, "--on-ask", "TERM")
	refuses(t, []string{"run", "-o", "xml", "x", "--", "true"}, "must be text or json")
}

func TestShowSaysHowManyMoreThereAre(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	readers := redislock.DefaultShown + 7
	for i := range readers {
		f.hold("x", redislock.WithMode(redislock.Read), redislock.WithMetadata(fmt.Sprintf("reader-%02d", i)))
	}
	last := fmt.Sprintf("reader-%02d", readers-1)
	if text := f.wants(0, []string{"show", "x"}, "held by 57", "and 7 more", "reader-49"); strings.Contains(text, last) {
		t.Errorf("it shows all: %s", text)
	}
	if text := f.wants(0, []string{"show", "-o", "json", "x"}, `"holders":57`); strings.Contains(text, last) {
		t.Errorf("it shows all: %s", text)
	}
	if text := f.wants(0, []string{"show", "--all", "x"}, "held by 57", last); strings.Contains(text, "more") {
		t.Errorf("it does not show all: %s", text)
	}
	f.wants(0, []string{"break", "--yes", "--reason", "why", "x"}, "and 56 more", "It is free")
}
