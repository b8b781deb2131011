package ui

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
	"example.com/redislock/ui/history"
	"example.com/redislock/ui/trouble"
)

// until waits until a condition holds.
func untilSo(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so within %v: %s", patience, what)
		}
	}
}

func (u *UI) kinds(name string) (kinds []string) {
	u.hub.mu.Lock()
	defer u.hub.mu.Unlock()
	if l := u.hub.histories[idOf(name)]; l != nil {
		for _, it := range l.items {
			if it.Kind != "queue" {
				kinds = append(kinds, it.Kind+strings.Repeat(" by "+string(it.By), min(1, len(it.By))))
			}
		}
	}
	return kinds
}

func TestAHistoryInRedisIsThereForWhoLooksLater(t *testing.T) {
	t.Parallel()
	server := servertest.Start(t)
	connect := func(name string) *redislock.Client {
		c, err := redislock.New(server.Connect(), redislock.WithName(name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = c.Close(ctx)
		})
		return c
	}
	opened := func() *UI {
		u := New(Config{Client: connect("ui"), Prefix: redislock.DefaultPrefix, History: history.Open(server.Connect(), redislock.DefaultPrefix)})
		t.Cleanup(u.Close)
		return u
	}
	app, first := connect("app"), opened() // its page is not open
	untilSo(t, "the first sweep", func() bool { first.hub.mu.Lock(); defer first.hub.mu.Unlock(); return first.hub.status.Sweeps > 0 })
	a, err := app.Acquire(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	untilSo(t, "the grant is seen", func() bool { return slices.Contains(first.kinds("a"), "acquired") })
	if err := a.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	untilSo(t, "the release is seen", func() bool { return slices.Contains(first.kinds("a"), "released") })
	b, err := app.Acquire(t.Context(), "b\xff{}")
	if err != nil {
		t.Fatal(err)
	}
	untilSo(t, "the grant is seen", func() bool { return slices.Contains(first.kinds("b\xff{}"), "acquired") })
	fence := b.Fence()
	if _, err := app.Break(t.Context(), "b\xff{}", "stuck"); err != nil {
		t.Fatal(err)
	}
	told := history.Open(server.Connect(), redislock.DefaultPrefix)
	if err := told.AddIfThere(t.Context(), history.Entry{Kind: "broken", Name: "b\xff{}", Fence: fence, Owner: &history.Owner{Client: "app"}, By: "anna on node-1", Why: "stuck", Told: true}); err != nil {
		t.Fatal(err)
	}
	untilSo(t, "who broke it is read", func() bool { return slices.Contains(first.kinds("b\xff{}"), "broken by anna on node-1") })
	first.hub.mu.Lock()
	found := first.hub.memory.Troubles(first.hub.now)
	first.hub.mu.Unlock()
	if !slices.ContainsFunc(found, func(tr trouble.Trouble) bool {
		return tr.Kind == trouble.Ended && strings.Contains(tr.Title.String(), "broken by anna on node-1")
	}) {
		t.Errorf("a break that was told is no trouble: %v", found)
	}
	untilSo(t, "all is written", func() bool {
		first.hub.mu.Lock()
		defer first.hub.mu.Unlock()
		return len(first.hub.recorder.queue) == 0
	})
	first.Close()

	second := opened()
	untilSo(t, "the first sweep", func() bool { second.hub.mu.Lock(); defer second.hub.mu.Unlock(); return second.hub.status.Sweeps > 0 })
	if got := second.kinds("a"); !slices.Equal(got, []string{"acquired", "released"}) {
		t.Errorf("of a it says %v", got)
	}
	if got := second.kinds("b\xff{}"); !slices.Contains(got, "acquired") || !slices.Contains(got, "broken by anna on node-1") || slices.ContainsFunc(got, func(kind string) bool { return strings.HasPrefix(kind, "ended") || kind == "released" }) {
		t.Errorf("of b it says %v", got)
	}
	if ttl, err := server.Connect().PTTL(t.Context(), redislock.DefaultPrefix+":h").Result(); err != nil || ttl <= 0 || ttl > history.Life {
		t.Errorf("the stream expires in %v, %v", ttl, err)
	}
}

func TestALossThatWasSeenIsTroubleForWhoComesLater(t *testing.T) {
	server := servertest.Start(t)
	opened := func() *hub {
		h := newHub(t.Context(), Config{})
		h.recorder.log = history.Open(server.Connect(), "p")
		if err := h.readHistory(t.Context()); err != nil {
			t.Fatal(err)
		}
		return h
	}
	first, now := opened(), time.Now().Truncate(time.Millisecond)
	hold := redislock.Hold{ID: "h", Owner: redislock.Owner{Client: "jvm", Host: "node-1", PID: 7}, Since: now.Add(-time.Minute), Lease: 30 * time.Second, Deadline: now.Add(-time.Second), Fence: 7, Weight: 1}
	first.mu.Lock()
	first.see(redislock.Info{Name: "a", Now: now.Add(-3 * time.Second), Fence: 7, Holders: 1, Holds: []redislock.Hold{hold}})
	first.see(redislock.Info{Name: "a", Now: now, Fence: 7})
	first.mu.Unlock()
	if err := first.record(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := opened()
	second.mu.Lock()
	defer second.mu.Unlock()
	for _, h := range []*hub{first, second} {
		found := h.memory.Troubles(now)
		if len(found) != 1 || found[0].Kind != trouble.Ended || found[0].Title != "jvm (pid 7 on node-1) lost the lock: its lease ran out" || !found[0].Since.Equal(hold.Deadline) {
			t.Errorf("it finds %+v", found)
		}
	}
}

func TestAHistoryThatCannotBeKeptIsNoOutage(t *testing.T) {
	t.Parallel()
	server := servertest.Start(t)
	client, err := redislock.New(server.Connect())
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Connect().Set(t.Context(), "p:h", "no stream", 0).Err(); err != nil {
		t.Fatal(err)
	}
	u := New(Config{Client: client, Prefix: "p", History: history.Open(server.Connect(), "p")})
	t.Cleanup(func() { u.Close(); _ = client.Close(context.Background()) })
	untilSo(t, "it says that the history is not kept, and nothing else", func() bool {
		u.hub.mu.Lock()
		defer u.hub.mu.Unlock()
		st := u.hub.status
		return st.Sweeps > 0 && strings.Contains(string(st.Unkept), "WRONGTYPE") && st.Error == ""
	})
}

func TestATimeInWhichNobodyLookedIsUnseen(t *testing.T) {
	h := newHub(t.Context(), Config{})
	h.recorder.log = history.Open(servertest.Start(t).Connect(), "p")
	if err := h.recorder.log.Add(t.Context(), history.Entry{Kind: "beat"}); err != nil {
		t.Fatal(err)
	}
	if err := h.readHistory(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	began := h.began
	h.sees(began.Add(10 * time.Minute))
	if len(h.blind) != 1 || h.blind[0] != [2]int64{millis(began), millis(began.Add(10 * time.Minute))} || began.IsZero() {
		t.Errorf("unseen is %v, from %v", h.blind, began)
	}
}

func TestAnEntryOfTheHistoryThatCannotBeIsLeftOut(t *testing.T) {
	h := newHub(t.Context(), Config{})
	h.recorder.log = history.Open(servertest.Start(t).Connect(), "p")
	now := time.Now().UnixMilli()
	for name, e := range map[string]history.Entry{
		"kind\u202e":              {Kind: "acquired\u202e"},
		"never":                   {Kind: "broken", Told: true, Seen: []byte(`{"at":9223372036854775807}`)},
		"before":                  {Kind: "released", Seen: fmt.Appendf(nil, `{"at":%d,"since":-9000000000000001}`, now)},
		"lease":                   {Kind: "ended", Seen: fmt.Appendf(nil, `{"at":%d,"deadline":9000000000000001}`, now)},
		"tomorrow":                {Kind: "released", Seen: fmt.Appendf(nil, `{"at":%d}`, now+72*time.Hour.Milliseconds())},
		strings.Repeat("x", 2000): {Kind: "broken", Told: true},
		"good":                    {Kind: "released", Fence: 7, Seen: fmt.Appendf(nil, `{"at":%d,"since":%d,"fence":8,"told":true,"kind":"x","queue":99}`, now, now-5)},
	} {
		e.Name = name
		if err := h.recorder.log.Add(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.readHistory(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, l := range h.histories {
		if id != "good" {
			t.Errorf("of %.50s it says %+v", id, l.items)
		}
	}
	if l := h.histories["good"]; l == nil || len(l.items) != 1 || l.items[0].Fence != 7 || l.items[0].Told || l.items[0].Queue != 0 || l.items[0].Kind != "released" || l.items[0].Since != now-5 {
		t.Errorf("of the good one it says %+v", l)
	}
	if all := h.memory.Troubles(time.Now()); len(all) != 0 {
		t.Errorf("it makes trouble: %+v", all)
	}
}
