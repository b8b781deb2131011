package simulation_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/redislock"
	"example.com/redislock/barrier"
)

// gather changes most operations so that they wait for each other, or change what others may have: latches, barriers, a condition, and
// the limit of the semaphore. It draws nothing at random, so that everything else stays as it was.
func (p *plan) gather() {
	p.Rush = p.Seed/16%2 == 0
	for i := range p.Ops {
		op := &p.Ops[i]
		if p.Rush {
			op.rush(i)
			continue
		}
		switch op.Seed % 8 {
		case 0, 1, 2:
			op.Kind, op.Name = "condition", "work"
			if op.Seed/8%2 == 0 { // they come at the same time, so that one waits for the lock while another gives it back
				op.At = op.At.Truncate(2*time.Second) + time.Duration(op.Seed/64%100)*time.Millisecond
			}
		case 3:
			op.Kind, op.Name = "limit", "sem"
		case 4:
			op.Kind, op.Name = "semaphore", "sem"
		case 5:
			op.Kind, op.Name = "latch", "l"
		case 6:
			op.Kind, op.Name = "barrier", fmt.Sprint("b", op.Seed/8%3)
		}
	}
	p.Gathered = true
}

// rush puts an operation into a round of five. Three take one thing each, wait for it, and do not come back. Then two bring these three
// things, nearly together, with a signal for each: so as many signals are given as callers wait, and each of them is needed. None of them
// is cancelled.
func (op *operation) rush(n int) {
	begins, at := time.Duration(n/5)*round, n%5
	op.Kind, op.Name = "condition", "work"
	switch at {
	case 3, 4:
		op.At, op.Things = begins+8*time.Second+time.Duration(op.Seed/64%20)*time.Millisecond, 5-at
	default:
		op.At = begins + op.At%(5*time.Second)
	}
}

// round is the time between two rounds of a rush. A waiter that has died is passed over in that time.
const round = 40 * time.Second

// gathered has what operations that wait for each other saw. The mutex of the checks guards it.
type gathered struct {
	limit limit
	parts map[string]map[string]time.Time // of each latch: when a part was counted, or zero if it may have been counted
	meets map[string]*meeting
	stock stock
}

func newGathered() gathered {
	return gathered{parts: map[string]map[string]time.Time{}, meets: map[string]*meeting{}}
}

// limit is the limit of the semaphore, as far as it is known.
type limit struct {
	most        int
	from, until time.Time
	known       bool
	setting     int // calls of SetLimit under way
	overlapped  bool
}

// setLimit changes the limit of the semaphore.
func (d *doing) setLimit() error {
	c := &d.world.checks
	most, long, begun := int(d.Seed/8%4), upTo(d.draw, time.Second, 10*time.Second), time.Now()
	c.mu.Lock()
	l := &c.limit
	l.known, l.overlapped = false, l.overlapped || l.setting > 0
	l.setting++
	c.mu.Unlock()
	err := d.client.SetLimit(d.ctx, d.Name, long, redislock.AtMost(most, "semaphore"))
	c.mu.Lock()
	defer c.mu.Unlock()
	l.setting--
	if l.known = err == nil && !l.overlapped; l.known { // an earlier call that failed and is executed late does not undo it
		l.most, l.from, l.until = most, time.Now(), begun.Add(long)
	}
	l.overlapped = l.overlapped && l.setting > 0
	return err
}

// limited checks that a body which came after the limit was set keeps to the limit, together with those that rely on theirs. The
// caller holds c.mu.
func (c *checks) limited(b *body, weight int) {
	l, s := c.limit, c.world.servers[0]
	if b.class != "semaphore" || !l.known || !b.asked.After(l.from) || time.Now().After(l.until) || weight <= l.most || s.back || s.ahead || c.excused(s, b.name, l.from) {
		return
	}
	c.found("limit", "%d is one of those who have %d units, and the limit is %d since %v", b.Number, weight, l.most, l.from.Sub(c.world.history.began))
}

// most is how long anybody waits for a latch or a barrier.
const most = 30 * time.Second

// parts is how many parts a latch has.
const parts = 2

