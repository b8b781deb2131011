package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// lateCase is one history in which the network delivers something late.
type lateCase struct {
	name    string
	timeout time.Duration // of the connection behind the proxy: how long it takes until a request is sent again
	run     func(x *scene, c *redislock.Client)
}

const (
	// soon is long enough for requests that are not to be sent four times in vain.
	soon = 3 * readTimeout
	// never is longer than these tests take: what is held back is the only copy.
	never = patience
)

// lateCases plays them all at once, three times each, on locks of their own.
func lateCases(t *testing.T, cases []lateCase) {
	t.Helper()
	s := servertest.Start(t)
	var names []string
	for _, c := range cases {
		for i := range 3 {
			names = append(names, fmt.Sprint(c.name, " ", i))
		}
	}
	together(t, names, func(t *testing.T, i int) {
		x := newScene(t, s)
		x.readTimeout = cases[i/3].timeout
		c := x.behind(2 + i%2)
		elsewhere := x.alias(" elsewhere") // the first request in question is not one of those that begin a Client
		first := elsewhere.acquire(elsewhere.look)
		w := elsewhere.waiting(c)
		elsewhere.queued(1)
		elsewhere.release(first)
		elsewhere.release(elsewhere.got(w))
		cases[i/3].run(x, c)
		x.untouched()
		x.release(x.acquire(x.look)) // and the lock is anybody's
	})
}

// delivered has the network deliver what it kept.
func (x *scene) delivered(f *servertest.Fault) {
	x.Helper()
	f.Deliver()
	x.within("the late copy is executed", f.Executed())
}

// A late copy of an upgrade does not make a writer of what is none any more, and leaves no place.
func TestI8LateCopyOfAnUpgradeLeavesNothing(t *testing.T) {
	t.Parallel()
	lateCases(t, []lateCase{
		{"while it waits", readTimeout, func(x *scene, c *redislock.Client) {
			l, r := x.reader(c), x.reader(x.look)
			f := x.proxy.HoldRequest(upgradeJoins(x.key()))
			u := x.upgrading(l)
			x.queued(1)
			x.delivered(f)
			x.queued(1)
			x.release(r)
			x.wrote(u, l)
			x.alone(l)
			x.release(l)
		}},
		{"while it is the writer", readTimeout, func(x *scene, c *redislock.Client) {
			l := x.reader(c)
			f := x.proxy.HoldRequest(upgradeJoins(x.key()))
			x.upgrade(l)
			x.delivered(f)
			x.alone(l) // I2: the same grant
			x.release(l)
		}},
		{"after it was given up", readTimeout, func(x *scene, c *redislock.Client) {
			l, r := x.reader(c), x.reader(x.look)
			f := x.proxy.HoldRequest(upgradeJoins(x.key()))
			u := x.upgrading(l)
			x.queued(1)
			x.cancelled(u, l, false)
			x.queued(0)
			x.delivered(f)
			x.queued(0)
			x.stand(l, r)
			x.release(r)
			x.alone(l)
			x.release(l)
		}},
		{"after it was given up, when nobody else reads", readTimeout, func(x *scene, c *redislock.Client) {
			l, r := x.reader(c), x.reader(x.look)
			f := x.proxy.HoldRequest(upgradeJoins(x.key()))
			u := x.upgrading(l)
			x.queued(1)
			x.cancelled(u, l, false)
			x.queued(0)
			x.release(r)
			x.delivered(f)
			x.alone(l)
			x.release(l)
		}},
		{"after the release", readTimeout, func(x *scene, c *redislock.Client) {
			l := x.reader(c)
			f := x.proxy.HoldRequest(upgradeJoins(x.key()))
			x.upgrade(l)
			x.release(l)
			x.delivered(f)
		}},
		{"after the release, while others read", readTimeout, func(x *scene, c *redislock.Client) {
			l := x.reader(c)
			f := x.proxy.HoldRequest(upgradeJoins(x.key()))
			x.upgrade(l)
			x.release(l)
			r := x.reader(x.look)
			x.delivered(f)
			x.alone(r)
			x.release(r)
		}},
		{"after the downgrade", readTimeout, func(x *scene, c *redislock.Client) {
			l := x.reader(c)
			f := x.proxy.HoldRequest(upgradeJoins(x.key()))
			x.upgrade(l)
			x.downgrade(l)
			x.delivered(f)
			x.alone(l)
			x.release(l)
		}},
		{"after the downgrade, while others read", readTimeout, func(x *scene, c *redislock.Client) {
			l := x.reader(c)
			f := x.proxy.HoldRequest(upgradeJoins(x.key()))
			x.upgrade(l)
			x.downgrade(l)
			r := x.reader(x.look)
			x.delivered(f)
			x.queued(0)
			x.stand(l, r)
			x.release(r)
			x.release(l)
		}},
		{"after it was handed on", readTimeout, func(x *scene, c *redislock.Client) {
			l := x.reader(c)
			f := x.proxy.HoldRequest(upgradeJoins(x.key()))
			x.upgrade(l)
			x.downgrade(l)
			moved := x.resume(x.look, x.handoff(l))
			x.delivered(f)
			x.alone(moved)
			x.upgrade(moved)
			x.alone(moved)
			x.downgrade(moved)
			x.alone(moved)
			x.release(moved)
		}},
	})
}

