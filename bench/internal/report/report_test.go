package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
)

// invented is a whole run in which every budget is kept and no peer wins. Its figures are no measurements.
func invented() *Run {
	r := &Run{
		When: time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC), Took: 9 * time.Minute, Scale: 1,
		Facts: Facts{CPU: "some processor", CPUs: 2, Memory: 8 << 30, MaxClients: 10000, NodeTimeout: 15000, Backlog: 1 << 20, Redis: "7.0.15"},
	}
	for _, p := range peer.All() {
		r.Facts.Peers = append(r.Facts.Peers, PeerFacts{Name: p.Name, Module: p.Module, Setting: p.Setting})
	}
	add := func(section, subject, quantity string, x float64, values ...float64) {
		r.Log.Add(measure.Key{Section: section, Subject: subject, Quantity: quantity, X: x}, values...)
	}
	add("server", peer.Ours, "server µs per pair", 0, 5.2, 5.2, 9)
	add("server", unfenced, "server µs per pair", 0, 4)
	add("server", plainHDEL, "server µs per pair", 0, 4.1)
	add("server", bsm, "server µs per pair", 0, 5.9)
	add("server", peer.Ours, "server µs per pair", 1, 6)
	add("server", unfenced, "server µs per pair", 1, 4)
	for subject, v := range map[string]float64{peer.Ours: 105, oursCanEnd: 110, twoNoops: 100, bsm: 120} {
		add("pair", subject, "µs per pair", 0, v)
	}
	add("pair", peer.Ours, "allocations per pair", 0, 25)
	add("pair", twoNoops, "allocations per pair", 0, 20)
	for i, x := range []float64{1, 4, 16, 64, 256, 1024} {
		for subject, v := range map[string]float64{peer.Ours: 10500, bsm: 3000, ruei: 5000} {
			add("callers", subject, "pairs per second", x, v*float64(1+i))
		}
	}
	for i := range 400 {
		add("wake", peer.Ours, "µs from release to acquired", 0, 200+float64(i*7%100))
		add("wake", bare, "µs from release to acquired", 0, 160+float64(i*7%100))
	}
	add("wake", bsm, "µs from release to acquired", 0, 80000)
	for _, x := range []float64{0, 1} {
		add("handoff", peer.Ours, "hand-offs per second", x, 10300)
		add("handoff", redsync, "hand-offs per second", x, 9900)
		add("handoff", ruei, "hand-offs per second", x, 6800)
		add("handoff", peer.Ours, "Jain's index", x, 0.995)
		add("handoff", peer.Ours, "slowest wait / median", x, 2.5)
	}
	for _, x := range []float64{2, 100, 10000} {
		add("crowd", peer.Ours, "commands per hand-off", x, 2.02)
		add("crowd", peer.Ours, "hand-offs per second", x, 9000)
		add("crowd", ruei, "hand-offs per second", x, 7000/x)
	}
	add("worst", "redislock, dead", "largest script, µs", 10000, 300, 310, 5000)
	add("worst", "redislock, cancelled", "largest script, µs", 10000, 100)
	add("waiting", peer.Ours, "KiB per waiter beside its stack", 10000, 0.9)
	add("waiting", peer.Ours, "goroutines per waiter", 10000, 0)
	add("waiting", peer.Ours, "connections", 10000, 21)
	add("holding", peer.Ours, "KiB per lock", 100000, 0.5)
	add("holding", peer.Ours, "locks lost", 100000, 0, 0, 0)
	add("holding", peer.Ours, "goroutines", 100000, 12)
	add("quorum", peer.Quorum, "µs per pair", 0, 200)
	add("quorum", peer.OneServer, "µs per pair", 0, 90)
	add("quorum", peer.RedsyncMajority, "µs per pair", 0, 310)
	add("quorum", peer.Quorum, "Jain's index", 32, 0.995)
	add("turns", peer.Turn1, "hand-offs per second", 4, 600_000)
	add("turns", bsm, "hand-offs per second", 4, 5000)
	add("turns", ruei, "hand-offs per second", 4, 9000)
	add("turns", peer.Turn1, "longest wait of a process, ms", 8, 2.9)
	add("turns", peer.Linger, "re-acquire, commands per pair", 0, 0)
	add("turns", peer.Linger, "re-acquire, µs per pair", 0, 0.9)
	add("turns", peer.Linger, "re-acquire, allocations per pair", 0, 1)
	add("turns", peer.Linger, "two clients in turn, µs per pair", 0, 102)
	add("turns", peer.Strict, "two clients in turn, µs per pair", 0, 100)
	add("turns", peer.Together, "readers beside each other, pairs per second", 0, 1_100_000)
	add("turns", peer.Together, "readers beside each other, commands per pair", 0, 0)
	for quantity, at := range map[string][2]float64{
		"server CPU µs per renewal, with a replica": {256, 12}, "bytes to the server per renewal": {0, 150}, "bytes from the server per renewal": {0, 25},
		"replication bytes per renewal": {0, 300}, "server script µs per renewal": {256, 8}, "bytes to the server per pair": {256, 360},
		"bytes from the server per pair": {256, 110}, "server CPU µs per hand-off": {32, 40}, "bytes to the server per hand-off": {32, 340},
		"bytes from the server per hand-off": {32, 290}, "renewals per request": {1500, 4}, "client CPU µs per renewal, as they come": {1500, 30},
		"connections of a Client that renews": {1500, 10}, "server CPU µs per check": {2000, 25}, "server bytes per lock": {20000, 450},
		"server bytes per free name": {20000, 300}, "server bytes per waiter": {5000, 260}, "server bytes per connection": {500, 20000}, "server CPU µs per connection": {500, 60},
	} {
		add("footprint", peer.Ours, quantity, at[0], at[1])
	}
	add("footprint", peer.Ours, "server CPU µs per renewal", 1, 20)
	add("footprint", peer.Ours, "server CPU µs per renewal", 16, 11)
	add("footprint", peer.Ours, "server CPU µs per renewal", 256, 10)
	add("footprint", peer.Ours, "server CPU µs per pair", 1, 50)
	add("footprint", peer.Ours, "server CPU µs per pair", 256, 25)
	// The order of an iteration over a map must not show.
	slices.SortFunc(r.Log.Entries, func(a, b *measure.Entry) int {
		return strings.Compare(a.Section+a.Quantity+a.Subject, b.Section+b.Quantity+b.Subject)
	})
	return r
}

