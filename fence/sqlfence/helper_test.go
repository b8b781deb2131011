package sqlfence_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/driver"

	"example.com/redislock/fence"
	"example.com/redislock/fence/sqlfence"
	"example.com/redislock/internal/servertest"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

const long = 20 * time.Second // for events that must come, on a busy machine

// engine is a database to test on, with tables of the test's own.
type engine struct {
	*testing.T
	dialect sqlfence.Dialect
	db      *sql.DB
	levels  []sql.IsolationLevel // the isolation levels that it has, the default first
}

var tables atomic.Int64

// everywhere runs a test on each database.
func everywhere(t *testing.T, test func(e *engine)) {
	t.Helper()
	for name, open := range map[string]func(*testing.T) *engine{"PostgreSQL": postgres, "MariaDB": mariadb, "SQLite": sqlite} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(open(t))
		})
	}
}

func postgres(t *testing.T) *engine {
	return &engine{t, sqlfence.PostgreSQL, open(t, "pgx", servertest.SharedPostgres(t).DSN()), []sql.IsolationLevel{
		sql.LevelDefault, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable,
	}}
}

func mariadb(t *testing.T) *engine {
	return mariadbAt(t, servertest.SharedMariaDB(t), "clientFoundRows=true")
}

func mariadbAt(t *testing.T, server *servertest.MariaDB, params string) *engine {
	t.Helper()
	must(t, open(t, "mysql", server.DSN("")), "CREATE DATABASE IF NOT EXISTS test")
	return &engine{t, sqlfence.MySQL, open(t, "mysql", server.DSN("test")+"?"+params), []sql.IsolationLevel{
		sql.LevelDefault, sql.LevelReadUncommitted, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable,
	}}
}

// sqlite is a database in a file. Its transactions are writers from BEGIN on, and wait for each other.
func sqlite(t *testing.T) *engine {
	return sqliteAt(t, filepath.Join(t.TempDir(), "test.db"), "_txlock=immediate&_pragma=busy_timeout(20000)")
}

func sqliteAt(t *testing.T, path, params string) *engine {
	t.Helper()
	return &engine{t, sqlfence.SQLite, open(t, "sqlite3", "file:"+path+"?_pragma=journal_mode(wal)&_pragma=synchronous(off)&"+params), []sql.IsolationLevel{sql.LevelDefault}}
}

func open(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func must(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// table is a name that no other test has.
func (e *engine) table() string { return fmt.Sprint("table_", tables.Add(1)) }

// register makes a Register with a table of its own.
func (e *engine) register() *sqlfence.Register {
	e.Helper()
	r, err := sqlfence.New(e.dialect, sqlfence.WithTable(e.table()))
	if err != nil {
		e.Fatal(err)
	}
	must(e.T, e.db, r.Schema())
	return r
}

// begin begins a transaction, which does not outlive the test.
func (e *engine) begin(level sql.IsolationLevel) *sql.Tx {
	e.Helper()
	tx, err := e.db.BeginTx(context.Background(), &sql.TxOptions{Isolation: level})
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

// accept runs a transaction that only accepts the fence, and commits it if the fence is accepted.
func (e *engine) accept(r *sqlfence.Register, resource string, f int64) error {
	e.Helper()
	tx := e.begin(sql.LevelDefault)
	defer tx.Rollback()
	if err := r.Accept(context.Background(), tx, resource, f); err != nil {
		return err
	}
	return tx.Commit()
}

func (e *engine) accepted(r *sqlfence.Register, resource string, f int64) {
	e.Helper()
	if err := e.accept(r, resource, f); err != nil {
		e.Errorf("fence %d of %q: %v, want it accepted", f, resource, err)
	}
}

func (e *engine) refused(err error, resource string, f, seen int64) {
	e.Helper()
	stale, ok := errors.AsType[*fence.StaleError](err)
	if !ok || !errors.Is(err, fence.ErrStale) || *stale != (fence.StaleError{Resource: resource, Fence: f, Seen: seen}) {
		e.Errorf("fence %d of %q: %v, want it refused because %d was seen", f, resource, err, seen)
	}
}

// session is the server's name of the connection of a transaction. The query for it begins the snapshot, on levels
// that have one.
func (e *engine) session(tx *sql.Tx) (id int64) {
	e.Helper()
	ask := map[sqlfence.Dialect]string{sqlfence.PostgreSQL: "SELECT pg_backend_pid()", sqlfence.MySQL: "SELECT connection_id()"}
	if err := tx.QueryRowContext(context.Background(), ask[e.dialect]).Scan(&id); err != nil {
		e.Fatal(err)
	}
	return id
}

// waits returns when that session waits for a lock of another one; on MariaDB, when any session waits, as
// information_schema answers frequent queries from a cache.
func (e *engine) waits(session int64) {
	e.Helper()
	for until := time.Now().Add(long); ; time.Sleep(time.Millisecond) {
		var n int
		var err error
		if e.dialect == sqlfence.PostgreSQL {
			err = e.db.QueryRowContext(context.Background(), "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'", session).Scan(&n)
		} else {
			err = e.db.QueryRowContext(context.Background(), "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'").Scan(new(string), &n)
		}
		if err != nil {
			e.Fatal(err)
		}
		if n > 0 {
			return
		}
		if time.Now().After(until) {
			e.Fatalf("session %d does not wait", session)
		}
	}
}

// again reports whether the transaction must be run again: after a serialization failure, a deadlock, or SQLITE_BUSY.
func again(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return strings.HasPrefix(pg.Code, "40")
	}
	if my, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return my.Number == 1213 || my.Number == 1020
	}
	return errors.Is(err, sqlite3.BUSY)
}

// answer waits for what a goroutine got.
func answer(t *testing.T, c <-chan error) error {
	t.Helper()
	select {
	case err := <-c:
		return err
	case <-time.After(long):
		t.Fatal("no answer")
		return nil
	}
}
