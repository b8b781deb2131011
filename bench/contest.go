package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.com/redislock/bench/internal/peer"
)

// contest has goroutines take one lock in turns: each asks for it, works, gives it back, and asks again at once. A
// lock that gives up before the contest ends is asked again, and the wait goes on.
type contest struct {
	name    string
	lockers []peer.Locker // clients; the goroutines are spread over them evenly
	clients int           // that are made for it; 0: contestClients
	waiters int           // goroutines
	work    time.Duration // slept while the lock is held, so that no processor is taken from the others
	warm    time.Duration // before the window
	window  time.Duration // what counts
	readers float64       // share of the turns that only read, drawn for each turn; each goroutine draws the same in every contest
	// lock asks for the lock, to write or to read, where readers may be together; nil is Lock of the locker, for both.
	lock func(ctx context.Context, l peer.Locker, writes bool) (peer.Release, error)
	// opens and closes are called before and after the window; nil: nothing is.
	opens, closes func()
}

// patience is how long after the end of a contest its goroutines may take to return, and its clients to close.
const patience = 2 * time.Second

// failed is the quantity of what was refused, hung or went wrong otherwise, in each round: its sum counts, not its
// median.
const failed = "failures"

// turn is one wait for the lock, by the time since the contest began. One that is not over has got less than asked.
type turn struct {
	asked, got time.Duration
	writes     bool
	passed     bool // it came from another goroutine
}

// field is what came of a contest.
type field struct {
	turns    [][]turn // of each goroutine
	from, to time.Duration
	failures int
}

// contender is one goroutine of a contest.
type contender struct {
	mu    sync.Mutex // for the one who looks at a goroutine that does not return
	turns []turn
}

// run holds the contest. It returns at most patience after the window has ended, whatever the lockers do. What they
// refused before is counted as a failure, as is each goroutine that has not returned, and each time when two had
// the lock that should have excluded each other.
func (c contest) run(ctx context.Context) field {
	// No context has a deadline: some libraries make a lock's time to live shorter for it.
	waiting, giveUp := context.WithCancel(ctx)
	defer giveUp()
	releasing, abandon := context.WithCancel(ctx)
	defer abandon()

	var (
		begun    = time.Now()
		all      = make([]*contender, c.waiters)
		last     atomic.Int64 // who had the lock, from 1
		inside   atomic.Int64 // who has it: readers, and writers times alone
		failures atomic.Int64
		running  atomic.Int64
		over     = make(chan struct{})
	)
	const alone = 1 << 32
	lock := c.lock
	if lock == nil {
		lock = func(ctx context.Context, l peer.Locker, _ bool) (peer.Release, error) { return l.Lock(ctx, c.name) }
	}
	compete := func(i int) { // a goroutine's whole life
		one, locker := all[i], c.lockers[i%len(c.lockers)]
		draw := rand.New(rand.NewPCG(uint64(i), 0))
		for waiting.Err() == nil {
			t := turn{asked: time.Since(begun), got: -1, writes: draw.Float64() >= c.readers}
			one.note(t, true)
			release, err := lock(waiting, locker, t.writes)
			for err != nil {
				if waiting.Err() != nil {
					return
				}
				failures.Add(1)
				time.Sleep(time.Millisecond) // what fails at once must not take the time of the others
				release, err = lock(waiting, locker, t.writes)
			}
			t.got = time.Since(begun)
			t.passed = last.Swap(int64(i)+1) != int64(i)+1
			one.note(t, false)

			me := int64(alone)
			if c.lock != nil && !t.writes {
				me = 1
			}
			if n := inside.Add(me); n > alone && waiting.Err() == nil {
				failures.Add(1)
			}
			if c.work > 0 {
				time.Sleep(c.work)
			}
			inside.Add(-me)
			if err := release(releasing); err != nil && releasing.Err() == nil {
				failures.Add(1)
			}
		}
	}
	running.Store(int64(c.waiters))
	for i := range all {
		all[i] = &contender{}
	}
	for i := range all {
		go func() {
			defer func() {
				if running.Add(-1) == 0 {
					close(over)
				}
			}()
			compete(i)
		}()
	}

	pause(ctx, c.warm)
	if c.opens != nil {
		c.opens()
	}
	f := field{from: time.Since(begun)}
	pause(ctx, c.window)
	f.to = time.Since(begun)
	if c.closes != nil {
		c.closes()
	}
	giveUp()
	within(patience, over)
	f.failures = int(failures.Load() + running.Load())
	for _, one := range all {
		one.mu.Lock()
		f.turns = append(f.turns, slices.Clone(one.turns))
		one.mu.Unlock()
	}
	return f
}

// note adds a turn that begins, or says how the last one has ended.
func (c *contender) note(t turn, begins bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if begins {
		c.turns = append(c.turns, t)
	} else {
		c.turns[len(c.turns)-1] = t
	}
}

// pause sleeps, unless the run is ended.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// within waits until done is closed, for a bounded time.
func within(d time.Duration, done <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// closeAll closes clients together, and waits for that as long as patience has it.
func closeAll(lockers []peer.Locker) {
	var closing sync.WaitGroup
	for _, l := range lockers {
		closing.Go(l.Close)
	}
	done := make(chan struct{})
	go func() {
		closing.Wait()
		close(done)
	}()
	within(patience, done)
}
