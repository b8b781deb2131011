package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
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

// share is like got, for a lock that others may hold too.
func (x *scene) share(a *attempt) *redislock.Lock {
	x.Helper()
	x.within("an acquire returns", a.done)
	if a.err != nil {
		x.Fatal(a.err)
	}
	x.granted(a.lock)
	return a.lock
}

// granted records a new fence, which must be greater than all before it (I2).
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

// upgrade upgrades a reader to the writer: one grant with one fence.
func (x *scene) upgrade(l *redislock.Lock) {
	x.Helper()
	x.wrote(x.upgrading(l), l)
}

// upgrading is an upgrade under way.
func (x *scene) upgrading(l *redislock.Lock) *attempt {
	return x.changing(func(ctx context.Context) (*redislock.Lock, error) { return l, l.Upgrade(ctx) })
}

// wrote waits until an upgrade succeeds.
func (x *scene) wrote(a *attempt, l *redislock.Lock) {
	x.Helper()
	x.within("an upgrade returns", a.done)
	if a.err != nil || l.Mode() != redislock.Write {
		x.Fatalf("the upgrade: %v, it is in %v", a.err, l.Mode())
	}
	x.granted(l)
}

// cancelled ends an upgrade that waits. heard says whether the caller got the error of it.
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

// changing is a call under way, which is made again if the machine was too busy for it.
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

// resume resumes a hold by its ticket.
func (x *scene) resume(c *redislock.Client, ticket string) *redislock.Lock {
	x.Helper()
	l := x.tryResume(c, ticket)
	if l == nil {
		x.Skip("the machine was too busy for the only attempt that a ticket is good for")
	}
	return l
}

// tryResume is resume that may be tried again with another ticket. The lock is nil if the machine was too busy.
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

// Late copies of the other requests that move a hold, or begin one beside others.
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
			x.release(x.acquire(x.look)) // this removes expired entries, and there is nothing else
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
			moved := x.resume(x.look, x.handoff(l)) // the server has a fence that the handle never got
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

// When Redis is out of memory, everything can still be given up. That includes a downgrade, and undoing an upgrade.
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

// lateCase is one history in which the network delivers a request late.
type lateCase struct {
	name    string
	timeout time.Duration // of the connection behind the proxy: a request is sent again after this time
	run     func(x *scene, c *redislock.Client)
}

const (
	// soon is long enough, so that no request is sent four times without an answer.
	soon = 3 * readTimeout
	// never is longer than these tests take, so the copy that is held back stays the only one.
	never = patience
)

// lateCases plays all cases at once, three times each, on separate locks.
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
		elsewhere := x.alias(" elsewhere") // the first matching request must not be one of the start of a Client
		first := elsewhere.acquire(elsewhere.look)
		w := elsewhere.waiting(c)
		elsewhere.queued(1)
		elsewhere.release(first)
		elsewhere.release(elsewhere.got(w))
		cases[i/3].run(x, c)
		x.untouched()
		x.release(x.acquire(x.look)) // the lock is free for everybody
	})
}

// delivered lets the network deliver the request that it held back.
func (x *scene) delivered(f *servertest.Fault) {
	x.Helper()
	f.Deliver()
	x.within("the late copy is executed", f.Executed())
}

// A late copy of an upgrade does not make a writer of a hold that is no longer one, and leaves no place in the queue.
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

// I1: a hold that was granted Write keeps it, whatever earlier request for Read arrives late. Here these are copies of
// requests that were executed.
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

// The same for a request that had not arrived before: only the order in which the requests were made shows that it is
// late.
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
			x.upgrade(l) // a new grant, even if the server knows nothing else
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
			x.release(r) // this grants the upgrade, although nobody waits for it
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