// latch counts a part of a latch down, or waits for all of them.
func (d *doing) latch() error {
	c, w := &d.world.checks, d.world
	ctx, cancel := context.WithTimeout(d.ctx, most)
	defer cancel()
	l := barrier.NewLatch(d.client, d.Name, parts)
	c.mu.Lock()
	if c.parts[d.Name] == nil {
		c.parts[d.Name] = map[string]time.Time{}
	}
	said := c.parts[d.Name]
	if n := d.Seed / 8 % (parts + 1); n < parts {
		part := fmt.Sprint("part-", n)
		if _, known := said[part]; !known {
			said[part] = time.Time{}
		}
		c.mu.Unlock()
		err := l.CountDown(ctx, part)
		if err == nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			if said[part].IsZero() {
				said[part] = time.Now()
			}
		}
		return err
	}
	c.mu.Unlock()
	err := l.Wait(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil && len(said) < parts:
		c.found("latch", "%d has passed %s, of which %d parts were counted", d.Number, d.Name, len(said))
	case err == nil:
		w.history.count("latch open")
	case errors.Is(err, context.DeadlineExceeded) && d.ctx.Err() == nil && len(said) == parts:
		last := latest(w.over, w.weather.stopped[d.number])
		for _, at := range said {
			if at.IsZero() {
				return err
			}
			last = latest(last, at)
		}
		if time.Since(last) > most*2/3 && !c.forgot && !c.back && d.observer.fault == "" {
			c.found("latch", "%d waits for %s, all of which was counted %v ago", d.Number, d.Name, time.Since(last))
		}
	}
	return err
}

// parties is how many parties a barrier has.
const parties = 2

// meeting has what the parties of a barrier were told.
type meeting struct{ in, out verdicts }

type verdicts struct{ came, open, broken int }

// told records what a party was told, and checks that all are told the same. The caller holds c.mu.
func (c *checks) told(d *doing, where string, v *verdicts, err error) {
	switch {
	case err == nil:
		v.open++
		c.world.history.count("barrier open " + where)
	case errors.Is(err, barrier.ErrBroken):
		v.broken++
		c.world.history.count("barrier broken " + where)
	default:
		return
	}
	if c.forgot || c.back || c.ahead {
		return
	}
	if v.open > 0 && v.broken > 0 {
		c.found("barrier", "%d is told %v of %s, and %d were told that it is open, %d that it is broken", d.Number, err, where, v.open, v.broken)
	}
	if v.open > 0 && v.came < parties || v.open > parties {
		c.found("barrier", "%s is open for %d, and %d have come", where, v.open, v.came)
	}
}

// barrier is a party of a barrier.
func (d *doing) barrier() error {
	c := &d.world.checks
	ctx, cancel := context.WithTimeout(d.ctx, most)
	defer cancel()
	c.mu.Lock()
	if c.meets[d.Name] == nil {
		c.meets[d.Name] = &meeting{}
	}
	m := c.meets[d.Name]
	m.in.came++
	c.mu.Unlock()
	party, err := barrier.New(d.client, d.Name, parties, redislock.WithLease(upTo(d.draw, time.Second, 10*time.Second))).Enter(ctx)
	c.mu.Lock()
	c.told(d, "the beginning of "+d.Name, &m.in, err)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	defer d.anyhow(party.Quit)
	d.pause(party.Context(), 2*time.Second)
	c.mu.Lock()
	m.out.came++
	c.mu.Unlock()
	err = party.Leave(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told(d, "the end of "+d.Name, &m.out, err)
	return err
}

// stock is the resource of the lock "work". An operation that takes from it waits while it is empty.
type stock struct {
	things  int
	changed time.Time
	waiting int  // calls of Wait under way
	unsure  bool // a signal may be missing, or may have gone to a waiter that has died with it
}

// condition either adds to the stock, with a signal, or takes from it, and waits if it is empty.
func (d *doing) condition() error {
	switch rush := d.world.plan.Rush; {
	case rush && d.Things > 0:
		return d.bring(d.Things, int(d.Seed/1024)%(d.Things+1))
	case rush:
		d.world.checks.beside(d)
	case d.Seed/16%2 == 0:
		return d.bring(1, 0)
	}
	return d.take()
}

// beside checks that nobody waits beside the stock when a round begins. If nobody waits, the round begins with an empty stock.
func (c *checks) beside(d *doing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case time.Since(latest(c.stock.changed, d.world.over)) < 25*time.Second:
	case c.stock.waiting > 0:
		c.missed(d, 0, nil)
	default:
		c.stock.things, c.stock.unsure = 0, false
	}
}

// missed finds that somebody waits, and that there has been something for so long.
func (c *checks) missed(d *doing, long time.Duration, err error) {
	if c.stock.things > 0 && !c.stock.unsure && time.Since(latest(c.stock.changed, d.world.over)) > long && !c.forgot && !c.back && !c.ahead && d.observer.fault == "" {
		c.found("signal", "%d finds that a caller waits, and there has been something for %v: %v", d.Number, time.Since(c.stock.changed), err)
	}
}

