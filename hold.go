package redislock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/lease"
	"example.com/redislock/internal/lifetime"
	"example.com/redislock/internal/protocol"
)

// hold is the hold of one token on the server, kept alive by a lease. Its handles are the one that the acquire returned, and
// those that were nested in it.
type hold struct {
	client      *Client
	name        string
	metadata    string
	replicaTime time.Duration
	turn        *turn // in which the lock may go on within the process; nil if not
	lease       lease.Keeper
	life        lifetime.Lifetime
	first       Lock // the handle that the acquire returned

	mu                   sync.Mutex
	mode                 *Mode // the mode on the server
	weight               int32
	handles              int32  // not yet released
	strong               int32  // how many of those need more than Read
	changes              int32  // how many changes of its mode were asked for, or may be
	turnTime, lingerTime int32  // those of WithTurn and WithLinger; they never change
	replicas             int16  // how many must have a change of its mode; never changes
	strict               bool   // NonReentrant; never changes
	alone                bool   // the hash may have nothing else: nobody waited when the hold was granted, and its mode was not changed
	converting           bool   // an Upgrade or a Downgrade is under way
	hears                *hears // nil until somebody asks for the lock, or calls Asked
}

// heldKey finds the handle of a name by a Client in a context.
type heldKey struct {
	client *Client
	name   string
}

// newHold makes a hold of a grant, and its first handle, for the caller that asked under ctx.
func (c *Client) newHold(ctx context.Context, name string, s *settings) *hold {
	h := &hold{
		client: c, name: name, metadata: s.metadata, strict: s.nonReentrant, mode: s.mode.shared(), weight: s.weight, replicas: s.replicas, replicaTime: s.replicaTime,
		turnTime: s.turn, lingerTime: s.linger,
	}
	if v := s.vote(); v != nil {
		h.hears = &v.hears
	}
	h.handle(&h.first, nil, ctx, s)
	return h
}

// handle counts one more handle. The caller has locked h.mu, or has just made the hold.
func (h *hold) handle(l, outer *Lock, asked context.Context, s *settings) {
	h.handles++
	if s.mode != Read {
		h.strong++
	}
	if outer != nil {
		outer.inner++
	}
	l.hold, l.outer, l.mode, l.asked = h, outer, s.mode.shared(), asked
}

// held is the handle that ctx carries for a name, if its hold still exists. If that handle was released, held takes the one
// that it was nested in. The hold is then locked, for a caller that wants to nest in it.
func (c *Client) held(ctx context.Context, name string) *Lock {
	if ctx.Value(innermostKey{}) == nil { // a handle of any name: nearly always there is none
		return nil
	}
	l, _ := ctx.Value(heldKey{c, name}).(*Lock)
	if l == nil || l.hold.err() != nil {
		return nil
	}
	l.hold.mu.Lock()
	for h := l.hold; ; {
		if !l.spent {
			return l
		}
		if l = l.outer; l == nil {
			h.mu.Unlock()
			return nil
		}
	}
}

// nest is an acquire under the context of a hold of the same name. It returns another handle if the hold gives what is asked
// for. Otherwise it returns an error, because waiting for more would never end. The second result is false if ctx carries no
// hold.
func (c *Client) nest(ctx context.Context, name string, s *settings) (*Lock, bool, error) {
	outer := c.held(ctx, name)
	if outer == nil {
		return nil, false, nil
	}
	h := outer.hold
	defer h.mu.Unlock()
	switch {
	case h.strict || s.nonReentrant:
		return nil, true, ErrDeadlock
	case !h.mode.covers(int(h.weight), s.mode, int(s.weight)):
		return nil, true, fmt.Errorf("%w: %v is asked for under a hold in %v", ErrDeadlock, s.describe(), h.mode)
	}
	l := &Lock{life: &lifetime.Lifetime{}}
	h.handle(l, outer, ctx, s)
	return l, true, nil
}

// carry is the context of the hold. It also carries the handle, and the values of the context that the handle was asked for
// under.
func (l *Lock) carry() context.Context {
	ended := l.hold.life.Context(context.Background)
	return lifetime.Carrying(ended, &holding{Context: context.WithoutCancel(l.asked), lock: l})
}

// err is nil while the hold may be trusted, and the reason afterwards.
func (h *hold) err() error { return h.errAt(time.Now()) }

func (h *hold) errAt(now time.Time) error {
	if err := h.life.Err(); err != nil {
		return err
	}
	if err := h.lease.Expired(now); err != nil {
		h.lose(err)
		return err // another goroutine that ends the hold may not have ended the context yet
	}
	return nil
}

// loss is why the hold does not exist any more, or nil if it does. Closing the Client ends the context, not the hold.
func (h *hold) loss() error { return h.lossAt(time.Now()) }

func (h *hold) lossAt(now time.Time) error {
	err := h.errAt(now)
	if err != nil && errors.Is(err, ErrClosed) {
		return h.lease.Expired(now)
	}
	return err
}

// isAlone reports whether the hash may have nothing but the hold and the fence.
func (h *hold) isAlone() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.alone
}

// finish ends the hold's context.
func (h *hold) finish(cause error) {
	h.life.Finish(cause)
	if of := h.voter(); of != nil {
		of.Ended(cause)
	}
}

