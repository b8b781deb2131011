package main

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/redislock/internal/servertest"
)

// asProgram is the variable by which the test binary runs as the program, with the race detector.
const asProgram = "PAYMENT_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(servertest.Main(m))
}

// program is the command, with only these variables in its environment.
func program(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append([]string{asProgram + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, env...)
	return cmd
}

// tells fails the test unless the output has these texts in this order.
func tells(t *testing.T, out string, texts ...string) {
	t.Helper()
	rest := out
	for _, text := range texts {
		_, after, found := strings.Cut(rest, text)
		if !found {
			t.Errorf("%q is not told, or not in its place:\n%s", text, out)
			return
		}
		rest = after
	}
}

var story = []string{
	"Without a fence", "first", "balance of 100", "SIGSTOP", "second", "balance of 100", "it writes 50", "SIGCONT", "first", "it writes 70", "balance  70: WRONG",
	"With a fence", "first", "balance of 100", "SIGSTOP", "second", "balance of 100", "it writes 50", "SIGCONT",
	"first", "is refused by PostgreSQL: redislock: stale fence", "first", "balance of 50", "it writes 20", "balance  20: right",
}

func TestAPausedTellersWriteIsRefused(t *testing.T) {
	t.Parallel()
	servertest.Start(t) // skips or fails the test if redis-server is not installed
	servertest.SharedPostgres(t)
	out, err := program(t).CombinedOutput()
	if err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
	tells(t, string(out), append([]string{"Redis: a server of its own. PostgreSQL: a server of its own."}, story...)...)
}

func TestServersOfTheEnvironmentAreUsedAndLeftAsTheyWere(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	rdb := servertest.Start(t)
	dsn := servertest.SharedPostgres(t).DSN()
	out, err := program(t, redisEnv+"=redis://"+rdb.Addr(), postgresEnv+"="+dsn).CombinedOutput()
	if err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
	tells(t, string(out), append([]string{"Redis: that of REDISLOCK_URL. PostgreSQL: that of DATABASE_URL."}, story...)...)

	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var schemas int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'payment%'").Scan(&schemas); err != nil || schemas != 0 {
		t.Errorf("%d schemas are left, %v", schemas, err)
	}
	client := rdb.Connect()
	keys := client.Keys(ctx, "*").Val()
	if len(keys) == 0 {
		t.Error("that Redis was not used")
	}
	for _, key := range keys {
		if left := client.TTL(ctx, key).Val(); !strings.HasPrefix(key, "payment_") || left <= 0 {
			t.Errorf("%s is left for %v", key, left)
		}
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  []string
		want []string
	}{
		{[]string{"PATH=" + t.TempDir()}, []string{"redis-server is not on the PATH", redisEnv}},
		{[]string{redisEnv + "=redis://:secret@127.0.0.1:1x"}, []string{redisEnv + " cannot be read"}},
		{[]string{redisEnv + "=redis://" + servertest.Start(t).Addr(), postgresEnv + "=postgres://secret:secret@["}, []string{postgresEnv + " cannot be read"}},
	} {
		out, err := program(t, c.env...).CombinedOutput()
		if err == nil || strings.Contains(string(out), "secret") {
			t.Errorf("%v: %v:\n%s", c.env, err, out)
		}
		tells(t, string(out), c.want...)
	}
}

func TestNothingIsLeftWhenItIsInterrupted(t *testing.T) {
	t.Parallel()
	servertest.Start(t)
	servertest.SharedPostgres(t)
	dir, err := os.MkdirTemp("", "payment-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { // another user runs PostgreSQL
		t.Fatal(err)
	}
	cmd := program(t, "TMPDIR="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr // of the tellers, too: Wait returns when all of them have ended
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var told bytes.Buffer
	for part := make([]byte, 512); !strings.Contains(told.String(), "SIGSTOP"); {
		n, err := out.Read(part)
		told.Write(part[:n])
		if err != nil {
			t.Fatalf("%v:\n%s%s", err, told.String(), stderr.String())
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(stderr.String(), "payment: interrupted") {
		t.Errorf("%v, and it says %q", err, stderr.String())
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("%q are left, %v", left, err)
	}
}
