package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"example.com/redislock"
)

func TestATokenGivesBackTheLockThatItWasWrittenFor(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.wants(64, []string{"acquire", "x"}, "--lease is missing")
	token := strings.TrimSpace(f.wants(0, []string{"acquire", "--lease", "1m", "x"}))
	info := f.until("x", func(info redislock.Info) bool { return info.Holders == 1 })
	if h := info.Holds[0]; h.Lease != time.Minute || !strings.Contains(h.Owner.Metadata, "called by process") || strings.Contains(h.Owner.Metadata, token) {
		t.Errorf("%+v", h)
	}
	f.wants(75, []string{"acquire", "--lease", "1m", "--no-wait", "x"}, "x is held since ")
	f.wants(64, []string{"release", "nonsense"}, "not a ticket")
	f.wants(0, []string{"release", token})
	if info, err := f.client.Inspect(t.Context(), "x"); err != nil || !info.Idle() {
		t.Errorf("it is held still: %+v, %v", info, err)
	}
	f.wants(70, []string{"release", token}, "was not held any more")

	var out acquired
	if err := json.Unmarshal([]byte(f.wants(0, []string{"acquire", "--lease", "1m", "-o", "json", "-n", "2", "y"})), &out); err != nil || out.Name != "y" || out.Token == "" || out.Fence == 0 || out.LeaseSeconds != 60 {
		t.Errorf("%+v, %v", out, err)
	}
	f.wants(0, []string{"acquire", "--lease", "1m", "--no-wait", "-n", "2", "y"})
	f.wants(75, []string{"acquire", "--lease", "1m", "--no-wait", "-n", "2", "y"}, "y is held")
	f.wants(0, []string{"release", "-o", "json", out.Token}, `{"name":"y","released":true}`)
	f.wants(64, []string{"acquire", "--lease", "1m", "-n", "0", "y"}, "-n (0): must be from 1")
	f.wants(64, []string{"acquire", "--lease", "1m", "-n", "2", "--shared", "y"}, "contradict")
}

func TestATokenThatCannotBeWrittenLeavesNoLock(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	nobody, full, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	_ = nobody.Close() // so that the write fails
	var stderr strings.Builder
	if status := Run([]string{"acquire", "--redis", f.url, "--prefix", f.prefix, "--lease", "1m", "x"}, nil, full, &stderr); status != 69 {
		t.Errorf("%d: %s", status, stderr.String())
	}
	if info, err := f.client.Inspect(t.Context(), "x"); err != nil || !info.Idle() {
		t.Errorf("the lock is held by nobody who knows: %+v, %v", info, err)
	}
}

func TestATokenThatNobodyReadsLeavesNoLock(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	_ = reader.Close()
	cmd := exec.Command(os.Args[0], "acquire", "--redis", f.url, "--prefix", f.prefix, "--lease", "1m", "x")
	cmd.Env = append(os.Environ(), asProgram+"=1", "GORACE=atexit_sleep_ms=0")
	cmd.Stdout = writer
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 69 {
		t.Errorf("it ended by %v, want exit status 69", err)
	}
	if info, err := f.client.Inspect(t.Context(), "x"); err != nil || !info.Idle() {
		t.Errorf("the lock is held by nobody who knows: %+v, %v", info, err)
	}
}

func TestALockThatWasAcquiredIsNotSaidToBeHeldForLongerThanItIs(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	var out acquired
	if err := json.Unmarshal([]byte(f.wants(0, []string{"acquire", "--lease", "1m", "-o", "json", "x"})), &out); err != nil {
		t.Fatal(err)
	}
	info, err := f.client.Inspect(t.Context(), "x")
	if err != nil || info.Holders != 1 {
		t.Fatalf("%+v, %v", info, err)
	}
	if end := info.Holds[0].Deadline; out.Until.After(end) || end.Sub(out.Until) > time.Minute/2 { // one machine, one clock
		t.Errorf("it is said to be held until %v, and is until %v", out.Until, end)
	}
}

