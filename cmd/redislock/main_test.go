package main

import (
	"bufio"
	"bytes"
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
	"golang.org/x/sys/unix"

	"example.com/redislock"
)

// asProgram makes the test binary the program itself: tests start it as a process of its own, race detector included.
const asProgram = "REDISLOCK_TEST_AS_PROGRAM"

// shared is the real Redis that the tests share; each has a prefix of its own.
var shared *redisServer

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	for _, sig := range passedOn { // as in the background of a script: what we start must not inherit that
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
	runtime.LockOSThread() // it ends with this thread, so the thread must stay
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
		if attempt == 5 { // somebody else took the port each time
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

// program is one redislock process. It has no controlling terminal.
type program struct {
	f      *fixture
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr bytes.Buffer
}

// start starts redislock in the fixture's directory. Its standard output is read line by line: it ends when all who
// could write to it are gone.
func (f *fixture) start(args ...string) *program {
	f.Helper()
	return f.launch(os.Args[0], args...)
}

// launch is start by way of another program, such as a shell that prepares something.
func (f *fixture) launch(name string, args ...string) *program {
	f.Helper()
	p := &program{f: f, cmd: exec.Command(name, args...)}
	// The race detector would sleep for a second at each exit; what it finds shows as the exit status 66.
	p.cmd.Env = append(os.Environ(), asProgram+"=1", "REDIS_URL="+f.url, "GORACE=atexit_sleep_ms=0")
	p.cmd.Dir = f.dir
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		f.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		f.Fatal(err)
	}
	p.stdin, p.stdout = stdin, bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL) }) // it leads its session, or is gone
	return p
}

// run starts "redislock run" under the fixture's prefix.
func (f *fixture) run(args ...string) *program {
	f.Helper()
	return f.start(append([]string{"run", "--prefix", f.prefix}, args...)...)
}

// runScript runs, under the lock "x", a shell that sets traps, says that it is ready and then goes on until one of them
// ends it. The shell's own remarks about what a signal ended are left out. It returns when the shell is ready.
func (f *fixture) runScript(flags []string, traps ...string) *program {
	f.Helper()
	p := f.run(append(flags, "x", "--", "sh", "-c", "exec 2>/dev/null; "+strings.Join(traps, "; ")+"; echo ready; while :; do sleep 0.02; done")...)
	p.line()
	return p
}

// line waits for the next line of standard output.
func (p *program) line() string {
	p.f.Helper()
	text, err := p.stdout.ReadString('\n')
	if err != nil {
		_ = p.cmd.Wait()
		p.f.Fatalf("no line on standard output: %v; standard error: %s", err, p.stderr.String())
	}
	return strings.TrimSuffix(text, "\n")
}

func (p *program) signal(sig syscall.Signal) {
	p.f.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.f.Fatal(err)
	}
}

// wait waits for the end of everything that could write to standard output, and of the program.
func (p *program) wait() (status int, stdout, stderr string) {
	p.f.Helper()
	rest, err := io.ReadAll(p.stdout)
	if err != nil {
		p.f.Fatal(err)
	}
	_ = p.cmd.Wait() // the status says how
	if how := p.cmd.ProcessState.Sys().(syscall.WaitStatus); how.Signaled() {
		return -int(how.Signal()), string(rest), p.stderr.String()
	}
	return p.cmd.ProcessState.ExitCode(), string(rest), p.stderr.String()
}

// ends checks the exit status, and that standard error says all of this, each message on a line of its own.
func (p *program) ends(want int, says ...string) (stdout string) {
	p.f.Helper()
	status, stdout, stderr := p.wait()
	if status != want {
		p.f.Errorf("%v: exit status %d, want %d; standard error: %s", p.cmd.Args[1:], status, want, stderr)
	}
	for _, text := range says {
		if !strings.Contains(stderr, text) {
			p.f.Errorf("%v: standard error is %q, want it to say %q", p.cmd.Args[1:], stderr, text)
		}
	}
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "redislock: ") {
			p.f.Errorf("%v: a line on standard error that does not begin with the program's name: %q", p.cmd.Args[1:], line)
		}
	}
	if len(says) == 0 && stderr != "" {
		p.f.Errorf("%v: standard error is %q, want nothing", p.cmd.Args[1:], stderr)
	}
	return stdout
}

// hold has the test itself hold a lock until the end of the test, or until it is released.
func (f *fixture) hold(name string, opts ...redislock.Option) *redislock.Lock {
	f.Helper()
	lock, err := f.client.Acquire(f.Context(), name, opts...)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = lock.Release(context.Background()) })
	return lock
}

// until looks at a lock until it is as wanted.
func (f *fixture) until(name string, wanted func(redislock.Info) bool) redislock.Info {
	f.Helper()
	for {
		info, err := f.client.Inspect(f.Context(), name)
		if err != nil {
			f.Fatal(err)
		}
		if wanted(info) {
			return info
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func waiting(n int) func(redislock.Info) bool {
	return func(info redislock.Info) bool { return info.Waiting == n }
}
