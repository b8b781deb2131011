package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
)

// asProgram is the variable by which the test binary runs as the program. So tests start it as a process of its own,
// with the race detector.
const asProgram = "REDISLOCK_TEST_AS_PROGRAM"

// shared is the real Redis that the tests share. Each test has its own prefix.
var shared *redisServer

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	_ = os.Setenv(asProgram, "1")  // for programs that this process runs by Run, as their keepers are this binary too
	for _, sig := range passedOn { // a script may start the tests in the background; programs of the tests must not inherit its ignored signals
		if s := sig.(syscall.Signal); signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	var err error
	if shared, err = startRedis(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	shared.stop()
	os.Exit(status)
}

// redisServer is a redis-server process on a loopback port.
type redisServer struct {
	cmd  *exec.Cmd
	addr string
}

func startRedis() (*redisServer, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errors.New("these tests need a real Redis; install it with: sudo apt-get install -y redis-server")
	}
	runtime.LockOSThread() // the server ends with this thread, so the thread must stay
	for attempt := 1; ; attempt++ {
		probe, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		addr := probe.Addr().String()
		_ = probe.Close()
		_, port, _ := net.SplitHostPort(addr)
		cmd := exec.Command(program, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--logfile", "")
		cmd.SysProcAttr = dieWithParent(&syscall.SysProcAttr{})
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		var log strings.Builder
		for lines := bufio.NewScanner(out); lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "Ready to accept connections") {
				go func() { _, _ = io.Copy(io.Discard, out) }()
				return &redisServer{cmd, addr}, nil
			}
		}
		_ = cmd.Wait()
		if attempt == 5 { // other programs took the port each time
			return nil, fmt.Errorf("redis-server does not start:\n%s", log.String())
		}
	}
}

func (s *redisServer) stop() {
	_ = s.cmd.Process.Kill()
	_, _ = s.cmd.Process.Wait()
}

func (s *redisServer) url() string { return "redis://" + s.addr }

// fixture is a Client of the test itself, under the prefix that its programs use too.
type fixture struct {
	*testing.T
	rdb    *redis.Client
	client *redislock.Client
	prefix string
	url    string
	dir    string
	env    []string // the environment of programs at a terminal
}

func setUp(t *testing.T) *fixture { return setUpOn(t, shared) }

func setUpOn(t *testing.T, s *redisServer) *fixture {
	t.Helper()
	f := &fixture{T: t, prefix: "test-" + strings.NewReplacer("/", "-").Replace(t.Name()) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36), url: s.url(), dir: t.TempDir()}
	f.rdb = redis.NewClient(&redis.Options{Addr: s.addr})
	t.Cleanup(func() { _ = f.rdb.Close() })
	client, err := redislock.New(f.rdb, redislock.WithPrefix(f.prefix), redislock.WithName("the-test"))
	if err != nil {
		t.Fatal(err)
	}
	f.client = client
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = client.Close(ctx) // some tests end their server
	})
	return f
}

func (f *fixture) path(name string) string { return filepath.Join(f.dir, name) }

func (f *fixture) exists(name string) bool {
	_, err := os.Stat(f.path(name))
	return err == nil
}

// hold takes a lock for the test itself, until the end of the test or its release.
func (f *fixture) hold(name string, opts ...redislock.Option) *redislock.Lock {
	f.Helper()
	lock, err := f.client.Acquire(f.Context(), name, opts...)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = lock.Release(context.Background()) })
	return lock
}

// until looks at a lock until it is in the wanted state.
func (f *fixture) until(name string, wanted func(redislock.Info) bool) redislock.Info {
	f.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		info, err := f.client.Inspect(f.Context(), name)
		if err != nil {
			f.Fatal(err)
		}
		if wanted(info) {
			return info
		}
		if time.Now().After(deadline) {
			f.Fatalf("%q does not come to what is wanted: %+v", name, info)
		}
	}
}

func waiting(n int) func(redislock.Info) bool {
	return func(info redislock.Info) bool { return info.Waiting == n }
}