func TestAWaitGoesOnUnderNohup(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	lock := f.hold("x")
	p := f.launch("sh", "-c", `trap "" HUP; exec "$0" wait --prefix `+f.prefix+` --free x`, os.Args[0])
	f.watched("x")
	p.signal(syscall.SIGHUP)
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.ends(0)
}

func TestWaitEndsWhenTheLockIsAsWanted(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.wants(64, []string{"wait", "x"}, "--free or --held")
	f.wants(0, []string{"wait", "--free", "x"})
	f.wants(75, []string{"wait", "--held", "--timeout", "50ms", "x"}, "nobody holds x, after 50ms")
	lock := f.hold("x")
	f.wants(0, []string{"wait", "--held", "x"})
	f.wants(75, []string{"wait", "--free", "--timeout", "50ms", "x"}, "x is still held (the-test")
	p := f.start("wait", "--prefix", f.prefix, "--free", "-o", "json", "x")
	f.watched("x")
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out := p.ends(0); !strings.Contains(out, `"holders":0`) || !strings.Contains(out, `"waited_seconds":`) {
		t.Errorf("%q", out)
	}
	f.hold("y")
	p = f.start("wait", "--prefix", f.prefix, "--free", "y")
	f.watched("y")
	p.signal(syscall.SIGTERM)
	p.ends(128 + 15)
}

// watched waits until a lock is watched.
func (f *fixture) watched(name string) {
	f.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if there, err := f.rdb.HExists(f.Context(), f.prefix+":{"+name+"}", "v").Result(); err != nil || there {
			return
		}
	}
	f.Fatal("nobody watches it")
}

func TestASemaphoreAndReadersRunBesideEachOther(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	for _, c := range []struct {
		name  string
		flags []string
		room  int
	}{{"pool", []string{"-n", "2"}, 2}, {"readers", []string{"--shared"}, 3}} {
		var all []*program
		for range c.room {
			p := f.run(append(c.flags, c.name, "--", "sh", "-c", saysReady)...)
			p.line()
			all = append(all, p)
		}
		if c.name == "pool" {
			f.run("-n", "2", "--no-wait", c.name, "--", "true").ends(75, "is held")
		}
		f.run("--no-wait", c.name, "--", "true").ends(75, "is held") // without an option the lock is exclusive
		for _, p := range all {
			p.finish()
			p.ends(0)
		}
		f.run("--no-wait", c.name, "--", "true").ends(0)
	}
	refuses(t, []string{"run", "-n", "2", "--once", "x", "--", "true"}, "contradict")
	refuses(t, []string{"run", "--shared", "--tick", "5m", "x", "--", "true"}, "contradict")
	refuses(t, []string{"run", "-n", "2", "--quorum", "a,b,c", "x", "--", "true"}, "contradict")
}

