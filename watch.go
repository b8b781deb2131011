package redislock

import (
	"context"
	"iter"
	"reflect"
	"sync"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

const (
	// watchEvery is how often a watcher of a lock checks by itself. That finds a message that was lost without a break of the
	// subscription.
	watchEvery = 30 * time.Second
	// watchPause is the least time between two checks. It is watchPauseEach for each hold and place that the last one has shown, if
	// that is more: a crowd costs Redis more to look at, some 2 µs each. So all looks of a Client at a lock together take a
	// thousandth of Redis, whatever the option WithShown is.
	watchPause     = 50 * time.Millisecond
	watchPauseEach = 2 * time.Millisecond
)

// Watch yields the state of a lock as [Client.Inspect] shows it, at once and then after every change, until ctx ends. A change is
// that the lock is granted, renewed, released, stolen or broken, or that somebody begins or ceases to wait. Watch is told by
// push; of a hold that lapses it learns when the lease is over. Changes that follow each other within 50 ms count as one, or
// within 2 ms for each holder and each waiter that is shown, if that is more. While Redis cannot be reached, or refuses
// ([ErrPermission]), Watch yields the error, again and again with growing pauses of up to 5 s, and then the state. Watch ends
// after [ErrClosed], [ErrInvalid] and any other permanent error, such as that of a closed Redis client.
//
// Watch is not told that the server has lost the lock, by FLUSHALL, eviction or a failover. It sees that by a check of its
// own after 30 s at the latest.
//
// All watchers of a name in one Client share their looks at Redis. It has the values of the context of the first of them.
//
// Watch has a cost. Watch writes to the lock's key, even for a name that nobody has used. So it fails if the server refuses
// writes. As long as somebody watches, each change of the lock takes the longer way through the scripts. Each look leads to at
// most one message to every Client that watches the name. Other locks are not affected. A Client that watches has one connection
// for all messages of that kind.
func (c *Client) Watch(ctx context.Context, name string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		look := func(ctx context.Context) (Info, due, error) { return c.inspectAgain(ctx, name) }
		follow(ctx, c, topic{"watch", name, name}, look, same, yield)
	}
}

// due is when the next look is to be: at the latest so long after this one, or after a change, but not before the pause is over.
type due struct{ within, pause time.Duration }

// topic is the subject of a watch: the state of a lock, or the leader of an election.
type topic struct {
	op, name string // for its errors
	lock     string // the lock whose changes are told
}

// followers look at topics for all their watchers.
type followers struct {
	mu sync.Mutex
	of map[topic]*follower
}

// follower looks at one topic for all who follow it in this process, after each change and at the latest when the last look
// has said.
type follower struct {
	client *Client
	topic  topic
	look   func(context.Context) (any, due, error)
	sooner chan struct{}      // somebody has joined, and needs a look that begins after that
	stop   context.CancelFunc // ends it

	joined int // guarded by followers.mu

	mu      sync.Mutex
	begun   int // looks
	ended   int // the last look that has ended; state and err are what it saw
	state   any
	err     error
	over    bool          // there are no more looks
	changed chan struct{} // closed when a look has ended
}

// follow yields what look returns, at once and then whenever that is something else.
func follow[T any](ctx context.Context, c *Client, t topic,
	look func(context.Context) (T, due, error), same func(a, b T) bool, yield func(T, error) bool,
) {
	if c.called(ctx) != nil {
		none, _, err := look(ctx)
		yield(none, wrapOp(t.op, t.name, err))
		return
	}
	c.start()
	f, wanted := c.followers.join(ctx, c, t, func(ctx context.Context) (any, due, error) { return look(ctx) })
	defer c.followers.leave(f)
	var last T
	for first := true; ; {
		state, ended, changed, err := f.after(wanted)
		if ended == 0 {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return
			}
		}
		wanted = ended + 1
		if err != nil {
			var none T
			if ctx.Err() != nil || !yield(none, err) || final(err) {
				return
			}
			first = true // the caller is told anew when Redis answers
			continue
		}
		if seen := state.(T); first || !same(seen, last) {
			first, last = false, seen
			if ctx.Err() != nil || !yield(seen, nil) {
				return
			}
		}
	}
}

