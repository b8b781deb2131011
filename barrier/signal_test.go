package barrier_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/barrier"
)

// gate holds up one request of a process, before it is sent.
type gate struct {
	mu    sync.Mutex
	which func(request string) bool
	at    chan struct{} // closed when the request is held up
	open  chan struct{} // closed to let it go on
}

// arm chooses the next request that has all these texts.
func (g *gate) arm(texts ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at, g.open = make(chan struct{}), make(chan struct{})
	g.which = func(request string) bool {
		for _, text := range texts {
			if !strings.Contains(request, text) {
				return false
			}
		}
		return true
	}
}

func (g *gate) pass(args []any) {
	g.mu.Lock()
	held := g.which != nil && g.which(fmt.Sprint(args...))
	if held {
		g.which = nil
		close(g.at)
	}
	open := g.open
	g.mu.Unlock()
	if held {
		<-open
	}
}

func (g *gate) DialHook(next redis.DialHook) redis.DialHook { return next }

func (g *gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		g.pass(cmd.Args())
		return next(ctx, cmd)
	}
}

func (g *gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			g.pass(cmd.Args())
		}
		return next(ctx, cmds)
	}
}

// gated is a process with a gate.
func (w *world) gated(name string, opts ...redislock.ClientOption) (*redislock.Client, *gate) {
	w.Helper()
	g := &gate{}
	c, _ := w.processBehind(g, time.Millisecond, name, opts...)
	return c, g
}

// holds acquires the lock "work".
func (w *world) holds(c *redislock.Client) *redislock.Lock {
	w.Helper()
	l, err := c.Acquire(context.Background(), "work")
	if err != nil {
		w.Fatal(err)
	}
	return l
}

func (w *world) gives(l *redislock.Lock) {
	w.Helper()
	if err := l.Release(context.Background()); err != nil {
		w.Error(err)
	}
}

// The one who was woken first gives a signal that was noted. Between any two of its requests another signal comes, for the one who waits
// longer.
func TestASignalThatComesWhileAnotherIsGivenIsNotLost(t *testing.T) {
	for _, noted := range []int{1, 2} {
		for _, request := range [][]string{{"{condition:ready}", "a signal"}, {"{condition@signals:ready}", "given"}, {"{condition@next:ready}"}} {
			within(t, func(w *world) {
				s, ctx := w.sleepers(), context.Background()
				producer, _ := w.process("producer")
				first, g := w.gated("first")
				s.wait(ctx, first, "first", 0)
				time.Sleep(time.Second)
				for i := range noted + 1 {
					c, _ := w.process(fmt.Sprint("then-", i))
					s.wait(ctx, c, fmt.Sprint("then-", i), 0)
					time.Sleep(time.Second)
				}
				g.arm(request...)
				lock := w.holds(producer)
				signal(w, producer)
				for range noted {
					signal(w, producer)
				}
				w.gives(lock)
				<-g.at
				time.AfterFunc(time.Second, func() { close(g.open) })
				signal(w, producer)
				time.Sleep(30 * time.Second) // each waiter has looked by itself
				if woken := s.has(); len(woken) != noted+2 {
					w.Errorf("%d signals were noted, and one more came before %v: woken were %v", noted, request, woken)
				}
				broadcast(w, producer)
				s.all.Wait()
			})
		}
	}
}

// Two signals come at the same time, and one of them is slow: another caller begins to wait between two of its requests, and is signalled.
func TestOfTwoSignalsAtTheSameTimeNoneIsLost(t *testing.T) {
	for _, request := range [][]string{{"{condition@signals:ready}"}, {"{condition@next:ready}"}} {
		within(t, func(w *world) {
			s, ctx := w.sleepers(), context.Background()
			producer, _ := w.process("producer")
			slow, g := w.gated("slow")
			for _, name := range []string{"a", "b"} {
				c, _ := w.process(name)
				s.wait(ctx, c, name, 0)
				time.Sleep(time.Second)
			}
			late, _ := w.process("late")
			lock := w.holds(producer)
			s.wait(ctx, late, "late", 0) // before a, which is to be woken, comes for the lock
			time.Sleep(time.Second)
			other, _ := w.process("other")
			second := make(chan *redislock.Lock)
			go func() { second <- w.holds(other) }()
			time.Sleep(time.Second)
			signal(w, producer) // for a
			time.Sleep(time.Second)
			g.arm(request...)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				signal(w, slow) // for b
			}()
			<-g.at
			w.gives(lock) // late has the lock, and waits
			lock = <-second
			time.Sleep(time.Second)
			both := make(chan struct{})
			go func() {
				defer close(both)
				signal(w, other)
			}()
			time.Sleep(time.Second)
			close(g.open)
			<-ended
			<-both
			w.gives(lock)
			time.Sleep(30 * time.Second)
			s.want("a", "b", "late")
			broadcast(w, other)
			s.all.Wait()
		})
	}
}

