package redislock_test

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"sync"
	"testing"
	"time"

	"example.com/redislock"
)

// contended is what the server executes at the most for one script on a lock that is held and waited for, the script itself
// included. Where less is needed the table is to follow, so that it does not become more again.
var contended = map[string]map[string]int{
	"refused":                                {"evalsha": 1, "hlen": 1, "time": 1, "hmget": 1, "hgetall": 1},
	"join":                                   {"evalsha": 1, "hlen": 1, "time": 1, "hmget": 2, "hget": 1, "hset": 1},
	"hand-over":                              {"evalsha": 1, "hlen": 1, "time": 1, "hmget": 1, "hget": 2, "hset": 1, "hdel": 2, "pubsub": 1, "publish": 1},
	"renewal":                                {"evalsha": 1, "hlen": 1, "time": 1, "hmget": 1, "hset": 1, "expireat": 1},
	"renewal of a hold that others wait for": {"evalsha": 1, "hlen": 1, "time": 1, "hmget": 1, "hset": 1, "expireat": 1},
	"check of 64 waits":                      {"evalsha": 1, "hlen": 1, "time": 1, "hmget": 2, "hget": 3, "hset": 1, "expireat": 1},
}

// soon waits without a pause: in fake time no time passes, so the looks are numbered too.
func (b *budget) soon(what string, is func() bool) {
	b.Helper()
	until := time.Now().Add(10 * time.Second)
	for looks := 0; looks < 10_000_000 && time.Now().Before(until); looks++ {
		if is() {
			return
		}
		runtime.Gosched()
	}
	b.stop(fmt.Errorf("not soon: %s", what))
}

// patiently waits until a crowd has done something, on whatever machine.
func (b *budget) patiently(what string, is func() bool) {
	b.Helper()
	for until := time.Now().Add(time.Minute); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			b.stop(fmt.Errorf("not within a minute: %s", what))
		}
	}
}

// line is a holder and those who wait for the same lock, spread over some instances.
type waiters struct {
	*budget
	all     []*instance
	held    *redislock.Lock
	waiting int
	granted chan *redislock.Lock
}

const lineName = "line"

func (b *budget) line(instances int) *waiters {
	b.Helper()
	l := &waiters{budget: b, granted: make(chan *redislock.Lock, 1)}
	for range instances {
		l.all = append(l.all, b.instance())
	}
	l.held = b.acquire(l.all[0].Client, lineName)
	time.Sleep(2 * redislock.Brief)
	return l
}

// join lets more of them wait, and returns when they do.
func (l *waiters) join(n int) {
	l.Helper()
	before := l.queued()
	for i := range n {
		c := l.all[(l.waiting+i)%len(l.all)]
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
			defer cancel()
			lock, err := c.Acquire(ctx, lineName)
			if err != nil {
				l.Error(err)
			}
			l.granted <- lock
		}()
	}
	l.waiting += n
	l.patiently(fmt.Sprint("they wait: ", n), func() bool { return l.queued() == before+n })
}

func (l *waiters) queued() (n int) {
	for _, c := range l.all {
		n += c.told.count(redislock.EventQueued)
	}
	return n
}

// pass hands the lock over to the next.
func (l *waiters) pass() {
	l.Helper()
	l.release(l.held)
	if l.held = <-l.granted; l.held == nil {
		l.FailNow()
	}
	l.waiting--
}

// end hands it over until nobody waits.
func (l *waiters) end() {
	l.Helper()
	for l.waiting > 0 {
		l.pass()
	}
	l.release(l.held)
}

// sent is what all instances have sent.
func (l *waiters) sent() map[string]int {
	all := map[string]int{}
	for _, c := range l.all {
		sent, _ := c.wire.count()
		for name, n := range sent {
			all[name] += n
		}
	}
	return all
}

func TestAHandOffCostsTwoCommandsHoweverManyWait(t *testing.T) {
	metered(t, func(b *budget) {
		sizes := []int{2, 32}
		if b.server != nil {
			sizes = append(sizes, 1000)
		}
		for _, size := range sizes {
			l := b.line(2)
			begun := time.Now()
			b.reset(l.all...)
			l.join(size)
			l.end()
			sent := l.sent()
			checks := len(l.all) * int(time.Since(begun)/(1500*time.Millisecond))
			if sent["check"] > checks {
				b.Errorf("%d waiters: %d checks in %v", size, sent["check"], time.Since(begun))
			}
			delete(sent, "check")
			if want := (map[string]int{"acquire": size, "release": size + 1}); !maps.Equal(sent, want) {
				b.Errorf("%d waiters: %v was sent instead of %v", size, sent, want)
			}
		}
	})
}

