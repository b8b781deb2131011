package redislock_test

import (
	"context"
	"fmt"
	"net"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/conformance"
	"example.com/redislock/internal/fakenet"
)

// env has the servers of a test and the instances that use them. The same tests run on the embedded server in fake
// time and on a real topology.
type env struct {
	*testing.T
	mini       *miniredis.Miniredis // nil on real servers
	real       *service             // nil on the embedded one
	connect    func() redis.UniversalClient
	connectFor func(prefix string) redis.UniversalClient // connects with the permissions of another prefix
	raw        redis.UniversalClient                     // a connection past the library
}

// both runs a behaviour test on the embedded server in fake time, and on a real topology (topology_test.go). The test reports failures
// to its env and not to t, as it runs on another goroutine.
func both(t *testing.T, test func(e *env)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { embedded(t, 0, func(e *env, _ *fakenet.Network) { test(e) }) })
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		test(onReal(t))
	})
}

// embedded runs a test in fake time, on a network where each packet takes as long as delay.
func embedded(t *testing.T, delay time.Duration, test func(e *env, n *fakenet.Network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(10 * time.Second) }) // at the very end, so that packets under way arrive
		m := miniredis.NewMiniRedis()
		m.ClockTTL(true)
		t.Cleanup(m.Close)
		conformance.Listen(m, func(err error) { t.Error(err) })
		n := &fakenet.Network{Dial: m.Dial, Delay: delay}
		open := func(dial func(context.Context, string, string) (net.Conn, error)) *redis.Client {
			rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", Protocol: 2, DisableIdentity: true, Dialer: dial})
			t.Cleanup(func() { _ = rdb.Close() })
			return rdb
		}
		e := &env{T: t, mini: m, connect: func() redis.UniversalClient { return open(n.Dialer) }}
		e.connectFor = func(string) redis.UniversalClient { return e.connect() }
		e.raw = open(func(context.Context, string, string) (net.Conn, error) { return m.Dial() })
		test(e, n)
	})
}

// client is another instance of the application; it must close without a lock left behind.
func (e *env) client(opts ...redislock.ClientOption) *redislock.Client {
	e.Helper()
	return e.over(e.connect(), opts...)
}

// prefixed is an instance of an application with a prefix of its own.
func (e *env) prefixed(prefix string) *redislock.Client {
	e.Helper()
	return e.over(e.connectFor(prefix), redislock.WithPrefix(prefix))
}

// over is an instance that uses this connection.
func (e *env) over(rdb redis.UniversalClient, opts ...redislock.ClientOption) *redislock.Client {
	e.Helper()
	c, err := redislock.New(rdb, opts...)
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			e.Errorf("a lock was left behind: %v", err)
		}
	})
	return c
}

// acquire takes a lock or ends the goroutine.
func (e *env) acquire(c *redislock.Client, name string, opts ...redislock.Option) *redislock.Lock {
	e.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l, err := c.Acquire(ctx, name, opts...)
	if err != nil {
		e.stop(err)
	}
	return l
}

// release gives a lock back or ends the goroutine.
func (e *env) release(l *redislock.Lock) {
	e.Helper()
	if err := l.Release(context.Background()); err != nil {
		e.stop(err)
	}
}

// warm lets instances connect before a test measures waits, as TLS and Sentinels take time.
func (e *env) warm(clients ...*redislock.Client) {
	e.Helper()
	for _, c := range clients {
		e.release(e.acquire(c, "warm"))
	}
}

// queued waits until that many wait for the lock.
func (e *env) queued(c *redislock.Client, name string, n int) {
	e.Helper()
	e.eventually("the queue has its length", func() bool {
		info, err := c.Inspect(context.Background(), name)
		if err != nil {
			e.stop(err)
		}
		return info.Waiting == n
	})
}

// stop fails the test and ends the goroutine, whichever it is.
func (e *env) stop(err error) {
	e.Helper()
	e.Error(err)
	e.T.FailNow()
}

// eventually waits for a condition: in fake time at most ten seconds, and a minute where the machine may be busy.
func (e *env) eventually(what string, is func() bool) {
	e.Helper()
	most := 10 * time.Second
	if e.mini == nil {
		most = time.Minute
	}
	pause := 2 * time.Millisecond
	for until := time.Now().Add(most); time.Now().Before(until); time.Sleep(pause) {
		if is() {
			return
		}
		pause = min(pause+pause/4, 100*time.Millisecond)
	}
	e.stop(fmt.Errorf("not within %v: %s", most, what))
}

