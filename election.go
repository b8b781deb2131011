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

// minTerm is the least time from the beginning of one term to the next candidacy. For a function that returns at once again and
// again it doubles from term to term, up to maxTermPause.
const (
	minTerm      = time.Second
	maxTermPause = 30 * time.Second
)

// leaderCheck is how often a watcher of an election checks by itself. That finds a message that was lost without a break of
// the subscription.
const leaderCheck = 30 * time.Second

// Election has at most one leader at a time among all candidates under a name. [Client.Election] makes it. Many goroutines
// may use it at once.
type Election struct {
	client *Client
	name   string
	opts   []Option
}

// Leader is the leader of an election.
type Leader struct {
	// Owner is the leading instance; its metadata are those of [WithMetadata].
	Owner Owner
	// Fence is the fence of the leader's lock, greater than that of every leader before. 0 means that nobody leads.
	Fence int64
	// Since is when the leader was elected, by the server's clock.
	Since time.Time
}

// Elected reports whether anybody leads.
func (l Leader) Elected() bool { return l.Fence != 0 }

// Election makes the election of that name. Nothing is sent, and the election needs no closing. The leader holds the lock
// "elect:name". The options are those of its acquire; [WithLease], for instance, sets how long the others wait for a leader
// that died. A mode or a weight is [ErrInvalid]. Of the Client's defaults, lease, metadata and replicas count.
func (c *Client) Election(name string, opts ...Option) *Election {
	return &Election{client: c, name: name, opts: opts}
}

// Elect is [Election.Campaign] in the election of that name.
func (c *Client) Elect(ctx context.Context, name string, fn func(context.Context) error, opts ...Option) error {
	return c.Election(name, opts...).Campaign(ctx, fn)
}

func electName(name string) string { return "elect:" + name }

// Campaign stands for election until ctx ends or the Client is closed. Candidates are elected in the order in which they came.
// When this candidate is elected, it runs fn. The context of fn ends when ctx ends, when the Client is closed, or when the
// leadership is lost. Another candidate may lead then, so fn should return soon. [FromContext] finds the lock; its fence goes
// along with what fn writes. When fn has returned, the candidate resigns and stands again, behind the other candidates. So a fn
// that is to lead for good returns only when its context ends.
//
// After a term shorter than a second this candidate does not stand until that second is over. If fn returns sooner than that
// pause lasts again and again, the pause doubles each time, up to 30 s. A longer term, or one whose leadership was lost, ends
// that. If this candidate is the only one, nobody leads during the pause.
//
// Campaign returns nil when it was told to end: ctx has ended, or [Client.Close] or [Client.Drain] was called meanwhile. An error
// of fn that is that of the ended context, as errors.Is says, is no error then. So a shutdown needs no error to be filtered out.
//
// Campaign goes on when Redis cannot be reached, or refuses, for instance because a right is missing ([ErrPermission]). Campaign
// then stands again every second, and tells the Observer of each candidacy that failed ([EventGaveUp] of "elect:name", with the
// error). If ctx ends then, Campaign returns its error together with that of the candidacy. Campaign returns any other error of
// fn, if fn returned it while it led. It returns at once with [ErrInvalid], [ErrDeadlock], [ErrMode], [ErrHeld] (after
// [WithWait]), with [ErrClosed] of a Client that is closed or drains before the first candidacy, and if the server lacks
// something that locks need or the Redis client is closed. In every case the candidate has resigned by then.
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
	if err := c.refuses(ctx); err != nil {
		return err
	}
	failures, pause := 0, minTerm
	for {
		l, err := c.acquire(ctx, electName(e.name), opts)
		if err == nil {
			failures = 0
			begun := time.Now()
			lost, err := e.lead(ctx, l, fn)
			if err != nil && !e.toldToEnd(ctx, err) {
				return err
			}
			if took := time.Since(begun); took < pause {
				e.rest(ctx, pause-took)
				pause = min(2*pause, maxTermPause)
			} else {
				lost = true
			}
			if lost {
				pause = minTerm
			}
		} else {
			if ctx.Err() != nil && c.enter() == nil {
				e.tell() // it may have been elected at that instant, and others may have seen that
				c.leave()
			}
			switch {
			case errors.Is(err, ErrClosed): // since the campaign began
				return nil
			case ctx.Err() == nil && final(err):
				return err
			}
			failures++
			e.rest(ctx, min(transport.Backoff(failures), time.Second))
		}
		switch ended := ctx.Err(); {
		case ended == nil:
		case err == nil || errors.Is(err, ended):
			return nil
		default:
			return fmt.Errorf("%w: %w", ended, err)
		}
	}
}

// toldToEnd reports whether the function returned err because it was told to end: by ctx, or because the Client is closed.
func (e *Election) toldToEnd(ctx context.Context, err error) bool {
	switch {
	case ctx.Err() != nil:
		return errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))
	case e.client.isClosed():
		return errors.Is(err, context.Canceled) || errors.Is(err, ErrClosed)
	}
	return false
}

// rest waits for d, and not longer than ctx lasts and the Client takes locks.
func (e *Election) rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-e.client.closing:
	case <-e.client.drains(ctx):
	}
}