func TestWhoWaitsSendsAtMostACheckOfAllWaitersInAWhile(t *testing.T) {
	meteredEmbedded(t, func(b *budget) {
		l := b.line(2)
		l.join(100)
		b.reset(l.all...)
		time.Sleep(time.Minute)
		sent := l.sent()
		if want := len(l.all) * int(time.Minute/(1500*time.Millisecond)); sent["check"] > want {
			b.Errorf("%d checks in a minute, at most %d", sent["check"], want)
		}
		if sent["renew"] > 6 {
			b.Errorf("%d renewals of the one hold", sent["renew"])
		}
		delete(sent, "check")
		delete(sent, "renew")
		if len(sent) > 0 {
			b.Errorf("they also sent %v", sent)
		}
		l.end()
	})
}

func TestWhatTheServerDoesForAWaiterDoesNotGrowWithTheQueue(t *testing.T) {
	b := meteredReal(t)
	few := map[string]map[string]int{}
	for _, size := range []int{10, 1000} {
		l := b.line(2)
		l.join(size)
		for what, step := range map[string]func(){"join": func() { l.join(1) }, "hand-over": l.pass} {
			most := map[string]int{} // of each command: it matters a little whose Client the neighbour is of
			for range 6 {
				var executed map[string]int
				b.undisturbed(what, func() bool {
					if l.waiting < 2 {
						l.join(size)
					}
					b.reset(l.all...)
					step()
					executed = b.executed()
					sent := l.sent()
					return sent["check"]+sent["renew"] == 0
				})
				for name, n := range executed {
					most[name] = max(most[name], n)
				}
			}
			b.within(fmt.Sprintf("%s, %d wait", what, size), most, contended[what])
			if few[what] == nil {
				few[what] = most
			}
			if !maps.Equal(most, few[what]) {
				b.Errorf("%s: the server executed %v where %d wait, and %v where few do", what, most, size, few[what])
			}
		}
		l.end()
	}
}

func TestARenewalIsOneCommandAndManyShareAPipeline(t *testing.T) {
	meteredEmbedded(t, func(b *budget) {
		c := b.instance()
		for _, n := range []int{1, 257} {
			var locks []*redislock.Lock
			for i := range n {
				locks = append(locks, b.acquire(c.Client, fmt.Sprint(n, "-", i)))
			}
			c.wire.reset()
			time.Sleep(redislock.DefaultLease / 2)
			sent, trips := c.wire.count()
			if want := (map[string]int{"renew": n}); !maps.Equal(sent, want) || trips != (n+255)/256 {
				b.Errorf("%d locks: %v was sent in %d round trips, instead of %v in %d", n, sent, trips, want, (n+255)/256)
			}
			for _, l := range locks {
				b.release(l)
			}
		}
	})
}

func TestARenewalCostsTheServerAConstant(t *testing.T) {
	b := meteredReal(t)
	c := b.instance()
	for what, waiting := range map[string]int{"renewal": 0, "renewal of a hold that others wait for": 20} {
		var executed map[string]int
		b.undisturbed(what, func() bool {
			ctx, cancel := context.WithCancel(context.Background())
			name := what
			l := b.acquire(c.Client, name, redislock.WithLease(3*time.Second))
			queued := c.told.count(redislock.EventQueued)
			var all sync.WaitGroup
			for range waiting {
				all.Go(func() {
					if l, err := c.Acquire(ctx, name); err == nil {
						_ = l.Release(ctx)
					}
				})
			}
			b.patiently("they wait", func() bool { return c.told.count(redislock.EventQueued) == queued+waiting })
			b.reset(c)
			renewed := c.told.count(redislock.EventRenewed)
			b.eventually("it is renewed", func() bool { return c.told.count(redislock.EventRenewed) > renewed })
			executed = b.executed()
			sent, _ := c.wire.count()
			cancel()
			all.Wait()
			b.release(l)
			return maps.Equal(sent, map[string]int{"renew": 1})
		})
		b.within(what, executed, contended[what])
	}
}

func TestACheckCostsTheServerAConstant(t *testing.T) {
	b := meteredReal(t)
	l := b.line(1)
	l.join(100)
	var executed map[string]int
	b.undisturbed("a check", func() bool {
		b.reset(l.all...)
		b.eventually("it is checked", func() bool {
			executed = b.executed()
			return executed["evalsha"] > 0
		})
		return maps.Equal(l.sent(), map[string]int{"check": 1})
	})
	b.within("a check", executed, contended["check of 64 waits"])
	l.end()
}
