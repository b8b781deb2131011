package redislock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// Late copies of what else moves a hold, or begins one among others.
func TestI8LateCopiesAmongSeveralHoldsLeaveNoGhost(t *testing.T) {
	t.Parallel()
	lateCases(t, []lateCase{
		{"acquire of a reader, after its release", readTimeout, func(x *scene, c *redislock.Client) {
			r := x.reader(x.look)
			f := x.proxy.HoldRequest(requests("acquire", x.key()))
			l := x.reader(c)
			x.stand(r, l)
			x.release(l)
			x.delivered(f)
			x.stand(r)
			x.release(r)
		}},
		{"acquire of a reader, after its release, while a writer waits", readTimeout, func(x *scene, c *redislock.Client) {
			r := x.reader(x.look)
			f := x.proxy.HoldRequest(requests("acquire", x.key()))
			l := x.reader(c)
			x.release(l)
			w := x.waiting(x.look, writing)
			x.queued(1)
			x.delivered(f)
			x.queued(1)
			x.stand(r)
			x.release(r)
			x.release(x.got(w))
		}},
		{"acquire of a reader, while others come and go", readTimeout, func(x *scene, c *redislock.Client) {
			f := x.proxy.HoldRequest(requests("acquire", x.key()))
			l := x.reader(c)
			x.release(x.reader(x.look))
			x.delivered(f)
			x.stand(l) // I2: the same grant
			x.release(l)
		}},
		{"release of a reader, while others read", readTimeout, func(x *scene, c *redislock.Client) {
			r, l := x.reader(x.look), x.reader(c)
			f := x.proxy.HoldRequest(requests("release", x.key()))
			x.release(l)
			l = x.reader(c)
			x.delivered(f)
			x.stand(r, l)
			x.release(r)
			x.release(l)
		}},
		{"renewal, after an upgrade", readTimeout, func(x *scene, c *redislock.Client) {
			f := x.proxy.HoldRequest(requests("renew", x.key()))
			l := x.reader(c, redislock.WithLease(3*time.Second))
			x.within("the renewal is on its way", f.Caught())
			x.upgrade(l)
			x.delivered(f)
			x.alone(l)
			x.release(l)
		}},
		{"resume, after the release", soon, func(x *scene, c *redislock.Client) {
			ticket := x.handoff(x.reader(x.look))
			f := x.proxy.HoldRequest(requests("resume", x.key()))
			moved := x.resume(c, ticket)
			x.release(moved)
			x.delivered(f)
		}},
		{"resume, after the release, while others read", soon, func(x *scene, c *redislock.Client) {
			r, ticket := x.reader(x.look), x.handoff(x.reader(x.look))
			f := x.proxy.HoldRequest(requests("resume", x.key()))
			moved := x.resume(c, ticket)
			x.release(moved)
			x.delivered(f)
			x.alone(r)
			x.release(r)
		}},
		{"resume, after it was handed on once more", soon, func(x *scene, c *redislock.Client) {
			ticket := x.handoff(x.acquire(x.look, writing))
			f := x.proxy.HoldRequest(requests("resume", x.key()))
			moved := x.resume(x.look, x.handoff(x.resume(c, ticket)))
			x.delivered(f)
			x.alone(moved)
			x.release(moved)
		}},
		{"resume that was given up", never, func(x *scene, c *redislock.Client) {
			l := x.acquire(x.look)
			ticket := x.handoff(l)
			f := x.proxy.HoldRequest(requests("resume", x.key()))
			ctx, cancel := context.WithCancel(context.Background())
			go func() { <-f.Caught(); cancel() }()
			if moved, err := c.Resume(ctx, ticket); !errors.Is(err, context.Canceled) || moved != nil {
				x.Errorf("Resume = %v, %v", moved, err)
			}
			x.eventually("it is given back", func() bool { return x.raw.HExists(context.Background(), x.key(), "t").Val() })
			x.delivered(f)
			if info := x.inspect(); len(info.Holds) != 1 || info.Holds[0].Fence != l.Fence() {
				x.Errorf("I8: a resume that was given up has %+v", info.Holds)
			}
			x.release(x.resume(x.look, ticket))
		}},
		{"acquire, after the handoff", readTimeout, func(x *scene, c *redislock.Client) {
			f := x.proxy.HoldRequest(requests("acquire", x.key()))
			moved := x.resume(x.look, x.handoff(x.acquire(c)))
			x.delivered(f)
			x.alone(moved)
			x.release(moved)
		}},
		{"acquire, after the handoff and the release", readTimeout, func(x *scene, c *redislock.Client) {
			f := x.proxy.HoldRequest(requests("acquire", x.key()))
			l := x.acquire(c, redislock.WithoutRenewal())
			x.release(x.resume(x.look, x.handoff(l)))
			x.delivered(f)
		}},
		{"acquire, after the handoff and its lapse", readTimeout, func(x *scene, c *redislock.Client) {
			f := x.proxy.HoldRequest(requests("acquire", x.key()))
			x.handoff(x.acquire(c, redislock.WithLease(3*time.Second)))
			x.eventually("it lapses", func() bool { return x.inspect().Holders == 0 })
			x.delivered(f)
			x.release(x.acquire(x.look)) // clears away what lapsed, and finds nothing else
		}},
		{"message of an upgrade that was granted and given up, and a handoff", readTimeout, func(x *scene, c *redislock.Client) {
			l, r := x.reader(c), x.reader(x.look)
			u := x.upgrading(l)
			x.queued(1)
			x.proxy.MuteSubscriptions()
			x.release(r)
			x.cancelled(u, l, false)
			x.eventually("it is a reader again", func() bool { return x.inspect().Holds[0].Mode == redislock.Read })
			x.last = x.inspect().Fence
			moved := x.resume(x.look, x.handoff(l)) // though the server has a fence that the handle never heard of
			x.alone(moved)
			x.release(moved)
		}},
		{"break that meets an upgrade", never, func(x *scene, c *redislock.Client) {
			l := x.reader(x.look)
			f := x.proxy.HoldRequest(requests("break", x.key()))
			broken := make(chan error, 1)
			go func() {
				_, err := c.Break(context.Background(), x.name, "a test")
				broken <- err
			}()
			x.within("the break is on its way", f.Caught())
			x.upgrade(l)
			f.Deliver()
			if err := <-broken; err != nil {
				x.Error(err)
			}
			x.lost(l, redislock.ErrStolen)
			_ = l.Release(context.Background()) // it is lost, as above
		}},
	})
}

