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
