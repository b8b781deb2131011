package transport

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/tracker"
)

const (
	// maxInFlight is how many batches of one executor are under way before further calls queue for the next one.
	maxInFlight = 2
	// fewCalls may be under way each alone, if there are connections for them: that is faster as long as no more than these call at once.
	fewCalls = 4
	// batchAge is how long a batch counts as under way: a stuck connection must not hold up the calls behind it.
	batchAge = 20 * time.Millisecond
	// defaultConnections are assumed of a client that does not say how many it has.
	defaultConnections = 20
	// maxBatch bounds a pipeline.
	maxBatch = 256
	// maxMasters bounds the executors that are kept. When there are more, all are forgotten; what they have begun goes on.
	maxMasters = 256
)

// wake hands the answer to its caller, which may then use the call again. If the caller no longer waits, the answer
// goes to the function for late answers.
func (x *executor) wake(c *Call) {
	if c.woken == nil {
		return
	}
	counted := c.counted
	if c.state.CompareAndSwap(underWay, settled) {
		c.woken <- struct{}{}
	} else if c.Late != nil {
		c.Late(c.Answer)
	}
	if counted {
		x.background.Done()
	}
}

// executor sends the script calls to one master. A few calls leave at once, each alone; calls that arrive while more are under way
// leave together in the next pipeline.
type executor struct {
	rdb        redis.UniversalClient
	suspect    func(error)           // of the transport
	trouble    atomic.Pointer[error] // why the last request had no answer; nil: it had one
	Turns      chan struct{}         // of those who wait for replicas (package replication)
	background *tracker.Tracker      // of the transport

	connections int // of the pool: more pipelines of the lane would wait for one in go-redis, each with a goroutine

	mu         sync.Mutex
	lane       []Errand     // renewals and checks that are to leave
	lanes      int          // their pipelines under way
	insistents []*insistent // requests of which nobody waits for the answer, and whose turn has not come
	insisting  int          // and how many are under way
	batches    []batch
	last       uint64 // the number of the latest batch
	together   int    // how many calls left together of late: each queue that leaves counts half of the one before
	queue      []*Call
	overdue    *time.Timer
}

// batch is one that is under way.
type batch struct {
	number uint64
	calls  int
	at     time.Time
}

func (t *Transport) newExecutor() *executor {
	connections := PoolSize(t.behind)
	if connections == 0 { // a wrapper does not say
		connections = defaultConnections
	}
	return &executor{
		connections: connections, rdb: t.rdb, suspect: t.Suspect, background: t.background,
		Turns: make(chan struct{}, max(1, PoolSize(t.behind)/2)),
	}
}

// do sends a call once, on the caller's goroutine if it is alone, and returns when it is answered or has failed.
func (x *executor) do(ctx context.Context, c *Call) {
	if number, now, alone := x.admit(c); alone {
		x.sendAlone(ctx, c, number, now)
		return
	}
	<-c.woken
}

// doWithin is do for a caller that does not wait longer than ctx. If ctx ends first, the result is false, and the call goes on
// without the caller.
func (x *executor) doWithin(ctx context.Context, c *Call) bool {
	x.background.Add()
	c.counted = true
	number, now, alone := x.admit(c)
	if alone {
		c.await()
		go func() {
			defer x.wake(c) // also where a hook ends this goroutine
			x.sendAlone(context.WithoutCancel(ctx), c, number, now)
		}()
	}
	select {
	case <-c.woken:
		return true
	case <-ctx.Done():
	}
	if c.state.CompareAndSwap(underWay, abandoned) {
		return false
	}
	<-c.woken // it came at the last moment
	return true
}

// admit begins a batch for a call that is alone, which its caller then sends, or puts it into the queue: it is woken when it
// has been sent.
func (x *executor) admit(c *Call) (number uint64, now time.Time, alone bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	now = time.Now()
	if batches, calls := x.inFlight(now); len(x.queue) == 0 && (batches < maxInFlight || max(calls, x.together) < min(fewCalls, x.connections)) {
		return x.begin(1, now), now, true
	}
	if c.state.Load() != abandoned {
		c.await()
	}
	x.queue = append(x.queue, c)
	if len(x.queue) == 1 {
		x.wakeLater()
	}
	return 0, now, false
}

