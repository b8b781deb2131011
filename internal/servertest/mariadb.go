package servertest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// MariaDB is a MariaDB server of its own: a process, a port of loopback, and fresh, empty data in a temporary directory.
// It has no users, so every client may do everything, and writes to disk once a second.
type MariaDB struct{ *database }

// StartMariaDB runs a server, which takes about half a second, and returns when it accepts connections. Server and data
// are gone after the test. A machine without MariaDB gets it installed if the test may do that; otherwise the test fails
// and says how. Where a test runs as root the server runs as the user mysql, or else nobody.
//
// [SharedMariaDB] starts one for all tests of a binary.
func StartMariaDB(t testing.TB) *MariaDB {
	t.Helper()
	return own(t, startMariaDB)
}

// SharedMariaDB is one server for all tests of a binary, as [SharedPostgres] is.
func SharedMariaDB(t testing.TB) *MariaDB {
	t.Helper()
	return ofAll(t, sharedMariaDB)
}

var sharedMariaDB = shared(startMariaDB)

// DSN is how to connect with github.com/go-sql-driver/mysql, to a database that the test creates, or to none with "".
func (m *MariaDB) DSN(database string) string {
	return fmt.Sprintf("root@tcp(127.0.0.1:%d)/%s", m.port, database)
}

func startMariaDB() (_ *MariaDB, err error) {
	path, err := mariadbd()
	if err != nil {
		return nil, err
	}
	d, err := newDatabase("mysql", "nobody")
	if err != nil {
		return nil, err
	}
	// Without its tables of users and rights, which it can do without, nothing has to be set up.
	err = d.serve("ready for connections", func(port int) *exec.Cmd {
		return d.command(path, "--no-defaults", "--skip-grant-tables", "--datadir", d.dir, "--socket", filepath.Join(d.dir, "socket"),
			"--bind-address", "127.0.0.1", "--port", strconv.Itoa(port), "--skip-networking=0", "--skip-name-resolve",
			"--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=4M")
	})
	if err != nil {
		d.stop()
		return nil, err
	}
	return &MariaDB{d}, nil
}
