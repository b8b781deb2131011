package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

const (
	// readTimeout is the read timeout of the connections with faults, unless a scene has its own.
	readTimeout = 100 * time.Millisecond
	// patience bounds the wait for something that should take a moment, on a busy machine too.
	patience = 20 * time.Second
	// safetyNet is how soon a waiter whose message was lost must have its lock: a check every 2 s, and the delay of a
	// busy machine. It is less than the claim of 5 s, so that it is the first grant and not a later one.
	safetyNet = 4500 * time.Millisecond
)

// scene is one lock, with instances of an application that reach the server through a bad network and others that
// have a good one.
type scene struct {
	*testing.T
	name   string
	server *servertest.Server
	proxy  *servertest.Proxy
	raw    *redis.Client // without the library
	look   *redislock.Client
	last   int64 // the greatest fence so far
	own    bool  // a Client has its own retention, which the hash then stores

	readTimeout time.Duration // of connections behind the proxy
}

// newScene is a scene on a server that knows all scripts, so that a swallowed reply is never a NOSCRIPT.
func newScene(t *testing.T, s *servertest.Server) *scene {
	t.Helper()
	x := &scene{T: t, name: strings.NewReplacer("/", ":", " ", "_").Replace(t.Name()), server: s, readTimeout: readTimeout}
	x.proxy = servertest.NewProxy(t, s.Addr())
	x.raw = s.Connect()
	for _, script := range []string{
		"acquire", "acquire_own", "release", "renew", "keep", "check", "break", "inspect", "preflight", "probe", "weak_release",
		"convert", "confirm", "resume", "record", "recall", "erase",
	} {
		_, text := redislock.Script(script)
		if err := x.raw.ScriptLoad(t.Context(), text).Err(); err != nil {
			t.Fatal(err)
		}
	}
	x.look = x.beside()
	return x
}

func (x *scene) key() string { return "redislock:{" + x.name + "}" }

// behind is an instance behind the proxy, with short timeouts, that uses this version of RESP.
func (x *scene) behind(protocol int, opts ...redislock.ClientOption) *redislock.Client {
	x.Helper()
	return x.on(x.proxy.Connect(func(o *redis.Options) {
		o.Protocol, o.ReadTimeout = protocol, x.readTimeout
	}), opts...)
}

// beside is an instance without faults.
func (x *scene) beside(opts ...redislock.ClientOption) *redislock.Client {
	x.Helper()
	return x.on(x.server.Connect(), opts...)
}

func (x *scene) on(rdb redis.UniversalClient, opts ...redislock.ClientOption) *redislock.Client {
	x.Helper()
	c, err := redislock.New(rdb, opts...)
	if err != nil {
		x.Fatal(err)
	}
	x.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			x.Errorf("a lock was left behind: %v", err)
		}
	})
	return c
}

// acquire takes the lock, or ends the test.
func (x *scene) acquire(c *redislock.Client, opts ...redislock.Option) *redislock.Lock {
	x.Helper()
	return x.got(x.waiting(c, opts...))
}

// attempt is an acquire under way.
type attempt struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when it has returned
	at     time.Time
	lock   *redislock.Lock
	err    error
}

func (x *scene) waiting(c *redislock.Client, opts ...redislock.Option) *attempt {
	ctx, cancel := context.WithCancel(context.Background())
	x.Cleanup(cancel)
	a := &attempt{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		for range 10 {
			start := time.Now()
			a.lock, a.err = c.Acquire(ctx, x.name, opts...)
			if !x.starved(a.err, start) {
				break
			}
		}
		a.at = time.Now()
	}()
	return a
}

// starved reports whether a call failed because none of its four attempts was answered in time. That happens on a
// busy machine, where others may have the processor for as long as the read timeout. One lost reply must not make a
// call fail.
func (x *scene) starved(err error, start time.Time) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) && time.Since(start) >= 4*x.readTimeout
}

// got waits for the lock of an attempt. Its fence must be that of the one grant (I2): greater than all before it, and
// the last that the server knows.
func (x *scene) got(a *attempt) *redislock.Lock {
	x.Helper()
	x.within("an acquire returns", a.done)
	if a.err != nil {
		x.Fatal(a.err)
	}
	if a.lock.Fence() <= x.last {
		x.Errorf("I2: fence %d after %d", a.lock.Fence(), x.last)
	}
	x.last = a.lock.Fence()
	x.holds(a.lock)
	return a.lock
}

// holds fails unless this is the only hold, by the handle and by the server, and there was no grant after it.
func (x *scene) holds(l *redislock.Lock) {
	x.Helper()
	info := x.inspect()
	if err := l.Err(); err != nil {
		x.Errorf("the handle: %v", err)
	}
	if len(info.Holds) != 1 || info.Holds[0].Fence != l.Fence() || info.Fence != l.Fence() {
		x.Errorf("I2: the server has %+v, last fence %d; the handle has %d", info.Holds, info.Fence, l.Fence())
	}
}

func (x *scene) release(l *redislock.Lock) {
	x.Helper()
	start := time.Now()
	if err := l.Release(context.Background()); err != nil && !x.starved(err, start) {
		x.Error(err)
	}
}

func (x *scene) inspect() redislock.Info {
	x.Helper()
	info, err := x.look.Inspect(context.Background(), x.name)
	if err != nil {
		x.Fatal(err)
	}
	return info
}

