package redislock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
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
	// maxAttempts is how often a request is sent before the caller is told that Redis cannot be reached, and resendTime
	// after how long it is not sent again.
	maxAttempts = 4
	resendTime  = 5 * time.Second
)

// command is a Redis command that go-redis must not send twice: we resend, and so know of every attempt that had no
// answer (I8).
type command struct {
	*redis.Cmd
}

func (command) NoRetry() bool { return true }

func newCommand(ctx context.Context, keyPos int8, args ...any) command {
	cmd := redis.NewCmd(ctx, args...)
	cmd.SetFirstKeyPos(keyPos)
	return command{cmd}
}

// call is one script call on its way, and what became of it.
type call struct {
	script *script
	key    string
	argv   []any // as it is sent: command, script, number of keys, key, arguments
	store  [6]any
	keyPos int8
	rides  bool // the Client counts it as under way
	cmd    command
	answer answer

	// Of a call that somebody waits for while another goroutine sends it.
	state atomic.Int32
	woken chan struct{}
	late  func(answer) // takes the answer if nobody waits any more; or nil
}

// The states of a call.
const underWay, settled, left = 0, 1, 2

func newCall(s *script, key string, args ...any) *call {
	c := &call{}
	c.init(s, key, key)
	c.argv = append(c.argv, args...)
	return c
}

// init makes c the call of a script on a key. boxed is the key too: another call may have it in this form already. The
// arguments are appended to argv, which has room for two.
func (c *call) init(s *script, key string, boxed any) {
	c.script, c.key, c.keyPos = s, key, 3
	c.argv = append(c.store[:0], "evalsha", s.boxed, s.keys, boxed)
}

// plain makes c the call of a command in the place of a script which begins with it.
func (c *call) plain(s *script, command, key string, boxed any) {
	c.script, c.key, c.keyPos = s, key, 1
	c.argv = append(c.store[:0], command, boxed)
}

// forget drops what came back, so that it is not kept as long as the call. The arguments stay as they are: a hook of the
// Redis client may have kept them.
func (c *call) forget() {
	c.argv, c.cmd, c.answer, c.late = nil, command{}, answer{}, nil
}

// answer is what a call came to.
type answer struct {
	value any
	err   error
	// sent is when the answered attempt left, before its first byte.
	sent time.Time
	// unanswered says that an attempt had no answer, so that a copy of the request may be executed late.
	unanswered bool
}

func (c *call) prepare(ctx context.Context, now time.Time) {
	c.cmd = newCommand(ctx, c.keyPos, c.argv...)
	c.answer.sent = now
}

// settle takes the answer from the command. It reports whether the call should be sent once more at once, whole.
func (c *call) settle() bool {
	c.answer.value, c.answer.err = c.cmd.Result()
	err := c.answer.err
	if err == nil {
		return false
	}
	if c.argv[0] == "evalsha" && redis.HasErrorPrefix(err, "NOSCRIPT") {
		c.argv = slices.Clone(c.argv) // somebody's hook may have kept the command
		c.argv[0], c.argv[1] = "eval", c.script.text
		return true
	}
	if !answered(err) && !unsent(err) {
		c.answer.unanswered = true
	}
	return false
}

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
	turns      chan struct{} // of those who wait for replicas (replicas.go)
	background *tracker      // of the Client

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

func newExecutor(rdb redis.UniversalClient, background *tracker) *executor {
	return &executor{rdb: rdb, background: background, turns: make(chan struct{}, max(1, poolSize(rdb)/2))}
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

// await makes the call ready to be waited for.
func (c *call) await() {
	if c.woken == nil {
		c.woken = make(chan struct{}, 1)
	}
	c.state.Store(underWay)
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
		_ = x.rdb.Process(ctx, c.cmd) // the error stays in the command
		if !c.settle() {
			break
		}
		now = time.Now()
	}
	suspect(x.rdb, c.answer.err)
}

// suspect has a cluster client ask for the map of the slots again, if an error is the network's: a master may have died, and
// another have taken its place. go-redis asks when a node redirects it, which a dead one does not, and else once a
// minute.
func suspect(rdb redis.UniversalClient, err error) {
	if cluster, ok := rdb.(*redis.ClusterClient); ok && err != nil && !answered(err) {
		cluster.ReloadState(context.Background()) // in the background, a few times a second at the most
	}
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
		pipe, now := x.rdb.Pipeline(), time.Now()
		for _, c := range batch {
			c.prepare(ctx, now)
			_ = pipe.Process(ctx, c.cmd)
		}
		_, _ = pipe.Exec(ctx) // each command has its own error
		var again []*call
		for _, c := range batch {
			if c.settle() {
				again = append(again, c)
				continue
			}
			suspect(x.rdb, c.answer.err)
			x.wake(c)
		}
		batch = again
	}
}

