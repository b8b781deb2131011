package redislock

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxFlights is how many batches of one executor are under way before further calls queue for the next one.
	maxFlights = 2
	// flightAge is how long a batch counts as under way: a stuck connection must not hold up the calls behind it.
	flightAge = 20 * time.Millisecond
	// maxBatch bounds a pipeline.
	maxBatch = 256
	// maxMasters bounds the executors that are kept. When there are more, all are forgotten; what they have begun goes on.
	maxMasters = 256
)

// wake hands the answer to who waits for it, who may use the call again then, or, if nobody does any more, to who takes
// what comes late.
func (x *executor) wake(c *call) {
	if c.woken == nil {
		return
	}
	rides := c.rides
	if c.state.CompareAndSwap(underWay, settled) {
		c.woken <- struct{}{}
	} else if c.late != nil {
		c.late(c.answer)
	}
	if rides {
		x.background.done()
	}
}

// executor sends the script calls to one master. A lone call leaves at once; calls that arrive while others are under
// way leave together in the next pipeline.
type executor struct {
	rdb        redis.UniversalClient
	suspect    func(error)           // of the Client
	trouble    atomic.Pointer[error] // why the last request had no answer; nil: it had one
	turns      chan struct{}         // of those who wait for replicas (replicas.go)
	background *tracker              // of the Client

	mu      sync.Mutex
	flights []departure
	last    uint64 // the number of the latest flight
	queue   []*call
	overdue *time.Timer
}

// departure is that of a batch which is under way.
type departure struct {
	number uint64
	at     time.Time
}

func (c *Client) newExecutor() *executor {
	return &executor{
		rdb: c.rdb, suspect: c.suspect, background: &c.background,
		turns: make(chan struct{}, max(1, poolSize(c.behind)/2)),
	}
}

// do sends a call once, on the caller's goroutine if it is alone, and returns when it is answered or has failed.
func (x *executor) do(ctx context.Context, c *call) {
	if number, now, alone := x.board(c); alone {
		x.fly(ctx, c, number, now)
		return
	}
	<-c.woken
}

// ride is do for a caller who does not wait longer than ctx: then the result is false, and the call goes on without him.
func (x *executor) ride(ctx context.Context, c *call) bool {
	x.background.add()
	c.rides = true
	number, now, alone := x.board(c)
	if alone {
		c.await()
		go func() {
			x.fly(context.WithoutCancel(ctx), c, number, now)
			x.wake(c)
		}()
	}
	select {
	case <-c.woken:
		return true
	case <-ctx.Done():
	}
	if c.state.CompareAndSwap(underWay, left) {
		return false
	}
	<-c.woken // it came at the last moment
	return true
}

// board begins a flight for a call that is alone, which its caller then sends, or puts it into the queue: it is woken when it
// has been sent.
func (x *executor) board(c *call) (number uint64, now time.Time, alone bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	now = time.Now()
	if len(x.queue) == 0 && x.young(now) < maxFlights {
		return x.depart(now), now, true
	}
	c.await()
	x.queue = append(x.queue, c)
	if len(x.queue) == 1 {
		x.alarm()
	}
	return 0, now, false
}

// fly sends the only call of a flight.
func (x *executor) fly(ctx context.Context, c *call, number uint64, now time.Time) {
	defer x.arrive(number)
	for {
		c.prepare(ctx, now)
		process(ctx, x.rdb, c.cmd)
		if !c.settle() {
			break
		}
		now = time.Now()
	}
	x.learn(c.answer.err)
}

// learn takes what a request came to: it says whether the server can be reached.
func (x *executor) learn(err error) {
	x.suspect(err)
	if err != nil && !answered(err) {
		why := err
		x.trouble.Store(&why)
	} else if x.trouble.Load() != nil {
		x.trouble.Store(nil)
	}
}

// why is the reason for which the last request had no answer, nil if it had one.
func (x *executor) why() error {
	if why := x.trouble.Load(); why != nil {
		return *why
	}
	return nil
}

// young is how many batches count as under way.
func (x *executor) young(now time.Time) (n int) {
	for _, f := range x.flights {
		if now.Sub(f.at) < flightAge {
			n++
		}
	}
	return n
}

func (x *executor) depart(now time.Time) (number uint64) {
	x.last++
	x.flights = append(x.flights, departure{x.last, now})
	return x.last
}

// arrive ends a flight and starts the next one with what queued meanwhile.
func (x *executor) arrive(number uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.flights = slices.DeleteFunc(x.flights, func(f departure) bool { return f.number == number })
	if len(x.queue) > 0 {
		x.next()
	}
}

func (x *executor) next() {
	for now := time.Now(); len(x.queue) > 0 && x.young(now) < maxFlights; {
		n := min(len(x.queue), maxBatch)
		batch := x.queue[:n:n]
		x.queue = x.queue[n:]
		if len(x.queue) == 0 {
			x.queue = nil
		}
		number := x.depart(now)
		go func() {
			defer x.arrive(number)
			x.send(batch)
		}()
	}
	if len(x.queue) > 0 {
		x.alarm()
	}
}

// alarm makes sure that the queue leaves when the flights before it have become too old to count, even if nobody
// arrives or calls.
func (x *executor) alarm() {
	if x.overdue == nil {
		x.overdue = time.AfterFunc(flightAge, func() {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.next()
		})
		return
	}
	x.overdue.Reset(flightAge)
}

// send sends calls in one pipeline, which is not counted as a flight: renewals have this lane of their own.
func (x *executor) send(batch []*call) {
	ctx := context.Background()
	for len(batch) > 0 {
		cmds, now := make([]command, len(batch)), time.Now()
		for i, c := range batch {
			c.prepare(ctx, now)
			cmds[i] = c.cmd
		}
		_ = pipelined(ctx, x.rdb, cmds) // each command has its own error
		var again []*call
		for _, c := range batch {
			if c.settle() {
				again = append(again, c)
				continue
			}
			x.learn(c.answer.err)
			x.wake(c)
		}
		batch = again
	}
}

// executor is the one for the master that serves a key.
func (c *Client) executor(key string) *executor {
	cluster := c.behind.Cluster
	if cluster == nil {
		return c.single
	}
	master, err := masterOf(context.Background(), cluster, key)
	if err != nil {
		return c.single // the cluster client finds the node, or the error
	}
	c.mapped.Store(true)
	addr := master.Options().Addr
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.masters[addr]
	if x == nil {
		x = c.newExecutor()
		if len(c.masters) >= maxMasters { // addresses come and go with the nodes
			clear(c.masters)
		}
		c.masters[addr] = x
	}
	return x
}

// executorWithin is executor for a caller who does not wait longer than ctx; nil if that ends first. A cluster client asks
// for the map of the slots before its first request, and as long as it has none.
func (c *Client) executorWithin(ctx context.Context, key string) *executor {
	if c.behind.Cluster == nil || c.mapped.Load() || ctx.Done() == nil {
		return c.executor(key)
	}
	found := make(chan *executor, 1)
	c.background.add()
	go func() {
		defer c.background.done()
		found <- c.executor(key)
	}()
	select {
	case x := <-found:
		return x
	case <-ctx.Done():
		return nil
	}
}
