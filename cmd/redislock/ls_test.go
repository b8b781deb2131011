package main

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/ui/doctor"
	"example.com/redislock/ui/trouble"
)

// wants runs a command on the shared Redis, and expects that status, and all these texts in its output.
func (f *fixture) wants(status int, args []string, says ...string) (stdout string) {
	f.Helper()
	got, stdout, stderr := f.cli(f.url, args...)
	if got != status {
		f.Errorf("%v: exit status %d, want %d; %q, %q", args, got, status, stdout, stderr)
	}
	for _, text := range says {
		if !strings.Contains(stdout+stderr, text) {
			f.Errorf("%v: says %q, %q; want %q", args, stdout, stderr, text)
		}
	}
	return stdout
}

// queue adds a waiter for a lock, until the end of the test.
func (f *fixture) queue(name string, already int, opts ...redislock.Option) {
	f.Helper()
	go func() {
		lock, err := f.client.Acquire(f.Context(), name, opts...)
		if err == nil {
			_ = lock.Release(f.Context())
		}
	}()
	f.until(name, waiting(already+1))
}

func TestLsListsTheLocksInUse(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.wants(0, []string{"ls", "--color", "always"}, "no locks in use under the prefix", strings.TrimPrefix(f.url, "redis://"))
	f.hold("b/2", redislock.WithMetadata("not in the list"))
	f.hold("a/1")
	f.queue("a/1", 0)
	if err := f.hold("idle").Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		f.hold("readers", redislock.WithMode(redislock.Read))
	}

	out := f.wants(0, []string{"ls"})
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != 3 {
		t.Fatalf("it lists %q", out)
	}
	for i, want := range [][3]string{{"a/1", "1", "-"}, {"b/2", "0", "not in the list"}, {"readers", "0", "-"}} {
		columns := strings.Split(lines[i], "\t")
		if len(columns) != 7 || columns[6] != want[2] || columns[0] != want[0] || columns[5] != want[1] || !strings.HasPrefix(columns[1], "the-test (pid ") {
			t.Errorf("line %d is %q", i, columns)
		}
		if since, err := time.Parse(time.RFC3339Nano, columns[3]); err != nil || time.Since(since).Abs() > time.Minute {
			t.Errorf("held since %s: %v", columns[3], err)
		}
		if left, err := strconv.ParseFloat(columns[4], 64); err != nil || left < 20 || left > 30 {
			t.Errorf("its lease is %s: %v", columns[4], err)
		}
	}
	f.wants(0, []string{"ls", "readers"}, " and 2 more\tread\t")
	if out := f.wants(0, []string{"ls", "?/*"}); strings.Count(out, "\n") != 2 {
		t.Errorf("?/* are %q", out)
	}
	if out := f.wants(0, []string{"ls", "--sort", "waiting"}); !strings.HasPrefix(out, "a/1\t") {
		t.Errorf("by waiting: %q", out)
	}
	if out := f.wants(0, []string{"ls", "--sort", "since"}); !strings.HasPrefix(out, "b/2\t") {
		t.Errorf("by since: %q", out)
	}
	f.wants(0, []string{"ls", "--all", "idle"}, "idle\t-\t-\t-\t-\t0\t-\n")
	f.wants(64, []string{"ls", "--sort", "colour"}, "must be name, since or waiting")
	f.wants(64, []string{"ls", "--output", "xml"}, "must be text or json")
	f.wants(64, []string{"ls", "--color", "red"}, "must be auto, always or never")

	out = f.wants(0, []string{"ls", "--color", "always"}, "NAME", "HOLDER", "WAITING")
	if !strings.Contains(out, "\x1b[1m") {
		t.Errorf("there are no colours in %q", out)
	}
	var seen []string
	for document := json.NewDecoder(strings.NewReader(f.wants(0, []string{"ls", "-o", "json"}))); document.More(); {
		var l lockJSON
		if err := document.Decode(&l); err != nil {
			t.Fatal(err)
		}
		seen = append(seen, fmt.Sprint(l.Name, " ", l.Holders, len(l.Holds), l.Waiting, len(l.Places)))
	}
	if got := strings.Join(seen, ", "); got != "a/1 1 1 1 1, b/2 1 1 0 0, readers 3 3 0 0" {
		t.Errorf("for programs: %s", got)
	}
}