// executor is the one for the master that serves a key.
func (c *Client) executor(key string) *executor {
	cluster, ok := c.rdb.(*redis.ClusterClient)
	if !ok {
		return c.single
	}
	master, err := cluster.MasterForKey(context.Background(), key)
	if err != nil {
		return c.single // the cluster client finds the node, or the error
	}
	c.mapped.Store(true)
	addr := master.Options().Addr
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.masters[addr]
	if x == nil {
		x = newExecutor(c.rdb, &c.background)
		c.masters[addr] = x
	}
	return x
}

// executorWithin is executor for a caller who does not wait longer than ctx; nil if that ends first. A cluster client asks
// for the map of the slots before its first request, and as long as it has none.
func (c *Client) executorWithin(ctx context.Context, key string) *executor {
	if _, cluster := c.rdb.(*redis.ClusterClient); !cluster || c.mapped.Load() || ctx.Done() == nil {
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

// ask sends a script until it is answered, at most maxAttempts times, and not again after ctx has ended. Its caller does not
// wait longer than ctx, although go-redis does not interrupt a read: when it ends first, the answer has its error, the request
// counts as unanswered, and late is called with what came of it.
func (c *Client) ask(ctx context.Context, late func(answer), s *script, key string, args ...any) answer {
	one := newCall(s, key, args...)
	one.late = late
	return c.attempt(ctx, one, ctx.Done() == nil)
}

// attempt is ask of a call; one who stays waits for the end of an attempt, and sends it himself where nothing else is under way.
func (c *Client) attempt(ctx context.Context, one *call, stay bool) answer {
	within := ctx
	if stay {
		within = context.Background()
	}
	x := c.executorWithin(within, one.key)
	if x == nil {
		return answer{err: ctx.Err()}
	}
	var begun time.Time
	for attempt := 1; ; attempt++ {
		if stay {
			x.do(detached(ctx), one)
		} else if !x.ride(ctx, one) {
			return answer{err: ctx.Err(), unanswered: true}
		}
		err := one.answer.err
		if err == nil {
			return one.answer
		}
		if attempt == 1 {
			begun = one.answer.sent
		}
		if attempt == maxAttempts || !resendable(err) || ctx.Err() != nil || time.Since(begun) > resendTime {
			break
		}
		pause := time.NewTimer(backoff(attempt))
		select {
		case <-pause.C:
		case <-ctx.Done():
		case <-c.closing:
		}
		pause.Stop()
		if err := ctx.Err(); err != nil {
			if !stay {
				one.answer.err = err
			}
			break
		}
	}
	if err := one.answer.err; refused(err) {
		one.answer.err = fmt.Errorf("%w: %w (%s uses %s)", ErrPermission, err, one.script.name, strings.Join(one.script.commands(), ", "))
	}
	return one.answer
}

// detached is ctx without its end.
func detached(ctx context.Context) context.Context {
	if ctx.Done() == nil {
		return ctx
	}
	return context.WithoutCancel(ctx)
}

// backoff before the next attempt: 8, 16, 32 ms … with jitter.
func backoff(attempt int) time.Duration {
	d := 8 * time.Millisecond << min(attempt-1, 7)
	return d/2 + rand.N(d)
}

// answered reports whether an error is the server's answer.
func answered(err error) bool {
	var fromServer redis.Error
	return errors.As(err, &fromServer)
}

// unsent reports whether a request that failed cannot have reached the server.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrClosed)
}

// refused reports whether an error is the ACL's: of the command itself, or from Redis 7 on of one inside a script.
func refused(err error) bool {
	return redis.HasErrorPrefix(err, "NOPERM") || answered(err) && strings.Contains(err.Error(), "user executing the script")
}

// unknownCommand reports whether the server does not know a command, because it is older.
func unknownCommand(err error) bool { return redis.HasErrorPrefix(err, "unknown command") }

// refusals are answers of a server that did not execute the request and may do so later.
var refusals = []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "BUSY", "max number of clients"}

// resendable reports whether the same request may succeed if it is sent again.
func resendable(err error) bool {
	if errors.Is(err, redis.ErrClosed) {
		return false
	}
	if !answered(err) {
		return true
	}
	for _, prefix := range refusals {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}
