package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func TestEveryCommandHasAnExampleAndItsExitStatuses(t *testing.T) {
	for _, cmd := range newRoot().Commands() {
		if cmd.Hidden {
			continue
		}
		if cmd.Example == "" || !strings.Contains(cmd.Long, "Exit status:") {
			t.Errorf("%s: the help lacks an example or the exit statuses", cmd.Name())
		}
	}
	help := newRoot().Long
	for _, status := range []int{0, exitUnknown, exitUsage, exitUnavailable, exitLost, exitHeld, exitDenied, exitCannotRun, exitNotFound} {
		if !strings.Contains(help, fmt.Sprintf("\n  %5d  ", status)) {
			t.Errorf("the help does not explain the exit status %d", status)
		}
	}
}

func TestCommandsThatShowSomethingHaveOutputJSON(t *testing.T) {
	for _, cmd := range newRoot().Commands() {
		switch cmd.Name() {
		case "man", "ui", "top", "completion", "help", instanceCommand:
			continue
		}
		if f := cmd.Flags().Lookup("output"); f == nil || f.Shorthand != "o" || f.DefValue != "text" {
			t.Errorf("%s has no --output", cmd.Name())
		}
	}
}

func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	for shell, check := range map[string]string{"bash": "bash", "zsh": "zsh", "fish": "fish", "powershell": ""} {
		var script, stderr strings.Builder
		if status := Run([]string{"completion", shell}, nil, &script, &stderr); status != 0 || !strings.Contains(script.String(), "redislock") {
			t.Errorf("%s: %d, %s", shell, status, stderr.String())
			continue
		}
		if _, err := exec.LookPath(check); check == "" || err != nil {
			continue // the shell is not here
		}
		cmd := exec.Command(check, "-n")
		cmd.Stdin = strings.NewReader(script.String())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s does not take it: %v\n%s", shell, err, out)
		}
	}
}

func TestTheShellCompletesNames(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.hold("orders/7")
	f.hold("orders/[8]*")
	f.hold("other")
	f.hold("orders/\x1b[2J\n")
	for _, name := range []string{"orders/p$(touch x)", "orders/`id`", "orders/a b", "orders/a;b", "orders/!!", "orders/~", "orders/a'b", "--yes", "=ls"} {
		f.hold(name)
	}
	if _, err := f.client.Cron("nightly").Run(t.Context(), time.Now().Truncate(time.Hour), nothing); err != nil {
		t.Fatal(err)
	}
	complete := func(args ...string) string {
		var out, stderr strings.Builder
		if status := Run(append([]string{cobra.ShellCompRequestCmd}, args...), nil, &out, &stderr); status != 0 {
			t.Errorf("%v: %d, %s", args, status, stderr.String())
		}
		return out.String()
	}
	for _, cmd := range []string{"show", "watch", "break", "ask", "limit", "ls"} {
		out := complete(cmd, "--redis", f.url, "--prefix", f.prefix, "orders/")
		if !strings.Contains(out, "orders/7\n") || strings.Count(out, "\n") != 2 || strings.Contains(out, "other") || strings.Contains(out, "\x1b") {
			t.Errorf("%s: %q", cmd, out)
		}
	}
	if out := complete("show", "--redis", f.url, "--prefix", f.prefix, "orders/[78]"); strings.Contains(out, "orders/") {
		t.Errorf("what is typed is taken for a pattern: %q", out)
	}
	if out := complete("show", "--redis", f.url, "--prefix", f.prefix, ""); strings.Contains(out, "--yes") || strings.Contains(out, "=ls") || !strings.Contains(out, "other\n") {
		t.Errorf("names that are something else to the shell are offered: %q", out)
	}
	if out := complete("cron-status", "--redis", f.url, "--prefix", f.prefix, ""); !strings.HasPrefix(out, "nightly\n") {
		t.Errorf("jobs: %q", out)
	}
	if out := complete("ls", "--sort", ""); !strings.Contains(out, "waiting") {
		t.Errorf("--sort: %q", out)
	}
	began := time.Now()
	for _, url := range []string{"unix:///no/such/socket", "redis://192.0.2.1:6379", "nonsense"} {
		if out := complete("show", "--redis", url, ""); !strings.HasPrefix(out, ":4\n") {
			t.Errorf("without Redis: %q", out)
		}
	}
	if took := time.Since(began); took > 3*completeTime+10*time.Second {
		t.Errorf("without Redis it took %v", took)
	}
}

func TestManPages(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "man1")
	var page, stderr strings.Builder
	if status := Run([]string{"man", dir}, nil, &page, &stderr); status != 0 {
		t.Fatal(stderr.String())
	}
	if status := Run([]string{"man"}, nil, &page, &stderr); status != 0 || !strings.Contains(page.String(), ".TH \"REDISLOCK\" \"1\"") {
		t.Errorf("%d, %s: %s", status, stderr.String(), page.String())
	}
	pages := map[string]string{"redislock.1": page.String()}
	for _, cmd := range newRoot().Commands() {
		if cmd.Hidden {
			continue
		}
		name := "redislock-" + cmd.Name() + ".1"
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		pages[name] = string(text)
	}
	if _, err := os.Stat(filepath.Join(dir, "redislock-"+instanceCommand+".1")); err == nil {
		t.Error("there is a page for what is hidden")
	}
	if _, err := exec.LookPath("groff"); err != nil {
		t.Fatal("no groff: install Debian's package groff-base to run this test")
	}
	for name, text := range pages {
		cmd := exec.Command("groff", "-man", "-Tutf8", "-ww", "-z")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	read := func(text string) string {
		cmd := exec.Command("groff", "-man", "-Tascii", "-P-cbou")
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.Output()
		if err != nil {
			t.Error(err)
		}
		return string(out)
	}
	root := read(pages["redislock.1"])
	for _, want := range []string{"     69  Redis cannot be reached, or cannot serve locks\n", "redislock-ls(1)"} {
		if !strings.Contains(root, want) {
			t.Errorf("the page does not show %q:\n%s", want, root)
		}
	}
	if cron := read(pages["redislock-cron.1"]); !strings.Contains(cron, `"*/5 * * * *", with seconds`) {
		t.Errorf("the page of cron is garbled:\n%s", cron)
	}
	if ls := read(pages["redislock-ls.1"]); !strings.Contains(strings.Join(strings.Fields(ls), " "), `* is any text, also with a slash, ? is any one character, [a-c] is one of these characters, and \ quotes the next`) {
		t.Errorf("the page of ls is garbled:\n%s", ls)
	}
	if run := read(pages["redislock-run.1"]); !strings.Contains(strings.Join(strings.Fields(run), " "), "REDISLOCK_NAME and REDISLOCK_FENCE in its environment") {
		t.Errorf("the page of run is garbled:\n%s", run)
	}
	odd := &cobra.Command{Use: "odd", Long: "a *b* _c_ <d> [e](f)", Run: func(*cobra.Command, []string) {}}
	inMarkdown(odd)
	page.Reset()
	if err := doc.GenMan(odd, nil, &page); err != nil || !strings.Contains(read(page.String()), "a *b* _c_ <d> [e](f)") {
		t.Errorf("characters that mean something in markdown: %v\n%s", err, read(page.String()))
	}
	if status := Run([]string{"man", "/dev/null/x"}, nil, &page, &stderr); status != exitCannotRun {
		t.Errorf("a directory that cannot be: %d", status)
	}
}
