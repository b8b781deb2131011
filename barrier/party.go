package barrier

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"example.com/redislock"
)

// Party is a place in a [Barrier]. [Barrier.Enter] returns it.
type Party struct {
	barrier *Barrier
	in      *redislock.Lock
	ctx     context.Context           // ends with in
	met     map[int64]redislock.Owner // the parties that this one has seen, by the fences of their places
	last    int64                     // the fence of the last party; one with a greater is none of them

	leaving atomic.Bool   // Leave was called
	left    chan struct{} // closed when that call has ended
	answer  error         // of that call, written before left is closed
}

func (p *Party) see(here map[int64]redislock.Owner) {
	for fence, who := range here {
		p.met[fence] = who
	}
}

// giveUpFor bounds how long a party that gives its place up tries to tell the others.
const giveUpFor = 2 * time.Second

// giveUp records that this party is the one that is gone, before its place is given back. The others may not have seen the place,
// and would wait in vain.
func (p *Party) giveUp(ctx context.Context, at point) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpFor)
	defer cancel()
	who, seen := p.met[p.in.Fence()]
	if !seen { // it was told to stop before its first look
		info, err := inspect(ctx, p.barrier.client, at.place)
		if err != nil {
			return
		}
		for _, h := range info.Holds {
			if h.Fence == p.in.Fence() {
				who, seen = h.Owner, true
			}
		}
	}
	v := &verdict{}
	if seen {
		v = goneIs(who)
	}
	_ = p.barrier.decide(ctx, at, v) // if Redis cannot be reached, only those who have seen the place are told
}

// missing is the verdict if a party that was seen is not there any more.
func (p *Party) missing(here map[int64]redislock.Owner) *verdict {
	for fence, who := range p.met {
		if _, there := here[fence]; !there && (p.last == 0 || fence <= p.last) {
			return goneIs(who)
		}
	}
	return nil
}

// Context ends when the place of this party is lost, for instance because Redis could not be reached for its lease, and when the party
// has left. The barrier is broken for the others then. It has the values of the context of [Barrier.Enter], and its locks: the place is
// none that [redislock.FromContext] or package fence tells of.
func (p *Party) Context() context.Context {
	if p == nil || p.ctx == nil {
		var none *redislock.Lock
		return none.Context()
	}
	return p.ctx
}

// Leave says that this party has come to the end, and waits until all have. After nil all n parties came to the end, and each of
// them held its place from the beginning on. If one of them is gone without that, the error is a [BrokenError] that names it, in
// all parties. If ctx ends, the error is that of ctx, and this party is the one. If the place was lost before or meanwhile, the
// error is that loss, as of [redislock.Lock.Err]; it is [redislock.ErrReleased] after [Party.Quit]. In every case this party has
// left, but for a nil context.
//
// Only the first call leaves. Every other call, at the same time or later, waits for the first one and returns its answer. If the
// ctx of such a call ends before that, the error is that of ctx, and nothing changes for the first call.
func (p *Party) Leave(ctx context.Context) error {
	switch {
	case p == nil || p.in == nil:
		return wrap("leave", "", fmt.Errorf("%w: a party that Enter has not returned", redislock.ErrInvalid))
	case ctx == nil:
		return wrap("leave", p.barrier.name, fmt.Errorf("%w: a nil context", redislock.ErrInvalid))
	}
	if p.leaving.Swap(true) { // a second place at the end would stand for a party that has not come there
		select {
		case <-p.left:
			return p.answer
		case <-ctx.Done():
		}
		select {
		case <-p.left: // as well
			return p.answer
		default:
			return wrap("leave", p.barrier.name, ctx.Err())
		}
	}
	p.answer = wrap("leave", p.barrier.name, errEnded)
	defer close(p.left)
	defer func() { _ = p.in.Release(context.WithoutCancel(ctx)) }() // also if a callback of the user's panics; what is not given back lapses
	p.answer = wrap("leave", p.barrier.name, p.leave(ctx))
	return p.answer
}

func (p *Party) leave(ctx context.Context) error {
	b := p.barrier
	if err := p.in.Err(); err != nil {
		return err
	}
	at := b.point(true)
	still := p.in.With(ctx) // a party whose place is gone must not stand for one that has come to the end
	out, err := b.take(still, at)
	if err != nil {
		return cmp.Or(p.in.Err(), err)
	}
	defer func() { _ = out.Release(context.WithoutCancel(ctx)) }()
	v, err := b.meet(still, at, out, func(ctx context.Context) (*verdict, error) {
		there, last, err := b.here(ctx, at)
		if err != nil {
			return nil, err
		}
		if len(there) == b.parties {
			return &verdict{Open: true, Last: last}, nil
		}
		here, _, err := b.here(ctx, b.point(false))
		if err != nil || here == nil {
			return nil, err
		}
		maps.DeleteFunc(here, func(fence int64, _ redislock.Owner) bool { return fence > p.last }) // came too late, and will be told so
		switch gone := p.missing(here); {
		case gone != nil:
			return gone, nil
		case len(here) < b.parties: // nobody has seen who it was
			return &verdict{}, nil
		}
		return nil, nil
	})
	switch {
	case p.in.Err() != nil:
		return p.in.Err()
	case err != nil:
		return err
	}
	return v.err()
}

// Quit leaves without waiting: the barrier is broken for those who have not left.
func (p *Party) Quit(ctx context.Context) error {
	if p == nil || p.in == nil {
		return wrap("quit", "", fmt.Errorf("%w: a party that Enter has not returned", redislock.ErrInvalid))
	}
	return wrap("quit", p.barrier.name, p.in.Release(ctx))
}
