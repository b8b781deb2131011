package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// readTogether are the options of readers who have a lock together.
func readTogether() []redislock.Option { return append(inTurns(), reading) }

// heldBy fails unless the server knows of that many holders.
func (e *env) heldBy(c *redislock.Client, name string, want int) {
	e.Helper()
	if info, err := c.Inspect(e.Context(), name); err != nil || info.Holders != want {
		e.Errorf("%d holders, %v; want %d", info.Holders, err, want)
	}
}

// listening makes the Clients and lets them subscribe.
func (e *env) listening(n int) (clients []*redislock.Client) {
	for range n {
		clients = append(clients, e.client())
	}
	e.warm(clients...)
	time.Sleep(20 * time.Millisecond)
	return clients
}

func TestReadersOfAProcessAreLetInBesideEachOtherWithoutARequest(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.listening(1)[0]
		first := e.acquire(c, "x", readTogether()...)
		before := commands(e)
		type key struct{}
		var locks []*redislock.Lock
		for i := range 5 {
			l, err := c.Acquire(context.WithValue(e.Context(), key{}, i), "x", readTogether()...)
			if err != nil {
				e.Fatal(err)
			}
			if l.Err() != nil || l.Fence() != first.Fence() || l.Mode() != redislock.Read || l.Context().Value(key{}) != i {
				e.Errorf("number %d: %v, fence %d, %v, %v", i, l.Err(), l.Fence(), l.Mode(), l.Context().Value(key{}))
			}
			locks = append(locks, l)
		}
		for i, l := range append([]*redislock.Lock{first}, locks[:4]...) { // in whichever order
			e.release(l)
			if !errors.Is(l.Err(), redislock.ErrReleased) || !errors.Is(context.Cause(l.Context()), redislock.ErrReleased) {
				e.Errorf("number %d, after its release: %v, %v", i, l.Err(), context.Cause(l.Context()))
			}
			e.release(l) // the same answer
			if err := locks[4].Err(); err != nil || locks[4].Context().Err() != nil {
				e.Errorf("who reads on: %v", err)
			}
		}
		if n := commands(e) - before; n != 0 {
			e.Errorf("%d commands for readers beside each other", n)
		}
		e.heldBy(c, "x", 1)
		e.release(locks[4])
		time.Sleep(2 * lingerTime)
		e.heldBy(c, "x", 0)
		writer := e.acquire(e.client(), "x", writing)
		if writer.Fence() <= first.Fence() {
			e.Errorf("the writer has fence %d after %d", writer.Fence(), first.Fence())
		}
		e.release(writer)
	})
}

func TestReadersThatComeAtOnceSendOneRequest(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		c := e.listening(1)[0]
		e.release(e.acquire(c, "x", reading)) // the server has the scripts
		before := commands(e)
		e.release(e.acquire(c, "x", reading))
		pair := commands(e) - before
		before = commands(e)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				l := e.acquire(c, "x", redislock.WithTurn(turnTime), reading)
				time.Sleep(10 * time.Millisecond)
				e.release(l)
			})
		}
		all.Wait()
		if n := commands(e) - before; n > pair+2 {
			e.Errorf("%d commands for twenty readers, and %d for one", n, pair)
		}
	})
}

// I5: a reader that comes after a writer waits for it, also in its own process.
func TestAReaderThatComesAfterAWaitingWriterDoesNotPass(t *testing.T) {
	for what, own := range map[string]bool{"of another process": false, "of its own": true} {
		t.Run(what, func(t *testing.T) {
			embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
				clients := e.listening(2)
				c, w := clients[0], clients[1]
				if own {
					w = c
				}
				first, second := e.acquire(c, "x", readTogether()...), e.acquire(c, "x", readTogether()...)
				writer := e.waiter(w, "x", writing)
				e.queued(clients[1], "x", 1)
				time.Sleep(5 * time.Millisecond) // the message is on its way
				late := []<-chan *redislock.Lock{e.waiter(c, "x", readTogether()...), e.waiter(c, "x", readTogether()...)}
				e.queued(clients[1], "x", 3)
				e.release(first)
				e.none(writer, "a reader reads on")
				e.release(second)
				l := <-writer
				for _, r := range late {
					e.none(r, "a writer has the lock")
				}
				e.release(l)
				for _, r := range late {
					r := <-r
					if r.Fence() <= l.Fence() {
						e.Errorf("fence %d after the writer's %d", r.Fence(), l.Fence())
					}
					e.release(r)
				}
				e.release(e.acquire(c, "x", readTogether()...)) // and together again
			})
		})
	}
}

