package redislock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// What is built on locks and has a memory keeps a record beside the lock, on the same shard: that a thing was done, the
// value that was fetched, which tick was run. Who holds the lock writes it, with the fence in front, so that a writer
// that is late does not overwrite a later one's (lua/record.lua).

// record is what is known of a thing that is done once.
type record struct {
	fence int64
	value string
	left  time.Duration // until it is forgotten; 0: there is none
	sent  time.Time     // when it was asked for
}

// maxLife is how long a record is kept that is to be kept for good: no key is without an expiry (I4).
const maxLife = 10 * 365 * 24 * time.Hour

func (c *Client) recordKey(name string) string { return c.prefix + ":r:{" + escape(name) + "}" }

// look reads the record of a lock, in one round trip. That there is none is no error.
func (c *Client) look(ctx context.Context, name string) (record, error) {
	key := c.recordKey(name)
	for attempt := 1; ; attempt++ {
		sent := time.Now()
		get, life := newCommand(ctx, 1, "get", key), newCommand(ctx, 1, "pttl", key)
		c.plainAll(ctx, []command{get, life})
		value, err := get.Text()
		if errors.Is(err, redis.Nil) {
			return record{}, nil
		}
		ms, lifeErr := life.Int64()
		err = errors.Join(err, lifeErr)
		switch {
		case err == nil && ms <= 0: // it ended between the two
			return record{}, nil
		case err == nil && len(value) < fenceLength:
			return record{}, fmt.Errorf("unexpected record %.40q", value)
		case err == nil:
			return record{parseFence(value[:fenceLength]), value[fenceLength:], time.Duration(ms) * time.Millisecond, sent}, nil
		case refused(err):
			return record{}, fmt.Errorf("%w: %w", ErrPermission, err)
		case attempt == maxAttempts || !resendable(err) || !sleep(ctx, backoff(attempt)):
			return record{}, errors.Join(ctx.Err(), err)
		}
	}
}

// note writes the record of a thing that was done under a lock, which has its name unless another is given. It works
// when ctx has ended. It reports whether the record is the writer's now: another's with a greater fence stays.
func (c *Client) note(ctx context.Context, name string, l *Lock, value string, life time.Duration) (bool, error) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), resendTime)
	defer cancel()
	ms := max(min(life, maxLife), time.Millisecond).Milliseconds()
	a := c.ask(bounded, nil, scriptRecord, c.recordKey(name), fmt.Sprintf("%016d", l.Fence()), ms, value)
	if a.err != nil {
		return false, a.err
	}
	n, ok := a.value.(int64)
	if !ok {
		return false, fmt.Errorf("unexpected answer %.40q", fmt.Sprint(a.value))
	}
	return n == 1, nil
}

// erase removes a record.
func (c *Client) erase(ctx context.Context, name string) error {
	if ctx == nil {
		return invalid("a nil context")
	}
	err := c.plain(ctx, newCommand(ctx, 1, "del", c.recordKey(name))).Err()
	if refused(err) {
		err = fmt.Errorf("%w: %w", ErrPermission, err)
	}
	return err
}

// turn is what all that is done once goes through: it returns the record if the thing is done, or else the lock under
// which the caller is to do it. Who finds somebody at it waits as a reader, so that all who wait learn of the end at
// once, by push; only if it was not done then they get in line to do it, one after the other.
//
// Of the options WithWait bounds the whole: ErrHeld after it.
func (c *Client) turn(ctx context.Context, name string, done func(record) bool, opts []Option) (record, *Lock, error) {
	asked := time.Now()
	s, opts, err := c.mayTurn(ctx, name, opts)
	if err != nil {
		return record{}, nil, err
	}
	rec, err := c.look(ctx, name)
	if err != nil || done(rec) {
		return rec, nil, err
	}
	for i, mode := range []Mode{Exclusive, Read, Exclusive} {
		as := append(opts[:len(opts):len(opts)], WithMode(mode))
		switch {
		case i == 0:
			as = append(as, WithWait(0))
		case s.waitSet:
			as = append(as, WithWait(max(s.wait-elapsed(asked), 0)))
		}
		l, err := c.acquire(ctx, name, as)
		if i == 0 && errors.Is(err, ErrHeld) && ctx.Err() == nil && !(s.waitSet && s.wait == 0) {
			continue
		}
		if err != nil {
			return record{}, nil, err
		}
		rec, err := c.look(ctx, name)
		if err == nil && !done(rec) && mode == Exclusive {
			return rec, l, nil
		}
		_ = l.finish(ctx, false, 0) // goes on in the background where Redis does not answer
		if err != nil || done(rec) {
			return rec, nil, err
		}
	}
	panic("unreachable: the last one returns")
}

// mayTurn checks what can be checked of a turn without Redis. It returns what the options come to, and those of its lock.
func (c *Client) mayTurn(ctx context.Context, name string, opts []Option) (settings, []Option, error) {
	opts, err := exclusively(opts)
	if err != nil {
		return settings{}, nil, err
	}
	s, err := c.accept(ctx, name, opts)
	if err == nil {
		_, _, err = c.nest(ctx, name, s) // it is ErrDeadlock under its own context
	}
	return s, opts, err
}

// exclusively is these options for a lock that is the library's own: exclusive, whatever the Client's defaults are, and
// never nested in another hold of it.
func exclusively(opts []Option) ([]Option, error) {
	var given settings
	if err := given.apply(opts); err != nil {
		return nil, err
	}
	if given.mode != Exclusive || given.weight > 1 {
		return nil, invalid("WithMode, WithWeight: this has a lock of its own, which is exclusive")
	}
	return append(opts[:len(opts):len(opts)], WithMode(Exclusive), WithWeight(1), NonReentrant()), nil
}

// patiently waits until the context ends, whatever the Client's defaults are.
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
