// Package servertest gives tests real servers, of Redis, PostgreSQL and MariaDB, each with a process and a port of its
// own on loopback, and a proxy between a client and Redis that loses, delays and mutes what tests want lost, delayed and
// mute. Redis comes alone ([Start]), with replicas ([StartReplicated]), with Sentinels ([StartSentinel]), as a cluster
// ([StartCluster]), behind TLS ([StartTLS]) and with a clock that tests set ([StartWithClock]); and as the redis-server of the
// machine or as any of [AllKnown], which are fetched ([Named], [NameVariable]).
//
// With -short no server is started, and what needs one is skipped.
package servertest

import (
	"cmp"
	"context"
	"net"
	"os"
	"os/exec"
	"slices"
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
	args []string // without the port
	port int
	sign string   // what it prints when it is ready; "" is what a redis-server prints
	file string   // "" or a configuration file in the place of the arguments, which the process may rewrite
	env  []string // more of it than this process has

	sentinel bool
	identity func(*redis.Options) // nil, or who its clients are
	operator func(*redis.Options) // nil, or who looks behind their backs

	mu      sync.Mutex
	process *process
	paused  bool
	admin   *redis.Client
}

// Start runs a redis-server on a free port of loopback, with these further arguments, such as "--maxmemory", "4mb", and
// returns when it answers. It keeps nothing on disk unless they say so ("--appendonly", "yes"): the last of an argument
// given twice counts. The process ends with the test, whatever state it is in. A machine without redis-server gets it
// installed if the test may do that; otherwise the test fails and says how.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return (&Server{t: t, args: plain(t, args)}).start()
}

// plain puts what every redis-server here is given in front of further arguments.
func plain(t testing.TB, args []string) []string {
	return append([]string{
		"--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir(),
	}, args...)
}

func (s *Server) start() *Server {
	s.t.Helper()
	program := server(s.t)
	s.t.Cleanup(s.Kill)
	var err error
	for range starts {
		if s.port, err = freePort(); err != nil {
			continue
		}
		if err = s.write(); err != nil {
			break
		}
		var p *process
		if p, err = s.run(program); err == nil {
			s.process = p
			s.admin = connect(s.t, s.Addr(), []func(*redis.Options){s.operator, func(o *redis.Options) {
				o.ContextTimeoutEnabled = true
			}})
			s.answers()
			return s
		}
	}
	s.t.Fatalf("servertest: %v", err)
	return nil
}

// Addr is where the server listens.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Connect makes a client of the server, which is closed with the test. The options may be changed before it is made.
func (s *Server) Connect(opts ...func(*redis.Options)) *redis.Client {
	return connect(s.t, s.Addr(), append([]func(*redis.Options){s.identity}, opts...))
}

func connect(t testing.TB, addr string, opts []func(*redis.Options)) *redis.Client {
	o := &redis.Options{Addr: addr, DisableIdentity: true}
	for _, opt := range opts {
		if opt != nil {
			opt(o)
		}
	}
	rdb := redis.NewClient(o)
	t.Cleanup(func() { _ = rdb.Close() }) // a test may have closed it already
	return rdb
}

// Admin is a client that may do everything, to look behind the back of those that are tested. A context bounds each of
// its commands. The test must not close it.
func (s *Server) Admin() *redis.Client { return s.admin }

// AddUser makes a user with exactly these rules, such as "+get ~k:*", and returns the option that makes a client that
// user. A restarted server has forgotten it.
func (s *Server) AddUser(name, rules string) func(*redis.Options) {
	s.t.Helper()
	const password = "not-a-secret"
	rule := append([]string{"reset", "on", ">" + password}, strings.Fields(rules)...)
	if err := s.admin.ACLSetUser(context.Background(), name, rule...).Err(); err != nil {
		s.t.Fatalf("servertest: %v", err)
	}
	return func(o *redis.Options) { o.Username, o.Password = name, password }
}

// Pause stops the process (SIGSTOP): connections stay, nothing is answered, time goes on.
func (s *Server) Pause() { s.signal(stopSignal) }

// Resume lets a paused process go on.
func (s *Server) Resume() { s.signal(continueSignal) }

// runs says whether the process is neither killed nor paused.
func (s *Server) runs() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process != nil && !s.paused
}

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
	s.paused = sig == stopSignal
}

// Kill ends the process at once (SIGKILL), paused or not, and returns when it is gone. What it has not written to disk
// is gone with it: everything, unless its arguments ask for persistence.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.kill()
		s.process, s.paused = nil, false
	}
}

// Restart starts a new server in the place of one that was killed, which it does where that is still to do: same port,
// same arguments, same directory. It is empty unless the arguments ask for persistence.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	program := server(s.t)
	deadline := time.Now().Add(startTime)
	for {
		p, err := s.run(program)
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

// listen are the arguments that say where the server listens.
func (s *Server) listen() []string {
	port := strconv.Itoa(s.port)
	if s.identity != nil {
		return []string{"--port", "0", "--tls-port", port}
	}
	return []string{"--port", port}
}

// write makes the configuration file, where there is to be one: an argument that starts with two dashes begins a line.
func (s *Server) write() error {
	if s.file == "" {
		return nil
	}
	var text strings.Builder
	for i, arg := range append(s.listen(), s.args...) {
		option, is := strings.CutPrefix(arg, "--")
		switch {
		case is && i > 0:
			text.WriteString("\n" + option)
		case is:
			text.WriteString(option)
		default:
			text.WriteString(" " + strconv.Quote(arg))
		}
	}
	return os.WriteFile(s.file, []byte(text.String()+"\n"), 0o600)
}

func (s *Server) run(program []string) (*process, error) {
	args := append(s.listen(), s.args...)
	if s.file != "" {
		args = []string{s.file}
	}
	if s.sentinel {
		args = append(args, "--sentinel")
	}
	cmd := exec.Command(program[0], slices.Concat(program[1:], args)...)
	cmd.Env = append(os.Environ(), s.env...)
	return run(cmd, cmp.Or(s.sign, "Ready to accept connections"))
}

// answers waits for the first answer. An error of the server is one: it may ask for a password.
func (s *Server) answers() {
	s.t.Helper()
	until(s.t, s.Addr()+" answers", func() error {
		err := s.admin.Ping(context.Background()).Err()
		if redis.HasErrorPrefix(err, "NOAUTH") {
			return nil
		}
		return err
	})
}

// until waits for what starts and moves here, by asking again while it returns an error.
func until(t testing.TB, what string, ask func() error) {
	t.Helper()
	deadline := time.Now().Add(startTime)
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("servertest: not within %v: %s: %v", startTime, what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