// unless records that the fate of a signal is unknown, unless the function that follows returns.
func (d *doing) unless(sure *bool) {
	if !*sure {
		d.world.history.count("condition unsure")
		d.world.checks.mu.Lock()
		defer d.world.checks.mu.Unlock()
		d.world.checks.stock.unsure = true
	}
}

func (d *doing) lasting() redislock.Option {
	return redislock.WithLease(upTo(d.draw, time.Second, 10*time.Second))
}

// bring adds so many things to the stock, with a signal for each. So many signals come when the lock was given back.
func (d *doing) bring(n, late int) error {
	c := &d.world.checks
	lock, err := d.client.Acquire(d.ctx, d.Name, d.lasting())
	if err != nil {
		return err
	}
	defer d.anyhow(lock.Release)
	b := d.enter(lock)
	if d.Seed/128%4 == 0 { // most add at once: one that is about to wait must have its place by then
		d.pause(b.ctx, time.Second)
	}
	c.mu.Lock()
	brings := b.relies()
	if brings {
		c.stock.things, c.stock.changed = c.stock.things+n, time.Now()
	}
	c.mu.Unlock()
	if !brings {
		d.leave(b)
		return d.release(b, lock.Release)
	}
	sure := false
	defer d.unless(&sure)
	err = d.signal(n - late)
	d.leave(b)
	err = errors.Join(err, d.release(b, lock.Release))
	told := d.signal(late)
	sure = err == nil && told == nil
	return errors.Join(err, told)
}

// signal gives so many signals, each until it is answered.
func (d *doing) signal(n int) error {
	signal := barrier.NewCondition(d.client, "c").Signal
	if d.Seed/32%4 == 0 && !d.world.plan.Rush {
		signal = barrier.NewCondition(d.client, "c").Broadcast
	}
	for range n {
		if d.world.plan.Rush { // for the time of some requests, in which one who was woken may give a signal that was noted
			time.Sleep(time.Duration(d.draw.Int64N(int64(20 * time.Millisecond))))
		}
		err := signal(d.ctx)
		for tries := 1; tries < 5 && err != nil; tries++ {
			err = signal(d.ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *doing) take() error {
	c, w := &d.world.checks, d.world
	ctx, cancel := context.WithDeadline(d.ctx, w.ending.Add(patience))
	defer cancel()
	lease := d.lasting()
	lock, err := d.client.Acquire(ctx, d.Name, lease)
	if err != nil {
		return err
	}
	defer func() { // like anyhow, for the last lock
		if r := recover(); r != nil {
			_ = lock.Release(d.ctx)
			panic(r)
		}
	}()
	for {
		b := d.enter(lock)
		select { // time for others to wait for the lock
		case <-time.After(time.Duration(d.draw.Int64N(int64(100 * time.Millisecond)))):
		case <-b.ctx.Done():
		}
		c.mu.Lock()
		if c.stock.things > 0 && b.relies() {
			c.stock.things, c.stock.changed = c.stock.things-1, time.Now()
			c.mu.Unlock()
			w.history.count("condition met")
			d.pause(b.ctx, time.Second)
			d.leave(b)
			return d.release(b, lock.Release)
		}
		c.mu.Unlock()
		d.leave(b)
		asked := time.Now()
		if lock, err = d.waitWith(ctx, lock, lease); err != nil {
			return err
		}
		d.asked, d.entered = asked, false // the lock has a new grant
	}
}

// patience is how long a taker waits after the last fault.
const patience = 2 * time.Minute

// waitWith waits for a signal.
func (d *doing) waitWith(ctx context.Context, lock *redislock.Lock, lease redislock.Option) (*redislock.Lock, error) {
	c, w := &d.world.checks, d.world
	sure := false
	defer d.unless(&sure)
	c.mu.Lock()
	c.stock.waiting++
	c.mu.Unlock()
	defer func() { // also if the observer panics
		c.mu.Lock()
		defer c.mu.Unlock()
		c.stock.waiting--
	}()
	lock, err := barrier.NewCondition(d.client, "c", lease).Wait(ctx, lock)
	if err == nil || ctx.Err() != nil && !d.gone {
		sure = true
	}
	if err == nil {
		w.history.count("condition woken")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && sure && d.ctx.Err() == nil {
		c.missed(d, patience/2, err)
	}
	return lock, err
}
