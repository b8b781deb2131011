package report

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
)

// pageOf is the page of a run.
func pageOf(t *testing.T, r *Run) string {
	t.Helper()
	page, _, err := r.Performance()
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

func TestARowHasTheBestPeerAndTheCheapestFloor(t *testing.T) {
	t.Parallel()
	r := invented()
	add := func(subject string, v float64) {
		r.Log.Add(measure.Key{Section: "pair", Subject: subject, Quantity: "µs per pair"}, v)
	}
	add(redsync, 119)
	add(floorPing, 70)
	r.Log.Add(measure.Key{Section: "turns", Subject: peer.Strict, Quantity: "re-acquire, µs per pair"}, 90)
	page := pageOf(t, r)
	for _, want := range []string{
		"| µs per pair | 105 | 119 (redsync) | 1.13 | 0.67 |",                          // not bsm's 120, nor the two EVALSHA of 100
		"| µs per pair | 110 (a context that can end) | 119 (redsync) | 1.08 | 0.64 |", // a row of the chapter's other setting
		"| pairs per second; 1 caller | 10,500 | 5,000 (rueidislock) | 2.10 |  |",
		"| pairs per second; 16 callers | 31,500 | 15,000 (rueidislock) | 2.10 |  |",  // the first quantity has all its places
		"| re-acquire, µs per pair | 0.900 (linger 50 ms) | 90.0 (strict) | 100 |  |", // no peer has it
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "largest script, µs") {
		t.Error("a row that is compared with nothing is on the page")
	}
}

func TestThePageSaysHowManyRowsAreAheadLevelAndBehind(t *testing.T) {
	t.Parallel()
	r := &Run{}
	for i, q := range []string{"µs per pair", "allocations per pair", "bytes per pair", "pairs per second"} {
		r.Log.Add(measure.Key{Section: "pair", Subject: peer.Ours, Quantity: q}, 100)
		r.Log.Add(measure.Key{Section: "pair", Subject: bsm, Quantity: q}, []float64{150, 101, 50, 200}[i])
	}
	if text := r.short(); !strings.Contains(text, "of 4 rows") || !strings.Contains(text, "ahead of the best peer in 1, level with it in 1, and behind it in 2") {
		t.Error(text)
	}
}

func TestEachReasonStandsOnce(t *testing.T) {
	t.Parallel()
	r := invented()
	for _, x := range []float64{0, 1} {
		r.change(t, measure.Key{Section: "handoff", Subject: redsync, Quantity: "hand-offs per second", X: x}, 20600*(1+x))
	}
	r.Log.Add(measure.Key{Section: "crowd", Subject: bsm, Quantity: "hand-offs per second", X: 2}, 18000)
	page := pageOf(t, r)
	if n := strings.Count(page, "No queue: who gives the lock back"); n != 1 {
		t.Errorf("the reason stands %d times", n)
	}
	for _, want := range []string{
		"* **redsync, bsm/redislock.** No queue",
		"  * Hand-offs: 4 clients, 8 waiters each, one name: hand-offs per second 0.25 to 0.50\n",
		"  * Hand-offs among more and more waiters: hand-offs per second 0.50\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if page := pageOf(t, invented()); !strings.Contains(page, "Nowhere in this run.") {
		t.Error("nobody is better, and the page does not say so")
	}
}

func TestTheAppendixHasWhatThePageLeavesOut(t *testing.T) {
	t.Parallel()
	r := invented()
	page, appendix := pageOf(t, r), string(r.Details())
	for _, c := range chapters {
		if !strings.Contains(appendix, "\n## "+c.title+"\n") {
			t.Errorf("the appendix lacks %q", c.title)
		}
	}
	for _, want := range []string{"**Distribution: µs from release to acquired**", "5.20<br><sub>5.20 – 7.10</sub>", "| **redislock** | 400 | 200 |"} {
		if strings.Contains(page, want) || !strings.Contains(appendix, want) {
			t.Errorf("%q is not in the appendix alone", want)
		}
	}
}

// Each link from the page to the appendix, and back, leads to a heading.
func TestThePageAndItsAppendixLinkToHeadings(t *testing.T) {
	t.Parallel()
	r := invented()
	r.change(t, measure.Key{Section: "turns", Subject: peer.Linger, Quantity: "re-acquire, µs per pair"}, 2) // a red budget has a link
	page, appendix := pageOf(t, r), string(r.Details())
	anchors := func(text string) (all []string) {
		for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
			all = append(all, anchor(m[1]))
		}
		return all
	}
	if want := "#" + anchor(inTheWay) + ")"; !strings.Contains(page, want) {
		t.Errorf("no link to %s", want)
	}
	links := 0
	for _, side := range []struct{ text, pattern, to string }{
		{page, `\(performance-details\.md#([^)]*)\)`, appendix}, {appendix, `\(performance\.md#([^)]*)\)`, page}, {page, `\(#([^)]*)\)`, page},
	} {
		for _, m := range regexp.MustCompile(side.pattern).FindAllStringSubmatch(side.text, -1) {
			links++
			if !slices.Contains(anchors(side.to), m[1]) {
				t.Errorf("%s leads nowhere", m[0])
			}
		}
	}
	if links < 10 {
		t.Errorf("only %d links", links)
	}
}