// unlessShort is the first number, or the second with -short, as in `make quick`. There servertest leaves out real servers.
func unlessShort(all, few int) int {
	if testing.Short() {
		return few
	}
	return all
}

// settle lets packets under way arrive: in fake time all of them, on a real server those that take at most 20 ms.
func (e *env) settle() {
	time.Sleep(20 * time.Millisecond)
}

// untouched fails unless nobody holds the lock and nobody waits: its hash has the last fence and nothing else, or
// tombstones beside it (I8), and it expires (I4).
func (e *env) untouched(name string) {
	e.Helper()
	ctx := context.Background()
	key := "redislock:{" + name + "}"
	var all map[string]string
	e.eventually("the hash of "+name+" is that of an idle lock", func() bool {
		all = e.raw.HGetAll(ctx, key).Val()
		for field := range all {
			if field != "f" && field[0] != 't' {
				return false
			}
		}
		return true
	})
	if len(all) > 0 && e.raw.PTTL(ctx, key).Val() <= 0 {
		e.Errorf("%s does not expire", key)
	}
}

// recorder is an Observer that keeps its events.
type recorder struct {
	mu     sync.Mutex
	events []redislock.Event
}

func (r *recorder) Observe(e redislock.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) count(kind redislock.EventKind) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, e := range r.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// ours is how many goroutines the library has started, in the root or below internal/.
func ours() (n int) {
	root := reflect.TypeFor[redislock.Client]().PkgPath()
	all := make([]byte, 1<<20)
	for {
		size := runtime.Stack(all, true)
		if size < len(all) {
			all = all[:size]
			break
		}
		all = make([]byte, 2*len(all))
	}
	for line := range strings.Lines(string(all)) {
		by, created := strings.CutPrefix(line, "created by "+root)
		inside, internal := strings.CutPrefix(by, "/internal/")
		test := strings.HasPrefix(inside, "fakenet.") || strings.HasPrefix(inside, "servertest.")
		if created && (by[0] == '.' || internal && !test) {
			n++
		}
	}
	return n
}

func ended(ctx context.Context) bool { return ctx.Err() != nil }

// clientOn is an instance with its own network.
func (e *env) clientOn(n *fakenet.Network) *redislock.Client {
	e.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", Protocol: 2, DisableIdentity: true, Dialer: n.Dialer})
	e.Cleanup(func() { _ = rdb.Close() })
	return e.over(rdb)
}

// dead takes a lock for a process that then dies, and returns when the lease ends.
func (e *env) dead(name string, lease time.Duration, opts ...redislock.Option) time.Time {
	e.Helper()
	cut := &fakenet.Network{Dial: e.mini.Dial}
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", Protocol: 2, DisableIdentity: true, Dialer: cut.Dialer, ReadTimeout: 100 * time.Millisecond})
	c, err := redislock.New(rdb)
	if err != nil {
		e.Fatal(err)
	}
	l := e.acquire(c, name, append(opts, redislock.WithLease(lease))...)
	cut.Cut()
	e.Cleanup(func() { // the remains of the dead process are removed with the test
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		_ = c.Close(ended)
		_ = rdb.Close()
		time.Sleep(time.Minute) // requests under way run into their timeouts
	})
	return time.UnixMicro(l.Fence()).Add(lease)
}

// revoke marks a hold in Redis as being stolen, without telling anybody.
func (e *env) revoke(name string) {
	e.Helper()
	ctx := context.Background()
	key := "redislock:{" + name + "}"
	all := e.raw.HGetAll(ctx, key).Val()
	for field, value := range all {
		if len(field) == 22 { // a hold in the short form, whose fence is the time of its grant; it is written in the long form
			at, lease, request := all["f"], value[:8], value
			if value[0] == '@' {
				at, lease, request = value[1:17], value[17:25], value[25:]
			}
			none := strings.Repeat("-", 22)
			tx := e.raw.TxPipeline() // in one transaction, as otherwise a renewal could find neither
			tx.HDel(ctx, key, field)
			tx.HSet(ctx, key, "s", field+field+"1", "h"+field, none+none+all["f"]+all["f"]+at+lease+"r"+request)
			if _, err := tx.Exec(ctx); err != nil {
				e.Fatal(err)
			}
			return
		}
	}
	e.Fatalf("no hold in %v", all)
}
