package quorum_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/fence"
	"example.com/redislock/quorum"
)

func TestALockOfAQuorumIsHeldByAllNodesUnderOneFence(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		q := f.locker()
		l := f.acquire(q, "a")
		synctest.Wait()
		time.Sleep(10 * time.Millisecond)
		info, err := q.Inspect(context.Background(), "a")
		if err != nil || !info.Held || info.Fence != l.Fence() {
			f.Errorf("%+v, %v; the fence is %d", info, err, l.Fence())
		}
		for _, n := range info.Nodes {
			if len(n.Info.Holds) != 1 || n.Info.Fence < l.Fence() {
				f.Errorf("%s: %+v", n.Addr, n.Info)
			}
		}
		for _, n := range l.Nodes() {
			if !n.Held || n.Until.Before(time.Now().Add(25*time.Second)) || n.Since.After(time.Now()) {
				f.Errorf("%+v", n)
			}
		}
		if l.Name() != "a" || l.Err() != nil {
			f.Errorf("%q, %v", l.Name(), l.Err())
		}
		first := l.Fence()
		time.Sleep(time.Minute)
		if l.Err() != nil {
			f.Errorf("it was not renewed: %v", l.Err())
		}
		f.release(l)
		if !errors.Is(context.Cause(l.Context()), redislock.ErrReleased) || !errors.Is(l.Err(), redislock.ErrReleased) {
			f.Errorf("after the release: %v, %v", context.Cause(l.Context()), l.Err())
		}
		f.release(l) // the same answer
		f.untouched("a")
		l = f.acquire(q, "a")
		if l.Fence() <= first {
			f.Errorf("fence %d after %d", l.Fence(), first)
		}
		f.release(l)
	})
}

// If the nodes know the last fence, they agree on the next one at once. For a new name one of them is told the fence of another. The
// lock is given back by a plain command, as it was held for less than 5 ms.
func TestAnUncontendedPairCostsTwoRequestsOnEachNode(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		q := f.locker()
		for range 4 { // after this every node knows every script
			f.release(f.acquire(q, "warm"))
			time.Sleep(time.Millisecond)
		}
		for _, one := range []struct {
			name string
			most int
		}{{"new", 4 + 1}, {"warm", 3}, {"new", 3}} { // the node that was told a fence gets a script as the release too
			time.Sleep(time.Second)
			before := f.asked()
			f.release(f.acquire(q, one.name))
			time.Sleep(time.Second)
			if n := f.asked() - before; n > one.most {
				f.Errorf("%s: %d scripts", one.name, n)
			}
		}
	})
}

// lateRelease delays the releases of one client.
type lateRelease struct{}

func (lateRelease) DialHook(next redis.DialHook) redis.DialHook { return next }

func (lateRelease) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "hdel" {
			time.Sleep(time.Millisecond)
		}
		return next(ctx, cmd)
	}
}

func (lateRelease) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// The release returns when a majority has taken the lock back. An acquire directly afterwards does not queue on the other nodes, where
// the lock is still held: a node is asked only after it has got the release.
func TestWhatThisProcessHasJustGivenBackIsNotFoundHeld(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		q := f.locker()
		for range 4 {
			f.release(f.acquire(q, "a"))
			time.Sleep(time.Millisecond)
		}
		before := f.asked()
		f.rdbs[2].AddHook(lateRelease{})
		for range 100 {
			f.release(f.acquire(q, "a"))
		}
		time.Sleep(time.Second)
		if n := f.asked() - before; n > 3*100+30 { // instead of 400; for a name that was waited for, 16 releases are scripts
			f.Errorf("100 pairs took %d scripts", n)
		}
		f.untouched("a")
	})
}

func TestWaitersOfAQuorumAreServedInTheirOrder(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		l := f.acquire(f.locker(), "a")
		order := make(chan int, 20)
		last := l.Fence()
		for i := range 20 {
			q := f.locker()
			f.release(f.acquire(q, "warm"))
			go func() {
				l, err := q.Acquire(context.Background(), "a")
				if err != nil {
					f.Error(err)
					return
				}
				if l.Fence() <= last {
					f.Errorf("fence %d after %d", l.Fence(), last)
				}
				last = l.Fence()
				order <- i
				time.Sleep(time.Millisecond)
				f.release(l)
			}()
			time.Sleep(5 * time.Millisecond)
		}
		f.release(l)
		for i := range 20 {
			if got := <-order; got != i {
				f.Errorf("number %d came as number %d", got, i)
			}
		}
		f.untouched("a")
	})
}

