package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// lossy is a scene in which one reply is lost.
type lossy struct {
	*scene
	hit    *redislock.Client // the Client whose reply is lost
	other  *redislock.Client
	events *tally
	n      int          // the reply to the nth matching request is lost
	seen   atomic.Int64 // how many of them were sent
}

const day = 24 * time.Hour

// lostReply is a request that changes something, with the result that must come whatever answer is lost.
type lostReply struct {
	name  string
	match func(x *scene) func([]string) bool
	opts  []redislock.ClientOption
	run   func(x *lossy)
}

// lostReplies are the requests of exclusive locks and of the weak kind.
var lostReplies = []lostReply{
	{
		name:  "acquire of an idle lock",
		match: func(x *scene) func([]string) bool { return requests("acquire", x.key()) },
		run: func(x *lossy) {
			for range 4 {
				x.release(x.acquire(x.hit))
			}
		},
	},
	{
		name:  "acquire with a retention of its own",
		match: func(x *scene) func([]string) bool { return requests("acquire_own", x.key()) },
		opts:  []redislock.ClientOption{redislock.WithRetention(2 * time.Hour)},
		run: func(x *lossy) {
			for range 4 {
				x.release(x.acquire(x.hit))
			}
		},
	},
	{
		name:  "acquire that does not wait for a held lock",
		match: func(x *scene) func([]string) bool { return requests("acquire", x.key()) },
		run: func(x *lossy) {
			l := x.acquire(x.other)
			for range 3 {
				if got, err := x.hit.TryAcquire(context.Background(), x.name); !errors.Is(err, redislock.ErrHeld) {
					x.Errorf("TryAcquire of a held lock: %v, %v", got, err)
				}
			}
			x.holds(l)
			if n := x.inspect().Waiting; n > 0 {
				x.Errorf("%d wait, though nobody wanted to", n)
			}
			x.release(l)
		},
	},
	{
		name:  "acquire that joins the queue and gets its answer",
		match: func(x *scene) func([]string) bool { return joins(x.key()) },
		run: func(x *lossy) {
			for i := range 3 {
				l := x.acquire(x.other)
				w := x.waiting(x.hit)
				x.eventually("the waiter knows that it waits", func() bool { return x.events.count(redislock.EventQueued) > i })
				x.queued(1) // and has one place, not two
				x.release(l)
				l = x.got(w)
				x.queued(0)
				x.release(l)
			}
		},
	},
	{
		name:  "acquire that joins the queue and is granted before its answer",
		match: func(x *scene) func([]string) bool { return joins(x.key()) },
		run: func(x *lossy) {
			for range 3 {
				l := x.acquire(x.other)
				w := x.waiting(x.hit)
				x.queued(1)
				x.release(l)
				l = x.got(w)
				x.queued(0)
				x.release(l)
			}
		},
	},
	{
		name:  "confirmation that lifts the fence",
		match: func(x *scene) func([]string) bool { return requests("confirm", x.key()) },
		run: func(x *lossy) {
			for range 3 {
				l := x.acquire(x.hit, redislock.WithFenceFloor(max(x.last, x.inspect().Now.UnixMicro())+1e9))
				x.release(l)
			}
		},
	},
	{
		name:  "confirmation that lifts the fence of a reader beside another",
		match: func(x *scene) func([]string) bool { return requests("confirm", x.key()) },
		run: func(x *lossy) {
			for range 3 {
				beside := x.reader(x.other)
				l := x.reader(x.hit, redislock.WithFenceFloor(max(x.last, x.inspect().Now.UnixMicro())+1e9))
				x.stand(beside, l)
				x.release(beside)
				x.upgrade(l)
				x.alone(l)
				x.release(l)
			}
		},
	},
	{
		name:  "release of a lock that nobody waits for",
		match: func(x *scene) func([]string) bool { return releases(x.key()) },
		run: func(x *lossy) {
			for range 3 {
				x.release(x.acquire(x.hit))
				if info := x.inspect(); len(info.Holds) > 0 {
					x.Errorf("released, and still held: %+v", info)
				}
			}
		},
	},
	{
		name:  "release of a lock that was held for a while",
		match: func(x *scene) func([]string) bool { return requests("release", x.key()) },
		run: func(x *lossy) {
			for range 3 {
				l := x.acquire(x.hit)
				time.Sleep(2 * redislock.Brief)
				x.release(l)
				if info := x.inspect(); len(info.Holds) > 0 {
					x.Errorf("released, and still held: %+v", info)
				}
			}
		},
	},
	{
		name:  "release that hands the lock over",
		match: func(x *scene) func([]string) bool { return requests("release", x.key()) },
		run: func(x *lossy) {
			for range 3 {
				l := x.acquire(x.hit)
				w, w2 := x.waiting(x.other), (*attempt)(nil)
				x.queued(1)
				w2 = x.waiting(x.other)
				x.queued(2)
				x.release(l) // and sends it again
				x.release(x.got(w))
				x.release(x.got(w2))
			}
		},
	},
	{
		name:  "release by a cancelled waiter",
		match: func(x *scene) func([]string) bool { return requests("release", x.key()) },
		run: func(x *lossy) {
			for i := range 3 {
				l := x.acquire(x.other)
				w := x.waiting(x.hit)
				x.eventually("the waiter knows that it waits", func() bool { return x.events.count(redislock.EventQueued) > i })
				w.cancel()
				x.within("a cancelled acquire returns", w.done)
				if !errors.Is(w.err, context.Canceled) || !errors.Is(w.err, redislock.ErrHeld) {
					x.Errorf("cancelled while waiting: %v", w.err)
				}
				x.queued(0)
				x.holds(l)
				x.release(l)
			}
		},
	},
	{
		name:  "renewal",
		match: func(x *scene) func([]string) bool { return requests("renew", x.key()) },
		run: func(x *lossy) {
			l := x.acquire(x.other)
			w := x.waiting(x.hit, redislock.WithLease(3*time.Second)) // by message, so the first one confirms a claim
			x.queued(1)
			x.release(l)
			l = x.got(w)
			x.eventually("four renewals, or the end", func() bool {
				return x.events.count(redislock.EventRenewed) >= 4 || l.Err() != nil
			})
			x.holds(l)
			x.release(l)
		},
	},
	{
		name:  "check that confirms a grant whose message was lost",
		match: func(x *scene) func([]string) bool { return requests("check", x.key()) },
		run: func(x *lossy) {
			l := x.acquire(x.other)
			w := x.waiting(x.hit)
			x.eventually("the waiter knows that it waits", func() bool { return x.events.count(redislock.EventQueued) > 0 })
			x.eventually("the checks before the one", func() bool { return x.seen.Load() >= int64(x.n-1) })
			if x.proxy.MuteSubscriptions() == 0 {
				x.Error("the waiter is not subscribed")
			}
			x.release(l)
			granted := x.inspect().Fence
			l = x.got(w)
			if l.Fence() != granted {
				x.Errorf("I2: fence %d, want %d of the hand-over", l.Fence(), granted)
			}
			x.release(l)
		},
	},
	{
		name:  "break",
		match: func(x *scene) func([]string) bool { return requests("break", x.key()) },
		run: func(x *lossy) {
			for range 3 {
				l := x.acquire(x.other)
				w := x.waiting(x.other)
				x.queued(1)
				fence, err := x.hit.Break(context.Background(), x.name, "a test")
				if err != nil || fence != l.Fence() {
					x.Errorf("Break = %d, %v, want %d", fence, err, l.Fence())
				}
				next := x.got(w) // it holds, so the resend of Break has not broken this one too
				x.lost(l, redislock.ErrStolen)
				if err := l.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) {
					x.Errorf("release of a broken lock: %v", err)
				}
				x.holds(next)
				x.release(next)
			}
		},
	},
	{
		name: "weak acquire",
		match: func(x *scene) func([]string) bool {
			return func(args []string) bool { return args[0] == "set" && args[1] == "redislock:w:{"+x.name+"}" }
		},
		run: weakPairs,
	},
	{
		name: "weak release",
		match: func(x *scene) func([]string) bool {
			return requests("weak_release", "redislock:w:{"+x.name+"}")
		},
		run: weakPairs,
	},
	{
		name: "First",
		match: func(x *scene) func([]string) bool {
			return func(args []string) bool {
				return args[0] == "set" && (args[1] == "redislock:d:{"+x.name+"0}" || args[1] == "redislock:d:{"+x.name+"1}" || args[1] == "redislock:d:{"+x.name+"2}")
			}
		},
		run: func(x *lossy) {
			for i := range 3 {
				key := fmt.Sprint(x.name, i)
				for call, want := range []bool{true, false} {
					if first, err := x.hit.First(context.Background(), key, day); err != nil || first != want {
						x.Errorf("call %d of First(%d) = %v, %v", call+1, i, first, err)
					}
				}
			}
		},
	},
	{
		name: "First of a batch",
		match: func(x *scene) func([]string) bool {
			return func(args []string) bool { return args[0] == "set" }
		},
		run: func(x *lossy) {
			keys := []string{x.name + "a", x.name + "b", x.name + "c", x.name + "b"}
			for call, want := range []string{"[true true true false]", "[false false false false]"} {
				if first, err := x.hit.FirstOf(context.Background(), keys, day); err != nil || fmt.Sprint(first) != want {
					x.Errorf("call %d of FirstOf = %v, %v, want %s", call+1, first, err, want)
				}
			}
		},
	},
}

