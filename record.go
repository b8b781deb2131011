package redislock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

// Some features are built on locks and have a memory. They keep a record beside the lock, on the same shard: that a Once was
// done, the value that was fetched, or which tick was run. The holder of the lock writes the record. One script checks that it
// still holds the lock and writes (lua/record.lua). So a writer that is late, and a copy of its request, change nothing.

// record is the record of a Once, a shared value or a tick.
type record struct {
	head  string // the fence of the hold that wrote it, and its step: no two records have the same
	fence int64
	value string
	left  time.Duration   // until Redis forgets the record; 0 if there is none
	sent  time.Time       // when the record was asked for
	now   protocol.Micros // the server's clock then
}

func (r record) exists() bool { return r.left > 0 }

// maxLife is how long Redis keeps a record that is to be kept for good: no key is without an expiry (I4).
const maxLife = 10 * 365 * 24 * time.Hour

// recordHead is the length of what stands before the value: the fence, and the step of its holder.
const recordHead = protocol.FenceLength + 1

// recall reads the record of a lock, in one round trip. It is no error if there is none.
func (c *Client) recall(ctx context.Context, name string) (record, error) {
	return c.recallKey(ctx, c.keys.Record(name))
}

func (c *Client) recallKey(ctx context.Context, key string) (record, error) {
	a := c.query(ctx, lua.Recall, key)
	if a.Err != nil {
		return record{}, a.Err
	}
	f, err := protocol.FieldsOf(a.Value)
	if err != nil {
		return record{}, err
	}
	r := record{sent: a.Sent, now: f.Clock(0)}
	if len(f.Values) > 2 {
		text, ms := f.Text(2), f.Int(3)
		if len(text) < recordHead {
			f.Fail(2)
		} else {
			r.head, r.fence, r.value = text[:recordHead], protocol.ParseFence(text[:protocol.FenceLength]), text[recordHead:]
			r.left = max(0, time.Duration(ms)*time.Millisecond)
		}
	}
	if f.Err != nil {
		return record{}, f.Err
	}
	return r, nil
}

// headOf is the head of the step-th record that the holder of a lock writes.
func headOf(l *Lock, step int) string { return fmt.Sprintf("%016d%d", l.Fence(), step) }

// record writes the record of a lock that is held, as the step-th of its holder. It works when ctx has ended. It returns
// ErrNotHeld if the lock is not held any more. With "late" as how, that is so only if somebody else has written since. how
// may also be the head of the record that this one replaces; then nothing is written if that record has gone.
func (c *Client) record(ctx context.Context, l *Lock, step int, value string, life time.Duration, how ...any) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), transport.ResendTime)
	defer cancel()
	c.background.Add()
	defer c.background.Done()
	if c.isClosed() && !c.inBooks(l.hold) { // Close waits for the holds in the books, and may have returned
		return lossOf(ErrNotHeld)
	}
	e := &l.hold.lease
	args := []any{c.keys.Record(l.Name()), e.Token(), headOf(l, step), max(life, time.Millisecond).Milliseconds(), value}
	a := c.transport.Ask(bounded, nil, lua.Record, e.Key(), append(args, how...)...)
	if a.Err != nil {
		return a.Err
	}
	switch n, ok := a.Value.(int64); {
	case !ok:
		return protocol.Unexpected(a.Value)
	case n == 0:
		return lossOf(ErrNotHeld)
	}
	return nil
}

// erase removes a record. If broadcast has a channel and a message, Redis broadcasts that.
func (c *Client) erase(ctx context.Context, name string, broadcast ...any) error {
	a := c.query(ctx, lua.Erase, c.keys.Record(name), broadcast...)
	if a.Err == nil && a.Value != int64(1) {
		return protocol.Unexpected(a.Value)
	}
	return a.Err
}

// turn is the way to everything that is done once. If the work is done, turn returns the record. Otherwise it returns the lock
// under which the caller is to do it, with the record as it is. If another caller is doing it, this caller waits as a reader, so
// that all waiters learn of the end at once, by push. If the work is not done then, the first of them that asks to become the
// writer does it. The others are refused at once and wait for that one, as readers again.
//
// Of the options WithWait bounds the whole; after that time turn returns ErrHeld.
func (c *Client) turn(ctx context.Context, name string, done func(record) bool, opts []Option) (record, *Lock, error) {
	s, opts, err := c.mayTurn(ctx, name, opts)
	if err != nil {
		return record{}, nil, err
	}
	bounded, cancel := s.bounded(ctx)
	defer cancel()
	rec, l, err := c.takeTurn(bounded, name, done, &s, opts)
	return rec, l, s.within(ctx, bounded, err)
}

// bounded is ctx with the bound of WithWait.
func (s *settings) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.waitSet && s.wait > 0 {
		return context.WithTimeout(ctx, s.wait)
	}
	return ctx, func() {}
}