func TestReadersThatLingerGiveWayToAWriterAtOnce(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		clients := e.listening(3)
		e.release(e.acquire(clients[2], "y", writing))
		for i := range 3 {
			for _, c := range clients[:2] { // both are told
				e.release(e.acquire(c, "x", readTogether()...))
			}
			e.heldBy(clients[2], "x", 2)
			begun := time.Now()
			e.release(e.acquire(clients[2], "x", writing))
			if took := time.Since(begun); took > 20*time.Millisecond {
				e.Errorf("number %d: the writer waited %v", i, took)
			}
		}
		e.release(e.acquire(clients[0], "x", readTogether()...))
		e.release(e.acquire(clients[2], "x", writing, redislock.WithWait(0))) // after three recalls it does not linger
	})
}

// A reader that upgrades waits for readers in turns, as any writer does.
func TestReadersInTurnsGiveWayToAnUpgrade(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		clients := e.listening(2)
		l := e.acquire(clients[1], "x", reading)
		e.release(e.acquire(clients[0], "x", readTogether()...))
		e.heldBy(clients[1], "x", 2)
		begun := time.Now()
		if err := l.Upgrade(e.Context()); err != nil {
			e.Fatal(err)
		}
		if took := time.Since(begun); took > 20*time.Millisecond {
			e.Errorf("it took %v", took)
		}
		e.release(l)
	})
}

// A lost recall costs a second: present readers go on, and later ones ask the server.
func TestReadersAreLetInForASecondAtTheMost(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.listening(1)[0]
		long := e.acquire(c, "x", readTogether()...)
		begun := time.Now()
		for range 3 {
			for time.Sleep(time.Millisecond); ; time.Sleep(10 * time.Millisecond) {
				before := commands(e)
				l := e.acquire(c, "x", readTogether()...)
				e.release(l)
				if commands(e) != before {
					break
				}
			}
			if took := time.Since(begun); took < 900*time.Millisecond || took > 1100*time.Millisecond {
				e.Errorf("the server was asked after %v", took)
			}
			begun = time.Now()
		}
		if err := long.Err(); err != nil {
			e.Error(err)
		}
		e.release(long)
		time.Sleep(2 * lingerTime)
		e.heldBy(c, "x", 0)
	})
}