func weakPairs(x *lossy) {
	key := "redislock:w:{" + x.name + "}"
	for range 3 {
		w, err := x.hit.AcquireWeak(context.Background(), x.name, redislock.WithWait(0))
		if err != nil {
			x.Fatal(err)
		}
		if _, err := x.other.AcquireWeak(context.Background(), x.name, redislock.WithWait(0)); !errors.Is(err, redislock.ErrHeld) {
			x.Errorf("a second weak acquire: %v", err)
		}
		if ttl := x.raw.PTTL(context.Background(), key).Val(); ttl <= 0 {
			x.Errorf("I4: the weak lock does not expire (%v)", ttl)
		}
		if err := w.Release(context.Background()); err != nil {
			x.Error(err)
		}
		if n := x.raw.Exists(context.Background(), key).Val(); n != 0 {
			x.Error("released, and still held")
		}
	}
}

// If a reply is lost, the library sends the request again. Every request is idempotent (I3), so the result is that of
// one request: one grant with one fence (I2), and nothing left behind at the end (I8).
func TestI3ALostReplyChangesNothing(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, request := range slices.Concat(lostReplies, lostModeReplies) {
		t.Run(request.name, func(t *testing.T) {
			t.Parallel()
			var names []string
			for i := range 16 {
				which := []string{"first", "second", "third", "first two"}[i%4]
				names = append(names, fmt.Sprintf("%s of RESP%d, then %s", which, i/4%2+2, []string{"mute", "closed"}[i/8]))
			}
			together(t, names, func(t *testing.T, i int) {
				x := &lossy{scene: newScene(t, s), events: &tally{}, n: i%4 + 1}
				x.readTimeout = 250 * time.Millisecond // so that no other reply counts as lost
				x.hit = x.behind(i/4%2+2, append(request.opts, redislock.WithObserver(x.events))...)
				x.other = x.beside()
				x.own = len(request.opts) > 0
				matches := request.match(x.scene)
				x.proxy.SwallowReply(func(args []string) bool { // loses nothing, only looks
					if matches(args) {
						x.seen.Add(1)
					}
					return false
				}, 1)
				swallow := x.proxy.SwallowReply
				if i/8 == 1 {
					swallow = x.proxy.SwallowReplyAndClose
				}
				faults := []*servertest.Fault{nil}
				if x.n == 4 {
					x.n = 1
					faults = append(faults, nil)
				}
				for i := range faults {
					faults[i] = swallow(matches, x.n)
				}

				request.run(x)
				for _, fault := range faults {
					x.within("the reply was lost", fault.Executed())
				}
				x.untouched()
			})
		})
	}
}

