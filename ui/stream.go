package ui

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	// maxStreams is how many pages may look at the same time.
	maxStreams = 64
	// beat is how often a stream says that it lives where there is nothing else to say. The page waits for three.
	beat = 10 * time.Second
	// readTime is how long a browser may take to read what it is sent, before it is dropped.
	readTime = 15 * time.Second
	// detailPause is at least between two details: a busy lock changes faster than people read.
	detailPause = 200 * time.Millisecond
)

// hello is the first message of a stream: whatever the page knew before is over.
type hello struct {
	Stream     string `json:"stream"`
	CSRF       string `json:"csrf"`
	Address    text   `json:"address"`
	Prefix     text   `json:"prefix"`
	AllowBreak bool   `json:"allowBreak"`
	HasHealth  bool   `json:"hasHealth"`
	HasLogin   bool   `json:"hasLogin"`
	BeatMS     int64  `json:"beatMs"`
}

// stream sends a page all there is and then what changes, as server-sent events numbered from 1. A page that has missed
// a number, or whose connection broke, asks for a new stream.
func (u *UI) stream(w http.ResponseWriter, r *http.Request) {
	s, ok := u.hub.join(rand.Text())
	if !ok {
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusServiceUnavailable, "too many pages look already")
		return
	}
	defer u.hub.leave(s)

	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy must not collect
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{}) // the request was read, and the stream has no end
	number := 0
	send := func(messages ...message) error {
		_ = rc.SetWriteDeadline(time.Now().Add(readTime)) // a recorder has none
		for _, m := range messages {
			number++
			if _, err := fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", number, m.kind, m.data); err != nil {
				return err
			}
		}
		return rc.Flush()
	}

	one, known := u.session(r)
	var ended <-chan struct{}
	first := hello{
		Stream: s.id, Address: text(u.config.Address), Prefix: text(u.config.Prefix), AllowBreak: u.config.AllowBreak,
		HasHealth: u.config.Health != nil, HasLogin: u.config.Token != "", BeatMS: beat.Milliseconds(),
	}
	if known {
		first.CSRF, ended = one.key, one.ended.Done()
	}
	if send(message{"hello", encode(first)}) != nil {
		return
	}
	heart := time.NewTicker(beat)
	defer heart.Stop()
	lastDetail := time.Time{}
	for {
		select {
		case <-s.wake:
		case <-heart.C:
			if send(message{"beat", json.RawMessage("{}")}) != nil {
				return
			}
			continue
		case <-r.Context().Done():
			return
		case <-ended:
			if u.page.Err() == nil { // else the session has ended with all the rest
				_ = send(message{"over", json.RawMessage("{}")})
				return
			}
			ended = nil
			continue
		case <-u.page.Done():
			_ = send(message{"bye", json.RawMessage("{}")})
			return
		}
		due := time.Since(lastDetail) >= detailPause
		messages, more := u.hub.next(s, due)
		if due {
			for _, m := range messages {
				if m.kind == "lock" {
					lastDetail = time.Now()
				}
			}
		}
		if len(messages) > 0 && send(messages...) != nil {
			return
		}
		if more {
			if len(messages) == 0 { // a detail that must wait
				time.AfterFunc(detailPause, s.poke)
			} else {
				s.poke()
			}
		}
	}
}
