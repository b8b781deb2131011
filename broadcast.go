package redislock

import (
	"context"
	"fmt"
	"sync"

	"example.com/redislock/internal/transport"
)

// A broadcast goes to all Clients of the prefix, by a channel that each is subscribed to beside its own. It says that there
// is something to look at, and nothing more (I9). Who may have missed one looks too.
const (
	broadcastReset  = 'o' // a Once was reset (lua/erase.lua)
	broadcastLeader = 'e' // an election may have another leader
	broadcastChange = 'v' // a lock that somebody watches has changed (lua/state.lua); its name is escaped
)

// broadcast tells all Clients of the prefix.
func (c *Client) broadcast(ctx context.Context, kind byte, name string) error {
	_, err := c.plain(ctx, transport.NewCommand(ctx, 0, "publish", c.keys.Broadcasts(), string(kind)+name)).Int64()
	if transport.Refused(err) {
		err = fmt.Errorf("%w: %w", ErrPermission, err)
	}
	return err
}

// broadcasted takes a broadcast.
func (c *Client) broadcasted(payload string) {
	if len(payload) < 2 || len(payload) > 1+3*MaxName { // a name is up to three times as long when it is escaped
		return
	}
	switch name := payload[1:]; payload[0] {
	case broadcastReset:
		c.onces.forget(name)
	case broadcastLeader, broadcastChange:
		c.watchers.wake(payload)
	}
}

// missedBroadcasts is called when some may have been lost: the subscription is new.
func (c *Client) missedBroadcasts() {
	for _, name := range c.onces.doubt() {
		c.checkOnce(name)
	}
	c.watchers.wakeAll()
}

// watched is the broadcast that a lock has changed, by its escaped name.
func watched(escaped string) string { return string(broadcastChange) + escaped }

// led is the broadcast that an election may have another leader.
func led(election string) string { return string(broadcastLeader) + election }

// watchers is who wants to look after a certain broadcast.
type watchers struct {
	mu sync.Mutex
	of map[string]map[chan struct{}]bool
}

// add returns a channel that has something in it after that broadcast.
func (w *watchers) add(what string) chan struct{} {
	wake := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of == nil {
		w.of = map[string]map[chan struct{}]bool{}
	}
	if w.of[what] == nil {
		w.of[what] = map[chan struct{}]bool{}
	}
	w.of[what][wake] = true
	return wake
}

func (w *watchers) remove(what string, wake chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.of[what], wake)
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

// rouse wakes some of them. The caller holds w.mu.
func (w *watchers) rouse(all map[chan struct{}]bool) {
	for wake := range all {
		select {
		case wake <- struct{}{}:
		default: // it has not looked since the last one
		}
	}
}
