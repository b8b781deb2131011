package ui

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
)

var (
	noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	anna = redislock.Owner{Client: "anna", PID: 1}
	bert = redislock.Owner{Client: "bert", PID: 2}
)

// held is a hold that was granted some seconds after noon.
func held(o redislock.Owner, second int) redislock.Hold {
	since := noon.Add(time.Duration(second) * time.Second)
	return redislock.Hold{ID: o.Client, Owner: o, Since: since, Deadline: since.Add(30 * time.Second), Fence: since.UnixMicro()}
}

// state is the state of a lock some seconds after noon.
func state(second int, holds []redislock.Hold, waiting ...redislock.Owner) redislock.Info {
	info := redislock.Info{Name: "x", Now: noon.Add(time.Duration(second) * time.Second), Holders: len(holds), Holds: holds, Waiting: len(waiting)}
	for _, h := range holds {
		info.Fence = max(info.Fence, h.Fence)
	}
	for _, o := range waiting {
		info.Places = append(info.Places, redislock.Place{ID: o.Client, Owner: o, Since: noon.Add(time.Second)})
	}
	return info
}

func TestHistoryTellsWhatHappenedBetweenTwoStates(t *testing.T) {
	t.Parallel()
	revoked := held(anna, 10)
	revoked.Revoked = true
	some, kept := []redislock.Hold{held(anna, 10)}, []redislock.Hold{held(anna, 10)}
	kept[0].Kept = true
	many := state(20, []redislock.Hold{held(anna, 5), held(bert, 10)})
	fewer := state(30, []redislock.Hold{held(anna, 5)})
	fewer.Holders = 2 // the other one is not shown
	raised := state(20, nil)
	raised.Fence = noon.Add(15 * time.Second).UnixMicro()
	unseen := state(20, nil)
	unseen.Fence = noon.Add(15 * time.Second).UnixMicro()
	for name, c := range map[string]struct {
		before, after redislock.Info
		breaks        bool
		want          string
	}{
		"kept":                                   {state(12, some), state(20, kept), false, "kept anna@20"},
		"kept over":                              {state(20, kept), state(60, nil), false, "kept time over anna@40"},
		"kept ended":                             {state(20, kept), state(30, nil), false, "released anna@30"},
		"come kept":                              {state(5, nil), state(12, kept), false, "acquired anna@10; kept anna@12"},
		"acquired":                               {state(5, nil), state(12, some), false, "acquired anna@10"},
		"released":                               {state(12, some), state(20, nil), false, "released anna@20"},
		"lost":                                   {state(12, some), state(20, nil), false, "lost anna@20"},
		"broken elsewhere, or released and held": {state(12, some), raised, false, "ended anna@20; unseen @20"},
		"handed over":                            {state(12, some, bert), state(30, []redislock.Hold{held(bert, 25)}), false, "ended anna@25; handed over bert@25; queue @30"},
		"late":                                   {state(12, some), state(60, nil), false, "ended anna@60"},
		"revoked":                                {state(12, some), state(20, []redislock.Hold{revoked}), false, "revoked anna@20"},
		"stolen":                                 {state(12, []redislock.Hold{revoked}), state(20, nil), false, "stolen anna@20"},
		"broken":                                 {state(12, some), state(20, nil), true, "broken anna@20 because"},
		"unseen":                                 {state(12, nil), unseen, false, "unseen @20"},
		"nothing":                                {state(12, some), state(20, some), false, ""},
		"older":                                  {state(20, some), state(12, nil), false, ""},
		"not shown":                              {many, fewer, false, ""},
		"queue":                                  {state(12, some), state(20, some, bert, bert), false, "queue @20"},
	} {
		if name != "lost" {
			c.after.Fence = max(c.after.Fence, c.before.Fence)
		}
		l := &past{}
		l.see(c.before, noon)
		n := l.n
		if c.breaks {
			l.breaking(c.before.Holds, "because", c.before.Now)
			l.broke(c.before.Holds, c.before.Fence, true, noon)
		}
		l.see(c.after, noon)
		var got []string
		for _, it := range l.since(n) {
			who := ""
			if it.Owner != nil {
				who = string(it.Owner.Client)
			}
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s@%d %s", it.Kind, who, (it.At-noon.UnixMilli())/1000, it.Why)))
		}
		if text := strings.Join(got, "; "); text != c.want {
			t.Errorf("%s: %q, want %q", name, text, c.want)
		}
	}
}