// A request may reach the server long after its sender gave up on the answer and sent it again over another
// connection. What such a late copy does must not outlive the handle that it was sent for.

// late is the delay of the copy: several attempts, or until the middle of the release.
const late = 4 * readTimeout

// ten runs a test ten times at once, each with its own lock.
func ten(t *testing.T, s *servertest.Server, test func(t *testing.T, x *scene, protocol int)) {
	t.Helper()
	var names []string
	for i := range 10 {
		names = append(names, fmt.Sprint(i))
	}
	together(t, names, func(t *testing.T, i int) { test(t, newScene(t, s), 2+i%2) })
}

func TestI8LateCopyOfAnAcquireLeavesNoGhost(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	t.Run("400 ms late", func(t *testing.T) {
		ten(t, s, func(_ *testing.T, x *scene, protocol int) {
			c := x.behind(protocol)
			f := x.proxy.DelayRequest(requests("acquire", x.key()), late)
			x.release(x.acquire(c))
			x.within("the late copy is executed", f.Executed())
			x.untouched()
		})
	})
	t.Run("after the release", func(t *testing.T) {
		ten(t, s, func(_ *testing.T, x *scene, protocol int) {
			c := x.behind(protocol)
			f := x.proxy.HoldRequest(requests("acquire", x.key()))
			x.release(x.acquire(c))
			f.Deliver()
			x.within("the late copy is executed", f.Executed())
			x.untouched()
			x.release(x.acquire(x.look)) // and the lock is anybody's
		})
	})
	t.Run("after data was lost and it was to stay", func(t *testing.T) {
		ten(t, s, func(_ *testing.T, x *scene, protocol int) {
			c := x.behind(protocol)
			f := x.proxy.HoldRequest(requests("acquire", x.key()))
			l := x.acquire(c)
			x.raw.Del(context.Background(), x.key())
			if err := l.ReleaseAfter(context.Background(), time.Minute); err == nil {
				x.Error("it stays, although the server has lost it")
			}
			x.eventually("it is given up", func() bool { return x.raw.HExists(context.Background(), x.key(), "t").Val() })
			f.Deliver()
			x.within("the late copy is executed", f.Executed())
			x.untouched()
		})
	})
	t.Run("while it is held", func(t *testing.T) {
		ten(t, s, func(_ *testing.T, x *scene, protocol int) {
			c := x.behind(protocol)
			f := x.proxy.HoldRequest(requests("acquire", x.key()))
			l := x.acquire(c)
			f.Deliver()
			x.within("the late copy is executed", f.Executed())
			x.holds(l) // the same grant (I2)
			x.release(l)
			x.untouched()
		})
	})
	t.Run("while another holds it", func(t *testing.T) {
		ten(t, s, func(_ *testing.T, x *scene, protocol int) {
			c := x.behind(protocol)
			f := x.proxy.HoldRequest(requests("acquire", x.key()))
			x.release(x.acquire(c))
			l := x.acquire(x.look)
			f.Deliver()
			x.within("the late copy is executed", f.Executed())
			x.holds(l)
			x.release(l)
			x.untouched()
		})
	})
}

