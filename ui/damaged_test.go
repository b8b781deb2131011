package ui

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/redislocktest"
)

// onServer is a site on a server that others use too.
func onServer(t *testing.T) (*site, *redislocktest.Server) {
	t.Helper()
	server := redislocktest.New(t)
	return newSite(t, func(c *Config) { c.Client = server.NewClient(); c.Token = "" }), server
}

// looks opens a stream as a page does, without a browser.
func (s *site) looks(id string) *stream {
	s.Helper()
	stream, ok := s.ui.hub.join(id)
	if !ok {
		s.Fatal("nobody may look")
	}
	return stream
}

// eventually waits until a condition holds. The condition is checked under the mutex.
func (s *site) eventually(what string, holds func() bool) {
	s.Helper()
	deadline := time.After(patience)
	for {
		s.ui.hub.mu.Lock()
		ok := holds()
		s.ui.hub.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-deadline:
			s.Fatalf("not within %v: %s", patience, what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestOneDamagedKeyOrRecordHidesNoOther(t *testing.T) {
	t.Parallel()
	s, server := onServer(t)
	app, rdb := server.NewClient(), server.Connect()
	lock, err := app.Acquire(t.Context(), "good")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Release(context.Background()) })
	if _, err := app.Cron("good").Run(t.Context(), time.Now(), func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a", redislock.MaxName+1)
	for _, name := range []string{"bad", long} {
		if err := rdb.HSet(t.Context(), "redislock:{"+name+"}", "s", "x", "y", "z").Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := rdb.Set(t.Context(), "redislock:r:{cron:bad}", "junk", 0).Err(); err != nil {
		t.Fatal(err)
	}
	h := s.ui.hub
	s.looks("one")
	s.eventually("a sweep", func() bool { return h.status.Sweeps > 0 })
	h.mu.Lock()
	var good, bad row
	_, _ = json.Unmarshal(h.rows["good"], &good), json.Unmarshal(h.rows["bad"], &bad)
	if h.status.Error != "" || good.Held != 1 || bad.Error == "" || !strings.Contains(string(bad.Error), "damaged") {
		t.Errorf("%+v, %+v, %+v", h.status, good, bad)
	}
	if !strings.Contains(string(h.rows[long]), "damaged") {
		t.Errorf("a key that no lock can have: %s", h.rows[long])
	}
	var jobs []job
	if err := json.Unmarshal(h.jobs, &jobs); err != nil || len(jobs) != 2 || jobs[0].ID != "bad" || jobs[0].Outcome != "damaged" || jobs[0].Error == "" || jobs[len(jobs)-1].Outcome != "ran" {
		t.Errorf("%+v, %v", jobs, err)
	}
	h.mu.Unlock()
	// A key that was mended or deleted is no longer shown as damaged.
	if err := rdb.Del(t.Context(), "redislock:{bad}", "redislock:{"+long+"}").Err(); err != nil {
		t.Fatal(err)
	}
	s.eventually("their rows are gone", func() bool { return h.rows["bad"] == nil && h.rows[long] == nil })
}

func TestALockThatIsDamagedKeepsItsHistory(t *testing.T) {
	t.Parallel()
	h := newHub(t.Context(), Config{Explain: func(err error) string { return err.Error() }})
	h.streams[&stream{wake: make(chan struct{}, 1), locks: map[string]struct{}{}}] = struct{}{}
	h.see(state(12, []redislock.Hold{held(anna, 10)}))
	h.unreadable("x", redislock.ErrDamaged)
	if l := h.histories["x"]; !l.last.busy() || len(l.items) != 1 {
		t.Errorf("%+v", l.items)
	}
	h.see(state(60, nil))
	if items := h.histories["x"].items; len(items) != 2 || items[1].Kind != "ended" || items[1].Deadline != at(40) || items[1].From != at(12) {
		t.Errorf("%+v", items)
	}
}

// A page that looks at a made-up name leaves nothing behind in Redis.
func TestALookAtALockThatIsNotThereWritesNothing(t *testing.T) {
	t.Parallel()
	s, server := onServer(t)
	h, rdb := s.ui.hub, server.Connect()
	one := s.looks("one")
	for _, name := range []string{"made up", "x"} {
		if !h.lookAt("one", idOf(name), name) {
			t.Fatal("it does not look")
		}
		s.eventually("a look", func() bool { return one.look.seen })
	}
	if keys := rdb.Keys(t.Context(), "*").Val(); len(keys) != 0 {
		t.Errorf("it has written %q", keys)
	}
	// Once there is such a lock, it is watched.
	lock, err := server.NewClient().Acquire(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	s.eventually("the lock", func() bool { return one.look.info.Holders == 1 })
	s.eventually("watched", func() bool { return rdb.HExists(t.Context(), "redislock:{x}", "v").Val() })
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.eventually("the release", func() bool { return one.look.info.Idle() && one.look.info.Fence != 0 })
}