// sendAlone sends the only call of a batch.
func (x *executor) sendAlone(ctx context.Context, c *Call, number uint64, now time.Time) {
	defer x.end(number)
	for {
		c.Prepare(ctx, now)
		Process(ctx, x.rdb, c.Cmd)
		if !c.Settle() {
			break
		}
		now = time.Now()
	}
	x.learn(c.Answer.Err)
}

// learn takes the result of a request, which shows whether the server can be reached.
func (x *executor) learn(err error) {
	x.suspect(err)
	if err != nil && !Answered(err) {
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

// inFlight is how many batches, of how many calls, count as under way.
func (x *executor) inFlight(now time.Time) (batches, calls int) {
	for _, b := range x.batches {
		if now.Sub(b.at) < batchAge {
			batches++
			calls += b.calls
		}
	}
	return batches, calls
}

func (x *executor) begin(calls int, now time.Time) (number uint64) {
	x.last++
	x.batches = append(x.batches, batch{x.last, calls, now})
	return x.last
}

// end ends a batch, and starts the next one with the calls that have queued.
func (x *executor) end(number uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.batches = slices.DeleteFunc(x.batches, func(b batch) bool { return b.number == number })
	if len(x.queue) > 0 {
		x.next()
	}
}

func (x *executor) next() {
	for now := time.Now(); len(x.queue) > 0; {
		if batches, _ := x.inFlight(now); batches >= maxInFlight {
			x.wakeLater()
			return
		}
		n := min(len(x.queue), maxBatch)
		batch := x.queue[:n:n]
		x.queue = x.queue[n:]
		if len(x.queue) == 0 {
			x.queue = nil
		}
		number := x.begin(n, now)
		x.together = max(n, x.together/2)
		go func() {
			defer x.end(number)
			x.Deliver(batch)
		}()
	}
}

// wakeLater makes sure that the queue leaves when the batches before it have become too old to count, even if none of
// them ends and nobody calls.
func (x *executor) wakeLater() {
	if x.overdue == nil {
		x.overdue = time.AfterFunc(batchAge, func() {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.next()
		})
		return
	}
	x.overdue.Reset(batchAge)
}

// Deliver sends calls in one pipeline, which is not counted as in flight: renewals have this lane of their own.
func (x *executor) Deliver(batch []*Call) {
	ctx := context.Background()
	defer func() { // a hook has ended this goroutine: what became of the calls is not known
		for _, c := range batch {
			c.Answer.Err, c.Answer.Unanswered = ErrNoAnswer, true
			x.wake(c)
		}
	}()
	for len(batch) > 0 {
		cmds, now := make([]Command, len(batch)), time.Now()
		for i, c := range batch {
			c.Prepare(ctx, now)
			cmds[i] = c.Cmd
		}
		_ = Pipelined(ctx, x.rdb, cmds) // each command has its own error
		all := batch
		batch = nil
		for _, c := range all {
			if c.Settle() {
				batch = append(batch, c)
				continue
			}
			x.learn(c.Answer.Err)
			x.wake(c)
		}
	}
}

// Executor is the one for the master that serves a key.
func (t *Transport) Executor(key string) *executor {
	cluster := t.behind.Cluster
	if cluster == nil {
		return t.single
	}
	master, err := MasterOf(context.Background(), cluster, key)
	if err != nil {
		return t.single // the cluster client finds the node, or the error
	}
	t.mapped.Store(true)
	addr := master.Options().Addr
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.masters[addr]
	if x == nil {
		x = t.newExecutor()
		if len(t.masters) >= maxMasters { // addresses come and go with the nodes
			clear(t.masters)
		}
		t.masters[addr] = x
	}
	return x
}

// executorWithin is executor for a caller that does not wait longer than ctx; nil if ctx ends first. A cluster client asks for
// the map of the slots before its first request, and as long as it has none.
func (t *Transport) executorWithin(ctx context.Context, key string) *executor {
	if t.behind.Cluster == nil || t.mapped.Load() || ctx.Done() == nil {
		return t.Executor(key)
	}
	found := make(chan *executor, 1)
	t.background.Add()
	go func() {
		defer t.background.Done()
		found <- t.Executor(key)
	}()
	select {
	case x := <-found:
		return x
	case <-ctx.Done():
		return nil
	}
}
