package redislock_test

import (
	"context"
	"errors"
	"slices"
	"time"

	"example.com/redislock"
)

// lostModeReplies are the requests that the shared modes add, and the others as they are among several holds.
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
					x.queued(3) // and has one place, not two
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
				third := x.reader(x.other) // whoever waits for nobody comes in
				x.stand(l, r, third)
				x.release(third)
			}
			x.release(r)
			x.upgrade(l) // and what is left of the others does not harm this one
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
				x.releaseAll(x.together(readers...), l) // together with l: nobody of them twice
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
				small := units(x.other, 2) // would fit, and does not pass
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

// releaseAll gives all of them back, after a look that they are what there is.
func (x *scene) releaseAll(locks []*redislock.Lock, more ...*redislock.Lock) {
	x.Helper()
	all := slices.Concat(locks, more)
	x.stand(all...)
	for _, l := range all {
		x.release(l)
	}
}
