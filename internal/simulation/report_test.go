package simulation_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var record = flag.Bool("record", false, "write what comes out into docs/reliability.md")

// The results of the last recorded runs are kept here, and a section of docs/reliability.md is made of them.
const (
	searchFile = "testdata/search.json"
	bugsFile   = "testdata/bugs.json"
	loadFile   = "testdata/load.json"
	page       = "../../docs/reliability.md"
	begins     = "<!-- simulation: make simulate RECORD=1 writes this -->\n"
	ends       = "<!-- end of simulation -->\n"
)

// recorded is a run that is on the page.
type recorded[T any] struct {
	Date, Commit, Go string
	Result           T
}

// keep writes the result of a run, and the page.
func keep[T any](t *testing.T, file string, result T) {
	commit, _ := exec.Command("git", "rev-parse", "--short", "HEAD").Output() // without git it is unknown
	r := recorded[T]{time.Now().UTC().Format("2006-01-02 15:04 UTC"), strings.TrimSpace(string(commit)), runtime.Version(), result}
	text, err := json.MarshalIndent(r, "", "\t")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o755)
	}
	if err == nil {
		err = os.WriteFile(file, append(text, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	is, said, err := written()
	if err == nil {
		err = os.WriteFile(page, []byte(is[0]+begins+said+ends+is[1]), 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}

// The section of the page is what the recorded results give.
func TestThePageSaysWhatTheRunsFound(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		return
	}
	is, said, err := written()
	if err != nil {
		t.Fatal(err)
	}
	if is[2] != said {
		t.Error("docs/reliability.md does not say what the recorded runs of the simulation came to: make simulate RECORD=1")
	}
}

// written returns the page before the section and after it, the section as it is, and the section as it should be.
func written() (is [3]string, should string, err error) {
	text, err := os.ReadFile(page)
	if err != nil {
		return is, "", err
	}
	var rest string
	var ok bool
	if is[0], rest, ok = strings.Cut(string(text), begins); !ok {
		return is, "", fmt.Errorf("%s has no line %q", page, begins)
	}
	if is[2], is[1], ok = strings.Cut(rest, ends); !ok {
		return is, "", fmt.Errorf("%s has no line %q", page, ends)
	}
	var s recorded[summary]
	var b recorded[[]found]
	if err := load(searchFile, &s); err != nil {
		return is, "", err
	}
	if err := load(bugsFile, &b); err != nil {
		return is, "", err
	}
	var l recorded[loaded]
	if err := load(loadFile, &l); err != nil {
		return is, "", err
	}
	return is, section(s, b, l), nil
}

func load(file string, into any) error {
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// section is the text of the section.
func section(s recorded[summary], b recorded[[]found], l recorded[loaded]) string {
	var out strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&out, format, args...) }
	say(`
## The simulation

The simulation runs whole Clients against the real scripts in an embedded server, in fake time ([internal/simulation](../internal/simulation/doc.go)).
One seed decides everything that happens. Each seed was run twice, and all events of both runs had the same hash. The model of a lock
answered each script too, and its answers were compared.

| | |
|---|---|
| date | %s |
| redislock | %s |
| Go | %s |
| seeds, each with its own history | %d, from %d |
| operations | %d |
| faults | %d |
| scripts and commands | %d; the model answered %d of them |
| packets | %d |
| simulated time | %.0f h, in %s: %.1f h for each real second, each seed run twice |
| seeds in which something was found | %d |
`, s.Date, s.Commit, s.Go, s.Result.Seeds, s.Result.First, s.Result.Ops, s.Result.Faults, s.Result.Calls, s.Result.Models, s.Result.Packets,
		s.Result.Virtual.Hours(), s.Result.Took.Round(time.Second), 2*s.Result.Virtual.Hours()/max(1, s.Result.Took.Seconds()), s.Result.Findings)
	if l.Commit != "" {
		say("\nA busy machine does not change the run of a seed. Of %d seeds, from %d, %d had the same hash when they were run alone, in %s, and beside\n%d busy loops on %d processors, in %s (%s, %s). `make simulate LOAD=1000` does it again.\n",
			l.Result.Seeds, l.Result.First, l.Result.Seeds-l.Result.Differ, l.Result.Quiet.Round(time.Second), l.Result.Loops, l.Result.Processors,
			l.Result.Loaded.Round(time.Second), l.Date, l.Commit)
	}
	say("\nBugs that the simulation has found in this library. The plan that found each is kept, made smaller, with a run that shows the bug. The last column\nis the last commit at which the plan found the bug again after the bug had been put back.\n\n| bug | seed | mended by | kept in | shown again |\n|---|--:|---|---|---|\n")
	for _, x := range bugs {
		if x.seed != 0 {
			again := "no"
			if slices.ContainsFunc(b.Result, func(f found) bool { return f.Name == x.name && f.Again }) {
				again = b.Commit
			}
			say("| %s | %d | %s | [%s.txt](../internal/simulation/%s) | %s |\n", x.what, x.seed, x.mended, x.name, keptFile(x.name), again)
		}
	}
	say(`
Bugs were put back, one at a time. The table says after how many seeds each was found (%s, %s): %d of %d were found. *Small*: the operations and
faults of the smallest plan that still found the bug. `+"`make simulate BUGS=all`"+` does it again.

| bug | seeds | seed | small | found by |
|---|--:|--:|--:|---|
`, b.Date, b.Commit, len(slices.DeleteFunc(slices.Clone(b.Result), func(f found) bool { return f.Seeds == 0 })), len(b.Result))
	for _, f := range b.Result {
		by, _, _ := strings.Cut(f.By, ":")
		seeds, seed := fmt.Sprint(f.Seeds), fmt.Sprint(f.Seed)
		if f.Seeds == 0 {
			seeds, seed, by = "not found", "", ""
		}
		say("| %s: %s | %s | %s | %d, %d | %s |\n", f.Name, f.What, seeds, seed, f.Operations, f.Faults, by)
	}
	say("\n")
	return out.String()
}
