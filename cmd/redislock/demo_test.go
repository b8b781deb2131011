package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// loadedMachine is more than the delay of a machine that is busy with other tests.
const loadedMachine = "4s"

// buildProgram builds the program as users have it.
func buildProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "redislock")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

func TestDemoKeepsItsPromises(t *testing.T) {
	path := buildProgram(t)
	for where, args := range map[string][]string{"in memory": nil, "on a real server": {"--redis", shared.url()}} {
		t.Run(where, func(t *testing.T) {
			f := setUp(t)
			began := time.Now()
			p := f.launch(path, append([]string{"demo", "--slack", loadedMachine}, args...)...)
			out := p.ends(0)
			if took := time.Since(began); took > time.Minute {
				t.Errorf("it took %v", took)
			}
			for _, s := range scenes {
				if !strings.Contains(out, s.title+": kept") {
					t.Errorf("nothing is said of %q", s.title)
				}
			}
			if strings.Contains(out, "VIOLATED") || strings.ContainsAny(out, "\033\r") || !strings.Contains(out, "VERDICT") {
				t.Error("the account is not one for plain output, or shows a violation")
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
	t.Run("leaves only what expires", func(t *testing.T) {
		f := setUp(t)
		keys, err := f.rdb.Keys(t.Context(), "redislock-demo-*").Result()
		if err != nil || len(keys) == 0 {
			t.Fatalf("the demo's keys are %q, %v", keys, err)
		}
		for _, key := range keys {
			if left := f.rdb.TTL(t.Context(), key).Val(); left <= 0 {
				t.Errorf("%s does not expire", key)
			}
		}
	})
}

func TestDemoSaysWhichPromiseWasNotKept(t *testing.T) {
	t.Parallel() // it takes long
	f := setUp(t)
	p := f.start("demo", "--slack", "-20s") // no machine is that fast
	out := p.ends(1, "violated: ", "A holder is killed: taken over after")
	if !strings.Contains(out, "A holder is killed: VIOLATED") || !strings.Contains(out, "One at a time: kept") {
		t.Errorf("the account says %s", out)
	}
}

func TestDemoNamesARedisThatCannotBeReached(t *testing.T) {
	f := setUp(t)
	f.start("demo", "--redis", "unix://"+f.path("no.sock")).ends(69, f.path("no.sock"))
}

func TestDemoLeavesNoProcessBehind(t *testing.T) {
	for sig, status := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143, syscall.SIGKILL: -9} {
		t.Run(sig.String(), func(t *testing.T) {
			f := setUp(t)
			// All its processes share its standard error, so that ends with the last of them.
			p := f.start("demo")
			p.line() // the first scene follows
			p.signal(sig)
			got, _, stderr := p.wait() // returns when all processes have ended
			if got != status {
				t.Errorf("exit status %d, want %d; standard error: %s", got, status, stderr)
			}
		})
	}
}

func TestInstanceEndsWithItsOrders(t *testing.T) {
	f := setUp(t)
	p := f.start(instanceCommand, "--prefix", f.prefix)
	p.line() // ready
	f.hold("b")
	for _, lock := range []string{"a", "b"} {
		if err := json.NewEncoder(p.stdin).Encode(order{Do: "hold", Lock: lock, Lease: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	f.until("b", waiting(1)) // it is waiting for one lock, and holds another
	_ = p.stdin.Close()
	if status, _, stderr := p.wait(); status != 0 {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	f.until("b", waiting(0))
	if info := f.until("a", waiting(0)); len(info.Holds) != 0 {
		t.Errorf("it left a hold: %+v", info.Holds)
	}
}

func TestAccountDrawsInPlaceOnATerminal(t *testing.T) {
	var screen bytes.Buffer
	a := &account{w: &screen, width: 20}
	a.begin("Scene")
	a.drawn = time.Time{}
	a.progress("%s", strings.Repeat("é", 100))
	a.check("what", "1", "2", false)
	a.end()
	out := screen.String()
	if !strings.Contains(out, "\r\033[KScene: éééééééééééé\r\033[KScene: VIOLATED, in ") {
		t.Errorf("the screen gets %q", out)
	}
	if got := a.violated(); len(got) != 1 || got[0] != "Scene: what was 1, promised 2" {
		t.Errorf("violated: %q", got)
	}
}

func TestMessagesKeepToOneLine(t *testing.T) {
	var out strings.Builder
	say(&out, "held by %s", "a\r\nliar\033[2J")
	if got, want := out.String(), "redislock: held by a liar\\x1b[2J\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
