package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

func (f *fixture) cronStatus(args ...string) *program {
	f.Helper()
	return f.start(append([]string{"cron-status", "--prefix", f.prefix}, args...)...)
}

func TestCronStatusTellsThePersonAtThreeInTheMorning(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.cronStatus("--redis", "unix://"+f.path("no.sock"), "report").ends(69, f.path("no.sock"))
	f.cronStatus("report").ends(1, `no job "report" is known`)
	tick, later := ticks()
	p := f.run("--tick", tick, "report", "--", "sh", "-c", saysReady)
	p.line()
	if out := f.cronStatus("report").ends(0); !strings.Contains(out, "report: has been running for ") || strings.Contains(out, "\n  end ") {
		t.Errorf("while it runs: %s", out)
	}
	p.finish()
	p.ends(0)
	if out := f.cronStatus("report").ends(0); !strings.Contains(out, "report: ran in ") || !strings.Contains(out, "ago)") {
		t.Errorf("after it ran: %s", out)
	}

	f.run("--tick", later, "report", "--", "sh", "-c", "exit 3").ends(3)
	out := f.cronStatus("report").ends(0)
	for _, text := range []string{
		"report: failed after ", ": exit status 3\n", "\n  tick      " + moment(t, later).Local().Format("2006-01-02 15:04:05 -07:00\n"),
		"\n  start     20", "\n  end       20", " (pid ", "\n  metadata  sh\n", "\n  fence     1", "\n  before    20", "  ran in ",
	} {
		if !strings.Contains(out, text) {
			t.Errorf("it does not say %q: %s", text, out)
		}
	}
}

func TestCronStatusOfANodeThatDied(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	tick, _ := ticks()
	p := f.run("--tick", tick, "--lease", "1s", "x", "--", "sh", "-c", "echo ready; exec sleep 1000")
	p.line()
	p.signal(syscall.SIGKILL)
	p.wait()
	f.until("cron:x", func(info redislock.Info) bool { return len(info.Holds) == 0 }) // its lease is over
	if out := f.cronStatus("x").ends(0); !strings.Contains(out, "x: died: ") {
		t.Errorf("it says %s", out)
	}
}

func TestCronStatusForPrograms(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	var s statusJSON
	decode := func(status int, says ...string) {
		t.Helper()
		s = statusJSON{}
		if out := f.cronStatus("--json", "x").ends(status, says...); json.Unmarshal([]byte(out), &s) != nil {
			t.Fatalf("not JSON: %s", out)
		}
	}
	if decode(1, "no job"); s.Outcome != "unknown" || s.Node != nil || s.Tick != nil {
		t.Errorf("before the first run: %+v", s)
	}
	tick, _ := ticks()
	f.run("--tick", tick, "x", "--", "sh", "-c", "sleep 0.1; exit 3").ends(3)
	decode(0)
	if s.Job != "x" || s.Outcome != "failed" || s.Error != "exit status 3" || s.Seconds < 0.1 || s.Fence == 0 || s.Node.PID == 0 || s.Node.Host == "" ||
		s.Command != "sh" || !s.Tick.Equal(moment(t, tick)) || s.Tick.Location() != time.UTC || s.End.Sub(*s.Start) < 100*time.Millisecond {
		t.Errorf("%+v", s)
	}
}

func TestCronStatusListsAllJobsAndTheirNextRuns(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.wants(0, []string{"cron-status", "--color", "always"}, "no job is known")
	f.wants(0, []string{"run", "--tick", "1h", "hourly", "--", "true"})
	f.wants(3, []string{"run", "--tick", "CRON_TZ=UTC 0 0 1 1 *", "yearly", "--", "sh", "-c", "exit 3"})
	tick, _ := ticks()
	f.wants(0, []string{"run", "--tick", tick, "at a time", "--", "true"})
	out := f.wants(0, []string{"cron-status"})
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != 3 {
		t.Fatalf("it lists %q", out)
	}
	year := time.Now().UTC().Year()
	for i, want := range [][3]string{
		{"at a time", "ran", "-"},
		{"hourly", "ran", time.Now().UTC().Truncate(time.Hour).Add(time.Hour).Format(time.RFC3339)},
		{"yearly", "failed", time.Date(year+1, 1, 1, 0, 0, 0, 0, time.UTC).Format(time.RFC3339)},
	} {
		columns := strings.Split(lines[i], "\t")
		if len(columns) != 6 || columns[0] != want[0] || columns[1] != want[1] || columns[4] != want[2] {
			t.Errorf("line %d is %q, want %q", i, columns, want)
		}
	}
	f.wants(0, []string{"cron-status", "hourly"}, "\n  next      20", " (in ")
	f.wants(0, []string{"cron-status", "-o", "json", "yearly"}, fmt.Sprintf(`"next":"%d-01-01T00:00:00Z"`, year+1))
	if out := f.wants(0, []string{"cron-status", "-o", "json"}); strings.Count(out, "\n") != 3 || strings.Count(out, `"job":`) != 3 {
		t.Errorf("for programs: %q", out)
	}
}

