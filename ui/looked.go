package ui

import (
	"context"
	"encoding/json"
	"reflect"
	"time"

	"example.com/redislock"
	"example.com/redislock/ui/trouble"
)

// looked is a lock whose own page is open. It is watched by push, once for all browsers.
type looked struct {
	id   string
	info redislock.Info
	err  string
	seen bool // info or err is set
	by   int
	stop context.CancelFunc
}

// lookAt sets the one lock that a stream looks at; an empty id means none. It reports false if there is no such
// stream.
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

// lookPause is the pause between two looks at a lock that is not watched.
const lookPause = time.Second

// follow keeps the state of one lock up to date. It watches a lock that exists. If the lock does not exist, or if the user
// may not watch, it looks at intervals instead: a watch writes to the key of the lock.
func (h *hub) follow(ctx context.Context, l *looked, name string) {
	for ctx.Err() == nil {
		info, err := h.config.Client.Inspect(ctx, name)
		h.took(ctx, l, info, err)
		if err == nil && exists(info) {
			for info, err := range h.config.Client.Watch(ctx, name) {
				if err != nil {
					break // the next look says whether that is so
				}
				h.took(ctx, l, info, nil)
				if !exists(info) {
					break
				}
			}
		}
		rest(ctx, lookPause)
	}
}

func exists(info redislock.Info) bool { return !info.Idle() || info.Fence > 0 }

// took stores the result of a look at one lock.
func (h *hub) took(ctx context.Context, l *looked, info redislock.Info, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	before, was, news := l.info, l.err, !l.seen
	l.seen = true
	if l.err = ""; err != nil {
		l.err = h.config.Explain(err)
	} else {
		l.info = info
		h.see(info)
		before.Now = info.Now
	}
	if news || l.err != was || !reflect.DeepEqual(before, l.info) {
		h.tellLooked(l.id)
	}
}

// tellLooked marks a lock as changed for the streams that look at it. The caller has the mutex.
func (h *hub) tellLooked(id string) {
	for s := range h.streams {
		if s.look != nil && s.look.id == id && s.look.seen {
			s.detail = true
			s.poke()
		}
	}
}

// detail returns the state of the lock that a stream looks at, with the part of its history that was not sent yet. The
// caller has the mutex.
func (h *hub) detail(s *stream) json.RawMessage {
	l := s.look
	d := detailOf(l.info)
	d.ID, d.Error, d.Means, d.Steps = l.id, text(l.err), []trouble.Text{}, []step{}
	if l.err == "" {
		more := append(h.memory.About(l.info.Name, h.now), trouble.About(l.info.Name, h.found)...)
		means, steps := trouble.Explain(l.info, more...)
		d.Stops = trouble.Stops(more)
		if other, is := trouble.Instead(l.info.Name, more); is {
			d.Instead = idOf(other)
		}
		d.Means, d.Steps = append(d.Means, means...), h.config.steps(steps)
	}
	known := millis(h.began) // what was before is not known
	if seen := h.histories[l.id]; seen != nil {
		known = max(known, seen.dropped)
		d.History = seen.since(s.told)
		s.told = seen.n
		d.Blind = append(d.Blind, seen.blind...)
	} else {
		d.Blind = append(d.Blind, h.blind...)
	}
	d.Blind = append(d.Blind, [2]int64{0, known})
	return encode(d)
}