func TestI8LateCopyOfAJoinLeavesNoGhost(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, when := range []string{"400 ms late", "after the release", "while it waits", "after it was cancelled"} {
		t.Run(when, func(t *testing.T) {
			ten(t, s, func(_ *testing.T, x *scene, protocol int) {
				c := x.behind(protocol)
				holder := x.acquire(x.look)
				var f *servertest.Fault
				if when == "400 ms late" {
					f = x.proxy.DelayRequest(joins(x.key()), late)
				} else {
					f = x.proxy.HoldRequest(joins(x.key()))
				}
				w := x.waiting(c)
				x.queued(1) // by its second copy, or the late one
				if when == "after it was cancelled" {
					w.cancel()
					x.within("a cancelled acquire returns", w.done)
					x.queued(0)
				}
				if when != "400 ms late" && when != "after the release" {
					f.Deliver()
					x.within("the late copy is executed", f.Executed())
				}
				switch when {
				case "while it waits":
					x.queued(1)
				case "after it was cancelled":
					if n := x.inspect().Waiting; n != 0 {
						x.Errorf("I8: %d places of a wait that was cancelled", n)
					}
				}
				x.release(holder)
				if when != "after it was cancelled" {
					x.release(x.got(w))
				}
				f.Deliver()
				x.within("the late copy is executed", f.Executed())
				x.untouched()
				x.release(x.acquire(x.look))
			})
		})
	}
}

