package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestBehaviourTestsAreThoseThatCallBoth(t *testing.T) {
	dir := t.TempDir()
	text := "package x\n\nfunc TestA(t *testing.T) {\n\tboth(t, func(e *env) {})\n}\n\nfunc TestB(t *testing.T) {}\n\n" +
		"func TestC(t *testing.T) {\n\tfor range 2 {\n\t\tboth(t, nil)\n\t}\n\tboth(t, nil)\n}\n"
	if err := os.WriteFile(filepath.Join(dir, "x_test.go"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := behaviour(dir); err != nil || !slices.Equal(got, []string{"TestA", "TestC"}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := behaviour(t.TempDir()); err == nil {
		t.Error("a folder without any is no error")
	}
	real, err := behaviour(filepath.Join("..", ".."))
	if err != nil || len(real) < 100 {
		t.Errorf("the root module has %d, %v", len(real), err)
	}
}

func TestEachTestCountsOnceAndFailuresAreShown(t *testing.T) {
	var s suite
	outside, err := s.read(strings.NewReader(`{"Action":"run","Test":"TestA/real"}
{"Action":"pass","Test":"TestA/real"}
{"Action":"pass","Test":"TestA"}
{"Action":"output","Test":"TestB/real","Output":"it broke\n"}
{"Action":"fail","Test":"TestB/real"}
{"Action":"fail","Test":"TestB"}
{"Action":"pass","Test":"TestTheTopologyExists"}
# a build that failed
{"Action":"fail"}
`))
	if err != nil || s.Tests != 2 || s.Failed != 1 || !strings.Contains(outside, "a build that failed") {
		t.Errorf("%+v, %q, %v", s, outside, err)
	}
}

// The pages show each server, what was run on it and when, and what has failed.
func TestThePagesHaveATableOfServers(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "docs"), 0o700); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "results")
	for path, text := range map[string]string{
		"docs/servers.md":    "before\n" + begins + "old\n" + ends + "after\n",
		"docs/operations.md": "before\n" + begins + ends + "after\n",
		"results": `{"server":"valkey 9.1.2","date":"2026-01-02","topology":"cluster","tests":9,"failed":1}
{"server":"valkey 9.1.2","date":"2026-01-03","topology":"cluster","tests":9,"failed":0}
{"server":"redis 6.0.16","date":"2026-01-02","topology":"tls","tests":9,"failed":2}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := document(dir, out); err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"docs/servers.md", "docs/operations.md"} {
		text, err := os.ReadFile(filepath.Join(dir, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"before\n" + begins, ends + "after\n", "| Redis 6.0.16 | not run | not run | **2 of 9 failed** | not run | not run | 2026-01-02 |",
			"| Valkey 9.1.2 | not run | not run | not run | not run | 9 passed | 2026-01-03 |",
		} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %q:\n%s", page, want, text)
			}
		}
		if strings.Contains(string(text), "old") {
			t.Errorf("%s has the old table too", page)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "docs/servers.md"), []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := document(dir, out); err == nil {
		t.Error("a page without a place for it is no error")
	}
}
