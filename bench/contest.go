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

// contest lets goroutines take one lock in turns: each asks for it, works, gives it back, and asks again at once. If
// the library gives up before the contest ends, the goroutine asks again, and its wait goes on.
type contest struct {
	name    string
	lockers []peer.Locker // clients; the goroutines are spread over them evenly
	clients int           // how many clients are made for it; 0: contestClients
	waiters int           // goroutines
	work    time.Duration // the time that a holder sleeps, which takes no processor time from the others
	warm    time.Duration // before the window
	window  time.Duration // the time that counts
	readers float64       // the share of turns that only read, drawn for each turn; a goroutine draws the same in every contest
	// lock asks for the lock, to write or to read, if readers may share it; nil means Lock of the locker, for both.
	lock func(ctx context.Context, l peer.Locker, writes bool) (peer.Release, error)
	// opens and closes are called before and after the window, unless they are nil.
	opens, closes func()
}

// patience is how long the goroutines may take to return after the end of a contest, and the clients to close.
const patience = 2 * time.Second

// failed is the quantity that counts calls that were refused, hung or failed otherwise, in each round. Its sum
// counts, not its median.
const failed = "failures"

// turn is one wait for the lock, in times since the contest began. In a turn that is not over, got is less than
// asked.
type turn struct {
	asked, got time.Duration
	writes     bool
	passed     bool // the lock came from another goroutine
}

// field is the result of a contest.
type field struct {
	turns    [][]turn // of each goroutine
	from, to time.Duration
	failures int
}

// contender is one goroutine of a contest.
type contender struct {
	mu    sync.Mutex // for a look at a goroutine that does not return
	turns []turn
}

// run holds the contest. It returns at most patience after the end of the window, whatever the lockers do. It counts
// as a failure each refusal before that, each goroutine that has not returned, and each time when two had the lock
// that should have excluded each other.
func (c contest) run(ctx context.Context) field {
	// No context has a deadline: some libraries make a lock's time to live shorter for it.
	waiting, giveUp := context.WithCancel(ctx)
	defer giveUp()
	releasing, abandon := context.WithCancel(ctx)
	defer abandon()

	var (
		begun    = time.Now()
		all      = make([]*contender, c.waiters)
		last     atomic.Int64 // the last holder, counted from 1
		inside   atomic.Int64 // the present holders: readers, plus writers times alone
		failures atomic.Int64
		running  atomic.Int64
		over     = make(chan struct{})
	)
	const alone = 1 << 32
	lock := c.lock
	if lock == nil {
		lock = func(ctx context.Context, l peer.Locker, _ bool) (peer.Release, error) { return l.Lock(ctx, c.name) }
	}
	compete := func(i int) { // the main function of a goroutine
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
				time.Sleep(time.Millisecond) // a call that fails at once must not take the time of the others
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

// note adds a turn that begins, or sets the end of the last one.
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

// closeAll closes clients at the same time, and waits for that at most for patience.
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