// change replaces the values of one entry.
func (r *Run) change(t *testing.T, k measure.Key, values ...float64) {
	t.Helper()
	for _, e := range r.Log.Entries {
		if e.Key == k {
			e.Values = values
			return
		}
	}
	t.Fatalf("%v is not in the run", k)
}

// reds are changes of the invented run, each with the one budget that it breaks: section, subject, quantity, place, value, budget.
const reds = `server | redislock | server µs per pair | 0 | 5.7 | server time of a pair of scripts, names in use
server | redislock | server µs per pair | 1 | 6.5 | server time of that pair, fresh names
server | redislock, release by plain HDEL | server µs per pair | 0 | 4.3 | server time of that pair with a release by plain HDEL, names in use
pair | redislock | µs per pair | 0 | 111 | latency of an uncontended pair, one caller
pair | redislock, a context that can end | µs per pair | 0 | 116 | latency of that pair, under a context that can end
pair | redislock | allocations per pair | 0 | 27 | allocations of that pair, beside those of two no-op EVALSHA
callers | rueidislock | pairs per second | 1 | 11100 | pairs per second, one caller
callers | bsm/redislock | pairs per second | 4 | 19100 | pairs per second, 4 callers on own names, one Client
callers | rueidislock | pairs per second | 16 | 22600 | pairs per second, 16 callers on own names, one Client
callers | rueidislock | pairs per second | 64 | 23400 | pairs per second, 64 callers on own names, one Client
callers | bsm/redislock | pairs per second | 256 | 26300 | pairs per second, 256 callers on own names, one Client
callers | rueidislock | pairs per second | 1024 | 31600 | pairs per second, 1,024 callers on own names, one Client
wake | floor: PUBLISH to receive | µs from release to acquired | 0 | 100 | release in one process to acquired in another, idle
handoff | rueidislock | hand-offs per second | 0 | 7100 | fair hand-offs per second, 4 Clients × 8 waiters, one name
handoff | redsync | hand-offs per second | 0 | 10400 | fair hand-offs per second there
handoff | redislock | Jain's index | 0 | 0.98 | Jain's index there
handoff | redislock | slowest wait / median | 0 | 3.1 | slowest wait there
crowd | redislock | commands per hand-off | 2 | 2.2 | commands sent per hand-off, 2 waiters
crowd | redislock | commands per hand-off | 10000 | 3 | commands sent per hand-off, 10,000 waiters
worst | redislock, cancelled | largest script, µs | 10000 | 501 | any one script, 10,000 waiters dead or cancelled
waiting | redislock | KiB per waiter beside its stack | 10000 | 1.1 | memory of one of 10,000 waiters, beside its caller's stack
waiting | redislock | goroutines per waiter | 10000 | 1 | goroutines of ours for each waiter
waiting | redislock | connections | 10000 | 10000 | connections for each waiter
holding | redislock | KiB per lock | 100000 | 0.7 | memory of one of 100,000 held locks
holding | redislock | locks lost | 100000 | 1 | locks lost among them
holding | redislock | goroutines | 100000 | 100000 | goroutines for each held lock
quorum | redislock, one server | µs per pair | 0 | 79 | latency of an uncontended pair, quorum of 3
quorum | redsync, three servers | µs per pair | 0 | 299 | pairs of a quorum of 3, how many times as fast
quorum | redislock, quorum | Jain's index | 32 | 0.98 | Jain's index of its hand-offs, 4 Clients × 8 waiters
turns | redislock, turn 1 ms | hand-offs per second | 4 | 499999 | hand-offs per second, 4 Clients × 8 waiters, WithTurn(1ms)
turns | bsm/redislock | hand-offs per second | 4 | 12001 | those hand-offs beside others'
turns | redislock, turn 1 ms | longest wait of a process, ms | 8 | 3.1 | longest wait of one of 4 processes × 8: the turns of the others
turns | redislock, linger 50 ms | re-acquire, commands per pair | 0 | 2 | commands sent per pair within a linger
turns | redislock, linger 50 ms | re-acquire, µs per pair | 0 | 1.1 | latency of a pair within a linger
turns | redislock, linger 50 ms | re-acquire, allocations per pair | 0 | 2 | allocations of a pair within a linger: the handle
turns | redislock, strict | two clients in turn, µs per pair | 0 | 97 | two Clients in turn on one name, WithLinger(50ms)
turns | redislock, readers in turns | readers beside each other, pairs per second | 0 | 999999 | pairs per second of readers of one Client beside each other
turns | redislock, readers in turns | readers beside each other, commands per pair | 0 | 1 | commands sent per such pair
`

