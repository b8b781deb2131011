package ui

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"example.com/redislock"
	"example.com/redislock/ui/doctor"
	"example.com/redislock/ui/trouble"
)

// maxLocks is how many locks are shown. If there are more, those in use are preferred to idle ones.
const maxLocks = 50_000

// hub has the state of all locks, and the streams that it is sent to. While there are streams, one watcher fills the
// hub for all of them.
type hub struct {
	config Config
	page   context.Context
	work   sync.WaitGroup

	mu        sync.Mutex
	rows      map[string]json.RawMessage
	histories map[string]*past
	began     time.Time  // when the watching began, by the clock of Redis
	now       time.Time  // the newest known time of Redis
	swept     time.Time  // when the last whole sweep ended, by the clock of Redis
	blind     [][2]int64 // times between two sweeps that were too long
	status    status
	memory    trouble.Memory
	recorder  recorder
	troubles  json.RawMessage   // of memory, runs and report, as of the last sweep
	found     []trouble.Trouble // the same, as values
	runs      []redislock.CronStatus
	strips    map[string][]run // of each job, the runs that were seen; for the watcher alone
	report    doctor.Report
	jobs      json.RawMessage
	health    json.RawMessage
	looked    map[string]*looked
	streams   map[*stream]struct{}
	stop      context.CancelFunc // of the watcher; nil while it does not run
	again     chan struct{}      // with a capacity of one: a value says that the server is to be examined now
}

func newHub(page context.Context, config Config) *hub {
	h := &hub{
		config: config, page: page, rows: map[string]json.RawMessage{}, histories: map[string]*past{},
		looked: map[string]*looked{}, streams: map[*stream]struct{}{}, recorder: recorder{log: config.History},
		again: make(chan struct{}, 1),
	}
	if config.History != nil { // also while nobody looks at the page
		h.mu.Lock()
		h.run()
		h.mu.Unlock()
	}
	return h
}

// stream is what is still to be sent to one browser. Changes that come faster than the browser reads are merged: the
// stream keeps only which locks have changed, and the browser gets their newest state.
type stream struct {
	id      string
	wake    chan struct{} // with a capacity of one
	locks   map[string]struct{}
	status  bool
	trouble bool
	jobs    bool
	health  bool
	look    *looked // at one lock, or nil
	detail  bool
	told    int // the last item of that lock's history that it knows
}

// join makes a stream, to which everything is to be sent, and starts the watcher.
func (h *hub) join(id string) (*stream, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.streams) >= maxStreams || h.page.Err() != nil {
		return nil, false
	}
	s := &stream{id: id, wake: make(chan struct{}, 1), locks: make(map[string]struct{}, len(h.rows)), status: true, trouble: h.troubles != nil, jobs: h.jobs != nil, health: h.health != nil}
	for id := range h.rows {
		s.locks[id] = struct{}{}
	}
	h.streams[s] = struct{}{}
	s.poke()
	h.run()
	return s, true
}

// run starts the watcher if it does not run. The caller has the mutex.
func (h *hub) run() {
	if h.stop != nil || h.page.Err() != nil {
		return
	}
	ctx, stop := context.WithCancel(h.page)
	h.stop = stop
	h.work.Go(func() { h.watch(ctx) })
	if h.config.Health != nil {
		h.work.Go(func() { h.examine(ctx) })
	}
}

// leave ends a stream. After the last one Redis is not asked any more, and the state of the locks is forgotten, as the
// next browser would take it for the present one. The histories stay, as they know when nobody looked.
func (h *hub) leave(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unlook(s)
	delete(h.streams, s)
	if len(h.streams) == 0 && h.stop != nil && h.recorder.log == nil { // with a history in Redis the watcher goes on
		h.stop()
		h.stop = nil
		h.rows, h.jobs, h.health, h.troubles, h.status = map[string]json.RawMessage{}, nil, nil, nil, status{}
		h.runs, h.report, h.found = nil, doctor.Report{}, nil
	}
}

func (s *stream) poke() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake already
	}
}

// tell marks something as to be sent, for every stream.
func (h *hub) tell(mark func(*stream)) {
	for s := range h.streams {
		mark(s)
		s.poke()
	}
}

