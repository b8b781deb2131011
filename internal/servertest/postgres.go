package servertest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// Postgres is a PostgreSQL server of its own: a process, a port of loopback, and a fresh database in a temporary
// directory. It writes without fsync.
type Postgres struct{ *database }

// StartPostgres makes a database and runs a server on it, which takes about a second, and returns when it accepts
// connections. Server and data are gone after the test. A machine without PostgreSQL gets it installed if the test may
// do that; otherwise the test fails and says how. Where a test runs as root, as which PostgreSQL does not, the server
// runs as the user postgres, or else nobody.
//
// [SharedPostgres] starts one for all tests of a binary.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	return own(t, startPostgres)
}

// SharedPostgres is one server for all tests of a binary: the first test that asks starts it, and it ends with the
// tests, for which the binary has to run them by [Main]. Tests keep out of each other's way by names, or by databases
// of their own ([Postgres.Database]).
func SharedPostgres(t testing.TB) *Postgres {
	t.Helper()
	return ofAll(t, sharedPostgres)
}

var sharedPostgres = shared(startPostgres)

// DSN is how to connect, as the superuser postgres to the database postgres: a URL for pgx, lib/pq and psql.
func (p *Postgres) DSN() string { return p.Database("postgres") }

// Database is the DSN of another database of the server, which the test creates.
func (p *Postgres) Database(name string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", p.port, name)
}

func startPostgres() (_ *Postgres, err error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	d, err := newDatabase("postgres", "nobody")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			d.stop()
		}
	}()
	data := filepath.Join(d.dir, "data")
	initdb := d.command(filepath.Join(bin, "initdb"), "--pgdata", data, "--username", "postgres", "--auth", "trust",
		"--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions")
	endWithParent(initdb)
	if said, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, said)
	}
	err = d.serve("database system is ready to accept connections", func(port int) *exec.Cmd {
		return d.command(filepath.Join(bin, "postgres"), "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-k", "", "-F",
			"-c", "full_page_writes=off", "-c", "synchronous_commit=off", "-c", "shared_buffers=16MB",
			"-c", "dynamic_shared_memory_type=mmap") // in the directory, so a killed server leaves none behind
	})
	return &Postgres{d}, err
}