// final reports whether the same call would fail again, however long one goes on trying. ErrDamaged and ErrPermission are not
// final: an operator can mend a damaged key and grant a right.
func final(err error) bool {
	for _, e := range []error{ErrClosed, ErrInvalid, ErrDeadlock, ErrMode, ErrHeld} {
		if errors.Is(err, e) {
			return true
		}
	}
	return transport.Permanent(err) && !errors.Is(err, ErrDamaged)
}

// lead is one term. It returns fn's error, unless the leadership was lost for another reason than the end of the Client.
func (e *Election) lead(ctx context.Context, l *Lock, fn func(context.Context) error) (lost bool, err error) {
	e.tell()
	returned := false
	defer func() { // also when fn panics
		loss := l.Err()
		defer e.client.tellOf(e.resign(ctx, l))
		if lost = loss != nil; returned && lost && !errors.Is(loss, ErrClosed) {
			err = nil
		}
	}()
	err = fn(l.under(ctx))
	returned = true
	return false, err
}

// resign gives the lock back and makes the watchers check. It returns the event for the Observer.
func (e *Election) resign(ctx context.Context, l *Lock) (told Event) {
	e.client.background.Add() // after the release Close does not wait for this lock any more
	defer e.client.background.Done()
	told, _ = l.end(ctx, true, 0) // if Redis does not answer, it goes on in the background
	e.tell()
	return told
}

// tell makes the watchers check.
func (e *Election) tell() {
	c := e.client
	c.background.Add()
	go func() {
		defer c.background.Done()
		bounded, cancel := context.WithTimeout(context.Background(), transport.ResendTime)
		defer cancel()
		_ = c.changed(bounded, electName(e.name)) // a watcher that does not hear it checks when the lease is over
	}()
}

// Leader tells who leads now, or that nobody leads; see [Leader.Elected]. It asks Redis.
func (e *Election) Leader(ctx context.Context) (Leader, error) {
	if e == nil {
		e = &Election{}
	}
	leader, _, err := e.leader(ctx)
	return leader, wrapOp("leader", e.name, err)
}

// Position tells where this Client's candidate stands: 0 if it leads, 1 if it is the next to lead, and so on. If this Client has
// several campaigns in the election, Position returns that of the first. standing is false if none of them has a place: there is
// no campaign, it pauses after a short term, or its request has not been answered yet. Position asks Redis.
//
// All candidates, in their order, are the Places of [Client.Inspect] of "elect:name".
func (e *Election) Position(ctx context.Context) (position int, standing bool, err error) {
	if e == nil {
		e = &Election{}
	}
	position, err = e.position(ctx)
	return max(position, 0), position >= 0, wrapOp("position", e.name, err)
}

// position is -1 if this Client has no candidate.
func (e *Election) position(ctx context.Context) (int, error) {
	c := e.client
	if err := c.mayLook(ctx, e.name, electName); err != nil {
		return -1, err
	}
	info, err := c.inspect(ctx, electName(e.name), 0)
	for seen := 0; err == nil; info, err = c.inspectMore(ctx, info) {
		own := c.queued.tokens(info.Name) // before the holds: a candidate that is elected is among those before it leaves here
		for _, h := range info.Holds {
			if own[h.token] || c.holdOf(h.token) != nil {
				return 0, nil
			}
		}
		for i, p := range info.Places[seen:] {
			if own[p.token] {
				return seen + i + 1, nil
			}
		}
		if seen = len(info.Places); !info.More() {
			break
		}
	}
	return -1, err
}

// leader also tells after which time the leader may have died.
func (e *Election) leader(ctx context.Context) (Leader, due, error) {
	if err := e.client.mayLook(ctx, e.name, electName); err != nil {
		return Leader{}, due{}, err
	}
	info, err := e.client.inspect(ctx, electName(e.name), 1)
	if err != nil || len(info.Holds) == 0 {
		return Leader{}, due{within: leaderCheck}, err
	}
	h := info.Holds[0]
	return Leader{Owner: h.Owner, Fence: h.Fence, Since: h.Since}, due{within: min(h.Deadline.Sub(info.Now)+protocol.Slack, leaderCheck)}, nil
}

// Watch yields the leader, at once and then after every change, until ctx ends. That nobody leads is a change too. Watch is told
// by push; of a leader that died it learns when its lease is over. If changes follow each other quickly, it may see only the last
// one. While Redis cannot be reached, or refuses ([ErrPermission]), Watch yields the error, again and again with growing pauses
// of up to 5 s, and then the leader. Watch ends after [ErrClosed], [ErrInvalid] and any other permanent error, such as that of a
// closed Redis client.
func (e *Election) Watch(ctx context.Context) iter.Seq2[Leader, error] {
	if e == nil {
		e = &Election{}
	}
	return func(yield func(Leader, error) bool) {
		same := func(a, b Leader) bool { return a.Fence == b.Fence }
		follow(ctx, e.client, topic{"leader", e.name, electName(e.name)}, e.leader, same, yield)
	}
}
