// Package servertest gives tests real servers, of Redis, PostgreSQL and MariaDB, each with a process and a port of its
// own on loopback, and a proxy between a client and Redis that loses, delays and mutes what tests want lost, delayed and
// mute.
package servertest

import (
	"context"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// startTime bounds the start of a server, also on a machine with better things to do.
	startTime = 20 * time.Second
	// starts is how many ports are tried: another process may take one between the look and the start.
	starts = 5
)

// Server is a redis-server process.
type Server struct {
	t    testing.TB
	args []string // behind the port
	port int

	mu      sync.Mutex
	process *process
	admin   *redis.Client
}

// Start runs a redis-server without persistence on a free port of loopback, with these further arguments, such as
// "--maxmemory", "4mb", and returns when it answers. The process ends with the test, whatever state it is in. A
// machine without redis-server gets it installed if the test may do that; otherwise the test fails and says how.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{t: t}
	s.args = append([]string{
		"--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir(),
	}, args...)
	binary := find(t)
	t.Cleanup(s.Kill)
	var err error
	for range starts {
		if s.port, err = freePort(); err != nil {
			continue
		}
		var p *process
		if p, err = s.run(binary); err == nil {
			s.process = p
			s.admin = s.Connect()
			s.answers()
			return s
		}
	}
	t.Fatalf("servertest: %v", err)
	return nil
}

// Addr is where the server listens.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Connect makes a client of the server, which is closed with the test. The options may be changed before it is made.
func (s *Server) Connect(opts ...func(*redis.Options)) *redis.Client {
	return connect(s.t, s.Addr(), opts)
}

func connect(t testing.TB, addr string, opts []func(*redis.Options)) *redis.Client {
	o := &redis.Options{Addr: addr, DisableIdentity: true}
	for _, opt := range opts {
		opt(o)
	}
	rdb := redis.NewClient(o)
	t.Cleanup(func() { _ = rdb.Close() }) // a test may have closed it already
	return rdb
}

// Pause stops the process (SIGSTOP): connections stay, nothing is answered, time goes on.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		s.t.Fatalf("servertest: %v for a server that does not run", sig)
	}
	if err := s.process.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("servertest: %v: %v", sig, err)
	}
}

// Kill ends the process at once (SIGKILL), paused or not, and returns when it is gone. Its data is gone with it.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.kill()
		s.process = nil
	}
}

// Restart starts a new, empty server in the place of one that was killed: same port, same arguments.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	binary := find(s.t)
	deadline := time.Now().Add(startTime)
	for {
		p, err := s.run(binary)
		if err == nil {
			s.mu.Lock()
			s.process = p
			s.mu.Unlock()
			s.answers()
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("servertest: restart: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *Server) run(binary string) (*process, error) {
	cmd := exec.Command(binary, append([]string{"--port", strconv.Itoa(s.port)}, s.args...)...)
	return run(cmd, "Ready to accept connections")
}

// answers waits for the first answer. An error of the server is one: it may ask for a password.
func (s *Server) answers() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	for {
		err := s.admin.Ping(ctx).Err()
		if err == nil || redis.HasErrorPrefix(err, "NOAUTH") {
			return
		}
		if ctx.Err() != nil {
			s.t.Fatalf("servertest: %s does not answer: %v", s.Addr(), err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Commands is how often the server executed each command since the start or [Server.ResetStats], by INFO
// commandstats: those inside scripts too, and in lower case.
func (s *Server) Commands(t testing.TB) map[string]int64 {
	t.Helper()
	text, err := s.admin.Info(context.Background(), "commandstats").Result()
	if err != nil {
		t.Fatalf("servertest: %v", err)
	}
	calls := map[string]int64{}
	for line := range strings.Lines(text) {
		// cmdstat_evalsha:calls=3,usec=120,…
		line, found := strings.CutPrefix(strings.TrimSpace(line), "cmdstat_")
		name, rest, _ := strings.Cut(line, ":")
		count, _, _ := strings.Cut(strings.TrimPrefix(rest, "calls="), ",")
		if !found {
			continue
		}
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil {
			t.Fatalf("servertest: commandstats say %q", line)
		}
		calls[name] = n
	}
	return calls
}

// ResetStats sets the counts of [Server.Commands] to zero.
func (s *Server) ResetStats() {
	s.t.Helper()
	if err := s.admin.ConfigResetStat(context.Background()).Err(); err != nil {
		s.t.Fatalf("servertest: %v", err)
	}
}

// freePort finds a port of loopback below those that the system gives to outgoing connections: one of them could take
// the port of a server that is down for a moment. 10,000 above it is free for the bus of a cluster.
func freePort() (int, error) {
	var err error
	for range 100 {
		port := 10_000 + rand.N(10_000)
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}
