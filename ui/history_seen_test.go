package ui

import (
	"slices"
	"testing"
	"time"

	"example.com/redislock"
)

// toldOf is the history after these looks at a lock, without the items of the first look.
func toldOf(looks ...redislock.Info) []item {
	l := &past{}
	l.see(looks[0], noon)
	n := l.n
	for _, info := range looks[1:] {
		info.Fence = max(info.Fence, l.last.fence)
		l.see(info, noon)
	}
	return slices.DeleteFunc(l.since(n), func(it item) bool { return it.Kind == "queue" })
}

func at(second int) int64 { return noon.Add(time.Duration(second) * time.Second).UnixMilli() }

// with is a hold with a change.
func with(h redislock.Hold, change func(*redislock.Hold)) redislock.Hold {
	change(&h)
	return h
}

// If a lease has run out between two looks, the hold may also have been renewed and released before the second.
func TestHistoryDoesNotSayHowAHoldEndedThatNobodySawEnd(t *testing.T) {
	t.Parallel()
	short := with(held(anna, 10), func(h *redislock.Hold) { h.Deadline = h.Since.Add(time.Second) })
	for name, c := range map[string]struct {
		looks []redislock.Info
		want  item
	}{
		"nobody looked for an hour":      {[]redislock.Info{state(12, []redislock.Hold{held(anna, 10)}), state(3600, nil)}, item{From: at(12), At: at(3600), Deadline: at(40)}},
		"a lease shorter than the sweep": {[]redislock.Info{state(10, []redislock.Hold{short}), state(12, nil)}, item{From: at(10), At: at(12), Deadline: at(11)}},
	} {
		got := toldOf(c.looks...)
		if len(got) != 1 || got[0].Kind != "ended" || got[0].From != c.want.From || got[0].At != c.want.At || got[0].Deadline != c.want.Deadline || got[0].Since != at(10) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A waiter that was seen in the queue once may have left it, and come again much later.
func TestHistorySaysHandedOverOnlyToThePlaceThatWasSeen(t *testing.T) {
	t.Parallel()
	queued := state(12, []redislock.Hold{held(anna, 10)}, bert)
	later := with(held(bert, 900), func(h *redislock.Hold) { h.ID = "another place" })
	got := toldOf(queued, state(910, []redislock.Hold{later}))
	if len(got) != 2 || got[1].Kind != "acquired" || got[1].Waited != 0 || got[1].At != at(900) {
		t.Errorf("another place: %+v", got)
	}
	got = toldOf(queued, state(910, []redislock.Hold{held(bert, 900)}))
	if len(got) != 2 || got[1].Kind != "handed over" || got[1].Waited != 899_000 {
		t.Errorf("that place: %+v", got)
	}
}

// The hold of a reader does not end because another reader begins.
func TestHistoryDatesNoEndByAGrantThatMayStandBesideIt(t *testing.T) {
	t.Parallel()
	reads := func(h *redislock.Hold) { h.Mode = redislock.Read }
	one, two := with(held(anna, 10), reads), with(held(bert, 15), reads)
	if got := toldOf(state(12, []redislock.Hold{one}), state(20, []redislock.Hold{two})); len(got) != 2 || got[0].Kind != "ended" || got[0].At != at(20) || got[0].From != at(12) {
		t.Errorf("%+v", got)
	}
	if got := toldOf(state(12, []redislock.Hold{one}), state(20, []redislock.Hold{held(bert, 15)})); len(got) != 2 || got[0].At != at(15) {
		t.Errorf("beside an exclusive one it cannot have been: %+v", got)
	}
}

// An upgrade and a hand-off give a new fence to a hold that goes on.
func TestHistoryKnowsAHoldThatGoesOnWithANewFence(t *testing.T) {
	t.Parallel()
	before := state(12, []redislock.Hold{held(anna, 10)})
	renewed := func(h *redislock.Hold) { h.Fence += 5_000_000 }
	if got := toldOf(before, state(20, []redislock.Hold{with(held(anna, 10), renewed)})); len(got) != 1 || got[0].Kind != "upgraded" {
		t.Errorf("%+v", got)
	}
	other := with(held(anna, 10), func(h *redislock.Hold) { renewed(h); h.Owner, h.ID = bert, "bert" })
	if got := toldOf(before, state(20, []redislock.Hold{other})); len(got) != 1 || got[0].Kind != "handed off" || got[0].Owner.Client != "bert" {
		t.Errorf("%+v", got)
	}
}

func TestHistoryTellsWhenNobodyLooked(t *testing.T) {
	t.Parallel()
	l := &past{}
	for _, second := range []int{0, 5, 9, 60, 61} {
		l.see(state(second, nil), noon)
	}
	if want := [][2]int64{{at(9), at(60)}}; !slices.Equal(l.blind, want) {
		t.Errorf("%v, want %v", l.blind, want)
	}
	// Of a lock that appears, that time is not known either.
	h := newHub(t.Context(), Config{})
	for _, second := range []int{0, 5, 60} {
		h.sees(noon.Add(time.Duration(second) * time.Second))
	}
	h.see(state(61, nil))
	if want := [][2]int64{{at(5), at(60)}}; !slices.Equal(h.histories["x"].blind, want) {
		t.Errorf("%v, want %v", h.histories["x"].blind, want)
	}
	prune(h.histories, noon.Add(2*keep), keep, func(string) bool { return true })
	if len(h.histories["x"].blind) != 0 {
		t.Error("it is never forgotten")
	}
}
