package main

import (
	"strings"
	"testing"

	"example.com/redislock"
)

// kept is all that Redis has under the fixture's prefix, as one text.
func (f *fixture) kept() string {
	f.Helper()
	var all strings.Builder
	keys, err := f.rdb.Keys(f.Context(), f.prefix+"*").Result()
	if err != nil || len(keys) == 0 {
		f.Fatalf("the keys are %q, %v", keys, err)
	}
	for _, key := range keys {
		text, err := f.rdb.Dump(f.Context(), key).Result()
		if err != nil {
			f.Fatal(err)
		}
		all.WriteString(key + text)
	}
	return all.String()
}

func TestArgumentsOfTheCommandAreKeptNowhereAndShownToNobody(t *testing.T) {
	t.Parallel()
	for how, lock := range map[string]string{"": "x", "--once": "once:x", "--tick": "cron:x"} {
		f := setUp(t)
		tick, later := ticks()
		args := map[string][]string{"": nil, "--once": {"--once"}, "--tick": {"--tick", tick}}[how]
		p := f.run(append(args, "x", "--", "sh", "-c", saysReady, "hunter2")...)
		p.line()
		if _, err := f.client.TryAcquire(t.Context(), lock); err == nil || !strings.Contains(err.Error(), "): sh since ") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: others see %v", how, err)
		}
		if all := f.kept(); strings.Contains(all, "hunter2") {
			t.Errorf("%q: Redis keeps %q", how, all)
		}
		if how == "--tick" {
			f.run("--tick", later, "x", "--", "true").ends(75, "is still running")
		}
		p.finish()
		p.ends(0)
		if all := f.kept(); strings.Contains(all, "hunter2") {
			t.Errorf("%q: Redis keeps %q after it", how, all)
		}
	}
}

func TestMetadataSaysMoreOfTheCommand(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	p := f.run("--metadata", "the report of Monday", "x", "--", "sh", "-c", saysReady)
	p.line()
	f.run("--no-wait", "x", "--", "true").ends(75, "): the report of Monday;")
	p.finish()
	p.ends(0)
	tick, _ := ticks()
	f.run("--metadata", "the report", "--tick", tick, "job", "--", "true").ends(0)
	f.wants(0, []string{"cron-status", "job"}, "\n  metadata  the report\n")
	long := strings.Repeat("x", redislock.MaxMetadata+1)
	f.run("--metadata", long, "x", "--", "true").ends(64, "--metadata: 1025 bytes, at most 1024")
	f.run("--metadata", long, "--tick", tick, "x", "--", "true").ends(64, "--metadata: 1025 bytes, at most 1024")
}
