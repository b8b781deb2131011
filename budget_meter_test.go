package redislock_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
	"example.com/redislock/internal/servertest"
)

// This file and budget_test.go count the cost of operations: commands that are sent, round trips, commands that the
// server executes, allocations. These counts do not depend on the machine or its load, so unlike a measurement they can
// be checked in each run.

// budget is the environment of a test that counts.
type budget struct {
	*env
	server *servertest.Server // nil on the embedded one
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	window int64 // of the last try (see undisturbed)
}

// metered runs a test on the embedded server in fake time, and on a plain real one, which counts commands too. The two
// are not run in parallel: beside other tests a brief hold would hardly ever be brief.
func metered(t *testing.T, test func(b *budget)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { meteredEmbedded(t, test) })
	t.Run("real", func(t *testing.T) { test(meteredReal(t)) })
}

func meteredEmbedded(t *testing.T, test func(b *budget)) {
	t.Helper()
	embedded(t, 0, func(e *env, n *fakenet.Network) { test((&budget{env: e, dial: n.Dialer}).load()) })
}

func meteredReal(t *testing.T) *budget {
	t.Helper()
	s := servertest.Start(t)
	return (&budget{env: &env{T: t, real: single(s), raw: s.Admin()}, server: s, dial: (&net.Dialer{}).DialContext}).load()
}

// load loads the scripts, so that none is sent twice, by EVALSHA and, after NOSCRIPT, by EVAL.
func (b *budget) load() *budget {
	b.Helper()
	for _, name := range scriptNames {
		_, text := redislock.Script(name)
		if err := b.raw.ScriptLoad(context.Background(), text).Err(); err != nil {
			b.stop(err)
		}
	}
	b.window = window()
	return b
}

var scriptNames = []string{
	"acquire", "acquire_own", "release", "renew", "keep", "check", "break", "inspect", "watch", "ask", "preflight", "probe", "convert", "resume", "weak_release",
	"record", "recall", "confirm", "erase",
}

// instance is one instance of the application, whose connections are metered.
type instance struct {
	*redislock.Client
	wire *wire
	told *recorder
}

// instance starts an instance and waits until it has connected and subscribed, so that its start is not counted
// later.
func (b *budget) instance(opts ...redislock.ClientOption) *instance {
	b.Helper()
	w := newWire(b.dial)
	o := &redis.Options{Addr: "127.0.0.1:6379", DisableIdentity: true, Dialer: w.Dial, MaxRetries: -1}
	if b.server != nil {
		o.Addr = b.server.Addr()
	} else {
		o.Protocol = 2
	}
	rdb := redis.NewClient(o)
	b.Cleanup(func() { _ = rdb.Close() })
	told := &recorder{}
	i := &instance{b.over(rdb, append(opts, redislock.WithObserver(told))...), w, told}
	first := b.acquire(i.Client, "warm")
	second := make(chan *redislock.Lock)
	go func() { second <- b.acquire(i.Client, "warm") }()
	b.eventually("a place in the queue, which nobody gets who is not subscribed", func() bool { return told.count(redislock.EventQueued) == 1 })
	b.release(first)
	b.release(<-second)
	b.settle()
	return i
}

// wire counts what the connections of an instance carry.
type wire struct {
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	scripts map[string]string // by digest

	mu          sync.Mutex
	sent        map[string]int // commands, a script by its name
	trips       int
	connections int
}

func newWire(dial func(ctx context.Context, network, addr string) (net.Conn, error)) *wire {
	w := &wire{dial: dial, scripts: map[string]string{}, sent: map[string]int{}}
	for _, name := range scriptNames {
		digest, _ := redislock.Script(name)
		w.scripts[digest] = name
	}
	return w
}

// reset sets all counts to 0 but that of the connections.
func (w *wire) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent, w.trips = map[string]int{}, 0
}

// count returns what was sent since the reset, and in how many round trips. A write that follows a read begins a
// round trip.
func (w *wire) count() (sent map[string]int, trips int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.sent), w.trips
}

