package ui

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/ui/doctor"
)

// reader reads the stream of a page.
type reader struct {
	*testing.T
	lines  *bufio.Scanner
	number int
	locks  map[string]row
	hello  hello
	last   map[string]json.RawMessage
}

func (s *site) reads(srv *httptest.Server) (*reader, context.CancelFunc) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 30*time.Second)
	s.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", srv.URL+"/api/stream", nil)
	if err != nil {
		s.Fatal(err)
	}
	got, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	if kind := got.Header.Get("Content-Type"); got.StatusCode != 200 || kind != "text/event-stream" {
		s.Fatalf("%d, %s", got.StatusCode, kind)
	}
	r := &reader{T: s.T, lines: bufio.NewScanner(got.Body), locks: map[string]row{}, last: map[string]json.RawMessage{}}
	r.lines.Buffer(nil, 8<<20)
	return r, func() { cancel(); _ = got.Body.Close() }
}

// until reads until a message of this kind has come and the state is as wanted.
func (r *reader) until(kind string, wanted func() bool) {
	r.Helper()
	got := ""
	for r.lines.Scan() {
		switch field, value, _ := strings.Cut(r.lines.Text(), ": "); field {
		case "id":
			if r.number++; value != strconv.Itoa(r.number) {
				r.Fatalf("message %s after %d", value, r.number-1)
			}
		case "event":
			got = value
		case "data":
			r.take(got, value)
			if got == kind && (wanted == nil || wanted()) {
				return
			}
		}
	}
	r.Fatalf("the stream ended (%v) before a %q as wanted; %d locks, last %s", r.lines.Err(), kind, len(r.locks), r.last)
}

func (r *reader) take(kind, data string) {
	r.Helper()
	r.last[kind] = json.RawMessage(data)
	switch kind {
	case "hello":
		if err := json.Unmarshal([]byte(data), &r.hello); err != nil {
			r.Fatal(err)
		}
	case "locks":
		var m struct {
			Set  []row
			Gone []string
		}
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			r.Fatal(err)
		}
		if len(m.Set)+len(m.Gone) > maxChunk {
			r.Errorf("%d locks in a message", len(m.Set))
		}
		for _, l := range m.Set {
			r.locks[l.ID] = l
		}
		for _, id := range m.Gone {
			delete(r.locks, id)
		}
	}
}

func TestStreamHasAllAndThenWhatChanges(t *testing.T) {
	t.Parallel()
	var examined atomic.Int32
	s := newSite(t, func(c *Config) {
		c.Token = ""
		c.Health = func(context.Context) doctor.Report {
			examined.Add(1)
			return doctor.Report{Findings: []doctor.Finding{{Check: "a", Level: doctor.OK}, {Check: "b", Level: doctor.Danger}, {Check: "c", Level: doctor.Warning}}}
		}
	})
	srv := httptest.NewServer(s.ui)
	t.Cleanup(srv.Close)
	t.Cleanup(s.ui.Close) // first
	const n = 40
	locks := make([]*redislock.Lock, n)
	for i := range locks {
		lock, err := s.client.Acquire(t.Context(), fmt.Sprintf("lock/%d", i), redislock.WithMetadata("\xff<b>"))
		if err != nil {
			t.Fatal(err)
		}
		locks[i] = lock
	}
	if examined.Load() != 0 {
		t.Error("the server was examined although nobody looks")
	}
	r, leave := s.reads(srv)
	complete := func() bool {
		var st status
		return json.Unmarshal(r.last["status"], &st) == nil && st.Sweeps > 0
	}
	r.until("status", complete)
	if len(r.locks) != n || r.hello.Stream == "" {
		t.Fatalf("%d locks, %+v", len(r.locks), r.hello)
	}
	if l := r.locks["lock%2F7"]; l.Held != 1 || l.Owner.Meta != "�<b>" || l.Fence != locks[7].Fence() || l.Mode != "exclusive" {
		t.Errorf("%+v", l)
	}
	if text := string(r.last["health"]); strings.Index(text, "danger") > strings.Index(text, `"warning"`) {
		t.Errorf("not the worst first: %s", text)
	}
	// One lock is released and one is new: only these two are sent, and not the others again.
	if err := locks[7].Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.until("locks", func() bool { return r.locks["lock%2F7"].Held == 0 })
	var m locksMessage
	if err := json.Unmarshal(r.last["locks"], &m); err != nil || len(m.Set) > n/2 {
		t.Errorf("%d locks were told again: %v", len(m.Set), err)
	}
	// A second browser gets everything from the start, and goes on when the first is gone.
	second, _ := s.reads(srv)
	second.until("status", func() bool { return len(second.locks) == n })
	leave()
	for _, lock := range locks[8:] {
		if err := lock.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	second.until("locks", func() bool {
		held := 0
		for _, l := range second.locks {
			held += l.Held
		}
		return held == 7
	})
	for _, lock := range locks[:7] {
		_ = lock.Release(t.Context())
	}
	go s.ui.Close()
	second.until("bye", nil)
}

func TestNobodyLooksNothingIsAsked(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	stream, ok := s.ui.hub.join("one")
	if !ok || s.ui.hub.stop == nil {
		t.Fatal("it does not watch")
	}
	if !s.ui.hub.lookAt("one", "x", "x") || s.ui.hub.lookAt("other", "x", "x") || len(s.ui.hub.looked) != 1 {
		t.Error("it does not look")
	}
	s.ui.hub.leave(stream)
	if s.ui.hub.stop != nil || len(s.ui.hub.looked) != 0 {
		t.Error("it goes on")
	}
	s.ui.hub.work.Wait()
	for i := range maxStreams {
		if _, ok := s.ui.hub.join(fmt.Sprint(i)); !ok {
			t.Fatalf("page %d is refused", i)
		}
	}
	if _, ok := s.ui.hub.join("more"); ok {
		t.Error("there is no limit")
	}
}

func TestSlowBrowserCostsNoMoreThanTheListItself(t *testing.T) {
	t.Parallel()
	h := newHub(t.Context(), Config{})
	const locks = 2*maxChunk + 50
	s := &stream{id: "slow", wake: make(chan struct{}, 1), locks: map[string]struct{}{}}
	h.streams[s] = struct{}{}
	for i := range 3 * locks {
		info := state(i, []redislock.Hold{held(anna, i)})
		info.Name = fmt.Sprint("x", i%locks)
		h.mu.Lock()
		h.see(info)
		h.mu.Unlock()
	}
	if len(s.locks) != locks {
		t.Errorf("%d changes wait", len(s.locks))
	}
	set, gone := 0, 0
	for more := true; more; {
		var messages []message
		messages, more = h.next(s, true)
		var m locksMessage
		if len(messages) != 1 || json.Unmarshal(messages[0].data, &m) != nil || len(m.Set) > maxChunk {
			t.Fatalf("%d messages, %d locks in one", len(messages), len(m.Set))
		}
		set, gone = set+len(m.Set), gone+len(m.Gone)
	}
	if set != locks || gone != 0 {
		t.Errorf("%d locks were told, %d gone", set, gone)
	}
}