// The waiters come at the same moment, and their requests reach the nodes in different orders. So the votes are split, and the
// split is resolved.
func TestSplitVotesAreResolved(t *testing.T) {
	for _, nodes := range []int{3, 5} {
		for _, waiters := range []int{3, 4, 7, 12} {
			if testing.Short() && waiters > 4 {
				continue
			}
			withFleet(t, nodes, func(f *fleet) {
				begin, done, inside := make(chan struct{}), make(chan time.Duration, waiters), 0
				for range waiters {
					q := f.locker()
					f.release(f.acquire(q, "warm"))
					go func() {
						<-begin
						begun := time.Now()
						ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
						defer cancel()
						l, err := q.Acquire(ctx, "a")
						if err != nil {
							f.Error(err)
							done <- time.Minute
							return
						}
						if inside++; inside != 1 {
							f.Errorf("%d holders", inside)
						}
						time.Sleep(time.Millisecond)
						inside--
						f.release(l)
						done <- time.Since(begun)
					}()
				}
				close(begin)
				for range waiters {
					if took := <-done; took > 3*time.Second {
						f.Errorf("%d nodes, %d waiters: one waited for %v", nodes, waiters, took)
					}
				}
				f.untouched("a")
			})
		}
	}
}

func TestAMuteNodeDelaysNobodyAndIsAskedAgain(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		q := f.locker()
		f.release(f.acquire(q, "warm"))
		f.servers[0].cut()
		begun := time.Now()
		l := f.acquire(q, "a")
		if took := time.Since(begun); took > 5*time.Millisecond {
			f.Errorf("it took %v", took)
		}
		if n := held(l); n != 2 {
			f.Errorf("%d nodes have it", n)
		}
		f.servers[0].mend()
		time.Sleep(10 * time.Second)
		if n := held(l); n != 3 {
			f.Errorf("%d nodes have it after the third is back: %+v", n, l.Nodes())
		}
		f.servers[1].cut() // now another server may be cut off
		time.Sleep(time.Minute)
		if l.Err() != nil {
			f.Error(l.Err())
		}
		begun = time.Now()
		f.release(l)
		if took := time.Since(begun); took > 5*time.Millisecond {
			f.Errorf("the release took %v", took)
		}
		f.servers[1].mend()
		time.Sleep(time.Minute)
		f.untouched("a")
	})
}

func TestTheContextEndsBeforeTheMajorityIsAnothers(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		q, other := f.locker(), f.locker()
		f.release(f.acquire(other, "warm"))
		time.Sleep(5 * time.Second) // so that INFO, which counts in seconds, shows the restart
		l := f.acquire(q, "a", redislock.WithLease(2*time.Second))
		for _, s := range f.servers[:2] {
			s.stop()
		}
		ended := l.Context().Done()
		begun := time.Now()
		<-ended
		if took := time.Since(begun); took > 2*time.Second {
			f.Errorf("it ended after %v", took)
		}
		if err := l.Err(); !errors.Is(err, redislock.ErrLost) || !strings.Contains(err.Error(), "127.0.0.1:6379") {
			f.Error(err)
		}
		for _, s := range f.servers[:2] {
			s.start(false)
		}
		if err := l.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrLost) {
			f.Error(err)
		}
		time.Sleep(time.Minute)
		f.release(f.acquire(other, "a"))
		f.untouched("a")
	})
}

func TestAMajorityThatCannotBeReachedIsSaid(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		q, late := f.locker(), f.locker()
		f.release(f.acquire(q, "warm"))
		f.servers[0].stop()
		f.servers[1].stop()
		for what, q := range map[string]*quorum.Locker{"known": q, "new": late} {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			begun := time.Now()
			_, err := q.Acquire(ctx, "a")
			cancel()
			if err == nil || errors.Is(err, redislock.ErrHeld) || !strings.Contains(err.Error(), "127.0.0.1:6379: ") || !strings.Contains(err.Error(), "connection refused") {
				f.Errorf("%s: %v", what, err)
			}
			if took := time.Since(begun); took > time.Second+50*time.Millisecond {
				f.Errorf("%s: after %v", what, took)
			}
		}
		f.servers[2].cut() // the holder has all three votes, and one server is mute
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		begun := time.Now()
		if _, err := q.Acquire(ctx, "a"); err == nil || errors.Is(err, redislock.ErrHeld) {
			f.Error(err)
		}
		if took := time.Since(begun); took > 350*time.Millisecond {
			f.Errorf("after %v", took)
		}
		f.servers[2].mend()
		f.servers[0].start(false)
		f.servers[1].start(false)
		time.Sleep(time.Minute)
		f.untouched("a")
	})
}

