package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/ui/doctor"
	"example.com/redislock/ui/trouble"
)

// The first state that a browser gets is never that of an earlier look, however long ago that was.
func TestTheFirstStatusAfterAPauseHasNoOldTime(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) {
		c.Token = ""
		c.Health = func(context.Context) doctor.Report { return doctor.Report{} }
	})
	srv := httptest.NewServer(s.ui)
	t.Cleanup(srv.Close)
	t.Cleanup(s.ui.Close) // first
	told := func(r *reader) (st status) {
		_ = json.Unmarshal(r.last["status"], &st)
		return st
	}
	lock, err := s.client.Acquire(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	r, leave := s.reads(srv)
	r.until("status", func() bool { return told(r).Now > 0 && r.locks["x"].Held == 1 })
	leave()
	h := s.ui.hub
	ended := make(chan struct{})
	go func() { h.work.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("it watches on although nobody looks")
	}
	if err := lock.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock() // the last one leaves, and clears everything
	if len(h.rows) != 0 || h.jobs != nil || h.health != nil || h.status != (status{}) || h.histories["x"] == nil {
		t.Errorf("what is remembered while nobody looks: %d rows, %s, %s, %+v, %d histories", len(h.rows), h.jobs, h.health, h.status, len(h.histories))
	}
	h.see(redislock.Info{Name: "y", Now: h.now}) // as after a break by others
	h.mu.Unlock()
	if len(h.rows) != 0 {
		t.Error("a lock is in the list that nobody looks at")
	}
	r, _ = s.reads(srv)
	for first := true; first || told(r).Sweeps == 0; first = false {
		r.until("status", nil)
		if st := told(r); r.locks["x"].Held != 0 || st.Sweeps > 1 || st.Sweeps == 0 && st.Now != 0 {
			t.Fatalf("the first that is told is of an old look: %+v, %+v", st, r.locks["x"])
		}
	}
	if _, there := r.locks["x"]; !there || told(r).Now == 0 {
		t.Errorf("after a sweep: %v, %+v", r.locks, told(r))
	}
}

// unheard is a context that has ended, but whose Done does not say so, as if it ended just after the code that
// listens to it.
type unheard struct{ context.Context }

func (unheard) Done() <-chan struct{} { return nil }
func (unheard) Err() error            { return context.Canceled }

// A watcher that ends while it stores its results leaves nothing behind for the next.
func TestAWatcherThatHasEndedTakesNothingIn(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	lock, err := s.client.Acquire(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Release(context.Background()) })
	h := s.ui.hub
	ended := unheard{t.Context()}
	other := &stream{wake: make(chan struct{}, 1), locks: map[string]struct{}{}}
	h.streams[other] = struct{}{} // of a page that was opened meanwhile
	h.rows["y"] = json.RawMessage("{}")
	if left, err := h.sweep(ended); left != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d left, %v", left, err)
	}
	h.set(ended, &h.jobs, json.RawMessage("[]"), func(*stream) {})
	if len(h.rows) != 1 || h.rows["y"] == nil || h.jobs != nil || h.status != (status{}) {
		t.Errorf("%v, %s, %+v", h.rows, h.jobs, h.status)
	}
}

// What the page of a lock says depends on troubles that no look at the lock shows.
func TestThePageOfALockHearsOfTroubleThatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	h := s.ui.hub
	now := time.Now()
	one := &stream{wake: make(chan struct{}, 1), locks: map[string]struct{}{}, look: &looked{id: "x", info: redislock.Info{Name: "x", Now: now}, seen: true}}
	none := &stream{wake: make(chan struct{}, 1), locks: map[string]struct{}{}}
	h.streams[one], h.streams[none] = struct{}{}, struct{}{}
	h.judge(t.Context(), now)
	one.detail = false
	h.report = doctor.Report{Findings: []doctor.Finding{{Check: "memory", Level: doctor.Danger, Stops: doctor.NoMemory, Found: "full, most acquires are refused: 24 MB in use of a maxmemory of 24 MB"}}}
	h.judge(t.Context(), now)
	if !one.detail || none.detail || !strings.Contains(string(h.detail(one)), "It is free, but Redis is full") {
		t.Errorf("%v, %v: %s", one.detail, none.detail, h.detail(one))
	}
	delete(h.streams, one)
	delete(h.streams, none)
}