func TestWhatIsRememberedIsListedShownAndForgotten(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	nothing := func(context.Context) error { return nil }
	name := "a{b}%\x1b"
	if err := f.client.Once(t.Context(), name, nothing, redislock.WithForget(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := redislock.Share(t.Context(), f.client, name, time.Hour, func(context.Context) (string, error) { return "the value", nil }); err != nil {
		t.Fatal(err)
	}
	if first, err := f.client.First(t.Context(), name, time.Hour); err != nil || !first {
		t.Fatal(first, err)
	}
	for command, says := range map[string]string{"once": "\tthe-test (pid ", "share": "\t11 bytes\n", "first": "\t-\t"} {
		out := f.wants(0, []string{command}, `"a{b}%\x1b"`, says)
		if strings.Count(out, "\n") != 1 || strings.Contains(out, "\x1b") {
			t.Errorf("%s: %q", command, out)
		}
		f.wants(0, []string{command, name}, says)
		var one remembered
		if err := json.Unmarshal([]byte(f.wants(0, []string{command, "-o", "json", name})), &one); err != nil || one.Name != name || one.ForgotSeconds == nil || *one.ForgotSeconds < 3500 || *one.ForgotSeconds > 3600 {
			t.Errorf("%s: %+v, %v", command, one, err)
		}
		f.wants(1, []string{command, "other"}, "is remembered as other")
		f.wants(64, []string{command, "--reset"}, "which?")
		f.wants(0, []string{command, "--reset", name}, "is forgotten")
		f.wants(1, []string{command, "--reset", name}, "is remembered as")
	}
	if done, err := f.client.OnceDone(t.Context(), name); err != nil || done {
		t.Errorf("it is done still: %v", err)
	}
	if first, err := f.client.First(t.Context(), name, time.Hour); err != nil || !first {
		t.Errorf("it is not first again: %v", err)
	}
}

func TestCronStatusChecksForMonitoring(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.wants(0, []string{"cron-status", "--check"})
	f.wants(1, []string{"cron-status", "--check", "never"}, `no job "never" is known`)
	tick, later := ticks()
	f.run("--tick", tick, "well", "--", "true").ends(0)
	if out := f.wants(0, []string{"cron-status", "--check"}); out != "" {
		t.Errorf("all is well: %q", out)
	}
	f.run("--tick", later, "bad", "--", "sh", "-c", "exit 3").ends(3)
	f.wants(1, []string{"cron-status", "--check"}, "the last run of the job bad failed, for ", "exit status 3")
	f.wants(1, []string{"cron-status", "--check", "-o", "json", "bad"}, `"kind":"job-failed"`)
	f.wants(0, []string{"cron-status", "--check", "well"})
	// A job that should have run again long ago.
	key := f.prefix + ":r:{cron:well}"
	record, err := f.rdb.Get(t.Context(), key).Result()
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(record[17:]), &fields); err != nil {
		t.Fatalf("%q: %v", record, err)
	}
	fields["next"] = time.Now().Add(-3 * time.Hour).Format(time.RFC3339)
	text, _ := json.Marshal(fields)
	if err := f.rdb.Set(t.Context(), key, record[:17]+string(text), time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	f.wants(1, []string{"cron-status", "--check", "well"}, "the job well is overdue, for 3h0m")
	f.wants(0, []string{"cron-status", "well"}, "overdue for 3h0m")
	f.wants(0, []string{"cron-status", "--color", "always"}, "overdue 3h0m")
}

func TestAContextSaysWhatTheFlagsDoNot(t *testing.T) {
	f := setUp(t)
	f.hold("x")
	path := filepath.Join(f.dir, "contexts")
	t.Setenv(contextsVariable, path)
	run := func(status int, args []string, says ...string) string {
		t.Helper()
		var out, stderr strings.Builder
		if got := Run(args, nil, &out, &stderr); got != status {
			t.Errorf("%v: %d, %s", args, got, stderr.String())
		}
		for _, want := range says {
			if !strings.Contains(out.String()+stderr.String(), want) {
				t.Errorf("%v: no %q in %s%s", args, want, out.String(), stderr.String())
			}
		}
		return out.String()
	}
	run(64, []string{"ls", "--context", "prod"}, "there is no file "+path)
	t.Setenv("SECRET_URL", f.url)
	f.write("contexts", "# ours\n[prod]\nredis = $SECRET_URL\nprefix = "+f.prefix+"\n\n[ other ]\nredis=redis://me:hunter2@redis.example:6380/2\ncluster = true\n[unset]\nredis = $NO_SUCH_VARIABLE_42\n")
	t.Setenv("REDIS_URL", "unix:///no/such/socket")
	run(0, []string{"ls", "--context", "prod"}, "x\t")
	run(0, []string{"show", "--context", "prod", "x"}, "redislock ask x --why '...' --context prod\n")
	if out := run(0, []string{"ls", "--context", "prod", "--prefix", "another"}); out != "" {
		t.Errorf("a flag counts for more: %q", out)
	}
	run(69, []string{"ls", "--context", "prod", "--redis", "unix:///no/socket"}, "/no/socket")
	run(64, []string{"ls", "--context", "nope"}, `there is no context "nope"`)
	run(64, []string{"ls", "--context", "unset"}, "$NO_SUCH_VARIABLE_42, which is not set")
	t.Setenv(contextVariable, "prod")
	run(0, []string{"ls"}, "x\t")
	if out := run(0, []string{"contexts"}, "*\tprod\tredis://127.0.0.1:", "\tother\tredis://me:xxxxx@redis.example:6380/2\tredislock"); strings.Contains(out, "hunter2") {
		t.Error("a password is shown")
	}
	run(0, []string{"contexts", "-o", "json"}, `{"name":"prod","current":true,`)
	for text, says := range map[string]string{"nonsense\n": "line 1 is neither", "[a]\npasword = x\n": `line 2: "pasword" is none of`} {
		f.write("contexts", text)
		run(64, []string{"contexts"}, says)
	}
}

func TestContextsShowNoPieceOfAPassword(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "",
		"$REDIS":                               "$REDIS",
		"redis.example:6379":                   "redis://redis.example:6379",
		"/run/redis.sock":                      "unix:///run/redis.sock",
		"rediss://me:hunter2@h:6380/2":         "rediss://me:xxxxx@h:6380/2",
		"h:26379?username=me&password=hunter2": "redis://h:26379",
		"redis://h:26379?username=me&password=hunter2": "redis://h:26379",
		"redis://h:26379?password=hunt@er2":            "…",
		"redis://me:/hunter2@h":                        "…",
		"redis://:#hunter2@h":                          "…",
		"redis://me:hunt/er2@h":                        "…",
		"unix://me:hunter2@/run/redis.sock?db=1":       "unix://me:xxxxx@/run/redis.sock",
	} {
		if got := withoutPassword(text); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}

func TestHelpFitsEightyColumnsAndSpeaksOfItsOwnCommand(t *testing.T) {
	for _, cmd := range append(newRoot().Commands(), newRoot()) {
		if cmd.Hidden {
			continue
		}
		args := []string{cmd.Name(), "--help"}
		if cmd.Name() == "redislock" {
			args = args[1:]
		}
		var out, stderr strings.Builder
		if status := Run(args, nil, &out, &stderr); status != 0 {
			t.Fatal(stderr.String())
		}
		for _, line := range strings.Split(out.String(), "\n") {
			if ansi.StringWidth(line) > 80 && !strings.HasPrefix(line, "  redislock ") {
				t.Errorf("%v: %d columns: %q", args, len(line), line)
			}
		}
		if cmd.Name() == "redislock" || cmd.Name() == "help" || cmd.Name() == "completion" {
			continue
		}
		_, statuses, _ := strings.Cut(cmd.Long, "Exit status:")
		for _, other := range []string{"(ask", "(break", "(run", "(bench", "(show", "(demo", "(doctor", "(deadlocks", "cron-status)"} {
			if strings.Contains(statuses, other) {
				t.Errorf("%s: its exit statuses speak of others: %s", cmd.Name(), statuses)
			}
		}
	}
}

func TestListingHasMetadataTotalsAndTimesThatSort(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.hold("a", redislock.WithMetadata("the import"))
	f.hold("b")
	out := f.wants(0, []string{"ls"}, "\t0\tthe import\n", "\t0\t-\n")
	for line := range strings.Lines(out) {
		if at := strings.Split(line, "\t")[3]; len(at) != len("2026-11-30T10:00:00.000000Z") {
			t.Errorf("times of different lengths do not sort: %q", at)
		}
	}
	f.wants(0, []string{"ls", "--color", "always"}, "METADATA", "2 locks, 2 held, 0 waiting; prefix "+f.prefix+" on Redis at ")
}
