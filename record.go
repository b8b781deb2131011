package redislock

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What is built on locks and has a memory keeps a record beside the lock, on the same shard: that a thing was done, the
// value that was fetched, which tick was run. Who holds the lock writes it, in one script with the look whether it still
// does (lua/record.lua), so that a writer that is late, and a copy of its request, change nothing.

// record is what is known of a thing that is done once.
type record struct {
	fence int64 // of the hold that wrote it
	value string
	left  time.Duration // until it is forgotten; 0: there is none
	sent  time.Time     // when it was asked for
	now   micros        // the server's clock then
}

func (r record) exists() bool { return r.left > 0 }

// maxLife is how long a record is kept that is to be kept for good: no key is without an expiry (I4).
const maxLife = 10 * 365 * 24 * time.Hour

// recordHead is what is in front of the value: the fence, and the step of its holder.
const recordHead = fenceLength + 1

func (c *Client) recordKey(name string) string {
	return c.prefix + recordKind + ":{" + escape(name) + "}"
}

// look reads the record of a lock, in one round trip. That there is none is no error.
func (c *Client) look(ctx context.Context, name string) (record, error) {
	a := c.query(ctx, scriptRecall, c.recordKey(name))
	if a.err != nil {
		return record{}, a.err
	}
	f, err := fieldsOf(a.value)
	if err != nil {
		return record{}, err
	}
	r := record{sent: a.sent, now: f.clock(0)}
	if len(f.values) > 2 {
		text, ms := f.text(2), f.int(3)
		if len(text) < recordHead {
			f.fail(2)
		} else {
			r.fence, r.value = parseFence(text[:fenceLength]), text[recordHead:]
			r.left = max(0, time.Duration(ms)*time.Millisecond)
		}
	}
	if f.err != nil {
		return record{}, f.err
	}
	return r, nil
}

// note writes the record of a lock that is held, as the step-th of its holder. It works when ctx has ended. It is
// ErrNotHeld if the lock is not held any more, unless it may be late: then it is if somebody else has written since.
func (c *Client) note(ctx context.Context, l *Lock, step int, value string, life time.Duration, late ...any) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), resendTime)
	defer cancel()
	e := &l.hold.lease
	args := []any{c.recordKey(l.Name()), e.token(), fmt.Sprintf("%016d%d", e.fenceNow(), step), max(life, time.Millisecond).Milliseconds(), value}
	a := c.ask(bounded, nil, scriptRecord, e.key(), append(args, late...)...)
	if a.err != nil {
		return a.err
	}
	switch n, ok := a.value.(int64); {
	case !ok:
		return unexpected(a.value)
	case n == 0:
		return lossOf(ErrNotHeld)
	}
	return nil
}

// erase removes a record, with news of it if there are any.
func (c *Client) erase(ctx context.Context, name string, news ...any) error {
	a := c.query(ctx, scriptErase, c.recordKey(name), news...)
	if a.err == nil && a.value != int64(1) {
		return unexpected(a.value)
	}
	return a.err
}

// turn is what all that is done once goes through: it returns the record if the thing is done, or else the lock under
// which the caller is to do it, with the record as it is. Who finds somebody at it waits as a reader, so that all who
// wait learn of the end at once, by push; only if it was not done then they get in line to do it, one after the other.
//
// Of the options WithWait bounds the whole: ErrHeld after it.
func (c *Client) turn(ctx context.Context, name string, done func(record) bool, opts []Option) (record, *Lock, error) {
	s, opts, err := c.mayTurn(ctx, name, opts)
	if err != nil {
		return record{}, nil, err
	}
	bounded, waits := ctx, !s.waitSet || s.wait > 0
	if s.waitSet && waits {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeout(ctx, s.wait)
		defer cancel()
	}
	rec, l, err := c.takeTurn(bounded, name, done, opts, waits)
	if err == nil || ctx.Err() != nil || bounded.Err() == nil {
		return rec, l, err
	}
	if held, ok := errors.AsType[*HeldError](err); ok { // after WithWait, not because ctx ended
		held.cause = nil
		return rec, l, held
	}
	return rec, l, unanswered(s.wait)
}

func (c *Client) takeTurn(ctx context.Context, name string, done func(record) bool, opts []Option, waits bool) (record, *Lock, error) {
	rec, err := c.look(ctx, name)
	if err != nil || done(rec) {
		return rec, nil, err
	}
	for mode, wait := Exclusive, false; ; {
		as := append(opts[:len(opts):len(opts)], WithMode(mode), patiently)
		if !wait {
			as = append(as, WithWait(0))
		}
		if mode == Read {
			as = append(as, unreplicated)
		}
		l, err := c.acquire(ctx, name, as)
		if errors.Is(err, ErrHeld) && waits && !wait {
			mode, wait = Read, true
			continue
		}
		if err != nil {
			return record{}, nil, err
		}
		rec, err := c.look(ctx, name)
		if err == nil && !done(rec) && mode == Exclusive && l.Err() == nil { // I10: the look may have taken longer than the lease
			return rec, l, nil
		}
		_ = l.finish(ctx, true, 0) // goes on in the background where Redis does not answer
		if err != nil || done(rec) {
			return rec, nil, err
		}
		mode, wait = Exclusive, waits
	}
}

// mayTurn checks what can be checked of a turn without Redis. It returns what the options come to, and those of its lock.
func (c *Client) mayTurn(ctx context.Context, name string, opts []Option) (settings, []Option, error) {
	opts, err := ownLock(opts)
	if err != nil {
		return settings{}, nil, err
	}
	s := c.defaults
	if err = c.accept(ctx, name, opts, &s); err == nil {
		_, _, err = c.nest(ctx, name, &s) // it is ErrDeadlock under its own context
	}
	return s, opts, err
}

// ownLock is these options for a lock that is the library's own: exclusive, never nested, and of the Client's defaults
// with its lease, metadata and replicas alone: those weaken nothing. The others are meant for the locks of the user: a
// wait that is to be short, for instance, or holds that are stale after a minute.
func ownLock(opts []Option) ([]Option, error) {
	var given settings
	if err := given.apply(opts); err != nil {
		return nil, err
	}
	if given.mode != Exclusive || given.weight > 1 {
		return nil, invalid("WithMode, WithWeight: this has a lock of its own, which is exclusive")
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

// patiently waits until the context ends.
func patiently(s *settings) error {
	s.waitSet = false
	return nil
}

// sleep waits for d, and reports whether ctx let it.
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
