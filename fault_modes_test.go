package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"example.com/redislock"
)

// converts matches the requests for a change to a mode. Read is asked for by a downgrade, and by an upgrade that was
// given up.
func converts(key string, to redislock.Mode) func([]string) bool {
	convert := requests("convert", key)
	return func(args []string) bool { return convert(args) && strings.Contains(args[5], " "+to.Name()+" ") }
}

// upgradeJoins matches the upgrades that want a place in the queue.
func upgradeJoins(key string) func([]string) bool {
	upgrade := converts(key, redislock.Write)
	return func(args []string) bool { return upgrade(args) && args[5][32] != '-' }
}

// share is got for a lock that others may hold too.
func (x *scene) share(a *attempt) *redislock.Lock {
	x.Helper()
	x.within("an acquire returns", a.done)
	if a.err != nil {
		x.Fatal(a.err)
	}
	x.granted(a.lock)
	return a.lock
}

// granted notes a new fence, which must be greater than all before it (I2).
func (x *scene) granted(l *redislock.Lock) {
	x.Helper()
	if l.Fence() <= x.last {
		x.Errorf("I2: fence %d after %d", l.Fence(), x.last)
	}
	x.last = l.Fence()
}

func (x *scene) reader(c *redislock.Client, opts ...redislock.Option) *redislock.Lock {
	x.Helper()
	return x.share(x.waiting(c, append(opts, reading)...))
}

// stand fails unless these are the holds, each once, with the fence and in the mode of its handle, and there was no
// grant after the last that is known.
func (x *scene) stand(locks ...*redislock.Lock) redislock.Info {
	x.Helper()
	info := x.inspect()
	want, got := map[int64]redislock.Mode{}, map[int64]redislock.Mode{}
	for _, l := range locks {
		want[l.Fence()] = l.Mode()
		if err := l.Err(); err != nil {
			x.Errorf("the handle: %v", err)
		}
	}
	for _, h := range info.Holds {
		got[h.Fence] = h.Mode
	}
	if len(info.Holds) != len(locks) || fmt.Sprint(got) != fmt.Sprint(want) || info.Fence != x.last {
		x.Errorf("I1, I2: the server has %v, last fence %d; the handles have %v, the last grant was %d", got, info.Fence, want, x.last)
	}
	return info
}

// alone fails unless this is the only hold, nobody waits, and other readers come in if it is one, and only then.
func (x *scene) alone(l *redislock.Lock) {
	x.Helper()
	if n := x.stand(l).Waiting; n > 0 {
		x.Errorf("%d wait, though nobody wants to", n)
	}
	r, err := x.look.TryAcquire(context.Background(), x.name, reading)
	switch {
	case err == nil:
		x.granted(r)
		x.release(r)
		if l.Mode() != redislock.Read {
			x.Errorf("I1: a reader came in beside %v", l.Mode())
		}
	case !errors.Is(err, redislock.ErrHeld) || l.Mode() == redislock.Read:
		x.Errorf("another reader beside %v: %v", l.Mode(), err)
	}
}

// upgrade makes a reader the writer: one grant with one fence.
func (x *scene) upgrade(l *redislock.Lock) {
	x.Helper()
	x.wrote(x.upgrading(l), l)
}

// upgrading is an upgrade on its way.
func (x *scene) upgrading(l *redislock.Lock) *attempt {
	return x.changing(func(ctx context.Context) (*redislock.Lock, error) { return l, l.Upgrade(ctx) })
}

// wrote waits for an upgrade.
func (x *scene) wrote(a *attempt, l *redislock.Lock) {
	x.Helper()
	x.within("an upgrade returns", a.done)
	if a.err != nil || l.Mode() != redislock.Write {
		x.Fatalf("the upgrade: %v, it is in %v", a.err, l.Mode())
	}
	x.granted(l)
}

// cancelled ends an upgrade that waits. heard says that the caller knows that it did.
func (x *scene) cancelled(a *attempt, l *redislock.Lock, heard bool) {
	x.Helper()
	a.cancel()
	x.within("a cancelled upgrade returns", a.done)
	if !errors.Is(a.err, context.Canceled) || heard && !errors.Is(a.err, redislock.ErrHeld) {
		x.Errorf("cancelled while waiting: %v", a.err)
	}
	if l.Mode() != redislock.Read || l.Err() != nil {
		x.Errorf("after an upgrade that was given up: %v, %v", l.Mode(), l.Err())
	}
}

func (x *scene) downgrade(l *redislock.Lock) {
	x.Helper()
	a := x.changing(func(ctx context.Context) (*redislock.Lock, error) { return l, l.Downgrade(ctx) })
	x.within("a downgrade returns", a.done)
	if a.err != nil || l.Mode() != redislock.Read {
		x.Errorf("the downgrade: %v, it is in %v", a.err, l.Mode())
	}
}

// changing is a call on its way that is made again where the machine was too busy for it.
func (x *scene) changing(call func(context.Context) (*redislock.Lock, error)) *attempt {
	ctx, cancel := context.WithCancel(context.Background())
	x.Cleanup(cancel)
	a := &attempt{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		for range 10 {
			start := time.Now()
			if a.lock, a.err = call(ctx); !x.starved(a.err, start) {
				break
			}
		}
	}()
	return a
}

func (x *scene) handoff(l *redislock.Lock) string {
	x.Helper()
	var ticket string
	a := x.changing(func(context.Context) (_ *redislock.Lock, err error) {
		ticket, err = l.Handoff()
		return l, err
	})
	x.within("a handoff returns", a.done)
	if a.err != nil {
		x.Fatal(a.err)
	}
	return ticket
}

// resume takes a hold over.
func (x *scene) resume(c *redislock.Client, ticket string) *redislock.Lock {
	x.Helper()
	l := x.tryResume(c, ticket)
	if l == nil {
		x.Skip("the machine was too busy for the only attempt that a ticket is good for")
	}
	return l
}

// tryResume is resume that may be tried again with another ticket: the lock is nil where the machine was too busy.
func (x *scene) tryResume(c *redislock.Client, ticket string) *redislock.Lock {
	x.Helper()
	start := time.Now()
	l, err := c.Resume(context.Background(), ticket)
	if x.starved(err, start) {
		return nil
	}
	if err != nil {
		x.Fatal(err)
	}
	x.granted(l)
	return l
}
