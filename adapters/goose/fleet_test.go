package gooselock_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite"

	"example.com/redislock"
)

const lockName = "migrations/shop"

// newClient makes a Client that must close without a lock left behind.
func newClient(t testing.TB, rdb redis.UniversalClient, opts ...redislock.ClientOption) *redislock.Client {
	t.Helper()
	client, err := redislock.New(rdb, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := client.Close(ctx); err != nil {
			t.Errorf("a lock was left behind: %v", err)
		}
	})
	return client
}

// connect opens the database file that all instances share.
func connect(dir string) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+filepath.Join(dir, "shop.db")+"?_pragma=busy_timeout(10000)&_txlock=immediate")
}

func open(t testing.TB, dir string) *sql.DB {
	t.Helper()
	db, err := connect(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// schema is six migrations, in SQL and in Go. Each records in the database that it was run, and checks that it runs
// alone.
type schema struct {
	running atomic.Int64
	in      func(ctx context.Context, version int64) error // while a migration in Go runs; may be nil
}

func (s *schema) inSQL() fstest.MapFS {
	files := fstest.MapFS{}
	for version := 2; version <= 6; version += 2 {
		files[fmt.Sprintf("%05d_sql.sql", version)] = &fstest.MapFile{Data: fmt.Appendf(nil,
			"-- +goose Up\nCREATE TABLE t%[1]d (n INTEGER);\nINSERT INTO ran VALUES (%[1]d);\n"+
				"-- +goose Down\nDROP TABLE t%[1]d;\nDELETE FROM ran WHERE version = %[1]d;\n", version)}
	}
	return files
}

func (s *schema) inGo() []*goose.Migration {
	var all []*goose.Migration
	for version := int64(1); version <= 5; version += 2 {
		all = append(all, goose.NewGoMigration(version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			if s.running.Add(1) > 1 {
				return fmt.Errorf("migration %d: another is running", version)
			}
			defer s.running.Add(-1)
			if version == 1 {
				if _, err := tx.ExecContext(ctx, "CREATE TABLE ran (version INTEGER)"); err != nil {
					return err
				}
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO ran VALUES (?)", version); err != nil {
				return err
			}
			if s.in != nil {
				return s.in(ctx, version)
			}
			return nil
		}}, nil))
	}
	return all
}

// newProvider makes the goose provider of an instance. The lock is a Locker or a SessionLocker.
func (s *schema) newProvider(db *sql.DB, locked goose.ProviderOption) (*goose.Provider, error) {
	return goose.NewProvider(goose.DialectSQLite3, db, s.inSQL(), locked, goose.WithGoMigrations(s.inGo()...), goose.WithDisableGlobalRegistry(true))
}

func (s *schema) provider(t testing.TB, db *sql.DB, locked goose.ProviderOption) *goose.Provider {
	t.Helper()
	p, err := s.newProvider(db, locked)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// applied is how often each migration was run, by its own record.
func applied(t testing.TB, db *sql.DB) map[int64]int {
	t.Helper()
	rows, err := db.Query("SELECT version, COUNT(*) FROM ran GROUP BY version")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[int64]int{}
	for rows.Next() {
		var version int64
		var n int
		if err := rows.Scan(&version, &n); err != nil {
			t.Fatal(err)
		}
		all[version] = n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// once fails the test unless each migration was run once.
func once(t testing.TB, db *sql.DB) {
	t.Helper()
	all := applied(t, db)
	for version := int64(1); version <= 6; version++ {
		if all[version] != 1 {
			t.Errorf("migration %d was run %d times", version, all[version])
		}
	}
}

// waiting waits until that many wait for the lock.
func waiting(client *redislock.Client, n int) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		info, err := client.Inspect(context.Background(), lockName)
		if err != nil {
			return err
		}
		if info.Waiting == n {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d wait, not %d", info.Waiting, n)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// lockers are the two interfaces of goose for a lock.
var lockers = map[string]func(lock.Locker, lock.SessionLocker) goose.ProviderOption{
	"Locker":        func(l lock.Locker, _ lock.SessionLocker) goose.ProviderOption { return goose.WithLocker(l) },
	"SessionLocker": func(_ lock.Locker, s lock.SessionLocker) goose.ProviderOption { return goose.WithSessionLocker(s) },
}