// The result of a break comes after the lock was seen to change.
func TestHistorySaysBrokenOnlyOfWhatWas(t *testing.T) {
	t.Parallel()
	one, two := held(anna, 10), held(bert, 11)
	for name, c := range map[string]struct {
		fence int64
		sure  bool
		after int // seconds after noon, when both have ended
		want  string
	}{
		"both":                   {two.Fence, true, 20, "broken, broken"},
		"the first":              {one.Fence, true, 20, "broken, released"},
		"none, they had ended":   {0, true, 20, "released, released"},
		"nobody answered":        {0, false, 20, "perhaps broken, perhaps broken"},
		"only the first part":    {one.Fence, false, 20, "broken, perhaps broken"},
		"nobody, and they lapse": {0, true, 60, "ended, ended"},
	} {
		l := &past{}
		holds := []redislock.Hold{one, two}
		l.see(state(12, holds), noon)
		n := l.n
		l.breaking(holds, "because", noon.Add(12*time.Second))
		l.see(state(c.after-1, holds), noon)
		over := state(c.after, nil)
		over.Fence = two.Fence
		if !l.see(over, noon) || l.see(state(c.after-2, nil), noon) {
			t.Errorf("%s: which states are new is not known meanwhile", name)
		}
		if l.n != n {
			t.Errorf("%s: told before it is known: %+v", name, l.since(n))
		}
		l.broke(holds, c.fence, c.sure, noon)
		var got []string
		for _, it := range l.since(n) {
			got = append(got, it.Kind)
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s: %q, want %q", name, text, c.want)
		}
	}
	// A hold that goes on for long afterwards was not broken.
	l := &past{}
	long := held(anna, 10)
	long.Deadline = noon.Add(time.Hour)
	l.see(state(12, []redislock.Hold{long}), noon)
	l.breaking([]redislock.Hold{long}, "because", noon.Add(12*time.Second))
	l.broke([]redislock.Hold{long}, 0, false, noon)
	l.see(state(200, []redislock.Hold{long}), noon)
	last := state(300, nil)
	last.Fence = long.Fence
	l.see(last, noon)
	if last := l.items[len(l.items)-1]; last.Kind != "released" || last.Why != "" {
		t.Errorf("long after: %+v", last)
	}
}

func TestHistoryKnowsWhatItDidNotSee(t *testing.T) {
	t.Parallel()
	l := &past{}
	l.see(state(20, []redislock.Hold{held(anna, 10)}), noon.Add(15*time.Second))
	if len(l.items) != 1 || l.items[0].Kind != "held" {
		t.Errorf("before the first look: %+v", l.items)
	}
	l = &past{}
	l.see(state(20, []redislock.Hold{held(anna, 18)}), noon.Add(15*time.Second))
	if len(l.items) != 1 || l.items[0].Kind != "acquired" {
		t.Errorf("after the first look: %+v", l.items)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	histories := map[string]*past{}
	for i := range 400 { // in all these are more than maxItems
		l := &past{}
		for n := range maxOfLock + 10 {
			l.see(state(n, nil, make([]redislock.Owner, n%2)...), noon)
		}
		histories[fmt.Sprint(i)] = l
	}
	total := func() (n int) {
		for _, l := range histories {
			n += len(l.items)
		}
		return n
	}
	end := noon.Add((maxOfLock + 10) * time.Second)
	prune(histories, end, keep, func(string) bool { return true })
	if n := total(); n > maxItems || n < maxItems/4 {
		t.Errorf("%d items are kept", n)
	}
	for id, l := range histories {
		if first := l.items[0].At; l.dropped == 0 || l.dropped > first {
			t.Fatalf("of %s items up to %d are said to be dropped, and the first is of %d", id, l.dropped, first)
		}
	}
	prune(histories, end.Add(2*keep), keep, func(id string) bool { return id == "1" })
	if len(histories) != 1 || total() != 0 {
		t.Errorf("long after: %d histories, %d items", len(histories), total())
	}
}

// asciiOnly matches texts that are allowed in an address and in an attribute.
var asciiOnly = regexp.MustCompile(`^[A-Za-z0-9\-_.~$&+=:@%]+$`)

func TestNamesAreBytes(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, name := range []string{"a", "a/b", "a%2Fb", "\xff", `\xff`, "�", "a b", "a+b", "\x00", "<script>", "日本", strings.Repeat("\xff", redislock.MaxName)} {
		id := idOf(name)
		if back, err := nameOf(id); err != nil || back != name || seen[id] || !asciiOnly.MatchString(id) {
			t.Errorf("%q: %q, %q, %v", name, id, back, err)
		}
		seen[id] = true
	}
	for _, id := range []string{"", "%", "%zz", strings.Repeat("a", redislock.MaxName+1)} {
		if _, err := nameOf(id); err == nil {
			t.Errorf("%q is the id of a lock", id)
		}
	}
	if got := string(encode(text("a\xff<\"\xe6\x97�"))); got != `"a\udcff\u003c\"\udce6\udc97�"` {
		t.Errorf("%s", got)
	}
}
