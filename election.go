package redislock

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
)

// minTerm is the least time from the beginning of one term to the next candidacy, for functions that return at once.
const minTerm = time.Second

// leaderCheck is how often who watches an election looks by himself: against a message that was lost without the
// subscription breaking.
const leaderCheck = 30 * time.Second

// Election has at most one leader at a time among all who campaign under a name. It is made by [Client.Election] and
// safe for use by many goroutines.
type Election struct {
	client *Client
	name   string
	opts   []Option
}

// Leader is who leads.
type Leader struct {
	// Owner is the leading instance; its metadata are those of [WithMetadata].
	Owner Owner
	// Fence is the fence of its lock: greater than that of every leader before. 0: nobody leads.
	Fence int64
	// Since is when it was elected, by the server's clock.
	Since time.Time
}

// Elected reports whether anybody leads.
func (l Leader) Elected() bool { return l.Fence != 0 }

// Election is the election of that name. Nothing is sent, and it needs no closing. The leader holds the lock
// "elect:name"; the options are those of its acquire: with [WithLease], for instance, how long the others wait for a
// leader that died. A mode or a weight is [ErrInvalid]. Of the Client's defaults lease, metadata and replicas
// count.
func (c *Client) Election(name string, opts ...Option) *Election {
	return &Election{client: c, name: name, opts: opts}
}

// Elect is [Election.Campaign] in the election of that name.
func (c *Client) Elect(ctx context.Context, name string, fn func(context.Context) error, opts ...Option) error {
	return c.Election(name, opts...).Campaign(ctx, fn)
}

func electName(name string) string { return "elect:" + name }

// Campaign stands for election until ctx ends. Whenever it is elected, in the order in which the candidates came, it runs
// fn; the context of fn ends when ctx does, or when the leadership is lost, and another may lead then: so return soon.
// [FromContext] finds the lock, whose fence goes along with what fn writes. When fn has returned, it resigns, and stands
// again, behind the other candidates: a fn that is to lead for good returns when its context ends. A term that is over
// sooner than a second is followed by a pause until that second is over, in which this candidate does not stand: where it
// is the only one, nobody leads then.
//
// It goes on when Redis cannot be reached or refuses, as for want of a right ([ErrPermission]): it stands again every
// second, and each candidacy that failed is told to the observer ([EventGaveUp] of "elect:name", with the error). It returns
// the error of ctx when that has ended, and with it that of the last candidacy if that failed; fn's error, if it returned one
// while it led; and [ErrClosed], [ErrInvalid], [ErrDeadlock], [ErrMode], [ErrHeld] (after [WithWait]), or that the server
// does not have what locks need or that the Redis client is closed, at once. It has resigned then.
func (e *Election) Campaign(ctx context.Context, fn func(context.Context) error) error {
	if e == nil {
		e = &Election{}
	}
	return wrapOp("elect", e.name, e.campaign(ctx, fn))
}

func (e *Election) campaign(ctx context.Context, fn func(context.Context) error) error {
	c := e.client
	if err := c.called(ctx); err != nil {
		return err
	}
	if fn == nil {
		return invalid("a nil function")
	}
	if err := checkDerived(e.name, electName); err != nil {
		return err
	}
	opts, err := ownLock(e.opts)
	if err != nil {
		return err
	}
	for failures := 0; ; {
		l, err := c.acquire(ctx, electName(e.name), opts)
		if err == nil {
			failures = 0
			begun := time.Now()
			if err := e.lead(ctx, l, fn); err != nil {
				return err
			}
			sleep(ctx, minTerm-time.Since(begun))
		} else {
			if ctx == nil {
				return err
			}
			if ctx.Err() != nil && c.enter() == nil {
				e.tell() // it may have been elected at that instant, and seen
				c.leave()
			}
			if final(err) {
				return err
			}
			failures++
			sleep(ctx, min(transport.Backoff(failures), time.Second))
		}
		switch {
		case ctx.Err() == nil:
		case err == nil || errors.Is(err, ctx.Err()):
			return ctx.Err()
		default:
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// final reports whether what failed would fail again, however long one goes on trying. A key that is damaged is mended by
// an operator, a right is granted.
func final(err error) bool {
	for _, e := range []error{ErrClosed, ErrInvalid, ErrDeadlock, ErrMode, ErrHeld} {
		if errors.Is(err, e) {
			return true
		}
	}
	return transport.Permanent(err) && !errors.Is(err, ErrDamaged)
}

// lead is one term. Its error is fn's, unless the leadership was lost: then the campaign goes on, if the Client does.
func (e *Election) lead(ctx context.Context, l *Lock, fn func(context.Context) error) (err error) {
	e.tell()
	returned := false
	defer func() { // also when fn panics
		lost := l.Err()
		defer e.client.tellOf(e.resign(ctx, l))
		switch {
		case errors.Is(lost, ErrClosed):
			err = errors.Join(lost, err)
		case returned && lost != nil:
			err = nil
		}
	}()
	err = fn(l.under(ctx))
	returned = true
	return err
}

// resign gives the lock back, and has those who watch look. It returns what the Observer is to be told.
func (e *Election) resign(ctx context.Context, l *Lock) (told Event) {
	e.client.background.Add() // when the lock is given back, Close does not wait for it any more
	defer e.client.background.Done()
	told, _ = l.end(ctx, true, 0) // goes on in the background where Redis does not answer
	e.tell()
	return told
}

// tell has those who watch look.
func (e *Election) tell() {
	c := e.client
	c.background.Add()
	go func() {
		defer c.background.Done()
		bounded, cancel := context.WithTimeout(context.Background(), transport.ResendTime)
		defer cancel()
		_ = c.broadcast(bounded, broadcastLeader, e.name) // who does not hear it looks when the lease is over
	}()
}

// Leader tells who leads now, or that nobody does; see [Leader.Elected]. It asks Redis.
func (e *Election) Leader(ctx context.Context) (Leader, error) {
	if e == nil {
		e = &Election{}
	}
	leader, _, err := e.leader(ctx)
	return leader, wrapOp("leader", e.name, err)
}

// leader also tells after which time it may have died.
func (e *Election) leader(ctx context.Context) (Leader, time.Duration, error) {
	if err := e.client.mayLook(ctx, e.name, electName); err != nil {
		return Leader{}, 0, err
	}
	info, err := e.client.inspect(ctx, electName(e.name), 1)
	if err != nil || len(info.Holds) == 0 {
		return Leader{}, leaderCheck, err
	}
	h := info.Holds[0]
	return Leader{Owner: h.Owner, Fence: h.Fence, Since: h.Since}, min(h.Deadline.Sub(info.Now)+protocol.Slack, leaderCheck), nil
}

// Watch yields who leads, at once and then whenever it has changed, nobody leading included, until ctx ends. It is told
// by push, and of a leader that died when its lease is over; of changes that follow each other quickly it may see the
// last only. While Redis cannot be reached, or refuses ([ErrPermission]), it yields the error, again and again with growing
// pauses of up to 5 s, and then who leads. After [ErrClosed], [ErrInvalid] and what stays as it is, such as a Redis client
// that was closed, it ends.
func (e *Election) Watch(ctx context.Context) iter.Seq2[Leader, error] {
	if e == nil {
		e = &Election{}
	}
	return func(yield func(Leader, error) bool) {
		look := func() (Leader, time.Duration, error) {
			leader, look, err := e.leader(ctx)
			return leader, look, wrapOp("leader", e.name, err)
		}
		same := func(a, b Leader) bool { return a.Fence == b.Fence }
		follow(ctx, e.client, led(e.name), 0, look, same, yield)
	}
}