func TestAHeldLockIsSaidToBeHeld(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		q, other := f.locker(), f.locker()
		l := f.acquire(q, "a", redislock.WithMetadata("the nightly import"))
		time.Sleep(time.Second)
		_, err := other.TryAcquire(context.Background(), "a")
		var held *redislock.HeldError
		if !errors.Is(err, redislock.ErrHeld) || !errors.As(err, &held) || held.Holder.Metadata != "the nightly import" {
			f.Error(err)
		}
		begun := time.Now()
		_, err = other.Acquire(context.Background(), "a", redislock.WithWait(time.Second))
		if !errors.Is(err, redislock.ErrHeld) || errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "cancel") || time.Since(begun) > time.Second+50*time.Millisecond {
			f.Errorf("after %v: %v", time.Since(begun), err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err = other.Acquire(ctx, "a"); !errors.Is(err, redislock.ErrHeld) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			f.Error(err)
		}
		f.servers[2].cut() // a mute server makes no difference
		begun = time.Now()
		if _, err := other.TryAcquire(context.Background(), "a"); !errors.Is(err, redislock.ErrHeld) || time.Since(begun) > 200*time.Millisecond {
			f.Errorf("after %v: %v", time.Since(begun), err)
		}
		begun = time.Now()
		info, err := other.Inspect(context.Background(), "a")
		if err != nil || !info.Held || info.Fence != l.Fence() || info.Nodes[1].Err != nil || info.Nodes[2].Err == nil || time.Since(begun) > 200*time.Millisecond {
			f.Errorf("after %v: %+v, %v", time.Since(begun), info, err)
		}
		f.servers[1].cut()
		if _, err := other.Acquire(context.Background(), "a", redislock.WithWait(time.Second)); err == nil || errors.Is(err, redislock.ErrHeld) || errors.Is(err, context.Canceled) {
			f.Error(err)
		}
		f.servers[1].mend()
		f.servers[2].mend()
		time.Sleep(10 * time.Second)
		f.release(l)
		f.untouched("a")
	})
}

// A caller may give up at any moment: before the answers, between them, while it waits, at the grant.
func TestAnAcquireThatIsCancelledAtAnyMomentLeavesNothing(t *testing.T) {
	for at := range 40 {
		withFleet(t, 3, func(f *fleet) {
			q, other := f.locker(), f.locker()
			f.release(f.acquire(q, "warm"))
			f.release(f.acquire(other, "warm"))
			go func() {
				l := f.acquire(other, "a")
				time.Sleep(2 * time.Millisecond)
				f.release(l)
			}()
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(at)*100*time.Microsecond)
			defer cancel()
			if l, err := q.Acquire(ctx, "a"); err == nil {
				f.release(l)
			}
			time.Sleep(time.Minute)
			f.untouched("a")
		})
	}
}

func TestFencesRiseOverAFlushOfOneNodeAfterTheOther(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		a, b := f.locker(), f.locker()
		last := int64(0)
		for i := range 12 {
			q := a
			if i%2 == 1 {
				q = b
			}
			l := f.acquire(q, "a", redislock.WithLease(3*time.Second))
			if l.Fence() <= last {
				f.Fatalf("fence %d after %d", l.Fence(), last)
			}
			last = l.Fence()
			other := b
			if i%2 == 1 {
				other = a
			}
			time.Sleep(100 * time.Millisecond)
			f.servers[i%3].flush()
			if l2, err := other.TryAcquire(context.Background(), "a"); err == nil {
				f.Errorf("two holders: %d and %d", l.Fence(), l2.Fence())
			}
			time.Sleep(5 * time.Second)
			if err := l.Err(); err != nil {
				f.Errorf("%d: %v", i, err)
			}
			f.release(l)
		}
		f.untouched("a")
	})
}

