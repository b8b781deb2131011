package simulation_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/redislock"
)

// paths are names of path locks: each is locked with all paths below it.
var paths = []string{"p", "p/q", "p/r", "p/q/s"}

// tangle changes some operations so that they hold one lock and wait for another, in either order, and some so that they lock a path.
// It draws nothing at random, so that everything else stays as it was.
func (p *plan) tangle() {
	for i := range p.Ops {
		op := &p.Ops[i]
		switch {
		case op.Kind == "close":
		case op.Seed%4 < 2 || op.Kind == "all": // it waits under a lock too, and nobody would break its circles
			op.Kind, op.Name = "circle", []string{"a", "b"}[op.Seed/4%2]
		case op.Seed%4 == 2:
			op.Kind, op.Name = "path", paths[op.Seed/4%uint64(len(paths))]
		}
	}
	p.Tangled = true
}

var errCircle = errors.New("it was the youngest in a circle")

// circle holds one of two locks and waits for the other. An operation that waits in a circle for ever is found by
// play.
func (d *doing) circle() error {
	outer, err := d.client.Acquire(d.ctx, d.Name, redislock.WithLease(upTo(d.draw, time.Second, 10*time.Second)))
	if err != nil {
		return err
	}
	defer d.anyhow(outer.Release)
	b := d.enter(outer)
	d.pause(b.ctx, 2*time.Second)
	other := map[string]string{"a": "b", "b": "a"}[d.Name]
	asked := time.Now()
	inner, err := d.client.Acquire(outer.With(d.ctx), other, redislock.WithLease(time.Second), redislock.WithDeadlockCheck(upTo(d.draw, redislock.MinLease, 2*time.Second)))
	var dead *redislock.DeadlockError
	if errors.As(err, &dead) {
		d.world.checks.broken(d, b, other, asked, dead.Cycle)
		err = errCircle
	}
	if err == nil {
		second := d.enter(inner)
		d.work(second)
		d.leave(second)
		err = d.release(second, inner.Release)
	}
	d.leave(b)
	return cmp.Or(err, d.release(b, outer.Release))
}

// broken checks a circle that an operation has broken by giving up: the operation is the youngest in it, its holds are in it, and no
// other operation has broken the same circle.
func (c *checks) broken(d *doing, b *body, other string, asked time.Time, cycle redislock.Cycle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mayFall() || c.excused(c.world.servers[0], b.name, b.since()) || c.excused(c.world.servers[0], other, asked) || !c.forged[b.name].IsZero() || !c.forged[other].IsZero() {
		return // if the server has forgotten something, the circle may look different
	}
	var all []string
	for i, e := range cycle {
		all = append(all, fmt.Sprint(e.Lock, e.Hold.Fence, e.For, e.Place.ID))
		if next := cycle[(i+1)%len(cycle)]; e.Blocker.Fence != next.Hold.Fence || e.For != next.Lock {
			c.found("circle", "%d: an edge for %s, fence %d, leads to %s, fence %d", d.Number, e.For, e.Blocker.Fence, next.Lock, next.Hold.Fence)
		}
	}
	if len(cycle) < 2 {
		c.found("circle", "%d: a circle of %d", d.Number, len(cycle))
	}
	slices.Sort(all)
	if young := cycle.Youngest(); young.Lock != b.name || young.For != other || b.relies() && young.Hold.Fence != b.first {
		c.found("circle", "%d holds %s, fence %d, and waits for %s: it broke a circle whose youngest holds %s, fence %d, and waits for %s", d.Number, b.name, b.first, other, young.Lock, young.Hold.Fence, young.For)
	}
	circle := "circle " + strings.Join(all, ", ")
	if _, ok := c.done[circle]; ok {
		c.found("circle", "%d breaks a circle that was broken before", d.Number)
	}
	c.done[circle] = asked
}

// path locks a path: all of it, or nothing.
func (d *doing) path() error {
	mode, class := redislock.Write, "exclusive"
	if d.Seed/16%2 == 0 {
		mode, class = redislock.Read, "read"
	}
	locks, err := d.client.AcquirePath(d.ctx, d.Name, append(d.common(), redislock.WithMode(mode))...)
	if err != nil {
		return err
	}
	defer d.anyhow(locks.Release)
	c := &d.world.checks
	if names := locks.Names(); len(names) != 1+strings.Count(d.Name, "/") {
		c.find("path", "%d asked for %s and has %v", d.Number, d.Name, names)
	}
	for name, fence := range locks.Fences() {
		if fence == 0 && locks.Err() == nil {
			c.find("path", "%d has %s without %s", d.Number, d.Name, name)
		}
	}
	b := c.enter(&body{doing: d, name: d.Name, class: class, weight: 1, ctx: locks.Context(), err: locks.Err, fence: func() int64 { return locks.Fence(d.Name) }})
	c.above(b)
	d.work(b)
	c.above(b)
	d.leave(b)
	return d.release(b, locks.Release)
}

// above checks that no body relies on a path above this one or below it, unless both read (I1).
func (c *checks) above(b *body) {
	c.mu.Lock()
	defer c.mu.Unlock()
	within := func(path, of string) bool { return strings.HasPrefix(path, of+"/") }
	for _, other := range slices.Clone(c.bodies) {
		if !within(b.name, other.name) && !within(other.name, b.name) || b.class == "read" && other.class == "read" || !b.relies() || !other.relies() {
			continue
		}
		excused := c.mayFall()
		for _, name := range paths {
			excused = excused || c.excused(c.world.servers[0], name, earlier(b, other)) || c.forged[name].After(earlier(b, other))
		}
		if !excused {
			c.found("I1", "%d is in %s to %s, and %d in %s to %s", other.Number, other.name, other.class, b.Number, b.name, b.class)
		}
	}
}