func TestLsListsTenThousandLocks(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	const many = 10_000
	var all sync.WaitGroup
	for part := range 100 {
		all.Go(func() {
			for i := range many / 100 {
				if _, err := f.client.TryAcquire(t.Context(), fmt.Sprint("order/", part, "/", i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, c := range []struct {
		lists int
		args  []string
	}{
		{many, []string{"ls"}},
		{many, []string{"ls", "-o", "json"}},
		{1000, []string{"ls", "--color", "always", "order/?/*"}}, // the race detector makes tables slow
	} {
		out := f.wants(0, c.args)
		if got := strings.Count(out, "order/"); got != c.lists {
			t.Errorf("%v: lists %d", c.args, got)
		}
	}
	looksInFewRoundTrips(f, many)
}

// trips counts the round trips of a Redis client, and its commands.
type trips struct{ n, commands atomic.Int64 }

func (c *trips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.n.Add(1)
		c.commands.Add(1)
		return next(ctx, cmd)
	}
}

func (c *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.n.Add(1)
		c.commands.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}

// looksInFewRoundTrips lets redislock top look at this many locks, in parts. The parts and the rest must be all of
// the locks.
func looksInFewRoundTrips(f *fixture, many int) {
	f.Helper()
	s := server{url: f.url, prefix: f.prefix}
	l, err := s.connect()
	if err != nil {
		f.Fatal(err)
	}
	defer l.close()
	counted := &trips{}
	l.rdb.AddHook(counted)
	keys, err := f.rdb.DBSize(f.Context()).Result() // others use the server too
	if err != nil {
		f.Fatal(err)
	}
	read, parts := 0, 0
	top := &topper{link: l}
	top.part = func(p topPart) bool {
		if len(p.infos) < 2500 {
			return false
		}
		parts, read = parts+1, read+len(p.infos)
		if p.read != read {
			f.Errorf("a part of %d makes %d", len(p.infos), p.read)
		}
		return true
	}
	v := top.look(f.Context())
	if v.err != nil || len(v.infos) != many || parts == 0 || v.taken != read || read > many {
		f.Errorf("%d locks, %d of them in %d parts, taken %d, %v", len(v.infos), read, parts, v.taken, v.err)
	}
	// The keys are gone through twice, for locks and for jobs, 1000 at a time; what is found is inspected 200 at a time.
	if n, most := counted.n.Load(), int64(many)/200+3*(keys/1000+5)+20; n > most {
		f.Errorf("%d round trips, want %d at most: %d commands, %d keys", n, most, counted.commands.Load(), keys)
	}
	if n, most := counted.commands.Load(), int64(many)+3*(keys/1000+5)+500; n > most { // 200 are sent again by EVAL, as the script is new to Redis
		f.Errorf("%d commands, want %d at most", n, most)
	}
}

// hostile is text that steers terminals, reverses text, breaks lines and columns, or is not UTF-8.
const hostile = "a\x1b[2J\x1b]0;title\a\u009b31m\u202eevil\u2066\u2028\r\n\tb\u200b\x7f<script>alert(1)</script>\xff"

var colours = regexp.MustCompile(`\x1b\[[0-9;]*m`)

func TestHostileTextDoesNotReachTheTerminal(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	name := hostile
	f.hold(name, redislock.WithMetadata(hostile))
	f.queue(name, 0, redislock.WithMetadata(hostile))
	if _, err := f.client.Cron(hostile, redislock.WithMetadata(hostile)).Run(t.Context(), time.Now().Truncate(time.Hour), nothing); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		status int
		args   []string
	}{
		{0, []string{"ls"}},
		{0, []string{"ls", "--color", "always"}},
		{0, []string{"ls", "--all", "--output", "json"}},
		{0, []string{"show", name}},
		{0, []string{"show", "--color", "always", name}},
		{0, []string{"show", "--output", "json", name}},
		{1, []string{"show", name + "x"}},
		{64, []string{"break", "--reason", hostile, name}},
		{75, []string{"run", "--no-wait", name, "--", "true"}},
		{75, []string{"run", "--no-wait", "--output", "json", name, "--", "true"}},
		{0, []string{"cron-status"}},
		{0, []string{"cron-status", hostile}},
		{0, []string{"cron-status", "-o", "json", hostile}},
		{1, []string{"cron-status", hostile + "x"}},
		{0, []string{"break", "--yes", "--reason", hostile, name}},
	} {
		status, stdout, stderr := f.cli(f.url, c.args...)
		if status != c.status {
			t.Errorf("%q: exit status %d, want %d; %q", c.args, status, c.status, stderr)
		}
		for _, text := range []string{stdout, stderr} {
			text = colours.ReplaceAllString(text, "")
			for _, r := range text {
				if !unicode.IsPrint(r) && r != '\n' && r != '\t' {
					t.Errorf("%q: writes %U in %q", c.args, r, text)
				}
			}
			if !utf8.ValidString(text) {
				t.Errorf("%q: writes what is no text: %q", c.args, text)
			}
		}
		if c.args[len(c.args)-1] == "json" {
			var l lockJSON
			if err := json.Unmarshal([]byte(strings.Split(stdout, "\n")[0]), &l); err != nil {
				t.Errorf("%q: %v", c.args, err)
			}
		}
	}
	if lines := strings.Count(f.wants(0, []string{"ls", "--all"}), "\n"); lines != 3 { // the lock, the job and its tick
		t.Errorf("%d lines for three locks", lines)
	}
}

func TestVisibleTellsNamesApart(t *testing.T) {
	for text, want := range map[string]string{
		"orders/7": "orders/7", "größe 大 🙂": "größe 大 🙂", "a\nb": `"a\nb"`, `a\nb`: `a\nb`, "\u202ea": `"\u202ea"`, `"\x1b"`: `"\"\\x1b\""`, "\x1b": `"\x1b"`, `a"b`: `a"b`, "\xff": `"\xff"`, "": "",
	} {
		if got := visible(text); got != want {
			t.Errorf("%q is shown as %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{"a": `"a"`, "\u009b\x7f": `"\u009b\u007f"`, "\U000E0041": `"\udb40\udc41"`, "é\u202e": `"é\u202e"`} {
		var out strings.Builder
		if err := writeJSON(&out, text); err != nil || out.String() != want+"\n" {
			t.Errorf("%q is %q in JSON (%v), want %s", text, out.String(), err, want)
		}
		var back string
		if err := json.Unmarshal([]byte(out.String()), &back); err != nil || back != text {
			t.Errorf("%q comes back as %q, %v", text, back, err)
		}
	}
}

func TestTablesFitTheTerminal(t *testing.T) {
	row := []cell{{strings.Repeat("名", 60), heading}, {"holder", plain}, {"2", bad}}
	text := colours.ReplaceAllString(layOut([]string{"NAME", "HOLDER", "N"}, [][]cell{row, {{"x", plain}, {"y", plain}, {"3", plain}}}, 40), "")
	lines := strings.Split(text, "\n")
	if len(lines) != 3 {
		t.Fatalf("%q", lines)
	}
	for _, line := range lines {
		width := 0
		for _, r := range line {
			width++
			if r == '名' {
				width++
			}
		}
		if width > 40 {
			t.Errorf("%d columns: %q", width, line)
		}
	}
	if !strings.HasPrefix(lines[0], "NAME ") || !strings.Contains(lines[1], "…") || !strings.HasPrefix(lines[2], "x ") {
		t.Errorf("%q", lines)
	}
}

func TestBelowItsTableLsNamesTheLocksInTrouble(t *testing.T) {
	stopped, well := heldSince("invoices", time.Hour, 16*time.Second, 2), heldSince("carts", time.Hour, 9*time.Second, 0)
	below := func(infos ...redislock.Info) string {
		var m trouble.Memory
		for _, info := range infos {
			m.See(info)
		}
		return troublesBelow(trouble.All(m.Troubles(night), nil, doctor.Report{}, night), night, 80)
	}
	text := below(well)
	if text != "" {
		t.Errorf("with nothing wrong: %q", text)
	}
	text = ansi.Strip(below(well, heldSince("a", time.Hour, 16*time.Second, 0), stopped))
	worst, next := strings.Index(text, "  danger  invoices: api (pid 12 on node-3) does not renew its hold, which ends\n"), strings.Index(text, "  warning a: api")
	if !strings.HasPrefix(text, "\nIn trouble; redislock top, or redislock show NAME, says ") || worst < 0 || next < worst || strings.Contains(text, "carts") {
		t.Errorf("%q", text)
	}
	for line := range strings.Lines(text) {
		if len(line) > 81 {
			t.Errorf("wider than 80: %q", line)
		}
	}
	var many []redislock.Info
	for i := range 8 {
		many = append(many, heldSince(fmt.Sprint(i), time.Hour, 16*time.Second, 0))
		many[i].Holds[0].Owner.PID += i // each holder is another process
	}
	if text = ansi.Strip(below(many...)); strings.Count(text, "warning") != maxListed || !strings.HasSuffix(text, "  …and 3 more\n") {
		t.Errorf("%q", text)
	}
}

// TestTroublesAreThoseOfThePattern looks with a pattern. An empty list still has the troubles of what matches, and no other troubles
// are shown.
func TestTroublesAreThoseOfThePattern(t *testing.T) {
	f := setUp(t)
	late := redislock.WithSchedule(func(after time.Time) time.Time { return after.Add(-3 * time.Hour) })
	for _, job := range []string{"report", "other"} {
		if err := f.client.Cron(job, late).Announce(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f.hold("x")
	for _, c := range []struct {
		args            []string
		report, other   bool
		onStandardError string
	}{
		{nil, true, true, ""},
		{[]string{"cron:rep*"}, true, false, "no locks in use match cron:rep* under the prefix"},
		{[]string{"--all", "cron:rep*"}, true, false, "no locks in use match cron:rep*"},
		{[]string{"x"}, false, false, ""},
		{[]string{"y*"}, false, false, "no locks in use match y*"},
	} {
		out := ansi.Strip(f.wants(0, append([]string{"ls", "--color", "always"}, c.args...), c.onStandardError))
		if strings.Contains(out, "cron:report: the job report is overdue") != c.report || strings.Contains(out, "cron:other: ") != c.other {
			t.Errorf("ls %q: %s", c.args, out)
		}
		l := &link{client: f.client, rdb: f.rdb, prefix: f.prefix, answered: new(atomic.Int64)}
		if c.args == nil {
			c.args = []string{""}
		}
		m := newTopModel(&topper{link: l, interval: time.Second, pattern: c.args[len(c.args)-1]})
		m.width, m.height = 100, 30
		m.take(m.look(t.Context()))
		text := m.screen(t)
		if strings.Contains(text, "cron:report: the job report is overdue") != c.report || strings.Contains(text, "cron:other: ") != c.other || !c.report && c.onStandardError != "" && !strings.Contains(text, c.onStandardError) {
			t.Errorf("top %q: %s", c.args, text)
		}
	}
	all := []trouble.Trouble{{Kind: trouble.Full}, {Kind: trouble.Cycle, Lock: "a", Others: []string{"b"}}, {Kind: trouble.Ended, Lock: "c"}, {Kind: trouble.Overdue, Job: "b"}}
	if some := matching("b").of(slices.Clone(all)); len(some) != 2 || some[0].Kind != trouble.Full || some[1].Kind != trouble.Cycle {
		t.Errorf("of b: %v", some)
	}
	if some := matching("").of(slices.Clone(all)); len(some) != len(all) {
		t.Errorf("of all: %v", some)
	}
}
