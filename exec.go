package redislock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
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
	args   []any
	whole  bool // send the text, not the digest
	cmd    command
	answer answer
	done   chan struct{} // closed when a batch has answered; nil for calls that nobody waits for like this
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

func (c *call) prepare(ctx context.Context) {
	args := make([]any, 0, 4+len(c.args))
	if c.whole {
		args = append(args, "eval", c.script.text, c.script.keys, c.key)
	} else {
		args = append(args, "evalsha", c.script.digest, c.script.keys, c.key)
	}
	c.cmd = newCommand(ctx, 3, append(args, c.args...)...)
	c.answer.sent = time.Now()
}

// settle takes the answer from the command. It reports whether the call should be sent once more at once, whole.
func (c *call) settle() bool {
	c.answer.value, c.answer.err = c.cmd.Result()
	if !c.whole && redis.HasErrorPrefix(c.answer.err, "NOSCRIPT") {
		c.whole = true
		return true
	}
	if c.answer.err != nil && !answered(c.answer.err) && !unsent(c.answer.err) {
		c.answer.unanswered = true
	}
	return false
}

// executor sends the script calls to one master. A lone call leaves at once on its caller's goroutine; calls that
// arrive while others are under way leave together in the next pipeline.
type executor struct {
	rdb   redis.UniversalClient
	turns chan struct{} // of those who wait for replicas (replicas.go)

	mu      sync.Mutex
	flights []*time.Time
	queue   []*call
	overdue *time.Timer
}

func newExecutor(rdb redis.UniversalClient) *executor {
	return &executor{rdb: rdb, turns: make(chan struct{}, max(1, poolSize(rdb)/2))}
}

// do sends a call once and returns when it is answered or has failed.
func (x *executor) do(ctx context.Context, c *call) {
	x.mu.Lock()
	if len(x.queue) > 0 || !x.clear() {
		c.done = make(chan struct{})
		x.queue = append(x.queue, c)
		if len(x.queue) == 1 {
			x.alarm()
		}
		x.mu.Unlock()
		<-c.done
		return
	}
	flight := x.depart()
	x.mu.Unlock()

	defer x.arrive(flight)
	for again := true; again; {
		c.prepare(ctx)
		_ = x.rdb.Process(ctx, c.cmd) // the error stays in the command
		again = c.settle()
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

// clear reports whether another batch may leave.
func (x *executor) clear() bool {
	young := 0
	for _, departed := range x.flights {
		if time.Since(*departed) < flightAge {
			young++
		}
	}
	return young < maxFlights
}

func (x *executor) depart() *time.Time {
	departed := time.Now()
	x.flights = append(x.flights, &departed)
	return &departed
}

// arrive ends a flight and starts the next one with what queued meanwhile.
func (x *executor) arrive(flight *time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, departed := range x.flights {
		if departed == flight {
			last := len(x.flights) - 1
			x.flights[i], x.flights[last] = x.flights[last], nil
			x.flights = x.flights[:last]
			break
		}
	}
	x.next()
}

func (x *executor) next() {
	for len(x.queue) > 0 && x.clear() {
		n := min(len(x.queue), maxBatch)
		batch := x.queue[:n:n]
		x.queue = x.queue[n:]
		if len(x.queue) == 0 {
			x.queue = nil
		}
		flight := x.depart()
		go func() {
			defer x.arrive(flight)
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
		pipe := x.rdb.Pipeline()
		for _, c := range batch {
			c.prepare(ctx)
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
			if c.done != nil {
				close(c.done)
			}
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
	addr := master.Options().Addr
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.masters[addr]
	if x == nil {
		x = newExecutor(c.rdb)
		c.masters[addr] = x
	}
	return x
}

// eval sends a script until it is answered, at most maxAttempts times, on the caller's goroutine. It is not sent again
// after ctx has ended, but may outlast it: go-redis does not interrupt a read. Most callers want [Client.ask].
func (c *Client) eval(ctx context.Context, s *script, key string, args ...any) answer {
	detached := context.WithoutCancel(ctx)
	x := c.executor(key)
	one := &call{script: s, key: key, args: args}
	begun := time.Now()
	for attempt := 1; ; attempt++ {
		one.done = nil
		x.do(detached, one)
		err := one.answer.err
		if err == nil || attempt == maxAttempts || !resendable(err) || ctx.Err() != nil || time.Since(begun) > resendTime {
			break
		}
		pause := time.NewTimer(backoff(attempt))
		select {
		case <-pause.C:
		case <-ctx.Done():
		case <-c.closing:
		}
		pause.Stop()
		if ctx.Err() != nil {
			break
		}
	}
	if err := one.answer.err; refused(err) {
		one.answer.err = fmt.Errorf("%w: %w (%s uses %s)", ErrPermission, err, s.name, strings.Join(s.commands(), ", "))
	}
	return one.answer
}

// ask is eval for a caller who does not wait longer than ctx: when it ends first, the answer has its error, the
// request counts as unanswered, and late is called with what came of it.
func (c *Client) ask(ctx context.Context, late func(answer), s *script, key string, args ...any) answer {
	if ctx.Done() == nil {
		return c.eval(ctx, s, key, args...)
	}
	var (
		result = make(chan answer, 1)
		mu     sync.Mutex
		left   bool
	)
	c.background.add()
	go func() {
		defer c.background.done()
		a := c.eval(ctx, s, key, args...)
		mu.Lock()
		abandoned := left
		if !abandoned {
			result <- a
		}
		mu.Unlock()
		if abandoned && late != nil {
			late(a)
		}
	}()
	select {
	case a := <-result:
		return a
	case <-ctx.Done():
	}
	mu.Lock()
	defer mu.Unlock()
	select {
	case a := <-result: // it came at the last moment
		return a
	default:
		left = true
		return answer{err: ctx.Err(), unanswered: true}
	}
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
