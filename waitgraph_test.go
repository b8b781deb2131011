package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
	"example.com/redislock/internal/servertest"
)

// seek asks for a lock under another one, in the background, and gives both back.
func (e *env) seek(c *redislock.Client, under *redislock.Lock, name string, opts ...redislock.Option) <-chan error {
	done := make(chan error, 1)
	go func() {
		l, err := c.Acquire(under.With(context.Background()), name, opts...)
		if err == nil {
			err = l.Release(context.Background())
		}
		done <- errors.Join(err, under.Release(context.Background()))
	}()
	return done
}

func TestDeadlocksNamesTheCycleAndWhoIsInIt(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		clients := []*redislock.Client{e.operator(redislock.WithName("p0")), e.operator(redislock.WithName("p1")), e.operator(redislock.WithName("p2"))}
		e.warm(clients...)
		if g, err := clients[0].Deadlocks(ctx); err != nil || len(g.Edges) > 0 || len(g.Cycles) > 0 {
			e.Errorf("where nobody waits: %+v, %v", g, err)
		}
		names := []string{"a", "b", "c"}
		var held []*redislock.Lock
		for i, c := range clients {
			held = append(held, e.acquire(c, names[i]))
		}
		aside := e.acquire(clients[0], "aside")
		stop, cancel := context.WithCancel(ctx)
		defer cancel()
		var done []<-chan error
		for i, c := range clients {
			next := names[(i+1)%3]
			if i == 2 {
				if g, err := clients[0].Deadlocks(ctx); err != nil || len(g.Edges) != 2 || len(g.Cycles) != 0 {
					e.Errorf("of a chain: %+v, %v", g, err)
				}
			}
			done = append(done, e.seek(c, held[i], next, redislock.WithMetadata("the metadata of "+next)))
			e.queued(clients[0], next, 1)
			time.Sleep(5 * time.Millisecond)
		}
		blocked := e.seek(clients[0], aside, "a", redislock.WithWait(time.Minute)) // it waits for the cycle, and is not in it
		unknown := make(chan error, 1)
		go func() { // under no lock: no edge
			_, err := clients[1].Acquire(stop, "aside")
			unknown <- err
		}()
		e.queued(clients[0], "a", 2)
		e.queued(clients[0], "aside", 1)
		g, err := clients[1].Deadlocks(ctx)
		if err != nil {
			e.stop(err)
		}
		if len(g.Edges) != 4 || len(g.Cycles) != 1 || len(g.Cycles[0]) != 3 {
			e.stop(fmt.Errorf("%+v", g))
		}
		cycle := g.Cycles[0]
		for i, edge := range cycle {
			owner := int(edge.Lock[0] - 'a')
			next := cycle[(i+1)%3]
			if edge.Blocker.ID != next.Hold.ID || edge.For != next.Lock || edge.Hold.Fence != held[owner].Fence() || edge.Place.Owner.Metadata != "the metadata of "+edge.For {
				e.Errorf("%d: %+v", i, edge)
			}
		}
		youngest := cycle.Youngest()
		if youngest.Lock != "c" || !strings.Contains(cycle.String(), `holds "c" and has waited`) {
			e.Errorf("the youngest is that of %q, of %s", youngest.Lock, cycle)
		}
		if fence, err := clients[0].BreakHolds(ctx, redislock.Info{Name: youngest.Lock, Holds: []redislock.Hold{youngest.Hold}}, "a deadlock"); fence == 0 || err != nil {
			e.Errorf("broken up to %d, %v", fence, err)
		}
		cancel()
		<-unknown
		for i, d := range append(done, blocked) {
			if err := <-d; err != nil && i != 2 {
				e.Errorf("%d: %v", i, err)
			}
		}
		if g, err := clients[0].Deadlocks(ctx); err != nil || len(g.Edges) > 0 {
			e.Errorf("when all is over: %+v, %v", g, err)
		}
	})
}

func TestOnlyTheYoungestOfADeadlockFails(t *testing.T) {
	both(t, func(e *env) {
		a, b := e.operator(redislock.WithName("a")), e.operator(redislock.WithName("b"))
		e.warm(a, b)
		first, second := e.acquire(a, "x"), e.acquire(b, "y")
		check := redislock.WithDeadlockCheck(200 * time.Millisecond)
		older := e.seek(a, first, "y", check)
		e.queued(a, "y", 1)
		time.Sleep(20 * time.Millisecond)
		younger := e.seek(b, second, "x", check)
		err := <-younger
		cycle, is := errors.AsType[*redislock.DeadlockError](err)
		if !errors.Is(err, redislock.ErrDeadlock) || !is || len(cycle.Cycle) != 2 || !strings.Contains(err.Error(), `holds "y" and has waited`) {
			e.Errorf("the younger one: %v", err)
		}
		if err := <-older; err != nil {
			e.Errorf("the older one: %v", err)
		}
		for _, name := range []string{"x", "y"} {
			e.queued(a, name, 0)
		}
	})
}

