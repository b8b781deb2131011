package ui

import (
	"context"
	"encoding/json"

	"example.com/redislock"
)

// looked is a lock that somebody looks at on its own page: it is watched by push, once for all who do.
type looked struct {
	id   string
	info redislock.Info
	err  string
	seen bool // there is an info or an err
	by   int
	stop context.CancelFunc
}

// lookAt has a stream look at a lock, and no more at another; an empty id is at none. It reports false for a stream
// that is not there.
func (h *hub) lookAt(streamID, id, name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.streams {
		if s.id != streamID || h.page.Err() != nil {
			continue
		}
		h.unlook(s)
		if id == "" {
			return true
		}
		l := h.looked[id]
		if l == nil {
			ctx, stop := context.WithCancel(h.page)
			l = &looked{id: id, stop: stop}
			h.looked[id] = l
			h.work.Go(func() { h.follow(ctx, l, name) })
		}
		l.by++
		s.look, s.told, s.detail = l, 0, l.seen
		s.poke()
		return true
	}
	return false
}

func (h *hub) unlook(s *stream) {
	l := s.look
	if l == nil {
		return
	}
	s.look, s.detail = nil, false
	if l.by--; l.by == 0 {
		l.stop()
		delete(h.looked, l.id)
	}
}

// follow keeps what is known of one lock up to date.
func (h *hub) follow(ctx context.Context, l *looked, name string) {
	for info, err := range h.config.Client.Watch(ctx, name) {
		h.mu.Lock()
		if ctx.Err() != nil {
			h.mu.Unlock()
			return
		}
		if l.seen = true; err != nil {
			l.err = h.config.Explain(err)
		} else {
			l.info, l.err = info, ""
			h.see(info)
		}
		h.tellLooked(l.id)
		h.mu.Unlock()
	}
}

// tellLooked marks a lock as changed for those who look at it. The caller has the mutex.
func (h *hub) tellLooked(id string) {
	for s := range h.streams {
		if s.look != nil && s.look.id == id && s.look.seen {
			s.detail = true
			s.poke()
		}
	}
}

// detail is the state of the lock that a stream looks at, and what it does not know of its history. The caller has the
// mutex.
func (h *hub) detail(s *stream) json.RawMessage {
	l := s.look
	d := detailOf(l.info)
	d.ID, d.Error = l.id, l.err
	if seen := h.histories[l.id]; seen != nil {
		d.History = seen.since(s.told)
		s.told = seen.n
	}
	d.Blind = append(d.Blind, [2]int64{0, millis(h.began)})
	for _, b := range h.blind {
		if b[1] != 0 {
			d.Blind = append(d.Blind, b)
		}
	}
	return encode(d)
}