type red struct {
	key   measure.Key
	value float64
	red   string // the only row that is red
}

func parseRed(t *testing.T, line string) red {
	t.Helper()
	f := strings.Split(strings.TrimSpace(line), " | ")
	if len(f) != 6 {
		t.Fatalf("%q has %d fields", line, len(f))
	}
	var at [2]float64
	for i := range at {
		v, err := strconv.ParseFloat(f[3+i], 64)
		if err != nil {
			t.Fatal(err)
		}
		at[i] = v
	}
	return red{measure.Key{Section: f[0], Subject: f[1], Quantity: f[2], X: at[0]}, at[1], f[5]}
}

func TestEachBudgetIsComputedFromItsFigures(t *testing.T) {
	t.Parallel()
	for _, b := range invented().Budgets() {
		if b.Verdict() != "pass" {
			t.Errorf("%s: %s, %s, not kept in a run that keeps all", b.What, b.Bound(), b.Measured())
		}
	}
	broken := map[string]bool{}
	for line := range strings.Lines(reds) {
		c := parseRed(t, line)
		r := invented()
		r.change(t, c.key, c.value)
		for _, b := range r.Budgets() {
			if (b.Verdict() == "red") != (b.What == c.red) {
				t.Errorf("%v at %v: %q is %s with %s", c.key, c.value, b.What, b.Verdict(), b.Measured())
			}
		}
		broken[c.red] = true
	}
	r := invented()
	r.change(t, measure.Key{Section: "holding", Subject: peer.Ours, Quantity: "locks lost", X: 100000}, 0, 0, 1) // once is already too often
	for _, b := range r.Budgets() {
		if (b.Verdict() == "red") != (b.What == "locks lost among them") {
			t.Errorf("a lost lock: %q is %s", b.What, b.Verdict())
		}
	}
	if len(broken) != len(r.Budgets()) {
		t.Errorf("%d of %d rows were broken", len(broken), len(r.Budgets()))
	}
	for _, b := range (&Run{}).Budgets() {
		if b.Verdict() != "not measured" {
			t.Errorf("%s of an empty run: %s", b.What, b.Verdict())
		}
	}
}