func TestAnUpgradeCanBeInACycle(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		e.warm(a, b)
		read := redislock.WithMode(redislock.Read)
		upgrading, other, y := e.acquire(a, "x", read), e.acquire(b, "x", read), e.acquire(a, "y")
		ending, cancel := context.WithCancel(y.With(ctx))
		upgraded := make(chan error, 1)
		go func() { upgraded <- upgrading.Upgrade(ending) }()
		e.queued(a, "x", 1)
		waited := e.seek(b, other, "y")
		e.queued(a, "y", 1)
		g, err := a.Deadlocks(ctx)
		if err != nil || len(g.Cycles) != 1 || len(g.Cycles[0]) != 2 {
			e.Errorf("%+v, %v", g, err)
		}
		cancel()
		if err := <-upgraded; !errors.Is(err, context.Canceled) {
			e.Error(err)
		}
		e.release(y)
		if err := <-waited; err != nil {
			e.Error(err)
		}
		e.release(upgrading)
	})
}

// A waiter for a semaphore waits until any one of its holders gives up its hold.
func TestAWaitForASemaphoreIsStuckOnlyIfAllItsHoldersAre(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		e.warm(a, b)
		two := redislock.WithMode(redislock.Semaphore(2))
		unit, free, y := e.acquire(a, "s", two), e.acquire(a, "s", two), e.acquire(b, "y")
		forUnit := e.seek(b, y, "s", two)
		e.queued(a, "s", 1)
		forY := e.seek(a, unit, "y")
		e.queued(a, "y", 1)
		g, err := a.Deadlocks(ctx)
		if err != nil || len(g.Edges) != 3 || len(g.Cycles) != 0 {
			e.Errorf("one holder is free: %v, %v", g, err)
		}
		e.release(free)
		if err := errors.Join(<-forUnit, <-forY); err != nil {
			e.Error(err)
		}
	})
}

// Locks are looked at one after the other, each Client in its own order.
func TestAllWhoLookNameTheSameYoungest(t *testing.T) {
	begin := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	seen := func(x, y time.Duration) redislock.WaitEdge {
		g := redislock.WaitGraphOf([]redislock.Info{
			{Name: "x", Now: begin.Add(x), Holds: []redislock.Hold{{ID: "1"}}, Places: []redislock.Place{{ID: "a", Since: begin, Under: []string{"2"}}}},
			{Name: "y", Now: begin.Add(y), Holds: []redislock.Hold{{ID: "2"}}, Places: []redislock.Place{{ID: "b", Since: begin.Add(time.Millisecond), Under: []string{"1"}}}},
		})
		if len(g.Cycles) != 1 {
			t.Fatalf("%+v", g)
		}
		return g.Cycles[0].Youngest()
	}
	for _, e := range []redislock.WaitEdge{seen(time.Second, 1005*time.Millisecond), seen(1005*time.Millisecond, time.Second)} {
		if e.Place.ID != "b" {
			t.Errorf("the youngest is %+v", e)
		}
	}
}

// The server does not know when an upgrade began, so it is the other that gives up. Its first look may be before the circle closes.
func TestADeadlockWithAnUpgradeEndsWhicheverBeganFirst(t *testing.T) {
	for _, upgradeFirst := range []bool{true, false} {
		embedded(t, 0, func(e *env, _ *fakenet.Network) {
			a, b := e.client(), e.client()
			e.warm(a, b)
			read := redislock.WithMode(redislock.Read)
			upgrading, other, y := e.acquire(a, "x", read), e.acquire(b, "x", read), e.acquire(a, "y")
			upgraded := make(chan error, 1)
			upgrade := func() {
				go func() { upgraded <- upgrading.Upgrade(y.With(context.Background())) }()
				e.queued(a, "x", 1)
			}
			if upgradeFirst {
				upgrade()
			}
			waited := e.seek(b, other, "y", redislock.WithDeadlockCheck(time.Second), redislock.WithWait(time.Minute))
			e.queued(a, "y", 1)
			if !upgradeFirst {
				time.Sleep(1500 * time.Millisecond)
				upgrade()
			}
			if err := <-waited; !errors.Is(err, redislock.ErrDeadlock) {
				e.Errorf("the upgrade first: %v: %v", upgradeFirst, err)
			}
			if err := <-upgraded; err != nil {
				e.Error(err)
			}
			e.release(y)
			e.release(upgrading)
		})
	}
}