// within turns the error of a call in the bounded context into the error for a caller that knows of WithWait.
func (s *settings) within(ctx, bounded context.Context, err error) error {
	if err == nil || ctx.Err() != nil || bounded.Err() == nil {
		return err
	}
	if held, ok := errors.AsType[*HeldError](err); ok { // after WithWait, not because ctx ended
		held.cause = nil
		return held
	}
	return unanswered(s.wait, err)
}

// takeTurn is turn in a context that bounds it. The settings were made of these options.
func (c *Client) takeTurn(ctx context.Context, name string, done func(record) bool, s *settings, opts []Option) (record, *Lock, error) {
	rec, err := c.recall(ctx, name)
	if err != nil || done(rec) {
		return rec, nil, err
	}
	waits := !s.waitSet || s.wait > 0
	for {
		rec, l, err := c.tryTurn(ctx, name, done, opts)
		if errors.Is(err, ErrHeld) && waits {
			rec, l, err = c.awaitTurn(ctx, name, done, s, opts)
		}
		if err != nil || l != nil || done(rec) {
			return rec, l, err
		}
	}
}

// tryTurn takes the lock if it is free. It returns neither lock nor error if the work was done meanwhile, or if the lock was
// lost.
func (c *Client) tryTurn(ctx context.Context, name string, done func(record) bool, opts []Option) (record, *Lock, error) {
	l, err := c.acquire(ctx, name, append(opts[:len(opts):len(opts)], WithWait(0)))
	if err != nil {
		return record{}, nil, err
	}
	return c.confirmTurn(ctx, l, done)
}

// confirmTurn reads the record again, now that the lock is held. If it is not the caller's turn, confirmTurn gives the lock
// back.
func (c *Client) confirmTurn(ctx context.Context, l *Lock, done func(record) bool) (record, *Lock, error) {
	rec, err := c.recall(ctx, l.Name())
	if err == nil && !done(rec) && l.Err() == nil { // I10: reading the record may have taken longer than the lease
		return rec, l, nil
	}
	_ = l.finish(ctx, true, 0) // if Redis does not answer, it goes on in the background
	return rec, nil, err
}

// awaitTurn waits as a reader. It becomes the writer if the work is not done by then and no other reader was faster. It returns
// neither lock nor error if the work was done, if another caller does it, or if the lock was lost.
func (c *Client) awaitTurn(ctx context.Context, name string, done func(record) bool, s *settings, opts []Option) (record, *Lock, error) {
	l, err := c.acquire(ctx, name, append(opts[:len(opts):len(opts)], WithMode(Read), patiently, unreplicated))
	if err != nil {
		return record{}, nil, err
	}
	rec, err := c.recall(ctx, name)
	if err == nil && !done(rec) {
		l.hold.replicas, l.hold.replicaTime = s.replicas, s.replicaTime // the replicas must have the writer's hold
		if err = l.upgrade(ctx); err == nil {
			return c.confirmTurn(ctx, l, done)
		}
		if errors.Is(err, ErrConflict) || errors.Is(err, ErrNotHeld) {
			err = nil
		}
	}
	_ = l.finish(ctx, true, 0)
	return rec, nil, err
}

// mayTurn checks everything of a turn that can be checked without Redis. It returns the settings that the options make, and
// the options of the turn's own lock.
func (c *Client) mayTurn(ctx context.Context, name string, opts []Option) (settings, []Option, error) {
	if err := c.called(ctx); err != nil {
		return settings{}, nil, err
	}
	opts, err := ownLock(opts)
	if err != nil {
		return settings{}, nil, err
	}
	s := c.defaults
	if err = c.accept(ctx, name, opts, &s); err == nil {
		_, _, err = c.nest(ctx, name, &s) // ErrDeadlock under the context of the lock itself
	}
	return s, opts, err
}

// ownLock turns these options into those of a lock that the library takes for itself. Such a lock is exclusive and never nested.
// Of the Client's defaults it keeps only lease, metadata and replicas, because these weaken nothing. The other defaults are meant
// for the locks of the user: for instance a short wait, or holds that are stale after a minute.
func ownLock(opts []Option) ([]Option, error) {
	var given settings
	if err := given.apply(opts); err != nil {
		return nil, err
	}
	if given.mode != Exclusive || given.weight > 1 {
		return nil, invalid("WithMode, WithWeight: this has a lock of its own, which is exclusive")
	}
	if given.inTurns() {
		return nil, invalid("WithTurn, WithLinger: this has a lock of its own, which is granted by the server alone")
	}
	own := []Option{func(s *settings) error {
		*s = settings{
			lease: s.lease, metadata: s.metadata, weight: 1, nonReentrant: true,
			replicas: s.replicas, replicaTime: s.replicaTime,
		}
		return nil
	}}
	return append(own, opts...), nil
}

// patiently makes an acquire wait until its context ends.
func patiently(s *settings) error {
	s.waitSet = false
	return nil
}

// sleep waits for d. It reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

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
	return wrapOp("forget", key, c.sendPlain(ctx, "del", c.keys.Dedupe(key)))
}