func TestCronStatusKnowsAJobBeforeItsFirstRunAndForgetsOneThatIsNoMore(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	p := f.start("cron", "--prefix", f.prefix, "--schedule", "CRON_TZ=UTC 0 0 1 1 *", "yearly", "--", "sh", "-c", "exit 3")
	p.says("the next tick is")
	var out string
	for out == "" {
		out = f.wants(0, []string{"cron-status"})
	}
	first := time.Date(time.Now().UTC().Year()+1, 1, 1, 0, 0, 0, 0, time.UTC).Format(time.RFC3339)
	if columns := strings.Split(strings.TrimSpace(out), "\t"); len(columns) != 6 || columns[0] != "yearly" || columns[1] != "pending" || columns[2] != "-" || columns[3] != "-" || columns[4] != first {
		t.Errorf("it lists %q", out)
	}
	one := f.wants(0, []string{"cron-status", "yearly"}, "yearly: pending: it was announced, and no run of it is known", "\n  next      20", "\n  metadata  sh\n")
	for _, text := range []string{"tick", "start", "fence", "0001"} {
		if strings.Contains(one, text) {
			t.Errorf("it says %q of a job that has not run: %s", text, one)
		}
	}
	f.wants(0, []string{"cron-status", "-o", "json", "yearly"}, `"outcome":"pending"`, `"command":"sh"`)
	f.wants(0, []string{"cron-status", "--check", "yearly"})
	p.signal(syscall.SIGTERM)
	p.ends(0, "the next tick is")

	late := redislock.WithSchedule(func(after time.Time) time.Time { return after.Add(-3 * time.Hour) })
	if err := f.client.Cron("late", late).Announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.wants(1, []string{"cron-status", "--check"}, "the job late is overdue, for 3h0m", "no run of it is known. It was announced by")
	f.wants(64, []string{"cron-status", "--reset"}, "which?")
	f.wants(64, []string{"cron-status", "--reset", "--check", "late"}, "contradict")
	for range 2 { // the second time there is nothing to forget
		f.wants(0, []string{"cron-status", "--reset", "late"})
	}
	f.wants(0, []string{"cron-status", "--check"})
	f.wants(1, []string{"cron-status", "late"}, `no job "late" is known`)
}

// TestTheVerdictIsInJSONToo asks for a job that is overdue, whose lock Redis has forgotten, and says why it is where Redis is full.
func TestTheVerdictIsInJSONToo(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	f := setUpOn(t, &redisServer{addr: s.Addr()})
	late := redislock.WithSchedule(func(after time.Time) time.Time { return after.Add(-3 * time.Hour) })
	if err := f.client.Cron("late", late).Announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.hold("x")
	cli := func(want int, args ...string) string {
		t.Helper()
		status, out, stderr := f.cli(f.url, args...)
		if status != want {
			t.Errorf("%q: exit status %d, want %d: %s", args, status, want, stderr)
		}
		return out + stderr
	}
	has := func(text string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("it does not say %q: %s", want, text)
			}
		}
	}
	overdue := []string{`"troubles":[{"job":"late","kind":"overdue","level":"danger","since":"20`, `"title":"the job late is overdue"`, `"command":"redislock cron-status late`}
	has(cli(0, "show", "-o", "json", "cron:late"), overdue...)
	out := cli(0, "ls", "-o", "json")
	has(out, append(overdue, `{"name":"cron:late",`)...)
	if has(out, `{"name":"x",`, `"troubles":[]`); strings.Count(out, "\n") != 2 {
		t.Errorf("not one object for each: %s", out)
	}
	if out := cli(0, "ls", "-o", "json", "x"); strings.Contains(out, "late") {
		t.Errorf("x alone: %s", out)
	}
	has(cli(0, "show", "-o", "json", "x"), `"troubles":[]`)
	cli(1, "show", "-o", "json", "cron:never")
	has(cli(0, "cron-status", "-o", "json", "late"), `"overdue":true,"overdue_since":"20`)
	has(cli(0, "cron-status", "late"), "\n  was due  20", ", overdue for 3h0m", "redislock show cron:late says what can be done:\n  danger  cron:late: the job late is overdue, by 3h0m")

	if err := s.Admin().ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	has(cli(0, "cron-status", "late"), "danger  Redis is ", "Redis is full", "the job late is overdue")
	has(cli(1, "cron-status", "--check"), "the job late is overdue", "Redis is full", ", for 3h0m")
	has(cli(1, "cron-status", "--check", "-o", "json"), `"message":"the job late is overdue`, "Redis is full", `"title":"the job late is overdue`, `"steps":[{"action":"look",`)
	has(cli(0, "cron-status", "--color", "always"), "Redis is full", "the job late is overdue")
	has(cli(0, "ls", "-o", "json", "x"), `"trouble":{"kind":"full","level":"danger",`)
	has(cli(0, "show", "-o", "json", "x"), `"troubles":[{"kind":"full","level":"danger",`)
}