// giveBack is the release of the last handle, which is l, after some time. It returns the event for the Observer, if there is one.
func (h *hold) giveBack(ctx context.Context, l *Lock, after time.Duration) (told Event, err error) {
	c := h.client
	released := time.Now()
	loss := h.lossAt(released)
	var reason error
	var first bool
	var on going
	if h.turn == nil {
		reason, first = h.lease.Stop(ErrReleased)
	} else {
		switch first, on, reason = h.turn.ended(h, loss != nil || after > 0, released); on {
		case toServer:
			defer c.turns.done(h.turn)
		case withOthers:
			return h.leaves(l, loss)
		}
	}
	if !first { // the hold was lost, perhaps only just now
		loss = reason
	}
	h.finish(reason)
	defer c.forget(h)

	if loss != nil {
		if h.lease.GiveUp() {
			h.giveUp(h.lease.Unanswered())
		}
		if first && c.observer != nil { // its lease ran out after the Client was closed, and nobody has told the Observer
			told = h.event(EventLost, loss)
		}
		return told, fmt.Errorf("%w: %w", ErrNotHeld, loss)
	}

	var outcome error
	switch {
	case on == withinProcess:
	case after > 0:
		outcome, err = h.leave(ctx, after)
	default:
		outcome, err = c.release(ctx, h, released)
	}
	if err != nil && after == 0 {
		h.giveUp(true)
	}
	err = cmp.Or(err, outcome)
	if c.observer != nil {
		if told = h.endOf(l, EventReleased, err); h.turn == nil || !h.turn.reads() {
			told.Held = clock.Between(h.lease.Granted(), released)
		}
	}
	return told, err
}

// leaves is the release of a reader beside others.
func (h *hold) leaves(l *Lock, loss error) (told Event, err error) {
	if loss != nil {
		return told, fmt.Errorf("%w: %w", ErrNotHeld, loss)
	}
	if h.client.observer != nil {
		told = h.endOf(l, EventReleased, nil)
	}
	return told, nil
}

// endOf is the event of the end of a handle.
func (h *hold) endOf(l *Lock, kind EventKind, err error) Event {
	if h.turn != nil && h.turn.reads() {
		return h.turn.endOf(l, kind, err)
	}
	return h.event(kind, err)
}

// lose ends the hold, once; cause wraps ErrLost. It gives up what the server still has of the hold. A body that saw the
// context end may have stopped. For a body that did not, there are fences.
func (h *hold) lose(cause error) {
	if h.ends(cause) {
		(*loss)(h).Run()
	}
}

// ends is the part of lose that cannot wait. It reports whether the rest is to be done.
func (h *hold) ends(cause error) (first bool) {
	h.client.background.Add() // the hold is in the books until it is given up
	if _, first = h.lease.Stop(cause); !first {
		h.client.background.Done()
		return false
	}
	h.finish(cause)
	return true
}

// loss is a hold that was lost and whose context has ended; the rest of lose is its Run.
type loss hold

func (l *loss) Run() {
	h := (*hold)(l)
	defer h.client.background.Done()
	cause, _ := h.lease.Stop(ErrLost) // it has ended before
	h.client.forget(h)
	kind := EventLost
	if errors.Is(cause, ErrStolen) {
		kind = EventStolen
	}
	switch {
	case h.client.observer == nil:
	case h.turn != nil && h.turn.reads():
		for _, e := range h.turn.lossOf(h, kind, cause) {
			h.client.report(e)
		}
	default:
		e := h.event(kind, cause)
		e.Held = h.lease.Held()
		h.client.report(e)
	}
	if h.lease.GiveUp() {
		h.giveUp(h.lease.Unanswered())
	}
	if h.turn != nil {
		h.turn.lost(h)
	}
}

// giveUp gives up what the server has of the hold, in the background.
func (h *hold) giveUp(tombstone bool) {
	h.client.dismiss(h.lease.Key(), protocol.ReleaseArgs(h.lease.Token(), tombstone, h.lease.Carried()))
}

// A hold is the owner of its lease: what happens to the lease happens to the hold.

// Config is the configuration of all leases of the Client.
func (h *hold) Config() *lease.Config { return &h.client.leases }

// Present is the keeper of the lease by now: the lock may have gone on within the process.
func (h *hold) Present() *lease.Keeper {
	if h.turn == nil {
		return &h.lease
	}
	c := h.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if present := c.holds[h.lease.Token()]; present != nil {
		return &present.lease
	}
	return &h.lease
}

// RunOut ends the hold: its lease has run out, perhaps with many others. Their contexts end first, and the rest is done after that
// (I7).
func (h *hold) RunOut(cause error) {
	if h.ends(cause) {
		h.client.scheduler.Later((*loss)(h))
	}
}

// Lost ends the hold: the server does not know it.
func (h *hold) Lost(cause error) { h.lose(cause) }

// Revoked ends the hold: it was stolen, or broken for a reason.
func (h *hold) Revoked(note string) { h.lose(revokedError(note)) }

// Renewed tells the Observer.
func (h *hold) Renewed(now protocol.Micros) {
	if h.turn != nil {
		h.turn.sampled(h, now)
	}
	h.report(EventRenewed, nil)
}

// RenewalFailed tells the Observer.
func (h *hold) RenewalFailed(err error) { h.report(EventRenewalFailed, err) }

func (h *hold) report(kind EventKind, err error) {
	if h.client.observer != nil {
		h.client.report(h.event(kind, err))
	}
}