// The waiter that was woken loses its lock before Wait returns, before or after it has shut the queue.
func TestAWaiterThatLosesItsLockBeforeWaitReturnsPassesItsSignalOn(t *testing.T) {
	for _, how := range []string{"broken", "held for too long"} {
		for _, request := range []string{"{condition:ready}", "{condition@signals:ready}"} {
			within(t, func(w *world) {
				s, ctx := w.sleepers(), context.Background()
				operator, _ := w.process("operator")
				loses, g := w.gated("loses")
				var opts []redislock.Option
				if how == "held for too long" {
					opts = append(opts, redislock.WithMaxHold(200*time.Millisecond))
				}
				told := make(chan error)
				lock := w.holds(loses)
				go func() {
					_, err := barrier.NewCondition(loses, "ready", opts...).Wait(ctx, lock)
					told <- err
				}()
				time.Sleep(time.Second)
				next, _ := w.process("next")
				s.wait(ctx, next, "next", 0)
				time.Sleep(time.Second)
				held := w.holds(operator)
				signal(w, operator)
				time.Sleep(time.Second)
				g.arm(request)
				w.gives(held)
				<-g.at
				if how == "broken" {
					if fence, err := operator.Break(ctx, "work", "a test"); fence == 0 || err != nil {
						w.Error(fence, err)
					}
				}
				time.Sleep(time.Second)
				close(g.open)
				if err := <-told; err == nil {
					w.Errorf("%s before %s: it has no lock, and no error", how, request)
				}
				time.Sleep(time.Second)
				s.want("next")
				broadcast(w, operator)
				s.all.Wait()
			})
		}
	}
}

// The process that gives the next signal dies, with a short lease.
func TestADeathBetweenTwoSignalsBlocksTheConditionForTheLeaseOfItsOptions(t *testing.T) {
	within(t, func(w *world) {
		s, ctx := w.sleepers(), context.Background()
		g := &gate{}
		dies, n := w.processBehind(g, time.Millisecond, "dies")
		lives, _ := w.process("lives")
		signals, _ := w.process("signals")
		s.wait(ctx, dies, "dies", time.Minute)
		time.Sleep(time.Second)
		s.wait(ctx, lives, "lives", 0)
		time.Sleep(time.Second)
		lock := w.holds(signals)
		signal(w, signals)
		signal(w, signals)
		g.arm("{condition@signals:ready}", "given") // under the lock with which the next signal is given
		time.AfterFunc(time.Second, func() { w.gives(lock) })
		<-g.at
		n.Cut()
		begun := time.Now()
		close(g.open)
		signal(w, signals) // it waits for the lease, and no longer
		if took := time.Since(begun); took > 5*time.Second {
			w.Errorf("with leases of 3s a signal took %v", took)
		}
		time.Sleep(10 * time.Second)
		s.want("lives")
		n.Mend()
		s.all.Wait()
	})
}

// The defaults of the Client give a weight, and do not let its acquires wait.
func TestSignalsAreNotedWhateverTheDefaultsOfTheClientAre(t *testing.T) {
	within(t, func(w *world) {
		s, ctx := w.sleepers(), context.Background()
		of := redislock.WithDefaults(redislock.WithMode(redislock.Semaphore(10)), redislock.WithWeight(3), redislock.WithWait(0))
		signals, _ := w.process("signals", of)
		for _, name := range []string{"a", "b", "c"} {
			c, _ := w.process(name)
			s.wait(ctx, c, name, 0)
			time.Sleep(time.Second)
		}
		other, _ := w.process("other")
		lock := w.holds(other)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if err := barrier.NewCondition(signals, "ready").Signal(ctx); err != nil {
					w.Error(err)
				}
			})
		}
		all.Wait()
		w.gives(lock)
		s.all.Wait()
		s.want("a", "b", "c")
	})
}

// A context may carry a lock of the same name that is another lock.
func TestAWaitUnderALockOfTheSameNameOfAnotherClientIsAllowed(t *testing.T) {
	within(t, func(w *world) {
		tenant, _ := w.process("tenant", redislock.WithPrefix("tenant"))
		c, _ := w.process("c")
		outer := w.holds(tenant)
		inner, err := c.Acquire(outer.With(context.Background()), "work")
		if err != nil {
			w.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(outer.With(context.Background()), time.Second)
		defer cancel()
		if _, err := barrier.NewCondition(c, "ready").Wait(ctx, inner); !errors.Is(err, context.DeadlineExceeded) {
			w.Error(err)
		}
		w.gives(outer)
	})
}
