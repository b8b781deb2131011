package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
)

func TestRunExitsWithTheStatusOfItsCommand(t *testing.T) {
	f := setUp(t)
	f.run("x", "--", "true").ends(0)
	f.run("x", "--", "sh", "-c", "exit 7").ends(7)
	f.run("x", "--", "sh", "-c", "exit 75").ends(75)
	f.run("x", "--", "sh", "-c", "kill -KILL $$").ends(128 + 9)
	f.run("x", "--", "sh", "-c", "kill -TERM $$").ends(128 + 15)
}

func TestRunSaysWhyACommandCannotBeRun(t *testing.T) {
	f := setUp(t)
	for name, text := range map[string]string{"plain": "no program", "torn": "\x7fELF"} {
		if err := os.WriteFile(f.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(f.path("torn"), 0o700); err != nil {
		t.Fatal(err)
	}
	f.run("x", "--", "no-such-command").ends(127, "no-such-command: executable file not found", "$PATH")
	f.run("x", "--", "./no-such-command").ends(127, "no such file")
	f.run("x", "--", "./plain").ends(126, "./plain cannot be run: permission denied")
	f.run("x", "--", "/").ends(126, "cannot be run: is a directory")
	f.run("x", "--", "./torn").ends(126, "#!/bin/sh")
	if info := f.until("x", waiting(0)); len(info.Holds) != 0 {
		t.Errorf("a command that did not start left the lock held: %+v", info.Holds)
	}
}

func TestUsageErrors(t *testing.T) {
	f := setUp(t)
	f.start().ends(64, "run, cron or demo")
	f.start("rum").ends(64, "unknown command")
	f.start("run").ends(64, "NAME")
	f.start("run", "x").ends(64, "COMMAND")
	f.start("run", "x", "true").ends(64, "--")
	f.start("run", "x", "--").ends(64, "COMMAND")
	f.start("run", "x", "y", "--", "true").ends(64, "NAME")
	f.start("run", "--nope", "x", "--", "true").ends(64, "--nope")
	f.start("run", "--wait", "soon", "x", "--", "true").ends(64, "--wait")
	f.start("run", "--wait", "-1s", "x", "--", "true").ends(64, "--wait (-1s): must not be negative")
	f.start("run", "--wait", "1s", "--no-wait", "x", "--", "true").ends(64, "contradict")
	f.start("run", "--lease", "1ms", "x", "--", "true").ends(64, "--lease (1ms): must be from")
	f.start("run", "--steal-after", "1ms", "x", "--", "true").ends(64, "--steal-after (1ms): must be")
	f.start("run", "--at-most", "1ms", "x", "--", "true").ends(64, "--at-most (1ms): must be")
	f.start("run", "--grace", "-1s", "x", "--", "true").ends(64, "--grace (-1s): must not be negative")
	refuses(t, []string{"run", "--forget", "0", "--once", "x", "--", "true"}, "--forget (0s): must be")
	refuses(t, []string{"run", "--at-least", "25h", "x", "--", "true"}, "--at-least (25h0m0s): must be")
	refuses(t, []string{"run", "--at-least", "-1s", "--tick", "1h", "x", "--", "true"}, "--at-least (-1s): must be")
	refuses(t, []string{"run", "--retry", "0", "--tick", "1h", "x", "--", "true"}, "--retry (0s): must be")
	refuses(t, []string{"run", "--at-most", "0", "--tick", "1h", "x", "--", "true"}, "--at-most (0s): must be")
	refuses(t, []string{"run", "--overlap", "queue", "--tick", "1h", "x", "--", "true"}, "--overlap", "must be skip, wait, replace")
	refuses(t, []string{"run", "--tick", "soon", "x", "--", "true"}, `--tick ("soon"): neither a duration`, "2006-01-02T15:04:05Z")
	refuses(t, []string{"run", "--tick", "", "x", "--", "true"}, `--tick (""): neither a duration`)
	refuses(t, []string{"run", "--tick", "@every 5m", "x", "--", "true"}, "the duration alone (5m)")
	refuses(t, []string{"run", "--tick", "1h", "", "--", "true"}, "an empty name")
	refuses(t, []string{"run", "--once", "", "--", "true"}, "an empty name")
	f.start("run", "--prefix", "{", "x", "--", "true").ends(64, `--prefix ("{"): must not`)
	f.start("run", "", "--", "true").ends(64, "an empty name")
	f.start("demo", "x").ends(64, "unknown command")

	p := f.start("run", "--redis", "http://me:secret@host\x7f", "x", "--", "true")
	p.ends(64, "--redis", "redis://user")
	if strings.Contains(p.stderr.String(), "secret") {
		t.Errorf("a message repeats the password: %s", p.stderr.String())
	}
}

// refuses expects a usage error with all these texts.
func refuses(t *testing.T, args []string, says ...string) {
	t.Helper()
	var stderr strings.Builder
	status := Run(args, strings.NewReader(""), io.Discard, &stderr)
	for _, text := range says {
		if status != 64 || !strings.Contains(stderr.String(), text) {
			t.Errorf("%v: exit status %d, %q; want 64 and %q", args, status, stderr.String(), text)
		}
	}
}

func TestFlagsThatContradictEachOtherAreNamedBoth(t *testing.T) {
	values := map[string]string{
		"wait": "--wait=1s", "no-wait": "--no-wait", "once": "--once", "tick": "--tick=1h", "at-least": "--at-least=1m", "steal-after": "--steal-after=1m",
		"forget": "--forget=1h", "retry": "--retry=1m", "overlap": "--overlap=wait", "verbose": "--verbose", "at-most": "--at-most=30s",
	}
	for _, pair := range [][2]string{
		{"wait", "no-wait"},
		{"once", "tick"},
		{"once", "at-least"},
		{"tick", "wait"},
		{"tick", "no-wait"},
		{"tick", "steal-after"},
		{"at-least", "at-most"},
		{"forget", "tick"},
		{"retry", "once"},
		{"overlap", "once"},
		{"verbose", "once"},
	} {
		refuses(t, []string{"run", values[pair[1]], values[pair[0]], "x", "--", "true"}, "--"+pair[0])
	}
	refuses(t, []string{"run", "--wait=1s", "--no-wait", "x", "--", "true"}, "--wait and --no-wait contradict each other")
	refuses(t, []string{"run", "--once", "--tick=1h", "x", "--", "true"}, "--once and --tick contradict each other")
	refuses(t, []string{"run", "--at-least=1m", "--at-most=30s", "x", "--", "true"}, "--at-least (1m0s) is longer than --at-most (30s)")
	refuses(t, []string{"run", "--retry=1m", "x", "--", "true"}, "--retry needs --tick")

	refuses(t, []string{"cron", "x", "--", "true"}, "--schedule")
	refuses(t, []string{"cron", "--schedule", "1h", "x"}, "cron needs a NAME")
	refuses(t, []string{"cron", "--schedule", "* * *", "x", "--", "true"}, `--schedule ("* * *"): `)
	refuses(t, []string{"cron", "--schedule", "@every 1h", "x", "--", "true"}, "the duration alone (1h)")
	refuses(t, []string{"cron", "--schedule", "@daily", "--time-zone", "Nowhere", "x", "--", "true"}, "--time-zone", "Europe/Berlin")
	refuses(t, []string{"cron", "--schedule", "24h", "--time-zone", "Europe/Berlin", "x", "--", "true"}, "--time-zone and --schedule", "contradict")
	refuses(t, []string{"cron", "--schedule", "TZ=UTC @daily", "--time-zone", "Europe/Berlin", "x", "--", "true"}, "--time-zone and --schedule", "contradict")
	refuses(t, []string{"cron", "--schedule", "1h", "--lease", "1ms", "x", "--", "true"}, "--lease (1ms): must be")
	refuses(t, []string{"cron", "--schedule", "1h", "--pause", "25h", "x", "--", "true"}, "--pause (25h0m0s): must be")
	refuses(t, []string{"run", "--pause", "1h", "x", "--", "true"}, "--pause needs --tick")
	refuses(t, []string{"cron", "--schedule", "1h", "--group", "reports", "x", "--", "true"}, "must be like reports:4")
	refuses(t, []string{"cron", "--schedule", "1h", "--group", "reports:0", "x", "--", "true"}, "must be like reports:4")
	refuses(t, []string{"cron", "--schedule", "1h", "--group", ":4", "x", "--", "true"}, "must be like reports:4")
	refuses(t, []string{"cron", "--schedule", "1h", "--group", "r:1", "--group", "r:2", "x", "--", "true"}, "--group (\"r\") twice")
	refuses(t, []string{"cron", "--schedule", "1h", "--at-least", "25h", "x", "--", "true"}, "--at-least (25h0m0s): must be")
	refuses(t, []string{"cron", "--schedule", "10s", "--at-least", "10s", "x", "--", "true"}, "--at-least (10s): the next tick comes 10s later, and would be left out")
	refuses(t, []string{"run", "--tick", "0 * * * *", "--at-least", "1h", "x", "--", "true"}, "--at-least (1h0m0s): the next tick comes 1h0m0s later")
	refuses(t, []string{"cron", "--schedule", "1h", "", "--", "true"}, "an empty name")
	refuses(t, []string{"cron-status", "a", "b"}, "at most 1 arg")
	refuses(t, []string{"cron-status", ""}, "an empty name")
}

func TestHelpGoesToStandardOutput(t *testing.T) {
	f := setUp(t)
	for _, args := range [][]string{{"--help"}, {"run", "--help"}, {"cron", "--help"}, {"cron-status", "--help"}, {"demo", "--help"}} {
		if text := f.start(args...).ends(0); !strings.Contains(text, "redislock") || strings.Contains(text, instanceCommand) {
			t.Errorf("%v says %q", args, text)
		}
	}
}

func TestRunPassesStreamsAndTellsNameAndFence(t *testing.T) {
	f := setUp(t)
	p := f.run("orders/7", "--", "sh", "-c", `echo "$REDISLOCK_NAME $REDISLOCK_FENCE"; cat; echo redislock: from the command >&2`)
	words := strings.Fields(p.line())
	if len(words) != 2 || words[0] != "orders/7" {
		t.Fatalf("the command saw name and fence %q", words)
	}
	info := f.until("orders/7", waiting(0))
	if len(info.Holds) != 1 || strconv.FormatInt(info.Holds[0].Fence, 10) != words[1] {
		t.Errorf("the command saw the fence %s, the server has %+v", words[1], info.Holds)
	}
	if _, err := p.stdin.Write([]byte("through\n")); err != nil {
		t.Fatal(err)
	}
	_ = p.stdin.Close()
	if rest := p.ends(0, "redislock: from the command\n"); rest != "through\n" {
		t.Errorf("the command's standard output was %q", rest)
	}
	again := f.run("orders/7", "--", "sh", "-c", `echo "$REDISLOCK_FENCE"`)
	if second := again.line(); second <= words[1] {
		t.Errorf("the second fence is %s, the first was %s", second, words[1])
	}
	again.ends(0)
}

func TestRunSaysWhoHoldsTheLock(t *testing.T) {
	f := setUp(t)
	lock := f.hold("x", redislock.WithMetadata("import of\nMonday"))
	who := fmt.Sprintf("by the-test (pid %d on ", os.Getpid())
	f.run("--no-wait", "x", "--", "touch", "ran").ends(75, who, `: "import of\nMonday"`, "since 20", "--wait")
	f.run("--wait", "50ms", "x", "--", "touch", "ran").ends(75, who, "still held", "--wait")
	f.run("--wait", "0", "x", "--", "touch", "ran").ends(75, who)
	if f.exists("ran") {
		t.Error("the command ran without the lock")
	}
	p := f.run("--wait", "1m", "x", "--", "touch", "ran")
	f.until("x", waiting(1))
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.ends(0)
	if !f.exists("ran") {
		t.Error("the command did not run with the lock")
	}
}

func TestRunNamesARedisThatCannotBeReached(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := nobody.Addr().String()
	_ = nobody.Close()
	f := setUp(t)
	f.run("--redis", "redis://"+addr, "x", "--", "touch", "ran").ends(69, "cannot reach Redis at "+addr, "--redis", "REDIS_URL")
	f.run("--redis", "unix://"+f.path("no.sock"), "x", "--", "touch", "ran").ends(69, "cannot reach Redis at "+f.path("no.sock"))
	f.url = "redis://" + addr
	f.run("x", "--", "touch", "ran").ends(69, addr)
	if f.exists("ran") {
		t.Error("the command ran without the lock")
	}
}

func TestRunSaysThatRedisIsSilent(t *testing.T) {
	t.Parallel()                                  // it takes its time
	mute, err := net.Listen("tcp", "127.0.0.1:0") // its backlog accepts connections, and it never answers
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	f := setUp(t)
	f.run("--redis", "redis://"+mute.Addr().String(), "x", "--", "touch", "ran").ends(69, mute.Addr().String(), "no answer within "+reachTime.String())
	if f.exists("ran") {
		t.Error("the command ran without the lock")
	}
}

func TestRunSaysThatRedisRefusesTheUser(t *testing.T) {
	f := setUp(t)
	user := "user" + strconv.FormatInt(time.Now().UnixNano(), 36)
	if err := f.rdb.Do(t.Context(), "acl", "setuser", user, "on", ">secret", "+@connection", "~*", "&*").Err(); err != nil {
		t.Fatal(err)
	}
	at := strings.TrimPrefix(f.url, "redis://")
	for _, password := range []string{"wrong", "secret"} {
		p := f.run("--redis", "redis://"+user+":"+password+"@"+at, "x", "--", "touch", "ran")
		p.ends(77, at)
		if strings.Contains(p.stderr.String(), password+"@") {
			t.Errorf("a message repeats the password: %s", p.stderr.String())
		}
	}
	if f.exists("ran") {
		t.Error("the command ran without the lock")
	}
}

func TestRunsInParallelLoseNoUpdate(t *testing.T) {
	const runs = 20
	f := setUp(t)
	if err := os.WriteFile(f.path("f"), []byte("0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var programs []*program
	for range runs {
		programs = append(programs, f.run("counter", "--", "sh", "-c", `read n <f; echo $((n+1)) >f`))
	}
	for _, p := range programs {
		p.ends(0)
	}
	text, err := os.ReadFile(f.path("f"))
	if err != nil || string(text) != "20\n" {
		t.Errorf("the counter says %q (%v) after %d runs", text, err, runs)
	}
}