func TestARedBudgetSaysWhatStandsInItsWay(t *testing.T) {
	t.Parallel()
	if text := invented().obstructed(); text != "" {
		t.Errorf("no budget is red, and yet: %s", text)
	}
	rows := map[string]bool{}
	for _, b := range invented().Budgets() {
		rows[b.What] = true
	}
	for row := range obstacles {
		if !rows[row] {
			t.Errorf("no budget is %q", row)
		}
	}
	for line := range strings.Lines(reds) {
		c := parseRed(t, line)
		r := invented()
		r.change(t, c.key, c.value)
		if text, why := r.obstructed(), obstacles[c.red]; !strings.Contains(text, "*"+c.red+":*") || !strings.Contains(text, cmp.Or(why, unknown)) {
			t.Errorf("%s: %s", c.red, text)
		}
	}
}

func TestARowThatAPeerWinsIsMarkedAndNeedsAReason(t *testing.T) {
	t.Parallel()
	r := invented()
	if open := r.Unexplained(); len(open) > 0 {
		t.Fatalf("nobody wins, and yet: %v", open)
	}
	r.change(t, measure.Key{Section: "pair", Subject: bsm, Quantity: "µs per pair"}, 90)
	wake := measure.Key{Section: "wake", Subject: bsm, Quantity: "µs from release to acquired"}
	slow := r.Log.Median(wake)
	r.change(t, wake, 1)
	r.change(t, measure.Key{Section: "server", Subject: bsm, Quantity: "server µs per pair"}, 3)
	if open := r.Unexplained(); len(open) != 1 || open[0] != "wake/µs from release to acquired/bsm/redislock" {
		t.Errorf("unexplained: %v", open)
	}
	page, _, err := r.Performance()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| µs per pair | 105 | 90.0 (bsm/redislock) | **0.86** ▼ | 0.95 |", "* **bsm/redislock.** No reason known yet.", "which is no script", "2001-02-03 04:05 UTC",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if want := "| bsm/redislock | 90.0 | 90.0 – 90.0 | 0.90 | **0.86** ▼ |"; !strings.Contains(string(r.Details()), want) {
		t.Errorf("the appendix lacks %q", want)
	}
	dir := t.TempDir()
	if err := r.Write(dir); err == nil || !strings.Contains(err.Error(), "wake/µs from release to acquired/bsm/redislock") {
		t.Errorf("the command says %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "performance.md")); err != nil {
		t.Error("the page is not there all the same:", err)
	}
	r.change(t, wake, slow)
	r.change(t, measure.Key{Section: "pair", Subject: bsm, Quantity: "µs per pair"}, 104) // within the noise
	if open := r.Unexplained(); len(open) != 0 {
		t.Errorf("a level row counts as lost: %v", open)
	}
}