// The caller's context ends while the only copy of its acquire is still on its way.
func TestI8AnAcquireGivenUpBeforeItArrivesLeavesNothing(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, c := range []struct {
		name  string
		held  bool          // by another
		after time.Duration // until the context ends; 0: at once
	}{
		{"at once", false, 0},
		{"after several copies", false, 3 * readTimeout / 2},
		{"at once, the lock held", true, 0},
		{"after several copies, the lock held", true, 3 * readTimeout / 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			ten(t, s, func(_ *testing.T, x *scene, protocol int) {
				client := x.behind(protocol)
				// Subscribed and past its preflight, so that the first request in question is the acquire.
				elsewhere := x.alias(" elsewhere")
				elsewhere.release(elsewhere.acquire(client))
				var holder *redislock.Lock
				if c.held {
					holder = x.acquire(x.look)
				}
				f := x.proxy.HoldRequest(requests("acquire", x.key()))
				if c.after > 0 { // the later copies are held back too
					for range 4 {
						x.proxy.DelayRequest(requests("acquire", x.key()), late)
					}
				}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				go func() {
					<-f.Caught()
					time.Sleep(c.after)
					cancel()
				}()
				l, err := client.Acquire(ctx, x.name)
				if !errors.Is(err, context.Canceled) || l != nil {
					x.Errorf("Acquire = %v, %v", l, err)
				}
				f.Deliver()
				x.within("the late copy is executed", f.Executed())
				if c.held {
					x.holds(holder)
					x.eventually("no place is left", func() bool { return x.inspect().Waiting == 0 })
					x.release(holder)
				}
				if err := client.Close(context.Background()); err != nil { // this waits for requests under way
					x.Error(err)
				}
				x.untouched()
			})
		})
	}
}

// The lock is granted, the reply is lost, and then the caller cancels.
func TestI8AnAcquireCancelledAfterALostReplyLeavesNothing(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, held := range []bool{false, true} {
		t.Run(fmt.Sprintf("held by another %v", held), func(t *testing.T) {
			ten(t, s, func(_ *testing.T, x *scene, protocol int) {
				c := x.behind(protocol)
				match := requests("acquire", x.key())
				if held {
					match = joins(x.key())
				}
				swallow := x.proxy.SwallowReply
				if protocol == 3 {
					swallow = x.proxy.SwallowReplyAndClose
				}
				var holder *redislock.Lock
				if held {
					holder = x.acquire(x.look)
				}
				f := swallow(match, 1)
				w := x.waiting(c)
				x.within("the reply is lost", f.Executed())
				w.cancel()
				x.within("a cancelled acquire returns", w.done)
				if w.lock != nil { // the resend was faster than the cancellation
					x.release(w.lock)
				} else if !errors.Is(w.err, context.Canceled) {
					x.Error(w.err)
				}
				if held {
					x.queued(0)
					x.holds(holder)
					x.release(holder)
				}
				x.untouched()
			})
		})
	}
}

