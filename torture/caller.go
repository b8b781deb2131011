package torture

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"example.com/redislock"
)

// caller is a goroutine of a worker that takes locks, one at a time.
type caller struct {
	*worker
	pen *pen
	r   *rand.Rand
}

// work runs the load.
func (c *caller) work() {
	for range c.Load.Operations {
		n := c.Load.Names[c.r.IntN(len(c.Load.Names))]
		if n.Mix == Kept {
			continue
		}
		ask := request{name: n.Name, mode: "exclusive", weight: 1, waits: true}
		switch n.Mix {
		case ReadWrite, ReadMostly:
			ask.mode = "read"
			if c.r.IntN(map[Mix]int{ReadWrite: 4, ReadMostly: 32}[n.Mix]) == 0 {
				ask.mode = "write"
			}
		case Semaphore:
			ask.mode, ask.weight = "semaphore", 1+c.r.IntN(2)
		}
		ctx, cancel := context.WithCancel(c.load)
		switch kind := c.r.IntN(100); {
		case kind < c.Load.Try:
			ask.waits = false
		case kind < c.Load.Try+c.Load.Cancel:
			time.AfterFunc(c.span(c.Load.CancelIn), cancel)
		}
		op, l := c.acquire(ctx, ask)
		if l != nil {
			c.use(op, l, ask, c.span(c.Load.Hold))
			if l, ask.mode = c.change(op, l, ask.mode); l == nil {
				cancel()
				continue
			}
			c.release(op, l)
		}
		cancel()
		if c.idle(c.span(c.Load.Think)) {
			return
		}
	}
}

// holdUntil takes a lock on the order of the harness, and holds it until the harness drops it or the lock is lost.
func (c *caller) holdUntil(name, mode string, drop <-chan struct{}) {
	ask := request{name: name, mode: mode, weight: 1, waits: true, kept: true}
	op, l := c.acquire(c.load, ask)
	if l == nil {
		return
	}
	defer c.release(op, l)
	for {
		select {
		case <-drop:
			return
		case <-c.load.Done():
			return
		case <-time.After(10 * time.Millisecond):
			c.touch(op, l, ask)
			if l.Err() != nil {
				c.touch(op, l, ask) // a body that ignores its context
				return
			}
		}
	}
}

type request struct {
	name, mode string
	weight     int
	waits      bool
	kept       bool
}

// guarded says whether the rule of the register applies to a mode. Among holders that share a lock, an older fence is
// not late.
func guarded(mode string) bool { return mode == "exclusive" || mode == "write" }

func (c *caller) acquire(ctx context.Context, ask request) (int64, held) {
	op := c.op()
	opts := []redislock.Option{redislock.WithLease(c.Load.Lease), redislock.WithMode(option(ask.mode)), redislock.WithWeight(ask.weight)}
	if c.Load.Replicas > 0 {
		opts = append(opts, redislock.WithReplicas(c.Load.Replicas, time.Second))
	}
	if ask.mode == "exclusive" || ask.mode == "read" {
		opts = append(opts, redislock.WithTurn(c.Load.Turn), redislock.WithLinger(c.Load.Linger))
	}
	c.say(Event{
		Kind: Acquire, Op: op, Name: ask.name, Mode: ask.mode, Weight: ask.weight, Waits: ask.waits,
		Lease: c.Load.Lease.Microseconds(), Kept: ask.kept,
	})
	l, err := c.take(ctx, ask, opts)
	if err != nil {
		c.say(Event{Kind: Acquired, Op: op, Err: classify(err), Text: err.Error()})
		return op, nil
	}
	at := now() // read before the handle is asked, as its answer is true for this time
	is := l.Err() == nil
	c.say(Event{Kind: Acquired, Op: op, At: at, Fence: l.Fence(), Held: is, Until: c.until(l)})
	c.follow(op, l)
	return op, l
}

// follow says when the handle's context ends because the lock was lost.
func (c *caller) follow(op int64, l held) {
	context.AfterFunc(l.Context(), func() {
		if why := context.Cause(l.Context()); !errors.Is(why, redislock.ErrReleased) {
			c.say(Event{Kind: Ended, Op: op, Err: classify(why)})
		}
	})
}