func TestANodeThatCameBackDoesNotCountAtOnce(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		q, other := f.locker(quorum.WithLongestLease(10*time.Second)), f.locker(quorum.WithLongestLease(10*time.Second))
		f.release(f.acquire(q, "warm", redislock.WithLease(9*time.Second)))
		f.release(f.acquire(other, "warm", redislock.WithLease(9*time.Second)))
		f.servers[2].stop()
		l := f.acquire(q, "a", redislock.WithLease(9*time.Second)) // a bare majority
		for _, rdb := range f.rdbs[1:3] {                          // the holder cannot ask any more, and counts the vote until its bound
			_ = rdb.Close()
		}
		f.servers[2].start(false)
		f.servers[1].stop()
		f.servers[1].start(true) // the server has forgotten the vote
		_ = f.rdbs[1].Close()    // the holder cannot ask it again, and counts the vote until its bound
		said := false
		for range 80 {
			_, err := other.TryAcquire(context.Background(), "a", redislock.WithLease(9*time.Second))
			if err == nil && l.Err() == nil {
				f.Fatal("two holders")
			}
			said = said || err != nil && strings.Contains(err.Error(), "came back")
			time.Sleep(100 * time.Millisecond)
		}
		if !said {
			f.Error("nothing was said of the node that came back")
		}
		time.Sleep(time.Minute)
		if err := l.Err(); err != nil {
			f.Logf("lost, as it may be: %v", err)
		}
		_ = l.Release(context.Background())
		f.release(f.acquire(other, "a", redislock.WithLease(9*time.Second)))
		q = f.locker(quorum.WithLongestLease(10 * time.Second))
		for _, s := range f.servers { // a server that keeps everything counts at once
			s.mu.Lock()
			s.always = true
			s.mu.Unlock()
			s.stop()
			s.start(false)
		}
		begun := time.Now()
		l = f.acquire(q, "a", redislock.WithLease(9*time.Second))
		if took := time.Since(begun); took > time.Second {
			f.Errorf("it took %v", took)
		}
		f.release(l)
		f.untouched("a")
	})
}

func TestADoBodyHasTheFenceAndTheLock(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		q := f.locker()
		err := q.Do(context.Background(), "a", func(ctx context.Context) error {
			l, ok := quorum.FromContext(ctx)
			if number, found := fence.Of(ctx, "a"); !ok || !found || number != l.Fence() || number == 0 {
				f.Errorf("%d %v %v", number, found, ok)
			}
			if number, found := fence.FromContext(l.Context()); !found || number != l.Fence() {
				f.Errorf("%d %v", number, found)
			}
			if _, err := q.Acquire(ctx, "a", redislock.NonReentrant()); !errors.Is(err, redislock.ErrDeadlock) {
				f.Error(err)
			}
			inner, err := q.Acquire(ctx, "a")
			if err != nil {
				return err
			}
			if inner.Fence() != l.Fence() {
				f.Errorf("nested: %d, %d", inner.Fence(), l.Fence())
			}
			if err := l.Release(ctx); !errors.Is(err, redislock.ErrOrder) {
				f.Error(err)
			}
			under := inner.With(ctx)
			if err := inner.Release(ctx); err != nil {
				f.Error(err)
			}
			if <-under.Done(); l.Err() != nil || inner.Err() == nil {
				f.Errorf("%v, %v", l.Err(), inner.Err())
			}
			return ctx.Err()
		})
		if err != nil {
			f.Error(err)
		}
		f.untouched("a")
		if err := q.Wrap("a", func(context.Context) error { return errors.New("mine") })(context.Background()); err == nil || err.Error() != "mine" {
			f.Error(err)
		}
		f.untouched("a")
	})
}

func TestALockOverItsLongestTimeIsGivenBack(t *testing.T) {
	for what, opt := range map[string]redislock.Option{"longest": redislock.WithMaxHold(3 * time.Second), "final": redislock.WithoutRenewal()} {
		withFleet(t, 3, func(f *fleet) {
			q := f.locker()
			begun := time.Now()
			l := f.acquire(q, "a", opt, redislock.WithLease(4*time.Second))
			<-l.Context().Done()
			if took := time.Since(begun); took > 4100*time.Millisecond || !errors.Is(l.Err(), redislock.ErrLost) {
				f.Errorf("%s: %v, %v", what, took, l.Err())
			}
			f.release(f.acquire(q, "a"))
			f.untouched("a")
		})
	}
}

