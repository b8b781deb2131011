package quorum_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/conformance"
	"example.com/redislock/internal/fakenet"
	"example.com/redislock/quorum"
)

// fleet has some servers in memory, and the processes that use them, in fake time. Every script that a server executes is compared
// with the model.
type fleet struct {
	*testing.T
	servers []*node
	rdbs    []*redis.Client // the connections of all processes, in the order of their Clients
}

// node is one server.
type node struct {
	t    *testing.T
	name string
	mini *miniredis.Miniredis

	mu      sync.Mutex
	nets    []*fakenet.Network // one for each process
	born    time.Time
	run     int
	always  bool // appendfsync always
	refuses string
	conns   map[net.Conn]bool
	down    bool
	scripts int
}

// withFleet runs a test over this many servers, which have been up for a day.
func withFleet(t *testing.T, n int, test func(f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(2 * time.Minute) }) // at the very end, so that everything under way ends
		f := &fleet{T: t}
		for i := range n {
			m := miniredis.NewMiniRedis()
			m.ClockTTL(true)
			t.Cleanup(m.Close)
			s := &node{t: t, name: fmt.Sprintf("127.0.0.%d:6379", i+1), mini: m, born: time.Now().Add(-24 * time.Hour), conns: map[net.Conn]bool{}}
			heard := conformance.New(m, func(err error) { t.Error(err) })
			m.Server().SetPreHook(func(c *server.Peer, command string, args ...string) bool {
				return s.answers(c, command, args) || heard.Hook(c, command, args...)
			})
			f.servers = append(f.servers, s)
		}
		test(f)
	})
}

// answers answers the commands that miniredis does not have.
func (s *node) answers(c *server.Peer, command string, args []string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	command = strings.ToUpper(command)
	switch {
	case s.refuses != "" && command == s.refuses:
		c.WriteError("NOPERM User default has no permissions to run the '" + strings.ToLower(command) + "' command")
	case command == "INFO" && len(args) == 1 && args[0] == "server":
		c.WriteBulk(fmt.Sprintf("# Server\r\nrun_id:%s-%d\r\nuptime_in_seconds:%d\r\n", s.name, s.run, int(time.Since(s.born).Seconds())))
	case command == "CONFIG":
		c.WriteLen(4)
		policy := "everysec"
		if s.always {
			policy = "always"
		}
		for _, text := range []string{"appendonly", "yes", "appendfsync", policy} {
			c.WriteBulk(text)
		}
	default:
		if command == "EVALSHA" {
			s.scripts++
		}
		return false
	}
	return true
}

// dialer connects one process to the server. Each process gets the answer of another server first.
func (s *node) dialer(delay time.Duration) func(ctx context.Context, network, addr string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	way := &fakenet.Network{Dial: s.mini.Dial, Delay: delay}
	s.nets = append(s.nets, way)
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := way.Dialer(ctx, network, addr) // without s.mu: miniredis locks itself, and asks for s.mu within a script
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case err != nil:
			return nil, err
		case s.down:
			_ = conn.Close()
			return nil, errors.New("connection refused")
		}
		s.conns[conn] = true
		return conn, nil
	}
}

// cut makes the server mute, and mend lets new packets through again.
func (s *node) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, way := range s.nets {
		way.Cut()
	}
}

func (s *node) mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, way := range s.nets {
		way.Mend()
	}
}

// stop ends the server's connections, and refuses new ones.
func (s *node) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = true
	for conn := range s.conns {
		_ = conn.Close()
	}
	clear(s.conns)
}

// start lets it serve again, with its data or without.
func (s *node) start(empty bool) {
	if empty {
		s.flush()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down, s.born = false, time.Now()
	s.run++
}

// flush loses all data.
func (s *node) flush() {
	s.t.Helper()
	if err := s.raw().FlushAll(context.Background()).Err(); err != nil {
		s.t.Error(err)
	}
}

// raw is a connection without faults.
func (s *node) raw() *redis.Client {
	rdb := redis.NewClient(&redis.Options{Addr: s.name, Protocol: 2, DisableIdentity: true, Dialer: func(context.Context, string, string) (net.Conn, error) { return s.mini.Dial() }})
	s.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// clients are the Clients of one process, one for each server.
func (f *fleet) clients(opts ...redislock.ClientOption) (all []*redislock.Client) {
	f.Helper()
	process := len(f.rdbs) / len(f.servers)
	for i, s := range f.servers {
		dial := s.dialer(time.Duration(100+40*((process+i)%len(f.servers))) * time.Microsecond)
		rdb := redis.NewClient(&redis.Options{Addr: s.name, Protocol: 2, DisableIdentity: true, Dialer: dial, MaxRetries: -1, ReadTimeout: time.Second, DialTimeout: time.Second})
		f.Cleanup(func() { _ = rdb.Close() })
		f.rdbs = append(f.rdbs, rdb)
		c, err := redislock.New(rdb, opts...)
		if err != nil {
			f.Fatal(err)
		}
		f.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			if err := c.Close(ctx); err != nil {
				f.Errorf("%s: %v", s.name, err)
			}
		})
		all = append(all, c)
	}
	return all
}

// locker is the Locker of one process.
func (f *fleet) locker(opts ...quorum.Option) *quorum.Locker {
	f.Helper()
	q, err := quorum.New(f.clients(), opts...)
	if err != nil {
		f.Fatal(err)
	}
	return q
}

// acquire takes the lock, or ends the test.
func (f *fleet) acquire(q *quorum.Locker, name string, opts ...redislock.Option) *quorum.Lock {
	f.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l, err := q.Acquire(ctx, name, opts...)
	if err != nil {
		f.Fatal(err)
	}
	return l
}

func (f *fleet) release(l *quorum.Lock) {
	f.Helper()
	if err := l.Release(context.Background()); err != nil {
		f.Error(err)
	}
}

// untouched fails unless nobody holds the lock and nobody waits for it, on any server (I8).
func (f *fleet) untouched(name string) {
	f.Helper()
	var left string
	for range 200 {
		if left = f.left(name); left == "" {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	f.Errorf("left behind: %s", left)
}

func (f *fleet) left(name string) string {
	for _, s := range f.servers {
		for field, value := range s.raw().HGetAll(context.Background(), "redislock:{"+name+"}").Val() {
			if field != "f" && field[0] != 't' {
				return s.name + ": " + field + " " + value
			}
		}
	}
	return ""
}

// asked is how many scripts the servers have executed. Each is seen twice, as the model asks the server too.
func (f *fleet) asked() (n int) {
	for _, s := range f.servers {
		s.mu.Lock()
		n += s.scripts
		s.mu.Unlock()
	}
	return n / 2
}
