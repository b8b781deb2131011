package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestThePageSaysWhatWasRun(t *testing.T) {
	rows := write(t, "rows", `{"fault":"server stalled","promise":"Old.","operations":1,"violations":null}
{"fault":"server stalled","promise":"One. Two.","workers":8,"operations":500,"grants":400,"faults":3,"violations":null,"stall":12.4,"p50":5,"p99":9,"refused":7}
{"fault":"FLUSHALL while held","promise":"One. Two.","physics":"Data is lost.","operations":10,"violations":["I1: x"],"windows":2,"window":40.2}
`)
	model := write(t, "model", `{"configuration":"2 waiters","rule_removed":"","states":1000,"depth":7,"errors":0,"seconds":1.5}
{"configuration":"2 waiters","rule_removed":"tombstones","states":10,"depth":5,"errors":1,"violated":"I8","seconds":0.1}
{"configuration":"2 waiters","rule_removed":"a new token","states":10,"errors":0,"seconds":0.1}
`)
	topologies := write(t, "topologies", `{"topology":"Sentinel","tests":120,"failed":1,"seconds":60,"note":"n"}
`)
	bug := write(t, "late.patch", "Bug: A late copy took the lock.\nTest: . TestX\n\ndiff --git a/x b/x\n")
	p := &page{versions: [][2]string{{"Redis", "7"}}, date: time.Unix(0, 0).UTC()}
	if err := p.read(rows, model, topologies, filepath.Dir(bug)); err != nil {
		t.Fatal(err)
	}
	text := string(p.text())
	for _, want := range []string{
		"| date | 1970-01-01 00:00 UTC |", "| Redis | 7 |",
		"| server stalled | 8 | 500 | 400 | 3 | 0 | 12 | 5 | 9 | 7 | none |",
		"| 2, 40 |", "* **server stalled.** One. Two.", "*Not promised, and measured:* Data is lost.", "**Violation** (FLUSHALL while held): I1: x",
		"| 2 waiters | none | 1000 | 7 | none |", "| 2 waiters | tombstones | 10 | 5 | `I8` |", "| Sentinel | 120 | 1 | 60 | n |",
		"| A late copy took the lock. | `TestX` (root module) | `make bug NAME=late` |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("not on the page: %s", want)
		}
	}
	if strings.Contains(text, "Old.") {
		t.Error("a row that was played again is on the page twice")
	}
	if n := p.wrong(); n != 3 { // the violation, the rule whose removal nothing found, the failed test
		t.Errorf("%d things are wrong", n)
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestWhatWasNotRunIsSaidToBeMissing(t *testing.T) {
	p := &page{}
	if err := p.read("", filepath.Join(t.TempDir(), "none"), "", t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if text := string(p.text()); strings.Count(text, "Not run.") != 3 || !strings.Contains(text, "None so far.") {
		t.Error(text)
	}
}

func TestEveryBugCanBeBroughtBack(t *testing.T) {
	dir, err := filepath.Abs(filepath.Join("..", "bugs"))
	if err != nil {
		t.Fatal(err)
	}
	bugs, err := readBugs(dir)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join("..", "..")
	for _, b := range bugs {
		apply := exec.Command("git", "apply", "--check", filepath.Join(dir, b.name+".patch"))
		apply.Dir = root
		if out, err := apply.CombinedOutput(); err != nil {
			t.Errorf("%s does not apply: %v: %s", b.name, err, out)
		}
		module, test, _ := strings.Cut(b.test, " ")
		found, err := exec.Command("grep", "-rlE", "--include=*_test.go", "func "+test+`\(`, filepath.Join(root, module)).Output()
		if err != nil || len(found) == 0 {
			t.Errorf("%s: there is no %s in %s", b.name, test, module)
		}
	}
}