func TestReadersWhoseHoldIsLostAllHearIt(t *testing.T) {
	for what, lose := range map[string]func(e *env, n *fakenet.Network){
		"broken":    func(e *env, _ *fakenet.Network) { _, _ = e.client().Break(e.Context(), "x", "why") },
		"forgotten": func(e *env, _ *fakenet.Network) { e.raw.FlushAll(e.Context()); time.Sleep(time.Second) },
		"cut off":   func(_ *env, n *fakenet.Network) { n.Cut(); time.Sleep(3 * time.Second); n.Mend() },
	} {
		t.Run(what, func(t *testing.T) {
			embedded(t, 0, func(e *env, n *fakenet.Network) {
				var r recorder
				c := e.client(redislock.WithObserver(&r))
				e.warm(c)
				time.Sleep(20 * time.Millisecond)
				options := append(readTogether(), redislock.WithLease(2*time.Second))
				var locks []*redislock.Lock
				for range 3 {
					locks = append(locks, e.acquire(c, "x", options...))
				}
				e.release(locks[1])
				lose(e, n)
				time.Sleep(time.Millisecond)
				for _, i := range []int{2, 0} {
					l := locks[i]
					if !errors.Is(l.Err(), redislock.ErrLost) || !errors.Is(context.Cause(l.Context()), redislock.ErrLost) {
						e.Errorf("number %d: %v, %v", i, l.Err(), context.Cause(l.Context()))
					}
				}
				next := e.acquire(c, "x", options...) // beside nobody
				if next.Fence() <= locks[0].Fence() {
					e.Errorf("fence %d after %d", next.Fence(), locks[0].Fence())
				}
				for _, i := range []int{2, 0} {
					if err := locks[i].Release(e.Context()); !errors.Is(err, redislock.ErrNotHeld) {
						e.Errorf("number %d: its release: %v", i, err)
					}
				}
				if err := next.Err(); err != nil {
					e.Error(err)
				}
				e.release(next)
				time.Sleep(2 * lingerTime)
				e.heldBy(c, "x", 0)
				e.balanced(&r)
			})
		})
	}
}

// I8: at whatever moment a context ends.
func TestReadersThatGiveUpLeaveNothing(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		var r recorder
		c, other := e.client(redislock.WithObserver(&r)), e.client()
		e.warm(c, other)
		time.Sleep(20 * time.Millisecond)
		for at := time.Duration(0); at < 12*time.Millisecond; at += 250 * time.Microsecond {
			var held *redislock.Lock
			if at%time.Millisecond == 0 { // sometimes there is a writer
				held = e.acquire(other, "x", writing)
			}
			var all sync.WaitGroup
			for i := range 5 {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(e.Context(), at+time.Duration(i)*500*time.Microsecond)
					defer cancel()
					l, err := c.Acquire(ctx, "x", readTogether()...)
					if err != nil {
						return
					}
					time.Sleep(time.Millisecond)
					e.release(l)
				})
			}
			all.Wait()
			if held != nil {
				e.release(held)
			}
		}
		time.Sleep(2 * lingerTime)
		e.release(e.acquire(other, "x", writing, redislock.WithWait(0)))
		e.balanced(&r)
	})
}

func TestWithWaitBoundsAReaderInTurnsToo(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		clients := e.listening(2)
		l := e.acquire(clients[1], "x", writing)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				begun := time.Now()
				_, err := clients[0].Acquire(e.Context(), "x", append(readTogether(), redislock.WithWait(time.Second))...)
				if took := time.Since(begun); !errors.Is(err, redislock.ErrHeld) || took > 1100*time.Millisecond {
					e.Errorf("after %v: %v", took, err)
				}
				e.refused(clients[0], "x", readTogether()...)
			})
		}
		all.Wait()
		e.release(l)
		e.untouched("x")
	})
}

func TestCloseAndDrainWaitForReadersInTurns(t *testing.T) {
	for what, end := range map[string]func(c *redislock.Client, ctx context.Context) error{
		"Close": (*redislock.Client).Close, "Drain": (*redislock.Client).Drain,
	} {
		t.Run(what, func(t *testing.T) {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				c := e.listening(1)[0]
				first, second := e.acquire(c, "x", readTogether()...), e.acquire(c, "x", readTogether()...)
				ended := make(chan error, 1)
				go func() { ended <- end(c, e.Context()) }()
				time.Sleep(time.Millisecond)
				if _, err := c.Acquire(e.Context(), "x", readTogether()...); !errors.Is(err, redislock.ErrClosed) {
					e.Errorf("it takes locks: %v", err)
				}
				e.release(first)
				time.Sleep(time.Second)
				select {
				case err := <-ended:
					e.Errorf("it has ended: %v", err)
				default:
				}
				e.release(second)
				if err := <-ended; err != nil {
					e.Error(err)
				}
				e.release(e.acquire(e.client(), "x", writing, redislock.WithWait(0)))
			})
		})
	}
}

