package torture

import (
	"context"
	"fmt"
	"maps"
	"os"
	"sync"
	"testing"
	"time"

	"example.com/redislock"
)

const (
	// patience bounds the wait for something that should take a moment, on a busy machine too.
	patience = 30 * time.Second
	// recovery is how long the load goes on after the last fault, at least.
	recovery = 1500 * time.Millisecond
	prefix   = "torture"
)

// Full says whether the long form is played, as TORTURE=full asks for.
func Full() bool { return os.Getenv("TORTURE") == "full" }

// Run is a row being played: what its injector uses. Its methods that can fail end the test.
type Run struct {
	*testing.T
	Row
	*Site

	register *Register
	renew    string
	began    time.Time
	ready    int64     // when each name had been held once: from then on a stall counts
	until    time.Time // the end of the injection

	mu      sync.Mutex
	workers []*Worker // all workers, ended ones included
	client  *redislock.Client
	nodes   []*redislock.Client // the Clients of a quorum, with client among them
	faults  []Mark
	losses  []Mark
	remark  string
}

// Remark sets a sentence for the report, about other counts of the row. The last call counts. It must be made by the
// row's own goroutine.
func (x *Run) Remark(format string, args ...any) { x.remark = fmt.Sprintf(format, args...) }

// Mark is an injected fault.
type Mark struct {
	What  string
	At    int64 // µs
	To    int64 // for a loss: when it was over
	Names []string
}

// Play plays a row. A few rows run at the same time.
func Play(t *testing.T, row Row) {
	t.Parallel()
	if row.Topology == nil {
		row.Topology = OneServer()
	}
	row.Load = row.Load.withDefaults()
	length := pick(row.Short, 2500*time.Millisecond)
	if Full() {
		length = pick(row.Full, 18*time.Second)
	}
	row.Bound = pick(row.Bound, 5*time.Second)
	x := &Run{T: t, Row: row, register: newRegister(t)}
	x.Site = row.Topology(t)
	differences := x.compare()
	x.renew, _ = Digest(t, "renew")
	x.began = time.Now()
	for range row.Load.Workers {
		x.start()
	}
	for _, w := range x.workers {
		x.Eventually(fmt.Sprintf("worker %d holds or waits", w.Index), func() bool { return w.said(Ready) && w.said(Acquire) })
	}
	for _, n := range row.Load.Names {
		if n.Mix == Kept {
			continue
		}
		x.Eventually(n.Name+" was held", func() bool { return x.wasHeld(n.Name) })
	}
	x.ready = now()
	watch := x.watch()
	defer watch.end() // also if the injector ends the test
	x.until = time.Now().Add(length)
	row.Inject(x)
	x.recover()
	problems := append(watch.end(), x.stop()...)
	x.judge(append(problems, differences()...))
}

func pick(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// start adds a worker.
func (x *Run) start() *Worker {
	x.Helper()
	x.mu.Lock()
	i := len(x.workers)
	x.mu.Unlock()
	c := Config{
		Worker: i, Prefix: prefix, Load: x.Load, Register: x.register.addr(), Renew: x.renew,
		Seed: uint64(i)<<32 | uint64(time.Now().UnixNano())&0xffffffff,
	}
	if x.Nodes != nil {
		c.Nodes = x.Nodes(i)
	} else {
		c.Connect = x.Connect(i)
	}
	w := startWorker(x.T, c)
	x.mu.Lock()
	x.workers = append(x.workers, w)
	x.mu.Unlock()
	return w
}

// recover lets the load go on without faults, until the locks that a fault affected have been granted again.
func (x *Run) recover() {
	for _, w := range x.Workers() {
		if w.stopped() {
			w.resume()
		}
	}
	end := time.Now().Add(recovery)
	late := time.Now().Add(recovery + x.Load.Lease + x.Bound)
	for ; time.Now().Before(end) || !x.recovered() && time.Now().Before(late); time.Sleep(10 * time.Millisecond) {
	}
}

// recovered says whether each lock was granted after the last fault that affected it.
func (x *Run) recovered() bool {
	last := map[string]int64{}
	x.mu.Lock()
	for _, f := range x.faults {
		for _, n := range f.Names {
			last[n] = f.At
		}
	}
	x.mu.Unlock()
	for _, w := range x.Workers() {
		names := map[int64]string{}
		for _, e := range w.log() {
			switch {
			case e.Kind == Acquire:
				names[e.Op] = e.Name
			case e.Kind == Acquired && e.Err == "" && e.At > last[names[e.Op]]:
				delete(last, names[e.Op])
			}
		}
	}
	return len(last) == 0
}

// stop ends the load, and returns what went wrong with that.
func (x *Run) stop() (problems []string) {
	x.Helper()
	workers := x.Workers()
	for _, w := range workers {
		w.tell(Command{Do: "stop"})
	}
	for _, w := range workers {
		if err := w.end(); err != nil {
			problems = append(problems, err.Error())
		}
	}
	problems = append(problems, x.orphans(x.Load.Lease+x.Bound+20*time.Second)...)
	end, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, c := range x.clients() {
		if err := c.Close(end); err != nil {
			problems = append(problems, err.Error())
		}
	}
	return problems
}

// orphans returns the locks that are not idle at the end. After the holds of dead workers have expired, a lock must have
// no hold and no place in its queue, and its key must expire.
func (x *Run) orphans(within time.Duration) (problems []string) {
	x.Helper()
	take := x.taker()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for _, name := range x.names() {
		left := map[string]string{}
		for {
			// An expired hold is removed by the next acquire.
			err := take(ctx, name)
			clear(left)
			for _, rdb := range x.admins() {
				maps.Copy(left, rdb.HGetAll(ctx, x.Key(name)).Val())
			}
			for field := range left {
				if field == "f" || field == "e" || field[0] == 't' && (len(field) == 1 || len(field) == 23) {
					delete(left, field)
				}
			}
			if err == nil && len(left) == 0 || ctx.Err() != nil {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if len(left) > 0 || ctx.Err() != nil {
			problems = append(problems, fmt.Sprintf("%s is not idle at the end: %q", name, left))
			continue
		}
		for _, rdb := range x.admins() {
			if ttl := rdb.PTTL(context.Background(), x.Key(name)).Val(); ttl == -1 {
				problems = append(problems, fmt.Sprintf("the key of %s has no expiry", name))
			}
		}
	}
	return problems
}

// wasHeld says whether a worker has been granted a lock.
func (x *Run) wasHeld(name string) bool {
	for _, w := range x.Workers() {
		asked := map[int64]bool{}
		for _, e := range w.log() {
			switch {
			case e.Kind == Acquire && e.Name == name:
				asked[e.Op] = true
			case e.Kind == Acquired && e.Err == "" && asked[e.Op]:
				return true
			}
		}
	}
	return false
}
