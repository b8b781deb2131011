package servertest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	postgresReady = "database system is ready to accept connections"
	// stopTime is how long a server may take to end in order before it is killed.
	stopTime = 5 * time.Second
)

// Postgres is a PostgreSQL server of its own: a process, a port of loopback, and a fresh database in a temporary
// directory. It writes without fsync.
type Postgres struct {
	port    int
	dir     string
	process *process
	end     sync.Once
}

// StartPostgres makes a database and runs a server on it, which takes about a second, and returns when it accepts
// connections. Server and data are gone after the test. A machine without PostgreSQL gets it installed if the test may
// do that; otherwise the test fails and says how. Where a test runs as root, as which PostgreSQL does not, the server
// runs as the user postgres, or else nobody.
//
// [SharedPostgres] starts one for all tests of a binary.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	bin := find(t, postgresBin)
	p, err := startPostgres(bin)
	if err != nil {
		t.Fatalf("servertest: postgres: %v", err)
	}
	t.Cleanup(p.stop)
	return p
}

// DSN is how to connect, as the superuser postgres to the database postgres: a URL for pgx, lib/pq and psql.
func (p *Postgres) DSN() string { return p.Database("postgres") }

// Database is the DSN of another database of the server, which the test creates.
func (p *Postgres) Database(name string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", p.port, name)
}

func startPostgres(bin string) (_ *Postgres, err error) {
	as, err := ordinaryUser()
	if err != nil {
		return nil, err
	}
	// Not the test's own directory: only the test's user may go there.
	dir, err := os.MkdirTemp("", "servertest-postgres-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir) // what failed says more
		}
	}()
	if as != nil {
		if err := os.Chown(dir, int(as.Uid), int(as.Gid)); err != nil {
			return nil, err
		}
	}
	command := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir = dir // the user may not enter the test's
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
		return cmd
	}
	data := filepath.Join(dir, "data")
	initdb := command("initdb", "--pgdata", data, "--username", "postgres", "--auth", "trust", "--encoding", "UTF8",
		"--no-locale", "--no-sync", "--no-instructions")
	endWithParent(initdb)
	if said, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, said)
	}
	for range starts {
		p := &Postgres{dir: dir}
		if p.port, err = freePort(); err != nil {
			continue
		}
		p.process, err = run(command("postgres", "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(p.port), "-k", "", "-F",
			"-c", "full_page_writes=off", "-c", "synchronous_commit=off", "-c", "shared_buffers=16MB",
			"-c", "dynamic_shared_memory_type=mmap"), postgresReady) // in the directory, so a killed server leaves none behind
		if err == nil {
			return p, nil
		}
	}
	return nil, err
}

// stop ends the server and removes its data.
func (p *Postgres) stop() {
	p.end.Do(func() {
		// Killed, it would leave its processes to find that out by themselves, and they write to the directory.
		_ = p.process.cmd.Process.Signal(syscall.SIGQUIT) // fails if it has ended already
		select {
		case <-p.process.gone:
		case <-time.After(stopTime):
			p.process.kill()
		}
		_ = os.RemoveAll(p.dir) // in the system's temporary directory
	})
}

// ordinaryUser is whom PostgreSQL may run as: nil if that is the user of the test.
func ordinaryUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	var errs error
	for _, name := range []string{"postgres", "nobody"} {
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
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("it does not run as root, and there is nobody else: %w", errs)
}

var shared struct {
	mu       sync.Mutex
	main     bool // [Main] will end it
	postgres *Postgres
	err      error
}

// SharedPostgres is one server for all tests of a binary: the first test that asks starts it, and it ends with the
// tests, for which the binary has to run them by [Main]. Tests keep out of each other's way by names, or by databases
// of their own ([Postgres.Database]).
func SharedPostgres(t testing.TB) *Postgres {
	t.Helper()
	bin := find(t, postgresBin)
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.main {
		t.Fatal("servertest: SharedPostgres needs func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }")
	}
	if shared.postgres == nil && shared.err == nil {
		shared.postgres, shared.err = startPostgres(bin)
	}
	if shared.err != nil {
		t.Fatalf("servertest: postgres: %v", shared.err)
	}
	return shared.postgres
}

// Main runs the tests of a binary, and ends what they shared. It returns the exit status.
func Main(m *testing.M) int {
	shared.mu.Lock()
	shared.main = true
	shared.mu.Unlock()
	defer func() { // also when a test panics
		shared.mu.Lock()
		defer shared.mu.Unlock()
		if shared.postgres != nil {
			shared.postgres.stop()
		}
	}()
	return m.Run()
}