// The same holds for the status of its last sweep.
func TestAWatcherThatHasEndedHasNoStatus(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	b := newBreaker(t, func(_ int, err error) error { cancel(); return err })
	b.acquire("x")
	h := b.ui.hub
	h.streams[&stream{wake: make(chan struct{}, 1), locks: map[string]struct{}{}}] = struct{}{} // of a page that was opened meanwhile
	h.watch(ctx)
	if ctx.Err() == nil || len(h.rows) != 0 || h.status != (status{}) {
		t.Errorf("%v, %+v", h.rows, h.status)
	}
}

// The history of a lock that disappeared while nobody looked says so.
func TestWhatWentWhileNobodyLookedIsGone(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	h := s.ui.hub
	h.mu.Lock()
	h.streams[&stream{wake: make(chan struct{}, 1), locks: map[string]struct{}{}}] = struct{}{}
	h.see(state(12, []redislock.Hold{held(anna, 10)}))
	clear(h.rows)
	h.mu.Unlock()
	if _, err := h.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	items := h.histories["x"].items
	if last := items[len(items)-1]; last.Kind != "ended" || last.Deadline == 0 {
		t.Errorf("%+v", items)
	}
}

// Metadata is written by others, and may be long.
func TestTheListHasBoundedMessagesAndNoMoreThanIsShown(t *testing.T) {
	t.Parallel()
	h := newHub(t.Context(), Config{})
	s := &stream{id: "slow", wake: make(chan struct{}, 1), locks: map[string]struct{}{}}
	h.streams[s] = struct{}{}
	long := anna
	long.Metadata, long.Trace = strings.Repeat("\xff", redislock.MaxMetadata), "a-trace"
	const locks = 400
	for i := range locks {
		var crowd []redislock.Owner
		for n := range 10 {
			o := long
			o.PID = n + 1
			crowd = append(crowd, o)
		}
		info := state(20, []redislock.Hold{held(long, 10)}, crowd...)
		info.Name = fmt.Sprint("elect:", i)
		h.mu.Lock()
		h.see(info)
		h.mu.Unlock()
	}
	var one row
	if err := json.Unmarshal(h.rows["elect:7"], &one); err != nil || len(one.Waiters) != 10 {
		t.Fatalf("%v, %+v", err, one)
	}
	for _, o := range one.Waiters {
		if o.Client != "anna" || o.PID == 0 {
			t.Errorf("a candidate is %+v", o)
		}
	}
	if one.Owner.Trace != "" || one.Owner.Meta == "" {
		t.Errorf("the leader is %+v", one.Owner)
	}
	told := 0
	for more := true; more; {
		var messages []message
		messages, more = h.next(s, true)
		for _, m := range messages {
			var list locksMessage
			if err := json.Unmarshal(m.data, &list); err != nil {
				t.Fatal(err)
			}
			if told += len(list.Set); len(m.data) > maxChunkBytes*11/10 || len(list.Set) == 0 {
				t.Errorf("a message of %d bytes with %d locks", len(m.data), len(list.Set))
			}
		}
	}
	if told != locks {
		t.Errorf("%d locks were told", told)
	}
	// The sight keeps the metadata of holders, which a history shows, and none of waiters.
	size := len(fmt.Sprintf("%+v", h.histories["elect:7"].last))
	if size > 10*redislock.MaxMetadata {
		t.Errorf("%d bytes are kept of a lock", size)
	}
}

// The page of the lock of a job that is in trouble shows that, and so does its row in the list.
func TestAJobInTroubleMarksItsLock(t *testing.T) {
	t.Parallel()
	var m struct {
		Locks map[string]string
		Items []struct{ Steps []struct{ Action string } }
	}
	if err := json.Unmarshal(Config{}.troubles([]trouble.Trouble{{Level: trouble.Danger, Job: "report/1", Steps: []trouble.Step{{Action: trouble.Forget}, {Action: trouble.Look}}}, {Level: trouble.Warning, Lock: "x", Others: []string{"y"}}}), &m); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"cron:report%2F1": "danger", "x": "warning", "y": "warning"}
	if !maps.Equal(m.Locks, want) {
		t.Errorf("%v, want %v", m.Locks, want)
	}
	if steps := m.Items[0].Steps; len(steps) != 1 || steps[0].Action != "look" {
		t.Errorf("the overview has the step that makes Redis forget the job: %v", steps)
	}
}
