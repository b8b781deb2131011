package wakeup

import (
	"context"
	"errors"
	"sync"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
)

// channelState is whether the messages of a wake channel arrive, by the states of the package comment.
type channelState struct {
	mu    sync.Mutex
	mode  string        // protocol.Countable, protocol.Sharded or protocol.Uncountable; empty: not subscribed
	epoch uint64        // how many subscriptions there were: a sample of the server's time is of one (I9)
	ready chan struct{} // closed while the channel is subscribed
	err   error         // why the last attempt failed, or why the subscription broke
	told  bool          // the Listener was told of this outage
}

// state returns the mode of waiting and the epoch. The mode is empty while there is no subscription.
func (c *channelState) state() (mode string, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mode, c.epoch
}

// await returns when there is a subscription, or with an error when ctx ends. If no subscription can be made within the time of a
// check, the waiter must do without one: its checks find the grant, because a claim lasts longer than two checks.
func (c *channelState) await(ctx context.Context, of *Subscriber) (without bool, err error) {
	patience := time.NewTimer(protocol.CheckEvery)
	defer patience.Stop()
	for {
		c.mu.Lock()
		mode, ready, err := c.mode, c.wait(), c.err
		c.mu.Unlock()
		if mode != "" {
			return false, nil
		}
		if errors.Is(err, transport.ErrPermission) {
			return false, err
		}
		select {
		case <-ready:
		case <-ctx.Done():
			return false, transport.During(ctx.Err(), err)
		case <-patience.C:
			return true, nil
		case <-of.Closing:
			return false, of.Cause()
		}
	}
}

// wait is closed when there is something to look at. The caller holds c.mu.
func (c *channelState) wait() chan struct{} {
	if c.ready == nil {
		c.ready = make(chan struct{})
	}
	return c.ready
}

// subscribed notes that the server has confirmed a subscription, the first or a new one.
func (c *channelState) subscribed(mode string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	if c.mode == "" {
		close(c.wait())
	}
	c.mode, c.err, c.told = mode, nil, false
}

// lost notes that there is no subscription, and why. It reports whether an outage begins with that: the first attempt to
// subscribe again has failed.
func (c *channelState) lost(err error) (outage bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mode == "" {
		outage, c.told = !c.told, true
	} else {
		c.mode, c.ready = "", nil
	}
	c.err = err
	if errors.Is(err, transport.ErrPermission) { // its waits learn why
		close(c.wait())
		c.ready = nil
	}
	return outage
}
