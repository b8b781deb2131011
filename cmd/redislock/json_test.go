package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
	"example.com/redislock/ui/trouble"
)

var update = flag.Bool("update", false, "write testdata/json.golden anew")

// TestJSONStaysAsItIs compares one document of each kind with its earlier form, as programs of others read them.
func TestJSONStaysAsItIs(t *testing.T) {
	now := time.Date(2026, 11, 22, 3, 4, 5, 678_901_000, time.FixedZone("", 3600))
	owner := redislock.Owner{Client: "api", Host: "node-3", PID: 12, Metadata: "import", Trace: "00-trace"}
	info := redislock.Info{
		Name: "orders/7", Now: now, Fence: 9, Holders: 11, Waiting: 12,
		Holds:  []redislock.Hold{{Owner: owner, Since: now.Add(-90 * time.Second), Deadline: now.Add(1500 * time.Millisecond), Fence: 9, Mode: redislock.Semaphore(3), Weight: 2, Revoked: true}},
		Places: []redislock.Place{{Owner: owner, Since: now.Add(-250 * time.Millisecond), Mode: redislock.Exclusive, Weight: 1}, {Owner: redislock.Owner{Client: "w"}, Mode: redislock.Write, Weight: 1}},
	}
	limited := redislock.Info{Name: "x", Now: now, Limit: redislock.Limit{Rules: []redislock.Rule{redislock.AtMost(3, "large", "small")}, Until: now.Add(time.Hour)}}
	status := redislock.CronStatus{Job: "report", Tick: now.Truncate(time.Minute), Outcome: redislock.OutcomeFailed, Node: owner, Start: now, End: now.Add(time.Second), Next: now.Truncate(time.Minute).Add(time.Hour), Duration: time.Second, Err: "exit status 3", Fence: 4}
	edge := redislock.WaitEdge{Lock: "a", Hold: info.Holds[0], For: "b", Place: info.Places[0], Blocker: info.Holds[0], Waited: 250 * time.Millisecond}
	by := jsonOwner(owner)
	a := newAccount(os.Stderr)
	a.scene, a.started = "A scene", 3
	a.check("what", "1", "2", false)
	b := &bench{link: &link{addr: "127.0.0.1:6379"}, series: map[benchKey]*series{}}
	for _, what := range []string{"ping", "set_nx", "lock"} {
		b.note(benchKey{what, 1}, time.Second, time.Duration(len(what))*time.Millisecond)
	}
	inTrouble, inNoTrouble := jsonLock(redislock.Info{Name: "x", Now: now}), jsonLock(redislock.Info{Name: "x", Now: now})
	inTrouble.Troubles = jsonTroubles([]trouble.Trouble{{
		Kind: trouble.Cycle, Level: trouble.Danger, Lock: "x", Others: []string{"y"}, Title: "title", Since: now, Waiting: 2, Means: []trouble.Text{"means"},
		Steps: []trouble.Step{{Action: trouble.Take, Text: "text", Warn: "warn", Command: "redislock break x"}, {Action: trouble.Prevent, Text: "text"}},
	}, {Kind: trouble.Overdue, Level: trouble.Warning, Job: "x"}}, now, "--prefix p")
	inNoTrouble.Troubles = jsonTroubles(nil, now, "")
	hold, one := jsonHolds(info)[0], 1
	var out strings.Builder
	for _, document := range []struct {
		kind string
		v    any
	}{
		{"ls, show, watch", jsonLock(info)},
		{"ls, show, watch: idle", jsonLock(redislock.Info{Name: "x", Now: now})},
		{"ls, show, watch: limited", jsonLock(limited)},
		{"ls, show: in trouble", inTrouble},
		{"ls, show: in no trouble", inNoTrouble},
		{"limit", limitJSON{Name: "x", limitOfJSON: jsonLimit(limited)}},
		{"limit: none", limitJSON{Name: "x", limitOfJSON: jsonLimit(redislock.Info{})}},
		{"break", broken{Name: "x", Broken: true, Fence: 9, Reason: "why", Holds: jsonHolds(info), Next: &hold, Waiting: &one}},
		{"ask", asked{Name: "x", Told: 1, Why: "why", Holds: jsonHolds(info)}},
		{"cron-status", jsonStatus(status, now)},
		{"cron-status: overdue", jsonStatus(status, status.Next.Add(2*time.Minute))},
		{"cron-status: unknown", jsonStatus(redislock.CronStatus{Job: "x"}, now)},
		{"deadlocks", jsonGraph(redislock.WaitGraph{Edges: []redislock.WaitEdge{edge}, Cycles: []redislock.Cycle{{edge}}})},
		{"deadlocks: none", jsonGraph(redislock.WaitGraph{})},
		{"bench", b.result(10 * time.Second)},
		{"demo", a.json(1500 * time.Millisecond)},
		{"version", built{Version: "v1.2.3", Library: "v1.2.3", Go: "go1.26", GoRedis: "v9", Revision: "abc", Time: &now, Modified: true}},
		{"standard error", message{Time: now.UTC(), Message: "said", Name: "x", Tick: &now, Outcome: "ran", Fence: 3, By: &by, Why: "why", Next: &now, Status: 69, Trouble: &jsonTroubles([]trouble.Trouble{{Kind: trouble.Full, Level: trouble.Danger, Title: "title"}}, now, "")[0]}},
	} {
		out.WriteString(document.kind + "\n")
		if err := writeJSON(&out, document.v); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join("testdata", "json.golden")
	if *update {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wanted := strings.Split(string(want), "\n")
	for i, line := range strings.Split(out.String(), "\n") {
		if i >= len(wanted) || line != wanted[i] {
			t.Errorf("line %d is\n%s\nit was\n%s\n(if that is meant, run the test with -update)", i+1, line, wanted[min(i, len(wanted)-1)])
		}
	}
}

func TestBenchMeasuresAndLeavesOnlyWhatExpires(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	var result benchJSON
	if err := json.Unmarshal([]byte(f.wants(0, []string{"bench", "--duration", "1s", "--yes", "-o", "json"}, "puts load on it")), &result); err != nil {
		t.Fatal(err)
	}
	if len(result.Rows) != 10 || result.Seconds != 1 || result.Address != strings.TrimPrefix(f.url, "redis://") {
		t.Errorf("%+v", result)
	}
	for _, r := range result.Rows {
		if r.Count == 0 || r.P50Seconds <= 0 || r.P99Seconds < r.P50Seconds || r.PerSecond <= 0 || (r.What != "ping") != (r.ToPing > 0) || (r.What == "lock") != (r.ToSetNX > 0) {
			t.Errorf("%+v", r)
		}
	}
	keys, err := f.rdb.Keys(t.Context(), f.prefix+"*").Result()
	if err != nil || len(keys) == 0 {
		t.Fatalf("its keys are %q, %v", keys, err)
	}
	for _, key := range keys {
		if left := f.rdb.TTL(t.Context(), key).Val(); left <= 0 || !strings.HasPrefix(key, f.prefix+":{bench-") && !strings.HasPrefix(key, f.prefix+":w:{bench-") {
			t.Errorf("%s expires in %v", key, left)
		}
	}
	if out := f.wants(0, []string{"ls"}); out != "" {
		t.Errorf("its locks are among the others: %q", out)
	}
	f.wants(64, []string{"bench", "--duration", "1ms"}, "--duration (1ms): must be")
}

func TestBenchRefusesAServerThatIsBusyOrSilentAboutIt(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	s := servertest.Start(t)
	for range 3 { // the server looks every 100 ms
		began := time.Now()
		pipe := s.Admin().Pipeline()
		for range 2000 {
			pipe.Ping(t.Context())
		}
		for time.Since(began) < 400*time.Millisecond {
			if _, err := pipe.Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
			for range 2000 {
				pipe.Ping(t.Context())
			}
		}
	}
	if status, _, stderr := f.cli("redis://"+s.Addr(), "bench", "--duration", "1s"); status != 75 || !strings.Contains(stderr, "commands per second for others") || !strings.Contains(stderr, s.Addr()) {
		t.Errorf("%d, %q", status, stderr)
	}
	rules := []any{"acl", "setuser", "locks", "on", ">secret"}
	for _, rule := range strings.Fields(redislock.ACL(f.prefix)) {
		rules = append(rules, rule)
	}
	if err := s.Admin().Do(t.Context(), rules...).Err(); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := f.cli("redis://locks:secret@"+s.Addr(), "bench", "--duration", "1s"); status != 75 || !strings.Contains(stderr, "does not say how busy") {
		t.Errorf("%d, %q", status, stderr)
	}
	if status, _, stderr := f.cli("redis://locks:secret@"+s.Addr(), "bench", "--duration", "1s", "--yes"); status != 0 {
		t.Errorf("with the rights that locks need: %d, %q", status, stderr)
	}
}

// kinds are the JSON types of a document's fields.
func kinds(v any) map[string]reflect.Kind {
	out := map[string]reflect.Kind{}
	for name, value := range v.(map[string]any) {
		out[name] = reflect.TypeOf(value).Kind()
	}
	return out
}

func TestVersionAsksNobody(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if status := Run([]string{"version", "-o", "json"}, nil, &out, &out); status != 0 {
		t.Fatal(out.String())
	}
	var v any
	if err := json.Unmarshal([]byte(out.String()), &v); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"version", "library", "go", "go_redis"} {
		if kinds(v)[name] != reflect.String {
			t.Errorf("%s is not said: %s", name, out.String())
		}
	}
	built := buildProgram(t)
	f := setUp(t)
	if text := f.launch(built, "version").ends(0); !strings.Contains(text, ", go-redis v9.") || !strings.Contains(text, ", go1.") {
		t.Errorf("it says %q", text)
	}
	if text := f.launch(built, "--version").ends(0); !strings.HasPrefix(text, "redislock version ") {
		t.Errorf("it says %q", text)
	}
}