// until is until when the handle of a lock in turns counts as held, by the clock that the server uses too; 0 if it does not.
func (c *caller) until(of held) int64 {
	if l, ok := of.(*redislock.Lock); ok && c.Load.turns() {
		if deadline := l.Deadline(); !deadline.IsZero() {
			return deadline.UnixMicro()
		}
	}
	return 0
}

// use is the critical section. It writes at its beginning, in between and at its very end.
func (c *caller) use(op int64, l held, ask request, d time.Duration) {
	for end := time.Now().Add(d); ; {
		c.touch(op, l, ask)
		rest := time.Until(end)
		if rest <= 0 || c.load.Err() != nil {
			return
		}
		time.Sleep(min(rest, max(d/2, time.Millisecond)))
	}
}

// change upgrades or hands off some of the holds. It returns the handle to go on with, or nil.
func (c *caller) change(op int64, of held, mode string) (held, string) {
	l, ok := of.(*redislock.Lock)
	if !ok { // a lock of a quorum has neither
		return of, mode
	}
	switch {
	case mode == "read" && c.r.IntN(100) < c.Load.Upgrade:
		ctx, cancel := context.WithTimeout(c.load, 500*time.Millisecond)
		defer cancel()
		c.say(Event{Kind: Change, Op: op, Mode: "write"})
		if err := l.Upgrade(ctx); c.changed(op, l, "write", err) {
			mode = "write"
			c.use(op, l, request{name: l.Name(), mode: mode}, c.span(c.Load.Hold))
		}
	case mode == "exclusive" && c.r.IntN(100) < c.Load.Handoff:
		c.say(Event{Kind: Change, Op: op, Mode: mode})
		ticket, err := l.Handoff()
		if err != nil {
			c.changed(op, l, mode, err)
			return l, mode
		}
		l, err = c.client.Resume(context.Background(), ticket, redislock.WithLease(c.Load.Lease))
		if !c.changed(op, l, mode, err) {
			return nil, mode
		}
		c.follow(op, l)
		c.use(op, l, request{name: l.Name(), mode: mode}, c.span(c.Load.Hold))
	}
	return l, mode
}

// changed logs the result of a change.
func (c *caller) changed(op int64, l *redislock.Lock, mode string, err error) bool {
	e := Event{Kind: Changed, Op: op, Mode: mode, At: now(), Err: classify(err), Text: text(err)}
	if err == nil {
		e.Held, e.Fence = l.Err() == nil, l.Fence()
	}
	c.say(e)
	return err == nil
}

// storm waits for a lock, and gives up within 20 ms after it is told to, at a random moment.
func (c *caller) storm(name string, cancelled <-chan struct{}) {
	ctx, cancel := context.WithCancel(c.load)
	defer cancel()
	after := time.Duration(c.r.Int64N(int64(20 * time.Millisecond)))
	go func() {
		select {
		case <-cancelled:
			time.Sleep(after)
			cancel()
		case <-ctx.Done():
		}
	}()
	op, l := c.acquire(ctx, request{name: name, mode: "exclusive", weight: 1, waits: true})
	if l != nil {
		c.touch(op, l, request{name: name, mode: "exclusive"})
		c.release(op, l)
	}
}

// touch asks the handle whether it is held, and writes whatever the answer is, as the register must refuse a late
// write.
func (c *caller) touch(op int64, l held, ask request) {
	e := Event{Kind: Used, Op: op, At: now()}
	e.Held, e.Until = l.Err() == nil, c.until(l)
	if guarded(ask.mode) {
		e.Fence = l.Fence()
		switch err := c.pen.write(op, ask.name, e.Fence); {
		case errors.Is(err, errStale):
			e.Err = Refused
		case err != nil:
			e.Err, e.Text = Failed, err.Error()
		}
	}
	c.say(e)
}

func (c *caller) release(op int64, l held) {
	c.say(Event{Kind: Release, Op: op})
	err := l.Release(context.Background())
	c.say(Event{Kind: Released, Op: op, Err: classify(err), Text: text(err)})
}

func (c *caller) span(s Span) time.Duration {
	if s.To <= s.From {
		return s.From
	}
	return s.From + time.Duration(c.r.Int64N(int64(s.To-s.From)))
}

// idle waits for a moment, and reports whether the load is over.
func (c *caller) idle(d time.Duration) bool {
	select {
	case <-time.After(d):
	case <-c.load.Done():
	}
	return c.load.Err() != nil
}