func TestFailedAcquiresAreSaid(t *testing.T) {
	t.Parallel()
	r := invented()
	add := func(subject string, values ...float64) {
		r.Log.Add(measure.Key{Section: "callers", Subject: subject, Quantity: "failures", X: 4}, values...)
	}
	add(peer.Ours, 0, 0)
	add(redsync, 0, 0)
	if page := pageOf(t, r); !strings.Contains(page, "No acquire failed, of any library.") {
		t.Error("nothing failed, and the page does not say so")
	}
	if appendix := string(r.Details()); !strings.Contains(appendix, "**Failures**: none.") {
		t.Error("the appendix has a table of nothing")
	}
	add(redsync, 3, 2)
	if page := pageOf(t, r); !strings.Contains(page, "Acquires failed: 5 of redsync (4 callers).") {
		t.Error("five acquires failed, and the page does not say so")
	}
	if appendix := string(r.Details()); !strings.Contains(appendix, "**Failures, less is better; 4 callers**") {
		t.Error("the appendix has no table of failures")
	}
}

func TestASmallFigureIsReadable(t *testing.T) {
	t.Parallel()
	for want, text := range map[string]string{
		"< 0.0001": number(4.1e-05), "0.0038": number(0.0038), "0": number(0), "1,000,000": bound(1e6), "1.4": bound(1.4), "< 0.01": times(0.0001),
		"1 caller": count("caller", "callers")(1), "2 callers": count("caller", "callers")(2),
	} {
		if text != want {
			t.Errorf("%q, not %q", text, want)
		}
	}
}

func TestARunIsComparedWithAnEarlierOneByItsRatios(t *testing.T) {
	t.Parallel()
	before, now := invented(), invented()
	if text := now.Against(before); text != "" {
		t.Errorf("the same run: %s", text)
	}
	pairs := func(subject string, x float64) measure.Key {
		return measure.Key{Section: "callers", Subject: subject, Quantity: "pairs per second", X: x}
	}
	now.change(t, pairs(peer.Ours, 1), 5250) // a machine that is half as fast
	now.change(t, pairs(ruei, 1), 2500)
	now.change(t, pairs(bsm, 1), 1500)
	now.change(t, pairs(peer.Ours, 4), 20_160) // 4 % less
	now.change(t, pairs(ruei, 16), 16_000)     // a peer is faster by 7 %
	now.change(t, measure.Key{Section: "turns", Subject: peer.Turn1, Quantity: "hand-offs per second", X: 4}, 900_000)
	lines := strings.Split(strings.TrimSpace(now.Against(before)), "\n")
	if len(lines) != 1 || !strings.Contains(lines[0], "pairs per second; 16 callers") || !strings.Contains(lines[0], "ahead by     1.97, before     2.10: 0.94") {
		t.Errorf("%q", lines)
	}
}
