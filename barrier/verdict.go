package barrier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"example.com/redislock"
)

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