// I1: whoever was granted Write keeps it, whatever arrives late that asked for Read before: here copies of what was done.
func TestI1LateCopyOfWhatAsksForReadDoesNotTakeALaterUpgrade(t *testing.T) {
	t.Parallel()
	lateCases(t, []lateCase{
		{"a copy of a downgrade, after a later upgrade", soon, func(x *scene, c *redislock.Client) {
			l := x.reader(c)
			x.upgrade(l)
			f := x.proxy.HoldRequest(converts(x.key(), redislock.Read))
			x.downgrade(l)
			x.alone(l)
			x.upgrade(l)
			x.delivered(f)
			x.alone(l)
			x.downgrade(l)
			x.alone(l)
			x.release(l)
		}},
		{"a copy of a downgrade of what was acquired in Write", soon, func(x *scene, c *redislock.Client) {
			l := x.acquire(c, writing)
			f := x.proxy.HoldRequest(converts(x.key(), redislock.Read))
			x.downgrade(l)
			x.upgrade(l)
			x.delivered(f)
			x.alone(l)
			x.release(l)
		}},
		{"a copy of an undoing", soon, func(x *scene, c *redislock.Client) {
			l, r := x.reader(c), x.reader(x.look)
			f := x.proxy.HoldRequest(converts(x.key(), redislock.Read))
			u := x.upgrading(l)
			x.queued(1)
			x.cancelled(u, l, false)
			x.queued(0) // by its second copy
			x.release(r)
			x.upgrade(l)
			x.delivered(f)
			x.alone(l)
			x.release(l)
		}},
	})
}

// The same, where it had not arrived before: nothing but the order in which it was asked for says what is late.
func TestI1LateRequestOfWhatAsksForReadDoesNotTakeALaterUpgrade(t *testing.T) {
	t.Parallel()
	lateCases(t, []lateCase{
		{"a downgrade that was given up", never, func(x *scene, c *redislock.Client) {
			l := x.reader(c)
			x.upgrade(l)
			first := x.proxy.HoldRequest(converts(x.key(), redislock.Read))
			ctx, cancel := context.WithCancel(context.Background())
			go func() { <-first.Caught(); cancel() }()
			background := x.proxy.HoldRequest(converts(x.key(), redislock.Read))
			if err := l.Downgrade(ctx); !errors.Is(err, context.Canceled) || l.Mode() != redislock.Read {
				x.Errorf("Downgrade = %v, it is in %v", err, l.Mode())
			}
			x.within("Redis is told in the background", background.Caught())
			x.upgrade(l) // a new grant, though the server knows nothing else
			x.delivered(first)
			x.alone(l)
			x.delivered(background)
			x.alone(l)
			x.release(l)
		}},
		{"the undoing of an upgrade", never, func(x *scene, c *redislock.Client) {
			l, r := x.reader(c), x.reader(x.look)
			undoing := x.proxy.HoldRequest(converts(x.key(), redislock.Read))
			u := x.upgrading(l)
			x.queued(1)
			x.cancelled(u, l, false)
			x.within("Redis is told in the background", undoing.Caught())
			x.release(r) // grants the upgrade, though nobody waits for it
			x.last = x.inspect().Fence
			x.upgrade(l) // a new grant all the same
			x.delivered(undoing)
			x.alone(l)
			x.release(l)
		}},
		{"the undoing of an upgrade, while the next one waits", never, func(x *scene, c *redislock.Client) {
			l, r := x.reader(c), x.reader(x.look)
			undoing := x.proxy.HoldRequest(converts(x.key(), redislock.Read))
			u := x.upgrading(l)
			x.queued(1)
			x.cancelled(u, l, false)
			x.within("Redis is told in the background", undoing.Caught())
			joined := x.proxy.Stats().Requests
			u = x.upgrading(l) // no conflict with itself
			x.eventually("the next one has joined", func() bool { return x.proxy.Stats().Requests > joined })
			x.queued(1)
			x.delivered(undoing)
			x.queued(1)
			x.release(r)
			x.wrote(u, l)
			x.alone(l)
			x.release(l)
		}},
		{"an upgrade, and then its undoing", never, func(x *scene, c *redislock.Client) {
			l := x.reader(c)
			first := x.proxy.HoldRequest(converts(x.key(), redislock.Write))
			undoing := x.proxy.HoldRequest(converts(x.key(), redislock.Read))
			u := x.upgrading(l)
			x.within("the upgrade is on its way", first.Caught())
			x.cancelled(u, l, false)
			x.within("so is its undoing", undoing.Caught())
			x.upgrade(l)
			x.delivered(first)
			x.alone(l)
			x.delivered(undoing)
			x.alone(l)
			x.downgrade(l)
			x.alone(l)
			x.release(l)
		}},
	})
}