// queued waits until this many wait for the lock.
func (x *scene) queued(n int) {
	x.Helper()
	x.eventually("the queue has its length", func() bool { return x.inspect().Waiting == n })
}

// untouched fails unless the lock becomes what it was before anybody asked (I8): no hold and no place, not even a
// lapsed one, only the last fence, tombstones, and an expiry (I4).
func (x *scene) untouched() {
	x.Helper()
	var fields map[string]string
	for until := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		fields = x.raw.HGetAll(context.Background(), x.key()).Val()
		clean := true
		for field := range fields {
			clean = clean && (field == "f" || field == "e" && x.own || field == "t" || field[0] == 't' && len(field) == 23)
		}
		if clean {
			break
		}
		if time.Now().After(until) {
			x.Fatalf("I8: left behind: %q", fields)
		}
	}
	if info := x.inspect(); len(info.Holds) > 0 || info.Waiting > 0 || len(info.Places) > 0 {
		x.Errorf("I8: left behind: %+v", info)
	}
	if ttl := x.raw.PTTL(context.Background(), x.key()).Val(); len(fields) > 0 && ttl <= 0 {
		x.Errorf("I4: the key has no expiry (%v)", ttl)
	}
}

func (x *scene) eventually(what string, is func() bool) {
	x.Helper()
	for until := time.Now().Add(patience); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			x.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func (x *scene) within(what string, done <-chan struct{}) {
	x.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		x.Fatalf("not within %v: %s", patience, what)
	}
}

// requests matches the requests by which a script is run on a key.
func requests(script, key string) func([]string) bool {
	digest, text := redislock.Script(script)
	return func(args []string) bool {
		return len(args) > 3 && args[3] == key && (args[0] == "evalsha" && args[1] == digest || args[0] == "eval" && args[1] == text)
	}
}

// releases matches the releases of a lock, by script and by the command that a brief hold is tried with first.
func releases(key string) func([]string) bool {
	scripts := requests("release", key)
	return func(args []string) bool {
		return scripts(args) || len(args) == 3 && args[0] == "hdel" && args[1] == key
	}
}

// joins matches the acquires that want a place in the queue.
func joins(key string) func([]string) bool {
	acquires := requests("acquire", key)
	return func(args []string) bool { return acquires(args) && args[5][32] != '-' }
}

// together runs subtests at the same time, even with fewer cores than tests, as they wait most of the time.
func together(t *testing.T, names []string, test func(t *testing.T, i int)) {
	t.Helper()
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { t.Run(name, func(t *testing.T) { test(t, i) }) })
	}
	all.Wait()
}

// tally is an Observer that counts.
type tally struct {
	mu     sync.Mutex
	events map[redislock.EventKind]int
}

func (c *tally) Observe(e redislock.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.events == nil {
		c.events = map[redislock.EventKind]int{}
	}
	c.events[e.Kind]++
}

func (c *tally) count(kind redislock.EventKind) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.events[kind]
}

// lost fails unless the lock's context ends, with that cause, and Err says the same.
func (x *scene) lost(l *redislock.Lock, cause error) {
	x.Helper()
	x.within("the lock's context ends", l.Context().Done())
	if got := context.Cause(l.Context()); !errors.Is(got, cause) {
		x.Errorf("the context's cause is %v, want %v", got, cause)
	}
	if got := l.Err(); !errors.Is(got, cause) {
		x.Errorf("Err() = %v, want %v", got, cause)
	}
}

// tap is a hook of a connection: it can wait or fail before a request leaves, and after its answer has come.
type tap struct {
	before, after func(text string) error
	change        func(args []any) // of each command, in place
}

func (h *tap) DialHook(next redis.DialHook) redis.DialHook { return next }

func textOf(cmds ...redis.Cmder) string {
	var text strings.Builder
	for _, cmd := range cmds {
		fmt.Fprintln(&text, cmd.Args()...)
	}
	return text.String()
}

func (h *tap) run(cmds []redis.Cmder, next func() error) error {
	if h.change != nil {
		for _, cmd := range cmds {
			h.change(cmd.Args())
		}
	}
	text := textOf(cmds...)
	if h.before != nil {
		if err := h.before(text); err != nil {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
			return err
		}
	}
	err := next()
	if h.after != nil {
		if failed := h.after(text); failed != nil {
			for _, cmd := range cmds {
				cmd.SetErr(failed)
			}
			return failed
		}
	}
	return err
}

func (h *tap) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return h.run([]redis.Cmder{cmd}, func() error { return next(ctx, cmd) })
	}
}

func (h *tap) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return h.run(cmds, func() error { return next(ctx, cmds) })
	}
}

// tapped is an instance whose requests pass a tap.
func (e *env) tapped(h *tap, opts ...redislock.ClientOption) *redislock.Client {
	rdb := e.connect()
	rdb.AddHook(h)
	return e.over(rdb, opts...)
}

// digest is the digest of a script, by which its requests are recognized.
func digest(script string) string {
	d, _ := redislock.Script(script)
	return d
}

// first returns true at its first call only.
func once(t *testing.T) func() bool {
	var mu sync.Mutex
	done := false
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		was := done
		done = true
		return !was
	}
}

// isLook reports whether a request reads the record of a lock.
func isLook(text, name string) bool {
	return strings.Contains(text, digest("recall")) && strings.Contains(text, ":r:{"+name+"}")
}
