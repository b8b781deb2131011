package simulation_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Bugs that the simulation has found in the library are kept. A seed is of use only as long as plans are drawn in the same way. So the
// plan itself is kept, made smaller, with the history of its run with the bug. A file begins with its keys, and the history follows.
const kept = "testdata/findings"

// readable is how many lines of a history are kept, as many as a person reads.
const readable = 160

func keptFile(name string) string { return filepath.Join(kept, name+".txt") }

// keepFinding writes the finding of a bug that was brought back.
func keepFinding(b bug, o outcome) error {
	small, err := json.Marshal(o.Small)
	if err != nil {
		return err
	}
	text := o.Text
	if at := strings.LastIndex(text, "FOUND "); at >= 0 {
		line, _, _ := strings.Cut(text[at:], "\n")
		text = text[:at] + line + "\n"
	}
	if lines := strings.Split(text, "\n"); len(lines) > readable+2 {
		text = fmt.Sprintf("%s\n\n… %d lines more\n\n%s\n", strings.Join(lines[:readable], "\n"), len(lines)-readable-2, lines[len(lines)-2])
	}
	kind, _, _ := strings.Cut(o.Result.Findings[0], ":")
	text = fmt.Sprintf("bug: %s\nkind: %s\nfound: seed %d\nmended: %s\nplan: %s\n\n%s\n\n%s", b.what, kind, b.seed, b.mended, small, o.Small, text)
	if err := os.MkdirAll(kept, 0o755); err != nil {
		return err
	}
	return os.WriteFile(keptFile(b.name), []byte(text), 0o644)
}

// keptPlan is the plan of a finding; nil if none is kept.
func keptPlan(name string) (*plan, error) {
	text, err := os.ReadFile(keptFile(name))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if data, ok := strings.CutPrefix(line, "plan: "); ok {
			p := &plan{}
			return p, json.Unmarshal([]byte(data), p)
		}
	}
	return nil, fmt.Errorf("%s has no plan", keptFile(name))
}

// A bug that was found and mended stays mended.
func TestWhatWasFoundStaysMended(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		return
	}
	c := &child{binary: built(t)}
	defer c.stop()
	for _, b := range bugs {
		p, err := keptPlan(b.name)
		if err != nil || b.seed != 0 && p == nil {
			t.Errorf("%s was found by the simulation, and is not in %s: %v", b.name, kept, err)
		}
		if p == nil {
			continue
		}
		o, err := c.follow(order{Plan: p, Times: 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range o.Result.Findings {
			t.Errorf("%s: %s\n%s", keptFile(b.name), f, o.Text)
		}
		if o.Again != o.Result.Hash {
			t.Errorf("%s: runs differ: %s", keptFile(b.name), o.Text)
		}
	}
}

// showsAgain reports whether the kept plan of a bug finds it in a binary in which it was brought back.
func showsAgain(binary string, b bug) (bool, error) {
	p, err := keptPlan(b.name)
	if p == nil {
		return false, err
	}
	c := &child{binary: binary}
	defer c.stop()
	o, err := c.follow(order{Plan: p, Times: 2})
	return err == nil && len(o.Result.Findings) > 0, err
}