// join returns the follower of a topic, and the number of the first look that begins from now on.
func (all *followers) join(ctx context.Context, c *Client, t topic, look func(context.Context) (any, due, error)) (f *follower, wanted int) {
	all.mu.Lock()
	defer all.mu.Unlock()
	f = all.of[t]
	if f == nil {
		looking, stop := context.WithCancel(context.WithoutCancel(ctx))
		f = &follower{client: c, topic: t, look: look, sooner: make(chan struct{}, 1), stop: stop, changed: make(chan struct{})}
		if all.of == nil {
			all.of = map[topic]*follower{}
		}
		all.of[t] = f
		c.background.Add()
		go f.run(looking)
		f.joined++
		return f, 1
	}
	f.joined++
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case f.sooner <- struct{}{}:
	default:
	}
	return f, f.begun + 1
}

// leave ends the follower with the last who follows.
func (all *followers) leave(f *follower) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if f.joined--; f.joined == 0 {
		f.stop()
		all.remove(f)
	}
}

// remove makes the next watcher begin anew. The caller holds all.mu.
func (all *followers) remove(f *follower) {
	if all.of[f.topic] == f {
		delete(all.of, f.topic)
	}
}

// after is what the last look has seen, if it has that number or a later one, or if it was the last; otherwise ended is 0, and
// changed closes when the next one has ended.
func (f *follower) after(wanted int) (state any, ended int, changed <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended < wanted && !f.over {
		return nil, 0, f.changed, nil
	}
	return f.state, f.ended, nil, f.err
}

func (f *follower) run(ctx context.Context) {
	c := f.client
	defer c.background.Done()
	defer f.stop()
	var change <-chan struct{}
	for failures := 0; ; {
		f.mu.Lock()
		f.begun++
		number := f.begun
		f.mu.Unlock()
		state, next, err := f.look(ctx)
		if err == nil {
			err = c.subscriber.Watching()
		}
		err = wrapOp(f.topic.op, f.topic.name, err)
		if ctx.Err() != nil { // nobody follows any more
			return
		}
		last := err != nil && final(err)
		if last {
			c.followers.mu.Lock()
			c.followers.remove(f)
			c.followers.mu.Unlock()
		}
		f.mu.Lock()
		f.ended, f.state, f.err, f.over = number, state, err, last
		close(f.changed)
		f.changed = make(chan struct{})
		f.mu.Unlock()
		if last {
			return
		}
		if change == nil { // has something in it when the subscription is confirmed: then comes another look
			heard, end := c.subscriber.Watch(c.keys.Changes(f.topic.lock))
			defer end()
			change = heard
		}
		if failures++; err == nil {
			failures = 0
		} else {
			next.within = min(transport.Backoff(failures)*8, 5*time.Second)
		}
		timer := time.NewTimer(next.within)
		select {
		case <-change:
		case <-f.sooner:
		case <-timer.C:
		case <-ctx.Done():
		case <-c.closing:
		}
		timer.Stop()
		if next.pause > 0 && !sleep(ctx, next.pause) {
			return
		}
	}
}

// inspectAgain also tells when to inspect again even if no change was told: a hold may have lapsed by then.
func (c *Client) inspectAgain(ctx context.Context, name string) (Info, due, error) {
	next := due{watchEvery, watchPause}
	if err := c.mayLook(ctx, name, itself); err != nil {
		return Info{}, next, err
	}
	a := c.query(ctx, lua.Watch, c.keys.Lock(name), c.shown)
	if a.Err != nil {
		return Info{}, next, a.Err
	}
	info, err := parseInfo(name, a.Value)
	for _, h := range info.Holds {
		next.within = min(next.within, h.Deadline.Sub(info.Now)+protocol.Slack)
	}
	next.pause = max(watchPause, time.Duration(len(info.Holds)+len(info.Places))*watchPauseEach)
	return info, next, err
}

// same reports whether two checks saw the same state.
func same(a, b Info) bool {
	a.Now, b.Now = time.Time{}, time.Time{}
	return reflect.DeepEqual(a, b)
}