func TestEachReasonIsOfARowThatThereCanBe(t *testing.T) {
	t.Parallel()
	for key, why := range reasons {
		section, rest, _ := strings.Cut(key, "/")
		found := false
		for q := range directions {
			left, ok := strings.CutPrefix(rest, q)
			if ok && left == "" {
				found = true
			}
			for _, p := range peer.Everywhere() {
				found = found || ok && left == "/"+p.Name
			}
		}
		if !found || !slices.ContainsFunc(chapters, func(c chapter) bool { return c.id == section }) {
			t.Errorf("%q is no section/quantity or section/quantity/peer", key)
		}
		if why == "" {
			t.Errorf("%q has no text", key)
		}
	}
}

func TestAPartOfARunWritesNothing(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*Run){
		"only":  func(r *Run) { r.Only = "pair" },
		"scale": func(r *Run) { r.Scale = 0.2 },
		"empty": func(r *Run) { r.Log = measure.Log{} },
	} {
		dir := t.TempDir()
		r := invented()
		spoil(r)
		if err := r.Write(dir); !errors.Is(err, ErrPartial) {
			t.Errorf("%s: %v", name, err)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
			t.Errorf("%s: wrote %v, %v", name, files, err)
		}
	}
}

func TestTheSameRunGivesTheSamePages(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "results.json")
	if err := invented().Save(file); err != nil {
		t.Fatal(err)
	}
	var first map[string][]byte
	for range 2 {
		r, err := Read(file)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := r.Write(dir); err != nil {
			t.Fatal(err)
		}
		pages := map[string][]byte{}
		for _, pattern := range []string{"*.md", chartDir + "/*.svg"} {
			paths, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range paths {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				pages[filepath.Base(path)] = text
			}
		}
		if len(pages) != 6 { // three pages, and the pictures of what was measured
			t.Errorf("%d files", len(pages))
		}
		if first == nil {
			first = pages
		}
		for name, text := range pages {
			if !bytes.Equal(text, first[name]) {
				t.Errorf("%s differs", name)
			}
		}
	}
}

func TestPicturesAreSmallAndShowEverySubject(t *testing.T) {
	t.Parallel()
	r := invented()
	page, pictures, err := r.Performance()
	if err != nil {
		t.Fatal(err)
	}
	for name, svg := range pictures {
		if len(svg) > 64<<10 {
			t.Errorf("%s has %d bytes", name, len(svg))
		}
		if bytes.Contains(svg, []byte("@font-face")) {
			t.Errorf("%s has fonts in it", name)
		}
		if !bytes.Contains(page, []byte("("+chartDir+"/"+name+")")) {
			t.Errorf("%s is not on the page", name)
		}
	}
	for _, subject := range r.subjects("callers", "pairs per second") {
		if !bytes.Contains(pictures["throughput.svg"], []byte(">"+subject+"  <")) {
			t.Errorf("%s is not in the picture", subject)
		}
	}
}

func TestWhatALogarithmicAxisCannotShowIsSaid(t *testing.T) {
	t.Parallel()
	r := invented()
	r.change(t, measure.Key{Section: "crowd", Subject: ruei, Quantity: "hand-offs per second", X: 10000}, 0)
	page, _, err := r.Performance()
	if err != nil {
		t.Fatal(err)
	}
	if want := "no place for rueidislock at 10,000: 0."; !strings.Contains(string(page), want) {
		t.Errorf("the page lacks %q", want)
	}
}

func TestFactsSurviveTheFile(t *testing.T) {
	t.Parallel()
	r := invented()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again Run
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if again.Facts.MaxClients != r.Facts.MaxClients || len(again.Facts.Peers) != len(r.Facts.Peers) || !again.When.Equal(r.When) {
		t.Errorf("%+v", again.Facts)
	}
}
