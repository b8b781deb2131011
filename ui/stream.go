package ui

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	// maxStreams is how many pages may be open at the same time.
	maxStreams = 64
	// beat is how often a stream sends a sign of life if it has nothing else to send. A page gives up after three.
	beat = 10 * time.Second
	// readTime is how long a browser may take to read a message before it is dropped.
	readTime = 15 * time.Second
	// detailPause is the shortest pause between two details, as a busy lock changes faster than people read.
	detailPause = 200 * time.Millisecond
)

// hello is the first message of a stream. The page then drops all that it knew.
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

// stream sends the state of all locks and then the changes, as server-sent events numbered from 1. A page that has
// missed a number, or whose connection broke, asks for a new stream.
func (u *UI) stream(w http.ResponseWriter, r *http.Request) {
	s, ok := u.hub.join(rand.Text())
	if !ok {
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusServiceUnavailable, "too many pages are open already")
		return
	}
	defer u.hub.leave(s)

	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy must not buffer the stream
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{}) // the request is read, and the stream has no time limit
	number := 0
	send := func(messages ...message) error {
		_ = rc.SetWriteDeadline(time.Now().Add(readTime)) // the recorder of a test has no deadline
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
			if u.page.Err() == nil { // otherwise the whole page ends, and not this session alone
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
			if len(messages) == 0 { // only a detail is left, which must wait
				time.AfterFunc(detailPause, s.poke)
			} else {
				s.poke()
			}
		}
	}
}