func TestALockThatReadersHaveTogetherIsOnlyReadAndReleased(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		clients := e.listening(2)
		c := clients[0]
		shared := e.acquire(c, "x", readTogether()...)
		l := e.acquire(clients[1], "y", writing)
		var alone []<-chan *redislock.Lock
		for range 2 {
			alone = append(alone, e.waiter(c, "y", readTogether()...))
		}
		e.queued(c, "y", 2)
		e.release(l)
		for i, l := range []*redislock.Lock{shared, <-alone[0], <-alone[1]} { // those who waited have it alone
			if err := l.Upgrade(e.Context()); !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("number %d: Upgrade: %v", i, err)
			}
			if _, err := l.Handoff(); !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("number %d: Handoff: %v", i, err)
			}
			if err := l.ReleaseAfter(e.Context(), time.Second); !errors.Is(err, redislock.ErrInvalid) {
				e.Errorf("number %d: ReleaseAfter: %v", i, err)
			}
			nested := e.acquire(c, l.Name(), reading)
			inner, err := c.Acquire(l.Context(), l.Name(), reading)
			if err != nil || inner.Fence() != l.Fence() {
				e.Errorf("number %d: nested: %v", i, err)
			}
			if err := l.Release(e.Context()); !errors.Is(err, redislock.ErrOrder) {
				e.Errorf("number %d: released before what is nested in it: %v", i, err)
			}
			e.release(inner)
			e.release(l)
			e.release(nested)
		}
		time.Sleep(2 * lingerTime)
		e.untouched("x")
	})
}

// Readers with another lease, or without turns, have their own holds. Exclusive callers have a turn of their own.
func TestReadersOfOtherOptionsHaveHoldsOfTheirOwn(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.listening(1)[0]
		var locks []*redislock.Lock
		for i, options := range [][]redislock.Option{readTogether(), readTogether(), append(readTogether(), redislock.WithLease(time.Second)), {reading}, readTogether()} {
			locks = append(locks, e.acquire(c, "x", options...))
			e.heldBy(c, "x", []int{1, 1, 2, 3, 3}[i])
		}
		exclusive := e.waiter(c, "x", inTurns()...)
		e.queued(c, "x", 1)
		for _, l := range locks {
			e.release(l)
		}
		e.release(<-exclusive)
	})
}

func TestReadersInTurnsAllocateTheHandleAlone(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.listening(1)[0]
		ctx, opts := e.Context(), readTogether()
		beside := e.acquire(c, "x", opts...)
		if n := testing.AllocsPerRun(50, func() {
			l, err := c.Acquire(ctx, "x", opts...)
			if err == nil {
				_ = l.Release(ctx)
			}
		}); n > 1 {
			e.Errorf("%v allocations", n)
		}
		e.release(beside)
	})
}

func TestReadersInTurnsOnARealServer(t *testing.T) {
	both(t, func(e *env) {
		clients := []*redislock.Client{e.client(), e.client(), e.client()}
		e.warm(clients...)
		var mu sync.Mutex
		readers, writers := 0, 0
		var all sync.WaitGroup
		for _, c := range clients {
			for k := range 4 {
				all.Go(func() {
					for i := range 30 {
						n, options := &readers, append(readTogether(), redislock.WithMetadata(fmt.Sprint(i)))
						if k == 0 && i%4 == 0 {
							n, options = &writers, []redislock.Option{writing}
						}
						l := e.acquire(c, "x", options...)
						mu.Lock()
						if *n++; writers > 1 || writers > 0 && readers > 0 {
							e.Errorf("%d readers and %d writers", readers, writers)
						}
						mu.Unlock()
						time.Sleep(200 * time.Microsecond)
						mu.Lock()
						*n--
						mu.Unlock()
						e.release(l)
					}
				})
			}
		}
		all.Wait()
		e.eventually("nobody has it", func() bool {
			info, err := clients[0].Inspect(e.Context(), "x")
			return err == nil && info.Holders == 0
		})
	})
}
