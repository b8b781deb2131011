package quorum_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/lua"
)

// releases is a hook that calls do before a release is sent.
type releases struct{ do func() }

func (releases) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r releases) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		r.see(cmd)
		return next(ctx, cmd)
	}
}

func (r releases) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, all []redis.Cmder) error {
		for _, cmd := range all {
			r.see(cmd)
		}
		return next(ctx, all)
	}
}

func (r releases) see(cmd redis.Cmder) {
	if args := cmd.Args(); len(args) > 1 && args[1] == any(lua.Release.Digest) {
		r.do()
	}
}

// The holder of a bare majority learns that a vote is being stolen, and gives that vote up (I7).
func TestTheContextEndsBeforeTheVoteThatCostsTheMajorityIsGivenUp(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		q, other := f.locker(), f.locker()
		f.release(f.acquire(q, "warm"))
		f.servers[2].stop()
		l := f.acquire(q, "a")
		var given, early atomic.Int32
		for _, rdb := range f.rdbs[:2] {
			rdb.AddHook(releases{func() {
				if given.Add(1); l.Context().Err() == nil {
					early.Add(1)
				}
			}})
		}
		time.Sleep(2 * time.Second)
		thief := f.acquire(other, "a", redislock.WithStealAfter(time.Second))
		if given.Load() == 0 || early.Load() > 0 {
			f.Errorf("of %d votes that were given up, %d were so before the context ended", given.Load(), early.Load())
		}
		f.release(thief)
		f.servers[2].start(false)
		f.untouched("a")
	})
}

// A waiter is cut off for so long that it loses its places. When it asks again under its ticket, the lock is free.
func TestALockIsNoOlderThanItsVotesHoweverLongItWasWaitedFor(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		q, other := f.locker(), f.locker()
		f.release(f.acquire(q, "warm"))
		before := f.acquire(other, "a")
		time.AfterFunc(time.Second, func() {
			for _, s := range f.servers {
				cut, mend := s.way(0)
				cut()
				time.AfterFunc(20*time.Second, mend)
			}
			time.Sleep(10 * time.Second)
			f.release(before)
		})
		l := f.acquire(q, "a")
		begun := time.Now()
		thief := f.acquire(other, "a", redislock.WithStealAfter(5*time.Second))
		if took := time.Since(begun); took < 4*time.Second {
			f.Errorf("it was stolen after %v: %v", took, l.Err())
		}
		f.release(thief)
		f.untouched("a")
	})
}
