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
	hit    *redislock.Client // whose
	other  *redislock.Client
	events *tally
	n      int          // which: the nth of the requests in question
	seen   atomic.Int64 // how many of them were sent
}

const day = 24 * time.Hour

// lostReply is a request that changes something, and what has to come out whatever answer is lost.
type lostReply struct {
	name  string
	match func(x *scene) func([]string) bool
	opts  []redislock.ClientOption
	run   func(x *lossy)
}

// lostReplies are those of exclusive locks and of the weak kind.
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
				next := x.got(w) // holds: the resend has not broken this one too
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

// A reply that is lost makes the library send the request again. Every request is idempotent (I3), so the outcome is
// that of one: one grant with one fence (I2), and nothing left behind at the end (I8).
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
				x.readTimeout = 250 * time.Millisecond // only what is lost should be lost
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