// dialled is how many connections were made.
func (w *wire) dialled() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.connections
}

func (w *wire) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := w.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.connections++
	w.mu.Unlock()
	return &tappedConn{Conn: conn, wire: w, begins: true}, nil
}

// tappedConn is a connection whose traffic is parsed.
type tappedConn struct {
	net.Conn
	wire *wire

	// Guarded by wire.mu.
	rest   []byte // the part of a command that is not complete yet
	begins bool   // the next write begins a round trip
}

func (c *tappedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.wire.mu.Lock()
		c.begins = true
		c.wire.mu.Unlock()
	}
	return n, err
}

func (c *tappedConn) Write(p []byte) (int, error) {
	c.wire.mu.Lock()
	c.rest = append(c.rest, p...)
	for {
		args, size := request(c.rest)
		if size == 0 {
			break
		}
		c.rest = c.rest[size:]
		name := strings.ToLower(args[0])
		switch name {
		case "hello", "client", "ping": // sent by go-redis at the start of a connection, and every 5 s to keep a subscription
			continue
		case "evalsha":
			name = c.wire.scripts[args[1]]
			if name == "" {
				name = "unknown script " + args[1]
			}
		}
		c.wire.sent[name]++
		if c.begins {
			c.wire.trips++
			c.begins = false
		}
	}
	c.wire.mu.Unlock()
	return c.Conn.Write(p)
}

// request reads a request from the beginning of data. It returns the arguments and the size, which is 0 if the
// request is not complete.
func request(data []byte) (args []string, size int) {
	number := func(kind byte) int {
		end := bytes.Index(data[size:], []byte("\r\n"))
		if end < 0 {
			return -1
		}
		line := data[size : size+end]
		size += end + 2
		n, err := strconv.Atoi(string(line[1:]))
		if err != nil || line[0] != kind {
			panic(fmt.Sprintf("not a request: %.80q", data))
		}
		return n
	}
	n := number('*')
	if n < 0 {
		return nil, 0
	}
	for range n {
		length := number('$')
		if length < 0 || size+length+2 > len(data) {
			return nil, 0
		}
		args = append(args, string(data[size:size+length]))
		size += length + 2
	}
	return args, size
}

// executed returns the commands that the real server has executed since its counts were reset. It includes commands that
// scripts call, and leaves out those that set up and keep connections and those of this count. The embedded server counts
// nothing.
func (b *budget) executed() map[string]int {
	b.Helper()
	all := map[string]int{}
	if b.server == nil {
		return all
	}
	for name, n := range b.server.Commands(b) {
		switch family, _, _ := strings.Cut(name, "|"); family {
		case "info", "config", "hello", "client", "ping", "slowlog":
		default:
			all[family] += int(n)
		}
	}
	return all
}

// reset sets to 0 the counts of the requests of these instances, and of the commands that the real server has
// executed.
func (b *budget) reset(all ...*instance) {
	b.Helper()
	for _, i := range all {
		i.wire.reset()
	}
	if b.server != nil {
		b.server.ResetStats()
	}
}

// within fails unless all executed commands are in the list, each at most that often.
func (b *budget) within(what string, executed, most map[string]int) {
	b.Helper()
	for name, n := range executed {
		if n > most[name] {
			b.Errorf("%s: the server executed %v, of which at most %v (%s)", what, executed, most, name)
			return
		}
	}
}

// window is the number of the present hundred seconds of the server's clock. The first grant of a name in each hundred
// seconds sets the key's expiry (lua/state.lua), the others need not.
func window() int64 { return time.Now().UnixMicro() / 1e8 }

// undisturbed repeats a count until a try is valid. A try is not valid if the function says so, because the machine was
// too busy or something periodic was sent, or if it is the first in its window.
func (b *budget) undisturbed(what string, try func() bool) {
	b.Helper()
	for range 300 {
		counts, now := try(), window()
		if counts && now == b.window {
			return
		}
		b.window = now
	}
	b.Fatalf("%s: no try was undisturbed", what)
}
