package servertest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stopTime is how long a server may take to end in order before it is killed.
const stopTime = 5 * time.Second

// database is a server that keeps its data in a directory of its own, and does not run as root.
type database struct {
	dir     string
	as      *credential // nil: the user of the test
	port    int
	process *process // nil before it serves
}

// newDatabase makes the directory, for the first of these users that there is.
func newDatabase(users ...string) (*database, error) {
	as, err := ordinaryUser(users)
	if err != nil {
		return nil, err
	}
	// Not the test's own directory: only the test's user may go there.
	dir, err := os.MkdirTemp("", "servertest-")
	if err != nil {
		return nil, err
	}
	d := &database{dir: dir, as: as}
	if as != nil {
		if err := os.Chown(dir, int(as.Uid), int(as.Gid)); err != nil {
			d.stop()
			return nil, err
		}
	}
	return d, nil
}

// ordinaryUser is whom a server may run as that does not run as root: nil if that is the user of the test.
func ordinaryUser(names []string) (*credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	var errs error
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("it does not run as root, and there is nobody else: %w", errs)
}

// command is a program to be run as that user, in the directory: the user may not enter the test's.
func (d *database) command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = d.dir
	runAs(cmd, d.as)
	return cmd
}

// serve runs the server on a free port, and returns when it has said that it is ready, by this sign.
func (d *database) serve(ready string, server func(port int) *exec.Cmd) (err error) {
	for range starts {
		if d.port, err = freePort(); err != nil {
			continue
		}
		var p *process
		if p, err = run(server(d.port), ready); err == nil {
			d.process = p
			return nil
		}
	}
	return err
}

// stop ends the server and removes its data.
func (d *database) stop() {
	if d.process != nil {
		// Killed, PostgreSQL would leave its processes to find that out by themselves, and they write to the directory.
		_ = d.process.cmd.Process.Signal(syscall.SIGQUIT) // fails if it has ended already
		select {
		case <-d.process.gone:
		case <-time.After(stopTime):
			d.process.kill()
		}
	}
	_ = os.RemoveAll(d.dir) // in the system's temporary directory
}

type stopper interface{ stop() }

// own starts a server for one test.
func own[S stopper](t testing.TB, start func() (S, error)) S {
	t.Helper()
	outside(t)
	s, err := start()
	if err != nil {
		t.Fatalf("servertest: %v", err)
	}
	t.Cleanup(s.stop)
	return s
}

// ending is what [Main] ends.
var ending struct {
	mu    sync.Mutex
	main  bool // it will
	stops []func()
}

// shared starts a server once, for [Main] to end it.
func shared[S stopper](start func() (S, error)) func() (S, error) {
	return sync.OnceValues(func() (S, error) {
		s, err := start()
		if err == nil {
			ending.mu.Lock()
			defer ending.mu.Unlock()
			ending.stops = append(ending.stops, s.stop)
		}
		return s, err
	})
}

// ofAll is the shared server, if there is somebody to end it.
func ofAll[S stopper](t testing.TB, shared func() (S, error)) S {
	t.Helper()
	outside(t)
	ending.mu.Lock()
	ends := ending.main
	ending.mu.Unlock()
	if !ends {
		t.Fatal("servertest: a shared server needs func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }")
	}
	s, err := shared()
	if err != nil {
		t.Fatalf("servertest: %v", err)
	}
	return s
}

// Main runs the tests of a binary, and ends what they shared. It returns the exit status.
func Main(m *testing.M) int {
	ending.mu.Lock()
	ending.main = true
	ending.mu.Unlock()
	defer func() { // also when a test panics
		ending.mu.Lock()
		defer ending.mu.Unlock()
		for _, stop := range ending.stops {
			stop()
		}
	}()
	return m.Run()
}