func TestAStaleHoldIsStolen(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		q, other := f.locker(), f.locker()
		l := f.acquire(q, "a")
		time.Sleep(time.Second)
		thief := f.acquire(other, "a", redislock.WithStealAfter(3*time.Second))
		if err := l.Err(); !errors.Is(err, redislock.ErrStolen) {
			f.Error(err)
		}
		if thief.Fence() <= l.Fence() {
			f.Errorf("%d after %d", thief.Fence(), l.Fence())
		}
		if err := l.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) {
			f.Error(err)
		}
		time.Sleep(time.Minute)
		if thief.Err() != nil {
			f.Error(thief.Err())
		}
		f.release(thief)
		f.untouched("a")
	})
}

func TestANewQuorumRefusesWhatCannotWork(t *testing.T) {
	withFleet(t, 9, func(f *fleet) {
		f.servers = append(f.servers, f.servers[0], f.servers[1])
		all := f.clients()
		elsewhere, many := redis.NewClient(&redis.Options{Addr: "127.0.1.1:6379"}), redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.1.2:6379"}})
		defer elsewhere.Close()
		defer many.Close()
		prefixed, err := redislock.New(elsewhere, redislock.WithPrefix("other"))
		if err != nil {
			f.Fatal(err)
		}
		cluster, err := redislock.New(many)
		if err != nil {
			f.Fatal(err)
		}
		for what, of := range map[string][]*redislock.Client{
			"none": nil, "one": all[:1], "two": all[:2], "four": all[:4], "eleven": all, "nil": {all[0], nil, all[1]}, "twice": {all[0], all[1], all[0]},
			"one address": {all[0], all[1], all[9]}, "another prefix": {all[0], all[1], prefixed}, "a cluster": {all[0], all[1], cluster},
		} {
			if _, err := quorum.New(of); !errors.Is(err, redislock.ErrInvalid) {
				f.Errorf("%s: %v", what, err)
			}
		}
		for what, opt := range map[string]quorum.Option{"nil": nil, "too short": quorum.WithLongestLease(time.Millisecond), "too long": quorum.WithLongestLease(48 * time.Hour)} {
			if _, err := quorum.New(all[:3], opt); !errors.Is(err, redislock.ErrInvalid) {
				f.Errorf("%s: %v", what, err)
			}
		}
		q, err := quorum.New(all[:3])
		if err != nil {
			f.Fatal(err)
		}
		for what, opt := range map[string]redislock.Option{
			"a mode": redislock.WithMode(redislock.Read), "a weight": redislock.WithWeight(2), "replicas": redislock.WithReplicas(1, time.Second),
			"a floor": redislock.WithFenceFloor(1), "fail open": redislock.WithFailOpen(), "a long lease": redislock.WithLease(2 * time.Minute), "nil": nil,
		} {
			if _, err := q.Acquire(context.Background(), "a", opt); !errors.Is(err, redislock.ErrInvalid) {
				f.Errorf("%s: %v", what, err)
			}
		}
		var none *quorum.Locker
		var made quorum.Lock
		if _, err := none.Acquire(context.Background(), "a"); !errors.Is(err, redislock.ErrInvalid) {
			f.Error(err)
		}
		if err := made.Release(context.Background()); !errors.Is(err, redislock.ErrInvalid) || made.Context().Err() == nil || made.Err() == nil {
			f.Error(err)
		}
		if _, err := q.Acquire(context.Background(), ""); !errors.Is(err, redislock.ErrInvalid) {
			f.Error(err)
		}
		var noContext context.Context
		_, err = q.Acquire(noContext, "a")
		if !errors.Is(err, redislock.ErrInvalid) {
			f.Error(err)
		}
	})
}

func TestTwoAddressesOfOneServerAreFoundOut(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		q := f.locker()
		f.servers[1].name = f.servers[0].name // both servers name the same run
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := q.Acquire(ctx, "a"); !errors.Is(err, redislock.ErrInvalid) || ctx.Err() != nil {
			f.Error(err)
		}
		f.untouched("a")
	})
}

func TestARightThatIsMissingIsSaid(t *testing.T) {
	withFleet(t, 3, func(f *fleet) {
		q := f.locker()
		for _, s := range f.servers[:2] {
			s.mu.Lock()
			s.refuses = "INFO"
			s.mu.Unlock()
		}
		if _, err := q.TryAcquire(context.Background(), "a"); !errors.Is(err, redislock.ErrPermission) {
			f.Error(err)
		}
		q = f.locker(quorum.WithDurableNodes())
		f.release(f.acquire(q, "a"))
		f.untouched("a")
	})
}
