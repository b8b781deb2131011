package barrier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock"
)

// Life is how long a part of a [Latch] counts as done, and how long the verdict of a [Barrier] stays.
const Life = redislock.MaxLease

const (
	// MaxParts is the largest number of parts of a [Latch]. Each part that is done has all who wait look at all parts.
	MaxParts = 1000
	// MaxParties is the largest number of parties of a [Barrier]. Each party that comes has all others look at all parties.
	MaxParties = 100
)

// Latch opens when all its parts are done. Its methods may be called by many goroutines at once.
type Latch struct {
	client *redislock.Client
	name   string
	parts  int
	opts   []redislock.Option
	fault  error
}

// NewLatch makes the latch of that name, with so many parts, from 1 to [MaxParts]. The name has 1 to [MaxName] bytes. Nothing is
// sent, and the latch needs no closing. All processes give the same number for a name. The options are those of the locks that
// [Latch.CountDown] holds for a moment: [redislock.WithLease] says for how long a process that dies in that moment can keep
// others from counting.
func NewLatch(client *redislock.Client, name string, parts int, opts ...redislock.Option) *Latch {
	return &Latch{client: client, name: name, parts: parts, opts: opts, fault: checkFor("parts", name, parts, MaxParts)}
}

func (l *Latch) lock() string { return latchParts + l.name }

// CountDown says that a part is done. A part is known by its name, which is the metadata of its hold, so it is at most
// [redislock.MaxMetadata] bytes long, and not empty. A part that is done already changes nothing, and neither does one more when the
// latch is open. So a caller that got an error calls again: it does not count twice.
//
// The part counts for a [Life], also when this process ends. The errors are those of [redislock.Client.Do] and of
// [redislock.Lock.ReleaseAfter]; after one, the part may have been counted.
func (l *Latch) CountDown(ctx context.Context, part string) error {
	return wrap("count down", l.named(), l.countDown(ctx, part))
}

func (l *Latch) named() string {
	if l == nil {
		return ""
	}
	return l.name
}

func (l *Latch) countDown(ctx context.Context, part string) error {
	switch {
	case l == nil:
		return fmt.Errorf("%w: a nil latch", redislock.ErrInvalid)
	case l.fault != nil:
		return l.fault
	case part == "":
		return fmt.Errorf("%w: a part without a name", redislock.ErrInvalid)
	}
	return l.client.Do(ctx, latchCount+l.name, func(counting context.Context) error { // so that two calls do not count one part twice
		err := l.count(counting, part)
		if err != nil && counting.Err() != nil && ctx.Err() == nil { // the caller's context has not ended, and the error must not say so
			return context.Cause(counting)
		}
		return err
	}, optionsOf(l.opts)...)
}

// count counts a part unless it is done.
func (l *Latch) count(ctx context.Context, part string) error {
	done, err := l.done(ctx)
	if err != nil || done[part] || len(done) >= l.parts {
		return err
	}
	place, err := l.client.Acquire(ctx, l.lock(), optionsOf(l.opts, redislock.WithMode(redislock.Read), redislock.WithMetadata(part))...)
	if err != nil {
		return err
	}
	if err = place.ReleaseAfter(ctx, Life); errors.Is(err, redislock.ErrInvalid) { // nothing was sent
		_ = place.Release(context.WithoutCancel(ctx))
	}
	return err
}

// done are the parts that are done.
func (l *Latch) done(ctx context.Context) (map[string]bool, error) {
	info, err := inspect(ctx, l.client, l.lock())
	done := map[string]bool{}
	for _, h := range info.Holds {
		if h.Kept {
			done[h.Owner.Metadata] = true
		}
	}
	return done, err
}

// inspect returns all holders of a lock.
func inspect(ctx context.Context, client *redislock.Client, name string) (redislock.Info, error) {
	info, err := client.Inspect(ctx, name)
	for err == nil && len(info.Holds) < info.Holders && info.More() {
		info, err = client.InspectMore(ctx, info)
	}
	return info, err
}

// Left is how many parts are not done. It asks Redis.
func (l *Latch) Left(ctx context.Context) (int, error) {
	left, err := l.left(ctx)
	return left, wrap("left", l.named(), err)
}

func (l *Latch) left(ctx context.Context) (int, error) {
	switch {
	case l == nil:
		return 0, fmt.Errorf("%w: a nil latch", redislock.ErrInvalid)
	case l.fault != nil:
		return 0, l.fault
	}
	done, err := l.done(ctx)
	return max(l.parts-len(done), 0), err
}

// Wait waits until all parts are done, and returns nil then. It is told by push. While Redis cannot be reached it goes on waiting. It
// returns the error of ctx when that ends, together with that of Redis if it was away then, and at once an error that would stay as
// it is, such as [redislock.ErrClosed].
func (l *Latch) Wait(ctx context.Context) error {
	return wrap("wait", l.named(), l.wait(ctx))
}

func (l *Latch) wait(ctx context.Context) error {
	if _, err := l.left(ctx); errors.Is(err, redislock.ErrInvalid) {
		return err
	}
	return await(ctx, l.client, []string{l.lock()}, func(ctx context.Context) (bool, error) {
		left, err := l.left(ctx)
		return left == 0, err
	})
}

// lookEvery is how often one who waits looks by itself. That finds a message that was lost.
const lookEvery = 10 * time.Second

func newLook() *time.Ticker { return time.NewTicker(lookEvery) }

// await looks at once, after each change of one of the locks, and every lookEvery, until there is nothing more to wait for.
func await(ctx context.Context, client *redislock.Client, locks []string, look func(context.Context) (over bool, err error)) error {
	wake := make(chan struct{}, 1)
	watching, end := context.WithCancel(ctx)
	ended := make(chan error, len(locks))
	for _, name := range locks {
		go func() {
			err := errEnded
			defer func() { ended <- err }()
			for _, err = range client.Watch(watching, name) {
				select {
				case wake <- struct{}{}:
				default:
				}
			}
		}()
	}
	running := len(locks)
	defer func() {
		end()
		for range running {
			<-ended
		}
	}()
	tick := newLook()
	defer tick.Stop()
	for {
		over, err := look(ctx)
		switch {
		case err == nil && over:
			return nil
		case ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err())):
			return ctx.Err()
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case lasting(err):
			return err
		}
		select {
		case <-wake:
		case <-tick.C:
		case err := <-ended:
			running--
			if err != nil && ctx.Err() == nil { // a watch ends by an error that would stay as it is, such as that of a closed Redis client
				return err
			}
		case <-ctx.Done():
		}
	}
}

var errEnded = errors.New("a callback has ended the goroutine")

// lasting reports whether an error would stay as it is.
func lasting(err error) bool {
	for _, e := range []error{redislock.ErrClosed, redislock.ErrInvalid, redislock.ErrDamaged, redislock.ErrServer} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// wrap puts the operation and the name in front of an error.
func wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("barrier: %s %q: %w", op, name, err)
}
