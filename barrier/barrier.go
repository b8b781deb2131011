package barrier

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"example.com/redislock"
)

var (
	// ErrBroken says that a party left too soon, or died. It is part of a [BrokenError].
	ErrBroken = errors.New("the barrier is broken")

	// ErrOver says that the barrier of that name was passed, or broken, before this party came: a name is for one use.
	ErrOver = errors.New("the barrier is over")

	// ErrFull says that all parties have come already. The barrier is as it was.
	ErrFull = errors.New("all parties have come already")
)

// BrokenError is an [ErrBroken] that names the party which left too soon or died.
type BrokenError struct {
	// Party is the process, with the text of [redislock.WithMetadata]; the zero value if no party has seen which process it was.
	Party redislock.Owner
}

// Error names the party.
func (e *BrokenError) Error() string { return fmt.Sprintf("%v: %v is gone", ErrBroken, e.Party) }

// Unwrap makes a BrokenError an [ErrBroken].
func (e *BrokenError) Unwrap() error { return ErrBroken }

// Barrier lets n parties begin together and end together: all in, all out. Its methods may be called by many goroutines at once, one
// for each party.
type Barrier struct {
	client  *redislock.Client
	name    string
	parties int
	opts    []redislock.Option
	fault   error
}

// New makes the barrier of that name for so many parties, from 1 to [MaxParties]. The name has 1 to [MaxName] bytes. Nothing
// is sent, and the barrier needs no closing. All processes give the same number for a name. The options are those of the places that the
// parties hold: [redislock.WithLease] says after which time a party counts as dead, also one that dies while it records the outcome, and
// [redislock.WithMetadata] is the text that others are shown.
// The defaults of the Client count too: one that steals stale locks ([redislock.WithStealAfter]) is not for a barrier.
func New(client *redislock.Client, name string, parties int, opts ...redislock.Option) *Barrier {
	return &Barrier{client: client, name: name, parties: parties, opts: opts, fault: checkFor("parties", name, parties, MaxParties)}
}

// Enter takes a place and waits until all parties have come. It is told by push. After nil all n parties hold their places; this one
// holds its own until [Party.Leave] or [Party.Quit], or until it is lost ([Party.Context]).
//
// If another party is told to stop or dies meanwhile, the barrier is broken for all, and the error is a [BrokenError] that names
// it. If ctx ends, the error is that of ctx, and this party is the one that the others are told of, also those that come later:
// it records that before it gives its place back, for which it may take some seconds if Redis does not answer. If ctx ends before
// this party has its place, this party has not come, and the others wait on. [ErrFull] and [ErrOver] are for a party too many, or
// too late. While Redis cannot be reached, Enter goes on waiting, until the place is lost: [redislock.ErrLost]. Other errors are
// those of [redislock.Client.TryAcquire]. After an error this party holds nothing.
func (b *Barrier) Enter(ctx context.Context) (*Party, error) {
	party, err := b.enter(ctx)
	if err != nil {
		name := ""
		if b != nil {
			name = b.name
		}
		return nil, wrap("enter", name, err)
	}
	return party, nil
}

func (b *Barrier) enter(ctx context.Context) (*Party, error) {
	switch {
	case b == nil:
		return nil, fmt.Errorf("%w: a nil barrier", redislock.ErrInvalid)
	case b.fault != nil:
		return nil, b.fault
	case ctx == nil:
		return nil, fmt.Errorf("%w: a nil context", redislock.ErrInvalid)
	}
	at := b.point(false)
	switch v, err := b.decided(ctx, at); {
	case err != nil:
		return nil, err
	case v != nil:
		return nil, errors.Join(ErrOver, v.err())
	}
	in, err := b.take(ctx, at)
	if err != nil {
		return nil, err
	}
	p := &Party{barrier: b, in: in, met: map[int64]redislock.Owner{}, left: make(chan struct{})}
	var v *verdict
	entered := false
	defer func() {
		if entered { // if not, also because a callback of the user's panics
			return
		}
		defer func() { _ = in.Release(context.WithoutCancel(ctx)) }() // what is not given back lapses
		if v == nil {
			p.giveUp(ctx, at)
		}
	}()
	v, err = b.meet(ctx, at, in, func(ctx context.Context) (*verdict, error) {
		here, last, err := b.here(ctx, at)
		if err != nil || here == nil {
			return nil, err
		}
		gone := p.missing(here)
		p.see(here)
		if gone == nil && len(here) == b.parties {
			return &verdict{Open: true, Last: last}, nil
		}
		return gone, nil
	})
	switch {
	case err != nil:
	case !v.Open:
		err = v.err()
	case in.Fence() > v.Last: // all n had come before, and one of them has left since
		err = ErrOver
	}
	if err != nil {
		return nil, err
	}
	p.last = v.Last
	if here, _, err := b.here(ctx, at); err == nil { // for their names; all n stay until they have come to the end, unless they die
		maps.DeleteFunc(here, func(fence int64, _ redislock.Owner) bool { return fence > p.last })
		if p.see(here); len(p.met) > b.parties { // some had left before all came, and are none of the n
			p.met = here
		}
	}
	p.ctx = root.Within(context.WithoutCancel(ctx), in)
	entered = true
	return p, nil
}

// take takes a place at a point.
func (b *Barrier) take(ctx context.Context, at point) (*redislock.Lock, error) {
	l, err := b.client.TryAcquire(ctx, at.place, optionsOf(b.opts, redislock.WithMode(redislock.Semaphore(b.parties)))...)
	if errors.Is(err, redislock.ErrHeld) && ctx.Err() == nil {
		err = ErrFull
	}
	return l, err
}

// here are those who have come to a point, by their fences, and the last fence; nil if it cannot be told because they come and go.
func (b *Barrier) here(ctx context.Context, at point) (map[int64]redislock.Owner, int64, error) {
	info, err := inspect(ctx, b.client, at.place)
	if err != nil || len(info.Holds) != info.Holders {
		return nil, 0, err
	}
	here := map[int64]redislock.Owner{}
	for _, h := range info.Holds {
		here[h.Fence] = h.Owner
	}
	return here, info.Fence, nil
}
