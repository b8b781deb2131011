package redislock

import (
	"context"
	"fmt"
	"slices"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
)

// First is for dedupe. It returns true to the first caller of that key within the window, and false to the others. The window
// is at least 1 ms, counted from the first call. When the call fails, the answer is false, unless [WithFailOpen] says yes in
// its place. If an answer was lost, the resend still recognizes its own first call.
func (c *Client) First(ctx context.Context, key string, window time.Duration, opts ...Option) (bool, error) {
	first, err := c.FirstOf(ctx, []string{key}, window, opts...)
	return len(first) == 1 && first[0], err
}

// FirstOf is [Client.First] for a batch of keys, in one round trip. The answers are in the order of the keys. A key that is
// named twice is first once. [WithFailOpen] is the only option; others are [ErrInvalid]. With it FirstOf says yes for the
// keys that have no answer, and keeps the answers of the others: in a cluster one master alone may be down. Without it one
// key without an answer makes the whole call an error, and the other keys may count as seen.
func (c *Client) FirstOf(ctx context.Context, keys []string, window time.Duration, opts ...Option) ([]bool, error) {
	if err := c.called(ctx); err != nil {
		return nil, fmt.Errorf("redislock: first: %w", err)
	}
	if len(keys) == 0 {
		return nil, nil
	}
	first, err := c.firstOf(ctx, keys, window, opts)
	return first, wrapOp("first", keys[0], err)
}

func (c *Client) firstOf(ctx context.Context, keys []string, window time.Duration, opts []Option) ([]bool, error) {
	if window < time.Millisecond {
		return nil, invalid("a window of %v, at least 1ms", window)
	}
	var given settings
	if err := given.apply(opts); err != nil {
		return nil, err
	}
	if given.lease != 0 || given.waitSet {
		return nil, invalid("WithLease and WithWait: First has a window and does not wait")
	}
	var s settings
	names, tokens := make([]string, len(keys)), make([]string, len(keys))
	for i, key := range keys {
		var err error
		if s, err = c.weakSettings(ctx, key, opts); err != nil {
			return nil, err
		}
		names[i], tokens[i] = c.keys.Dedupe(key), protocol.NewToken()
	}
	took, open, _, err := c.setNX(ctx, names, tokens, make([]time.Time, len(names)), window)
	if err == nil {
		return took, nil
	}
	if ctx.Err() != nil || !s.failOpen || !unreachable(err) {
		return nil, err
	}
	// The answers that came stay: in a cluster one master alone may be down. A key that is named twice may have its answer at
	// its other place.
	seen := map[string]bool{}
	for i, key := range keys {
		seen[key] = seen[key] || !slices.Contains(open, i)
	}
	for _, i := range open {
		key := keys[i]
		took[i] = !seen[key]
		seen[key] = true
		c.observe(Event{Kind: EventFailOpen, Name: key, Err: err})
	}
	return took, nil
}

// Forget makes the next [Client.First] of that key first again.
func (c *Client) Forget(ctx context.Context, key string) error {
	if err := c.usable(ctx); err != nil {
		return wrapOp("forget", key, err)
	}
	if err := checkName(key); err != nil {
		return wrapOp("forget", key, err)
	}
	if err := c.enter(); err != nil {
		return wrapOp("forget", key, err)
	}
	defer c.leave()
	_, err := c.plain(ctx, transport.NewCommand(ctx, 1, "del", c.keys.Dedupe(key))).Int64()
	return wrapOp("forget", key, err)
}