// Between the two looks, one of two holders gives its unit back, and the next in the queue, which waits for nobody,
// gets it.
func TestASemaphoreThatMovesOnBetweenTheLooksIsInNoDeadlock(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		a, b := e.client(), e.client()
		e.warm(a, b)
		two := redislock.WithMode(redislock.Semaphore(2))
		one, other, y := e.acquire(a, "s", two), e.acquire(a, "s", two), e.acquire(b, "y")
		ending, cancel := context.WithCancel(other.With(ctx))
		defer cancel()
		gotOn := make(chan error, 1)
		go func() {
			_, err := a.Acquire(ending, "y")
			gotOn <- err
		}()
		e.queued(a, "y", 1)
		next := make(chan *redislock.Lock, 1)
		go func() { next <- e.acquire(a, "s", two) }()
		e.queued(a, "s", 1)
		forS := e.seek(b, y, "s", two)
		e.queued(a, "s", 2)
		forY := e.seek(a, one, "y")
		e.queued(a, "y", 2)
		looks := 0
		var third *redislock.Lock
		c := e.tapped(&tap{before: func(text string) error {
			if strings.Contains(text, digest("inspect")) && strings.Contains(text, "{s}") {
				if looks++; looks == 2 {
					cancel()
					<-gotOn
					e.release(other)
					third = <-next
				}
			}
			return nil
		}})
		g, err := c.Deadlocks(ctx)
		if err != nil || len(g.Cycles) != 0 || third == nil {
			e.Errorf("%v, %v, after %d looks", g.Cycles, err, looks)
		}
		if third != nil {
			e.release(third)
		}
		if err := errors.Join(<-forS, <-forY); err != nil {
			e.Error(err)
		}
	})
}

func TestALookForDeadlocksThatFailsEndsNoWait(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		a, b := e.client(), e.tapped(&tap{before: func(text string) error {
			if strings.HasPrefix(text, "scan") {
				return errors.New("refused")
			}
			return nil
		}})
		e.warm(a, b)
		held, under := e.acquire(a, "x"), e.acquire(b, "y")
		done := e.seek(b, under, "x", redislock.WithDeadlockCheck(time.Second))
		e.queued(a, "x", 1)
		time.Sleep(5 * time.Second)
		e.release(held)
		if err := <-done; err != nil {
			e.Error(err)
		}
		// A wait that ends while it looks leaves nothing.
		held, under = e.acquire(a, "x"), e.acquire(b, "y")
		done = e.seek(b, under, "x", redislock.WithDeadlockCheck(time.Second), redislock.WithWait(500*time.Millisecond))
		if err := <-done; !errors.Is(err, redislock.ErrHeld) {
			e.Error(err)
		}
		e.release(held)
	})
}

// A caller that holds a lock on one master of a cluster and waits for one on another is found by every Client.
func TestDeadlocksFindsACircleOverTheMastersOfACluster(t *testing.T) {
	t.Parallel()
	cluster := servertest.StartCluster(t, 3)
	e := &env{T: t}
	ctx := context.Background()
	var clients []*redislock.Client
	for range 3 {
		clients = append(clients, e.over(cluster.Connect()))
	}
	var names []string // one on each master
	for i, seen := 0, map[string]bool{}; len(names) < 3; i++ {
		name := fmt.Sprint("lock-", i)
		if master := cluster.Serving("redislock:{" + name + "}").Addr(); !seen[master] {
			seen[master] = true
			names = append(names, name)
		}
	}
	var held []*redislock.Lock
	for i, c := range clients {
		held = append(held, e.acquire(c, names[i]))
	}
	var done []<-chan error
	for i, c := range clients {
		next := names[(i+1)%3]
		done = append(done, e.seek(c, held[i], next))
		e.queued(clients[0], next, 1)
	}
	for _, c := range clients {
		g, err := c.Deadlocks(ctx)
		if err != nil || len(g.Edges) != 3 || len(g.Cycles) != 1 || len(g.Cycles[0]) != 3 {
			t.Fatalf("%+v, %v", g, err)
		}
	}
	g, _ := clients[0].Deadlocks(ctx)
	youngest := g.Cycles[0].Youngest()
	broken, err := clients[0].BreakHolds(ctx, redislock.Info{Name: youngest.Lock, Holds: []redislock.Hold{youngest.Hold}}, "a circle")
	if err != nil || broken == 0 {
		t.Fatal(broken, err)
	}
	for i := range done {
		if err := <-done[i]; (err != nil) != (names[i] == youngest.Lock) || err != nil && !errors.Is(err, redislock.ErrLost) {
			t.Errorf("%s: %v", names[i], err)
		}
	}
}
