package simulation_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/redislock/internal/random"
)

// result is the result of a run.
type result struct {
	Hash                        string
	Findings                    []string
	Packets, Calls, Ops, Faults int
	Accepted                    int // by the model
	Virtual                     time.Duration
	Seen                        map[string]int
	text                        func() string // of all that happened
}

// quiet is how long it takes at most, after the last fault and without the time of bodies, until every waiter has its lock: the time
// of a fault that waits for something, two leases, the claims of processes that are gone, and the checks.
const quiet = 150 * time.Second

// run runs a plan.
func run(t *testing.T, p plan) (r result) {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], p.Seed)
	defer random.Seed(seed)()
	synctest.Test(t, func(t *testing.T) {
		w := &world{plan: p, draw: source(p.Seed, 2), noticed: make(chan struct{}, 1), history: newHistory(), weather: newWeather(), doing: map[int]*doing{}}
		w.checks = newChecks(w)
		unsettle(p.Seed)
		for range max(1, p.Nodes) {
			w.servers = append(w.servers, newServer(w))
		}
		for i := range p.Clients {
			w.begin(i)
		}
		w.play()
		w.rest(max(0, time.Until(w.over)) + settled)
		w.checks.nobodys()
		w.rest(60 * time.Second) // time for what is given up in the background
		w.checks.remains()
		w.settle()
		accepted := 0
		for _, s := range w.servers {
			n, _ := s.listener.Accepted()
			accepted += n
		}
		r = result{
			w.history.sum(), w.checks.findings, w.history.packets, w.history.calls, w.history.ops, w.history.faults,
			accepted, time.Since(w.history.began), w.history.seen, w.history.text,
		}
		for _, s := range w.servers {
			s.mini.Close()
		}
	})
	return r
}

// unsettle makes the choices of the runtime depend on the seed.
func unsettle(seed uint64) {
	a := make(chan struct{})
	close(a)
	for range seed % 997 {
		select {
		case <-a:
		case <-a:
		}
	}
}

// play runs the whole plan, and waits until all operations have ended.
func (w *world) play() {
	begun := time.Now()
	w.ending = begun.Add(w.plan.end())
	for _, op := range w.plan.Ops {
		w.waiting++
		w.at(begun.Add(op.At), func() { w.waiting--; w.operate(op) })
	}
	for _, f := range w.plan.Faults {
		w.waiting++
		w.at(begun.Add(f.At), func() { w.waiting--; w.aim(f) })
	}
	w.deadline = begun.Add(w.plan.end() + time.Duration(len(w.plan.Ops))*10*time.Second + quiet)
	if !w.run(w.idle) {
		for _, number := range sortedNumbers(w.doing) {
			d := w.doing[number]
			if d.Kind == "weak" && w.checks.back { // its key of Redis lasts longer by as much as the clock was set back
				continue
			}
			w.checks.find("stuck", "%d, %s %s, has not come to an end %v after the last fault", number, d.Kind, d.Name, time.Since(begun.Add(w.plan.end())).Round(time.Second))
		}
		w.each(func(p *process) { p.end() })
		w.deadline = time.Now().Add(2 * time.Minute)
		if !w.run(w.idle) {
			w.checks.find("stuck", "%d operations do not end with their context", len(w.doing))
		}
	}
}

// idle reports whether nothing is to come and nothing is under way.
func (w *world) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waiting == 0 && len(w.doing) == 0
}

func (w *world) each(do func(*process)) {
	for _, p := range w.processes {
		do(p)
	}
}

// aside runs a function on another goroutine while the world goes on, for at most that time.
func (w *world) aside(most time.Duration, do func(ctx context.Context)) (done bool) {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	over := false
	go func() {
		do(ctx)
		w.mu.Lock()
		over = true
		w.mu.Unlock()
		w.notice()
	}()
	w.deadline = time.Now().Add(most + time.Minute)
	return w.run(func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return over
	})
}

// settle ends all processes, and checks what is left (I4, I8).
func (w *world) settle() {
	for _, p := range w.processes {
		most := 20 * time.Second
		if p.gone {
			most = time.Millisecond
		}
		if !w.aside(most, func(ctx context.Context) {
			for _, c := range p.clients {
				if err := c.Close(ctx); err != nil && !p.gone && !p.closed && p.observer.fault != "observer hangs" {
					w.checks.find("I8", "%s cannot be closed: %v", p.name, err)
				}
			}
		}) {
			w.checks.find("I8", "Close of %s does not return", p.name)
		}
	}
	w.rest(2 * time.Minute) // leases, tombstones, and what is given up in the background
	w.after(0, func() {})
	w.run(func() bool { return len(w.queue) == 0 })
	last := w.begin(len(w.processes))
	names := []string{"a", "b", "rw", "sem", "elect:e", "once:once", "share:share", "cron:job", "cron:other", "group:g"}
	switch {
	case w.plan.quorum():
		names = names[:2]
	case w.plan.Tangled:
		names = append(names, paths...)
	case w.plan.Gathered:
		names = append(names, "work")
	}
	w.aside(10*time.Minute, func(ctx context.Context) {
		for _, name := range names {
			l, err := last.take(ctx, name)
			if err != nil {
				w.checks.find("I8", "nobody is there, and %s cannot be had: %v", name, err)
				continue
			}
			if err := l.Release(ctx); err != nil {
				w.checks.find("I8", "nobody is there, and %s cannot be given back: %v", name, err)
			}
		}
		for _, c := range last.clients {
			_ = c.Close(ctx)
		}
	})
	for _, s := range w.servers {
		for _, key := range s.mini.Keys() {
			if s.mini.TTL(key) <= 0 {
				w.checks.find("I4", "%s has no expiry%s", key, s.called())
			}
			if fields, _ := s.mini.HKeys(key); len(fields) > 12 && !staysFor(nameOf(key)) {
				w.checks.find("growth", "%s has %d fields%s when nobody is there", key, len(fields), s.called())
			}
		}
	}
	w.each(func(p *process) {
		for _, rdb := range p.rdbs {
			_ = rdb.Close()
		}
	})
	w.rest(2 * time.Minute)
	for _, c := range w.conns {
		c.server.end()
	}
	w.rest(time.Second)
	if left := goroutines(); len(left) > 0 {
		w.checks.find("goroutine", "%d are left:\n%s", len(left), strings.Join(left, "\n\n"))
	}
}

// rest lets time pass.
func (w *world) rest(d time.Duration) {
	w.deadline = time.Now().Add(d)
	w.run(func() bool { return false })
}

var bubble = regexp.MustCompile(`synctest bubble [0-9]+`)

// goroutines are the goroutines of the bubble without the world's own.
func goroutines() (left []string) {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	all := strings.Split(string(stacks), "\n\n")
	mine := bubble.FindString(all[0])
	for _, one := range all[1:] {
		if bubble.FindString(one) == mine && !strings.Contains(one, "testing/synctest") && !strings.Contains(one, "synctest.Run") {
			left = append(left, one)
		}
	}
	return left
}

func sortedNumbers(m map[int]*doing) (all []int) {
	for i := range 10_000 {
		if m[i] != nil {
			all = append(all, i)
		}
	}
	return all
}

func (r result) String() string {
	return fmt.Sprintf("%s: %d operations, %d faults, %d calls, %d packets, %v", r.Hash, r.Ops, r.Faults, r.Calls, r.Packets, r.Virtual.Round(time.Second))
}