// Out of memory, whoever gives something up still can: a downgrade too, and the undoing of an upgrade.
func TestADowngradePassesWithoutMemory(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t, "--maxmemory-policy", "noeviction"))
	ctx := context.Background()
	acquired, upgraded, waits := x.alias(" acquired"), x.alias(" upgraded"), x.alias(" waits")
	c := x.beside()
	w := acquired.acquire(c, writing)
	u := upgraded.reader(c)
	upgraded.upgrade(u)
	l, r := waits.reader(c), waits.reader(x.look)
	pending := waits.upgrading(l)
	waits.queued(1)
	if err := x.raw.ConfigSet(ctx, "maxmemory", "1mb").Err(); err != nil {
		t.Fatal(err)
	}
	if err := x.raw.Set(ctx, "more", "x", 0).Err(); !redis.HasErrorPrefix(err, "OOM") {
		t.Fatalf("there is memory: %v", err)
	}
	acquired.downgrade(w)
	acquired.stand(w)
	upgraded.downgrade(u)
	upgraded.stand(u)
	waits.cancelled(pending, l, false)
	waits.queued(0)
	waits.stand(l, r)
	if err := x.raw.ConfigSet(ctx, "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	acquired.alone(w)
	upgraded.alone(u)
	acquired.release(w)
	upgraded.release(u)
	waits.release(r)
	waits.release(l)
	for _, y := range []*scene{acquired, upgraded, waits} {
		y.untouched()
	}
}
