package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
)

// partArgument is the first argument of a process that measures a part of a run.
const partArgument = "part"

// partTime bounds a part.
const partTime = 2 * time.Minute

// parts are measured in separate processes, so that memory, goroutines and connections are those of one library, in
// one state.
var parts = map[string]func(context.Context, task) ([]finding, error){
	"waiting": waitInCrowd,
	"holding": holdMany,
}

// task is the input of a part.
type task struct {
	Peer   string
	Addr   string
	Number int           // the number of waiters or of locks
	Own    bool          // each waiter has a lock of its own
	Lease  time.Duration // 0: the library's own
	Watch  time.Duration // how long requests are counted
}

// finding is a result of a part. The results are noted in their order.
type finding struct {
	Quantity string
	Value    float64
}

// inChild runs a part in a process of its own and notes its results.
func (b *bench) inChild(part, subject string, t task) {
	all, err := t.inChild(b.ctx, part)
	if err != nil {
		b.Fatalf("%s of %s: %v", part, subject, err)
	}
	for _, f := range all {
		b.log.Add(measure.Key{Section: part, Subject: subject, Quantity: f.Quantity, X: float64(t.Number)}, f.Value)
	}
}

// inChild runs a part in a process of its own: this program, whose main calls runPart.
func (t task) inChild(ctx context.Context, part string) (all []finding, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	in, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, partTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, partArgument, part, string(in))
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, fmt.Errorf("it says %q: %w", out, err)
	}
	return all, nil
}

// runPart is the main function of such a process. Its arguments are the name of the part and its task.
func runPart(ctx context.Context, args []string) error {
	if len(args) != 2 || parts[args[0]] == nil {
		return fmt.Errorf("%s %q: no such part", partArgument, args)
	}
	var t task
	if err := json.Unmarshal([]byte(args[1]), &t); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, partTime)
	defer cancel()
	all, err := parts[args[0]](ctx, t)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(all)
}

// open makes a client of the task's library, and another one to look at the server. It counts the connections that are
// not the library's. Both clients end with ctx.
func (t task) open(ctx context.Context) (l peer.Locker, look *redis.Client, others float64, err error) {
	i := slices.IndexFunc(peer.All(), func(p peer.Peer) bool { return p.Name == t.Peer })
	if i < 0 {
		return nil, nil, 0, fmt.Errorf("no library is called %q", t.Peer)
	}
	look = redis.NewClient(&redis.Options{Addr: t.Addr, PoolSize: 1})
	if others, err = connections(ctx, look); err != nil {
		return nil, nil, 0, err
	}
	if l, err = peer.All()[i].Open(t.Addr, peer.Options{TTL: t.Lease}); err != nil {
		return nil, nil, 0, err
	}
	context.AfterFunc(ctx, func() {
		l.Close()
		_ = look.Close()
	})
	return l, look, others, nil
}

// warm lets the library make its connections, so that they do not count as the cost of locks and waiters.
func warm(ctx context.Context, l peer.Locker, look *redis.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	const callers = 64
	for _, err := range each(20*callers, callers, func(i int) error {
		return once(ctx, l, fmt.Sprint("warm-", i%callers))
	}) {
		if err != nil {
			return err
		}
	}
	c, ours := l.(*peer.Client)
	if !ours {
		return nil
	}
	// The calls of this library leave together, so at first it needs few connections. While nothing is answered each call
	// takes a connection, and go-redis has further ones for pipelines.
	if err := look.ClientPause(ctx, 200*time.Millisecond).Err(); err != nil {
		return err
	}
	for _, err := range each(2*callers, 2*callers, func(i int) error {
		if i%2 == 0 {
			return c.Redis.Ping(ctx).Err()
		}
		_, err := c.Redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Ping(ctx)
			pipe.Ping(ctx)
			return nil
		})
		return err
	}) {
		if err != nil {
			return err
		}
	}
	return nil
}

// lockForGood takes a free lock, which is still held afterwards, and gives up soon if that fails. It uses no deadline, as
// with some libraries the lock would end with it.
func lockForGood(ctx context.Context, l peer.Locker, name string) error {
	var err error
	for range 3 {
		own, cancel := context.WithCancel(ctx)
		giveUp := time.AfterFunc(stuckAfter, cancel)
		if _, err = l.Lock(own, name); err == nil && giveUp.Stop() {
			return nil
		}
		cancel()
	}
	return fmt.Errorf("not within %v: %w", stuckAfter, cmp.Or(err, context.Canceled))
}

// each calls f for 0 to n-1 from n goroutines, and returns the errors in that order.
func each(n, goroutines int, f func(i int) error) []error {
	errs := make([]error, n)
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(n, goroutines) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				errs[i] = f(i)
			}
		})
	}
	all.Wait()
	return errs
}

// inUse is the memory of heap and stacks after a garbage collection, in KiB.
func inUse() (heap, stacks float64) {
	runtime.GC()
	runtime.GC() // the second one frees what the first kept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse) / 1024, float64(m.StackInuse) / 1024
}

// connections is how many connections a server has.
func connections(ctx context.Context, rdb redis.UniversalClient) (float64, error) {
	list, err := rdb.ClientList(ctx).Result()
	return float64(strings.Count(list, "\n")), err
}
