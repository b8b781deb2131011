package model

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// memory bounds the memory of a search, in MiB, and maxDepth its depth. Every run of these models ends long before.
	memory   = 3800
	maxDepth = 10000
	// patience bounds one command. The machine may be slow; a search that is cut short is a failure, not a pass.
	patience = 4 * time.Minute
)

// result is the result of a search of all states.
type result struct {
	Configuration string  `json:"configuration"`
	RuleRemoved   string  `json:"rule_removed"`
	States        int     `json:"states"`
	Depth         int     `json:"depth"`
	Errors        int     `json:"errors"`
	Violated      string  `json:"violated,omitempty"`
	Seconds       float64 `json:"seconds"` // of the search alone, not of the compiler
}

// configuration is one model with its budgets.
type configuration struct {
	name    string
	file    string
	budgets []string
	// ends: look for a cycle as well. There is none where every run ends.
	ends bool
}

// search lets spin make a program of a model, without a rule if one is named. The program looks at every state, up to
// the first violation. The test fails if it did not look at all of them.
func search(t *testing.T, c configuration, removed string) result {
	t.Helper()
	tools(t)
	dir := t.TempDir()
	text, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, c.file), text, 0o600); err != nil {
		t.Fatal(err)
	}

	args := []string{"-a"}
	for _, budget := range c.budgets {
		args = append(args, "-D"+budget)
	}
	// A violation is found within some thousand states, so most of the time is that of the compiler.
	optimise := "-O1"
	if removed != "" {
		args = append(args, "-D"+removed)
		optimise = "-O0"
	}
	if said := run(t, dir, "spin", append(args, c.file)...); strings.Contains(said, "Error") {
		t.Fatalf("spin: %s", said)
	}
	// Everything shared is global, so a partial order reduction finds nothing to reduce.
	compile, how := []string{"-w", optimise, "-DNOREDUCE", fmt.Sprintf("-DMEMLIM=%d", memory), "-o", "pan", "pan.c"}, []string{fmt.Sprintf("-m%d", maxDepth), "-n"}
	if c.ends {
		compile, how = append(compile, "-DNP"), append(how, "-l")
	} else {
		compile = append(compile, "-DSAFETY")
	}
	run(t, dir, "gcc", compile...)
	began := time.Now()
	said := run(t, dir, "./pan", how...)
	r := result{Configuration: c.name, RuleRemoved: removed, Seconds: time.Since(began).Seconds()}
	r.States = number(t, said, `(\d+) states, stored`)
	r.Depth = number(t, said, `depth reached (\d+)`)
	r.Errors = number(t, said, `errors: (\d+)`)
	if found := regexp.MustCompile(`pan:1: (?:assertion violated )?(.*?) \(at depth`).FindStringSubmatch(said); found != nil {
		r.Violated = found[1]
	}
	for _, cut := range []string{"max search depth too small", "out of memory", "reached -DMEMLIM", "Bit statespace", "Hash-Compact", "interrupted"} {
		if strings.Contains(said, cut) {
			t.Fatalf("the search was not complete:\n%s", said)
		}
	}
	if !strings.Contains(said, "Full statespace search") || r.Errors == 0 && strings.Contains(said, "Search not completed") {
		t.Fatalf("the search was not complete:\n%s", said)
	}
	t.Logf("%s %s: %d states, depth %d, %d errors %s, %.2f s", r.Configuration, r.RuleRemoved, r.States, r.Depth, r.Errors, r.Violated, r.Seconds)
	report(t, r)
	if r.Errors > 0 && (removed == "" || testing.Verbose()) {
		t.Logf("the run that leads there:\n%s", trail(t, dir, c, args[1:]))
	}
	return r
}

// trail is a violation as the steps that lead there, one to a line: which process, and the line of the model. Clients are
// numbered from 0, and the networks of their tokens behind them.
func trail(t *testing.T, dir string, c configuration, defines []string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, c.file))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	said := run(t, dir, "spin", append(append([]string{"-t", "-p"}, defines...), c.file)...)
	var steps strings.Builder
	last := ""
	for _, found := range regexp.MustCompile(`(?m)^ *(\d+):\s+proc +(\d+) \((\w+):\d+\) [^:]+:(\d+)`).FindAllStringSubmatch(said, -1) {
		if found[1] == last { // of several statements in a step the first is shown
			continue
		}
		last = found[1]
		if at, err := strconv.Atoi(found[4]); err == nil && at <= len(lines) {
			fmt.Fprintf(&steps, "%3s  %s %s  %s\n", found[1], found[3], found[2], strings.TrimSpace(lines[at-1]))
		}
	}
	return steps.String()
}

// run runs one command to its end. The output of pan and spin has the result.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && (name == "gcc" || !errors.As(err, &exit)) {
		t.Fatalf("%s %v: %v after %v: %s", name, args, err, patience, said.String())
	}
	return said.String()
}

func number(t *testing.T, said, pattern string) int {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(said)
	if found == nil {
		t.Fatalf("pan did not say %q:\n%s", pattern, said)
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var reporting sync.Mutex

// report appends a line to the file that TORTURE_REPORT_MODEL names, for docs/reliability.md.
func report(t *testing.T, r result) {
	t.Helper()
	path := os.Getenv("TORTURE_REPORT_MODEL")
	if path == "" {
		return
	}
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	reporting.Lock()
	defer reporting.Unlock()
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(append(line, '\n')); err != nil {
		t.Error(err)
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
}

// tools checks that spin and gcc are there, and installs them if they are missing and that is allowed. A check that is
// skipped proves nothing.
func tools(t *testing.T) {
	t.Helper()
	if err := installed(); err != nil {
		t.Fatalf("%v: apt-get update && apt-get install -y --no-install-recommends spin gcc libc6-dev", err)
	}
}

var installed = sync.OnceValue(func() error {
	err := missing()
	if err == nil {
		return nil
	}
	if _, none := exec.LookPath("apt-get"); none != nil || os.Geteuid() != 0 {
		return err
	}
	// Other test binaries may be about to do the same, under the lock of internal/servertest.
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "servertest-install.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	if missing() == nil {
		return nil
	}
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", "spin", "gcc", "libc6-dev"}} {
		cmd := exec.Command("apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, said)
		}
	}
	return missing()
})

func missing() error {
	for _, tool := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			return err
		}
	}
	return nil
}
