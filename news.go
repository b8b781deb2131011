package redislock

import (
	"context"
	"fmt"
	"sync"

	"example.com/redislock/internal/transport"
)

// News are what concerns all Clients: a channel of the prefix that each is subscribed to beside its own. A message says
// that there is something to look at, and nothing more (I9). Who may have missed one looks too.
const (
	newsReset  = 'o' // a Once was reset (lua/erase.lua)
	newsLeader = 'e' // an election may have another leader
	newsLock   = 'v' // a lock that somebody watches has changed (lua/state.lua); its name is escaped
)

// tell sends news.
func (c *Client) tell(ctx context.Context, kind byte, name string) error {
	_, err := c.plain(ctx, transport.NewCommand(ctx, 0, "publish", c.keys.News(), string(kind)+name)).Int64()
	if transport.Refused(err) {
		err = fmt.Errorf("%w: %w", ErrPermission, err)
	}
	return err
}

// news takes a message of the channel.
func (c *Client) news(payload string) {
	if len(payload) < 2 || len(payload) > 1+3*MaxName { // a name is up to three times as long when it is escaped
		return
	}
	switch name := payload[1:]; payload[0] {
	case newsReset:
		c.onces.forget(name)
	case newsLeader, newsLock:
		c.watchers.wake(payload)
	}
}

// missed is called when news may have been lost: the subscription is new.
func (c *Client) missed() {
	for _, name := range c.onces.doubt() {
		c.checkOnce(name)
	}
	c.watchers.wakeAll()
}

// watched is the news of a lock, by its escaped name; led those of an election.
func watched(escaped string) string { return string(newsLock) + escaped }

func led(election string) string { return string(newsLeader) + election }

// watchers are who wants to look when there is certain news.
type watchers struct {
	mu sync.Mutex
	of map[string]map[chan struct{}]bool
}

// add returns a channel that has something in it when there is news.
func (w *watchers) add(what string) chan struct{} {
	news := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of == nil {
		w.of = map[string]map[chan struct{}]bool{}
	}
	if w.of[what] == nil {
		w.of[what] = map[chan struct{}]bool{}
	}
	w.of[what][news] = true
	return news
}

func (w *watchers) remove(what string, news chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.of[what], news)
	if len(w.of[what]) == 0 {
		delete(w.of, what)
	}
}

func (w *watchers) wake(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rouse(w.of[what])
}

func (w *watchers) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, all := range w.of {
		w.rouse(all)
	}
}

// rouse sends news to some. The caller holds w.mu.
func (w *watchers) rouse(all map[chan struct{}]bool) {
	for news := range all {
		select {
		case news <- struct{}{}:
		default: // it has not looked since the last one
		}
	}
}