// lostModeReplies are the requests that the shared modes add, and the other requests when there are several holds.
var lostModeReplies = []lostReply{
	{
		name:  "acquire of a reader beside a reader",
		match: func(x *scene) func([]string) bool { return requests("acquire", x.key()) },
		run: func(x *lossy) {
			r := x.reader(x.other)
			for range 4 {
				l := x.reader(x.hit)
				x.stand(r, l)
				x.release(l)
				x.stand(r)
			}
			x.release(r)
		},
	},
	{
		name:  "acquire of a reader that waits for a writer and is granted with others",
		match: func(x *scene) func([]string) bool { return joins(x.key()) },
		run: func(x *lossy) {
			for i := range 3 {
				heard := x.events.count(redislock.EventQueued)
				w := x.acquire(x.other, writing)
				var readers []*attempt
				for n, c := range []*redislock.Client{x.other, x.hit, x.other} {
					readers = append(readers, x.waiting(c, reading))
					x.queued(n + 1)
				}
				if i%2 == 0 {
					x.eventually("the reader knows that it waits", func() bool { return x.events.count(redislock.EventQueued) > heard })
					x.queued(3) // it has one place, not two
				}
				x.release(w)
				x.releaseAll(x.together(readers...))
			}
		},
	},
	{
		name:  "release of a reader beside others",
		match: func(x *scene) func([]string) bool { return requests("release", x.key()) },
		run: func(x *lossy) {
			r, r2 := x.reader(x.other), x.reader(x.other)
			for range 3 {
				l := x.reader(x.hit)
				x.stand(r, r2, l)
				x.release(l)
				x.stand(r, r2)
			}
			x.release(r2)
			l := x.reader(x.hit)
			x.release(r)
			x.stand(l)
			w := x.waiting(x.other, writing)
			x.queued(1)
			x.release(l) // the last one hands over
			x.release(x.got(w))
		},
	},
	{
		name:  "renewal of a reader beside others, and after its upgrade",
		match: func(x *scene) func([]string) bool { return requests("renew", x.key()) },
		run: func(x *lossy) {
			r := x.reader(x.other)
			l := x.reader(x.hit, redislock.WithLease(4*time.Second))
			renewed := func(n int) {
				x.eventually("renewals, or the end", func() bool {
					return x.events.count(redislock.EventRenewed) >= n || l.Err() != nil
				})
			}
			renewed(1)
			x.stand(r, l)
			x.release(r)
			x.upgrade(l)
			renewed(2)
			x.stand(l)
			x.downgrade(l)
			renewed(3)
			x.alone(l)
			x.release(l)
		},
	},
	{
		name:  "upgrade of the only reader",
		match: func(x *scene) func([]string) bool { return converts(x.key(), redislock.Write) },
		run: func(x *lossy) {
			l := x.reader(x.hit)
			for range 3 {
				x.upgrade(l)
				x.alone(l)
				x.downgrade(l)
				x.alone(l)
			}
			x.release(l)
		},
	},
	{
		name:  "upgrade that waits for another reader",
		match: func(x *scene) func([]string) bool { return converts(x.key(), redislock.Write) },
		run: func(x *lossy) {
			for i := range 3 {
				heard := x.events.count(redislock.EventQueued)
				l, r := x.reader(x.hit), x.reader(x.other)
				u := x.upgrading(l)
				x.queued(1)
				next := x.waiting(x.other, reading) // which must not pass
				x.queued(2)
				if i%2 == 0 {
					x.eventually("the upgrade knows that it waits", func() bool { return x.events.count(redislock.EventQueued) > heard })
				}
				x.release(r)
				x.wrote(u, l)
				x.stand(l)
				x.queued(1)
				x.release(l)
				x.release(x.share(next))
			}
		},
	},
	{
		name:  "upgrade that is given up while it waits",
		match: func(x *scene) func([]string) bool { return requests("convert", x.key()) }, // and its undoing
		run: func(x *lossy) {
			l, r := x.reader(x.hit), x.reader(x.other)
			for i := range 3 {
				heard := x.events.count(redislock.EventQueued)
				u := x.upgrading(l)
				x.queued(1)
				if i%2 == 0 {
					x.eventually("the upgrade knows that it waits", func() bool { return x.events.count(redislock.EventQueued) > heard })
				}
				x.cancelled(u, l, i%2 == 0)
				x.queued(0)
				third := x.reader(x.other) // a reader that need not wait comes in
				x.stand(l, r, third)
				x.release(third)
			}
			x.release(r)
			x.upgrade(l) // what is left of the others does not disturb this upgrade
			x.alone(l)
			x.release(l)
		},
	},
	{
		name:  "downgrade that lets readers in",
		match: func(x *scene) func([]string) bool { return converts(x.key(), redislock.Read) },
		run: func(x *lossy) {
			for i := range 3 {
				l := x.share(x.waiting(x.hit, []redislock.Option{reading, writing}[i%2]))
				if l.Mode() == redislock.Read {
					x.upgrade(l)
				}
				var readers []*attempt
				for n := range 2 {
					readers = append(readers, x.waiting(x.other, reading))
					x.queued(n + 1)
				}
				w := x.waiting(x.other, writing)
				x.queued(3)
				x.downgrade(l)
				if n := x.inspect().Waiting; n != 1 {
					x.Errorf("after the downgrade %d wait, want the writer alone", n)
				}
				x.releaseAll(x.together(readers...), l) // together with l, and none of them twice
				x.release(x.got(w))
			}
		},
	},
	{
		name:  "handoff",
		match: func(x *scene) func([]string) bool { return requests("renew", x.key()) },
		run: func(x *lossy) {
			for i := range 3 {
				l := x.share(x.waiting(x.hit, []redislock.Option{reading, writing}[i%2]))
				ticket := x.handoff(l)
				moved := x.resume(x.other, ticket)
				x.alone(moved)
				x.release(moved)
			}
		},
	},
	{
		name:  "resume",
		match: func(x *scene) func([]string) bool { return requests("resume", x.key()) },
		run: func(x *lossy) {
			r := x.reader(x.other)
			for range 3 {
				var ticket string
				var moved *redislock.Lock
				for moved == nil {
					ticket = x.handoff(x.reader(x.other))
					moved = x.tryResume(x.hit, ticket)
				}
				x.stand(r, moved)
				if again, err := x.other.Resume(context.Background(), ticket); !errors.Is(err, redislock.ErrNotHeld) {
					x.Errorf("a second resume: %v, %v", again, err)
				}
				x.release(moved)
				x.stand(r)
			}
			x.release(r)
		},
	},
	{
		name: "acquire and release of several units",
		match: func(x *scene) func([]string) bool {
			acquires, releases := requests("acquire", x.key()), requests("release", x.key())
			return func(args []string) bool { return acquires(args) || releases(args) }
		},
		run: func(x *lossy) {
			const size = 5
			units := func(c *redislock.Client, weight int) *attempt {
				return x.waiting(c, redislock.WithMode(redislock.Semaphore(size)), redislock.WithWeight(weight))
			}
			held := func(want int, locks ...*redislock.Lock) {
				x.Helper()
				total := 0
				for _, h := range x.stand(locks...).Holds {
					total += h.Weight
				}
				if total != want || total > size {
					x.Errorf("I1: %d units of %d are held, want %d", total, size, want)
				}
			}
			for range 2 {
				a, b := x.share(units(x.hit, 2)), x.share(units(x.other, 1))
				held(3, a, b)
				waits := units(x.hit, 3)
				x.queued(1)
				small := units(x.other, 2) // it would fit, but does not pass the queue
				x.queued(2)
				held(3, a, b)
				x.release(b)
				c := x.share(waits)
				held(5, a, c)
				x.queued(1)
				x.release(a)
				d := x.share(small)
				held(5, c, d)
				x.release(c)
				x.release(d)
			}
		},
	},
}

// together waits for readers that are granted by one script, in the order in which they joined.
func (x *scene) together(readers ...*attempt) []*redislock.Lock {
	x.Helper()
	var locks []*redislock.Lock
	for _, r := range readers {
		locks = append(locks, x.share(r))
	}
	return locks
}

// releaseAll gives all of them back, after a check that there are no other holds.
func (x *scene) releaseAll(locks []*redislock.Lock, more ...*redislock.Lock) {
	x.Helper()
	all := slices.Concat(locks, more)
	x.stand(all...)
	for _, l := range all {
		x.release(l)
	}
}
