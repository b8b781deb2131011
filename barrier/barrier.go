package barrier

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

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

// point is the beginning or the end.
type point struct {
	place   string // the lock of those who have come there
	verdict string // the lock of the verdict
}

func (b *Barrier) point(end bool) point {
	if end {
		return point{barrierOut + b.name, barrierOutIs + b.name}
	}
	return point{barrierIn + b.name, barrierInIs + b.name}
}

// verdict is the decision about a point.
type verdict struct {
	Open bool             `json:"open"`
	Last int64            `json:"last,omitempty"` // the fence of the last one who came
	Gone *redislock.Owner `json:"gone,omitempty"`
}

func (v *verdict) err() error {
	if v.Open {
		return nil
	}
	broken := &BrokenError{}
	if v.Gone != nil {
		broken.Party = *v.Gone
	}
	return broken
}

// Enter takes a place and waits until all parties have come. It is told by push. After nil all n parties hold their places; this one
// holds its own until [Party.Leave] or [Party.Quit], or until it is lost ([Party.Context]).
//
// If another party is told to stop or dies meanwhile, the barrier is broken for all, and the error is a [BrokenError] that names it. If
// ctx ends, the error is that of ctx, and this party is the one that the others are told of, also those that come later: it records that
// before it gives its place back, for which it may take some seconds if Redis does not answer. If ctx ends before this party has its place, this
// party has not come, and the others wait on. [ErrFull] and [ErrOver] are for a party too many, or too late. While Redis cannot be
// reached, Enter goes on waiting, until the place is lost: [redislock.ErrLost]. Other errors are those of [redislock.Client.TryAcquire].
// After an error this party holds nothing.
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

func (p *Party) see(here map[int64]redislock.Owner) {
	for fence, who := range here {
		p.met[fence] = who
	}
}

// giveUpFor bounds how long a party that gives its place up tries to tell the others.
const giveUpFor = 2 * time.Second

// giveUp records that this party is the one that is gone, before its place is given back. The others may not have seen the place, and would wait
// in vain.
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

// goneIs is the verdict that this party is gone.
func goneIs(who redislock.Owner) *verdict {
	if who.Trace = ""; len(who.Metadata) > 256 { // the verdict has the bounds of metadata
		who.Metadata = strings.ToValidUTF8(who.Metadata[:256], "")
	}
	return &verdict{Gone: &who}
}

// meet waits for the verdict about a point, and writes it down where due says so.
func (b *Barrier) meet(ctx context.Context, at point, own *redislock.Lock, due func(context.Context) (*verdict, error)) (*verdict, error) {
	held, release := context.WithCancel(own.With(ctx))
	defer release()
	var made *verdict
	err := await(held, b.client, slices.Compact([]string{b.point(false).place, at.place, at.verdict}), func(ctx context.Context) (over bool, err error) {
		if made, err = b.decided(ctx, at); err != nil || made != nil {
			return made != nil, err
		}
		v, err := due(ctx)
		if err != nil || v == nil {
			return false, err
		}
		if err := b.decide(ctx, at, v); err != nil {
			return false, err
		}
		made, err = b.decided(ctx, at)
		return made != nil, err
	})
	if loss := own.Err(); loss != nil { // what is written does not help one whose place was lost
		return nil, loss
	}
	return made, err
}

// decided is the verdict about a point, nil if there is none yet.
func (b *Barrier) decided(ctx context.Context, at point) (*verdict, error) {
	info, err := b.client.Inspect(ctx, at.verdict)
	if err != nil || len(info.Holds) == 0 || !info.Holds[0].Kept {
		return nil, err
	}
	var v verdict
	if err := json.Unmarshal([]byte(info.Holds[0].Owner.Metadata), &v); err != nil {
		return nil, fmt.Errorf("%w: a verdict that is none: %w", redislock.ErrDamaged, err)
	}
	return &v, nil
}

// decide writes a verdict down, unless another has done so or is about to.
func (b *Barrier) decide(ctx context.Context, at point, v *verdict) error {
	text, err := json.Marshal(v)
	if err == nil && len(text) > redislock.MaxMetadata && v.Gone != nil { // some characters take six bytes
		v.Gone.Metadata = ""
		text, err = json.Marshal(v)
	}
	if err != nil {
		return err
	}
	l, err := b.client.TryAcquire(ctx, at.verdict, optionsOf(b.opts, redislock.WithMetadata(string(text)))...)
	switch {
	case errors.Is(err, redislock.ErrHeld) && ctx.Err() == nil:
		return nil
	case err != nil:
		return err
	}
	return l.ReleaseAfter(ctx, Life)
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

// Leave says that this party has come to the end, and waits until all have. After nil all n parties came to the end, and each of them
// held its place from the beginning on. If one of them is gone without that, the error is a [BrokenError] that names it, in all parties.
// If ctx ends, the error is that of ctx, and this party is the one. If the place was lost before or meanwhile, the error is that loss, as of
// [redislock.Lock.Err]; it is [redislock.ErrReleased] after [Party.Quit]. In every case this party has left, but for a nil context.
//
// Only the first call leaves. Every other call, at the same time or later, waits for the first one and returns its answer. If the ctx of such a
// call ends before that, the error is that of ctx, and nothing changes for the first call.
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