// see takes in the state of a lock. The caller has the mutex.
func (h *hub) see(info redislock.Info) {
	id := idOf(info.Name)
	if info.Now.After(h.now) {
		h.now = info.Now
	}
	if h.began.IsZero() {
		h.began = info.Now
	}
	l := h.histories[id]
	if l == nil {
		l = &past{blind: slices.Clone(h.blind)} // the lock is new, or it was not looked at in these times
		h.histories[id] = l
	}
	n := l.n
	if !l.see(info, h.began) {
		return
	}
	h.memory.See(info)
	if l.n != n {
		l.merge()
		h.tellLooked(id)
		h.recorded(info.Name, l, n, byPage)
	}
	if len(h.streams) == 0 && h.recorder.log == nil {
		return // no page is open: only the history is kept
	}
	h.show(id, rowOf(info))
}

// show shows a lock in the list. The caller has the mutex.
func (h *hub) show(id string, row json.RawMessage) {
	if !bytes.Equal(row, h.rows[id]) {
		h.rows[id] = row
		h.tell(func(s *stream) { s.locks[id] = struct{}{} })
	}
}

// gone records that the server did not know a lock any more at this time. The caller has the mutex.
func (h *hub) gone(id string, now time.Time) {
	if l := h.histories[id]; l != nil {
		n := l.n
		if now.Before(l.last.now) { // another master's clock
			now = l.last.now
		}
		l.see(redislock.Info{Now: now}, h.began)
		if l.n != n {
			h.tellLooked(id)
			if name, err := nameOf(id); err == nil {
				h.memory.Gone(name, now)
				h.recorded(name, l, n, byPage)
			}
		}
	}
	if h.rows[id] != nil {
		delete(h.rows, id)
		h.tell(func(s *stream) { s.locks[id] = struct{}{} })
	}
}

// set stores a message that is always sent whole, if it is new and the watcher of ctx still runs.
func (h *hub) set(ctx context.Context, where *json.RawMessage, text json.RawMessage, mark func(*stream)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() == nil && !bytes.Equal(*where, text) {
		*where = text
		h.tell(mark)
	}
}

// message is one event of a stream.
type message struct {
	kind string
	data json.RawMessage
}

// locksMessage is a part of the list. The messages after the hello make the whole list, which is complete when a
// status comes that counts a sweep.
type locksMessage struct {
	Set  []json.RawMessage `json:"set"`
	Gone []string          `json:"gone,omitempty"`
}

// maxChunk is how many locks one message has, so that the page can draw between two messages. maxChunkBytes is about
// how long a message is, so that a slow browser occupies little memory.
const (
	maxChunk      = 500
	maxChunkBytes = 256 << 10
)

// next returns the messages for a stream, and whether there are more. A detail is among them only if the caller wants
// it.
func (h *hub) next(s *stream, withDetail bool) (messages []message, more bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(s.locks) > 0 {
		m, size := locksMessage{Set: []json.RawMessage{}}, 0
		for id := range s.locks {
			text, there := h.rows[id]
			if size += len(text) + len(id); size > maxChunkBytes && len(m.Set)+len(m.Gone) > 0 {
				break
			}
			delete(s.locks, id)
			if there {
				m.Set = append(m.Set, text)
			} else {
				m.Gone = append(m.Gone, id)
			}
			if len(m.Set)+len(m.Gone) == maxChunk {
				break
			}
		}
		messages = append(messages, message{"locks", encode(m)})
	}
	if s.detail && withDetail && s.look != nil {
		s.detail = false
		messages = append(messages, message{"lock", h.detail(s)})
	}
	if len(s.locks) > 0 {
		return messages, true
	}
	if s.trouble {
		s.trouble = false
		messages = append(messages, message{"trouble", h.troubles})
	}
	if s.jobs {
		s.jobs = false
		messages = append(messages, message{"cron", h.jobs})
	}
	if s.health {
		s.health = false
		messages = append(messages, message{"health", h.health})
	}
	if s.status { // it comes last, as a status that counts a sweep says that the list is complete
		s.status = false
		messages = append(messages, message{"status", encode(h.status)})
	}
	return messages, s.detail
}
