package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"example.com/redislock"
	"example.com/redislock/cmd/redislock/internal/safetext"
)

// hostileMode is a mode's name with OSC 52, which writes to the clipboard of the reader. It is as long as the name that
// it replaces.
const hostileMode, harmlessMode = "\x1b]52;\a\u202e\u200b", "mmmmmmmmmmmm"

// forge writes the hostile name into the key of a lock, in place of the harmless one.
func (f *fixture) forge(name string) {
	f.Helper()
	key := f.prefix + ":{" + name + "}"
	fields, err := f.rdb.HGetAll(f.Context(), key).Result()
	if err != nil {
		f.Fatal(err)
	}
	forged := 0
	for field, value := range fields {
		if strings.Contains(value, harmlessMode) {
			forged++
			f.rdb.HSet(f.Context(), key, field, strings.ReplaceAll(value, harmlessMode, hostileMode))
		}
	}
	if forged == 0 {
		f.Fatalf("no mode in %q", fields)
	}
}

// mode is the mode of a lock's holder, as the library returns it.
func (f *fixture) mode(name string) string {
	f.Helper()
	return f.until(name, func(info redislock.Info) bool { return len(info.Holds) > 0 }).Holds[0].Mode.String()
}

func TestTheNameOfAModeDoesNotReachTheTerminalRaw(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	mode := redislock.WithMode(redislock.NewMode(harmlessMode))
	f.hold("x", mode)
	f.queue("x", 0, mode)
	f.forge("x")
	for _, args := range [][]string{
		{"ls"}, {"ls", "--color", "always"}, {"ls", "-o", "json"}, {"show", "x"}, {"show", "--color", "always", "x"}, {"show", "-o", "json", "x"},
	} {
		out := colours.ReplaceAllString(f.wants(0, args), "")
		for _, r := range out {
			if safetext.Hidden(r) && r != '\n' && r != '\t' {
				t.Errorf("%v: writes %U in %q", args, r, out)
			}
		}
		if args[len(args)-1] == "always" || args[len(args)-1] == "x" && args[1] != "-o" {
			continue
		}
		if !strings.Contains(out, `]52;`) {
			t.Errorf("%v: does not show the mode: %q", args, out)
		}
	}
	var l lockJSON
	if err := json.Unmarshal([]byte(f.wants(0, []string{"show", "-o", "json", "x"})), &l); err != nil || l.Holds[0].Mode != f.mode("x") || l.Places[0].Mode != f.mode("x") {
		t.Errorf("the value in JSON is not the exact one: %+v, %v", l, err)
	}
}

func TestNamesThatLookAlikeAreToldApart(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	names := map[string]string{"pay": "pay", "pay\u200b": `"pay\u200b"`, "pay\u3164": `"pay\u3164"`, "pa\ufe0fy": `"pa\ufe0fy"`, "pay ": `"pay "`, "\u202epay": `"\u202epay"`}
	for name := range names {
		f.hold(name, redislock.WithMetadata(name))
	}
	out := f.wants(0, []string{"ls"})
	for name, shown := range names {
		if strings.Count("\n"+out, "\n"+shown+"\t") != 1 {
			t.Errorf("%q is not shown as %s: %q", name, shown, out)
		}
		f.wants(0, []string{"show", name}, shown+": held", "metadata  "+shown+"\n")
		f.wants(75, []string{"run", "--no-wait", name, "--", "true"}, "): "+shown+";")
	}
}

// full is a standard output that accepts no more data.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestAResultThatCannotBeWrittenIsNoEnd(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.hold("x")
	f.wants(0, []string{"run", "--tick", "1h", "job", "--", "true"})
	for _, args := range [][]string{
		{"ls"},
		{"ls", "-o", "json"},
		{"ls", "--color", "always"},
		{"show", "x"},
		{"show", "-o", "json", "x"},
		{"deadlocks", "-o", "json"},
		{"cron-status"},
		{"cron-status", "-o", "json"},
		{"cron-status", "job"},
		{"cron-status", "-o", "json", "job"},
	} {
		var stderr bytes.Buffer
		status := Run(append(args, "--redis", f.url, "--prefix", f.prefix), strings.NewReader(""), full{}, &stderr)
		if status != 69 || !strings.Contains(stderr.String(), "cannot be written") || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%v: exit status %d, %q", args, status, stderr.String())
		}
	}
}