// I1: a hold is dropped only by a request that names its token; the late copies name another's.
func TestI1LateCopiesOfOtherRequestsDoNotTouchTheNextHolder(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for what, held := range map[string]time.Duration{"release at once": 0, "release": 2 * redislock.Brief} {
		t.Run(what, func(t *testing.T) {
			ten(t, s, func(_ *testing.T, x *scene, protocol int) {
				c := x.behind(protocol)
				l := x.acquire(c)
				f := x.proxy.HoldRequest(releases(x.key()))
				time.Sleep(held)
				x.release(l)
				next := x.acquire(c)
				f.Deliver()
				x.within("the late copy is executed", f.Executed())
				x.holds(next)
				x.release(next)
				x.untouched()
			})
		})
	}
	t.Run("renewal", func(t *testing.T) {
		ten(t, s, func(_ *testing.T, x *scene, protocol int) {
			events := &tally{}
			c := x.behind(protocol, redislock.WithObserver(events))
			f := x.proxy.HoldRequest(requests("renew", x.key()))
			l := x.acquire(c, redislock.WithLease(3*time.Second))
			x.within("the renewal is on its way", f.Caught())
			x.eventually("another copy renewed it", func() bool { return events.count(redislock.EventRenewed) > 0 })
			x.release(l)
			next := x.acquire(c)
			f.Deliver()
			x.within("the late copy is executed", f.Executed())
			x.holds(next)
			x.release(next)
			x.untouched()
		})
	})
	t.Run("check", func(t *testing.T) {
		ten(t, s, func(_ *testing.T, x *scene, protocol int) {
			c := x.behind(protocol)
			l := x.acquire(x.look)
			f := x.proxy.HoldRequest(requests("check", x.key()))
			w := x.waiting(c)
			x.within("the check is on its way", f.Caught())
			x.release(l)
			x.release(x.got(w))
			next := x.acquire(x.look)
			f.Deliver()
			x.within("the late copy is executed", f.Executed())
			x.holds(next)
			if n := x.inspect().Waiting; n != 0 {
				x.Errorf("a check joined: %d wait", n)
			}
			x.release(next)
			x.untouched()
		})
	})
	t.Run("break", func(t *testing.T) {
		ten(t, s, func(_ *testing.T, x *scene, protocol int) {
			c := x.behind(protocol)
			l := x.acquire(x.look)
			f := x.proxy.HoldRequest(requests("break", x.key()))
			if fence, err := c.Break(context.Background(), x.name, "a test"); err != nil || fence != l.Fence() {
				x.Errorf("Break = %d, %v", fence, err)
			}
			x.lost(l, redislock.ErrStolen)
			next := x.acquire(x.look)
			f.Deliver()
			x.within("the late copy is executed", f.Executed())
			x.holds(next)
			x.release(next)
			x.untouched()
		})
	})
}

// If a weak wait ends while a try is under way, the error is that the lock is held, as the last answer said.
func TestAWeakWaitThatEndsInTheMiddleOfATryIsHeld(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for name, call := range map[string]func(ctx context.Context, end func(), c *redislock.Client, name string) error{
		"by WithWait": func(ctx context.Context, _ func(), c *redislock.Client, name string) error {
			_, err := c.AcquireWeak(ctx, name, redislock.WithWait(500*time.Millisecond))
			return err
		},
		"by its context": func(ctx context.Context, end func(), c *redislock.Client, name string) error {
			time.AfterFunc(500*time.Millisecond, end)
			_, err := c.AcquireWeak(ctx, name)
			if !errors.Is(err, context.Canceled) {
				return fmt.Errorf("not the context's error: %w", err)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newScene(t, s)
			held, err := x.look.AcquireWeak(context.Background(), x.name)
			if err != nil {
				t.Fatal(err)
			}
			tries := 0
			f := x.proxy.HoldRequest(func(args []string) bool {
				if args[0] == "set" {
					tries++
				}
				return tries == 2
			})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if err := call(ctx, cancel, x.on(x.proxy.Connect()), x.name); !errors.Is(err, redislock.ErrHeld) {
				t.Errorf("%v, want ErrHeld", err)
			}
			x.within("the try was caught", f.Caught())
			f.Deliver()
			if err := held.Release(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}
