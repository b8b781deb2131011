package sqlfence_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"example.com/redislock/fence"
	"example.com/redislock/fence/sqlfence"
	"example.com/redislock/internal/servertest"
)

// blocking are the databases whose transactions begin together and then wait for each other's rows.
func blocking(t *testing.T, test func(e *engine, level sql.IsolationLevel)) {
	t.Helper()
	alone := func(t *testing.T) *engine { return mariadbAt(t, servertest.StartMariaDB(t), "clientFoundRows=true") } // see waits
	for name, open := range map[string]func(*testing.T) *engine{"PostgreSQL": postgres, "MariaDB": alone} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := open(t)
			for _, level := range e.levels {
				t.Run(level.String(), func(t *testing.T) {
					one := *e
					one.T = t
					test(&one, level)
				})
			}
		})
	}
}

// Of two transactions for one resource the second waits until the first has ended, and is accepted or refused by the fence
// that the first left. If the snapshot of the second forbids that, it gets an error of the database, and the answer comes
// when it is run again.
func TestTheSecondWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	blocking(t, func(e *engine, level sql.IsolationLevel) {
		for _, c := range []struct {
			name          string
			first, second int64
			commit        bool
			seen          int64 // the fence that refuses the second; 0: it is accepted
		}{
			{"a later holder before an earlier one", 9, 5, true, 9},
			{"an earlier one before a later one", 5, 9, true, 0},
			{"the same holder twice", 5, 5, true, 0},
			{"a later one that is rolled back", 9, 5, false, 0},
		} {
			for _, resource := range []string{"new", "old"} {
				e.Run(c.name+", "+resource, func(t *testing.T) {
					one := *e
					one.T = t
					e := &one
					ctx := context.Background()
					r := e.register()
					if resource == "old" {
						e.accepted(r, resource, 1)
					}
					first, second := e.begin(level), e.begin(level)
					session := e.session(second)
					if err := r.Accept(ctx, first, resource, c.first); err != nil {
						t.Fatal(err)
					}
					result := make(chan error, 1)
					go func() { result <- r.Accept(ctx, second, resource, c.second) }()
					e.waits(session)
					end := first.Rollback
					if c.commit {
						end = first.Commit
					}
					if err := end(); err != nil {
						t.Fatal(err)
					}
					err := answer(t, result)
					if c.commit && e.dialect == sqlfence.PostgreSQL && level >= sql.LevelRepeatableRead {
						if !again(err) || errors.Is(err, fence.ErrStale) {
							t.Fatalf("the error is %v, want a serialization failure", err)
						}
						second = e.begin(level)
						err = r.Accept(ctx, second, resource, c.second)
					}
					if c.seen > 0 {
						e.refused(err, resource, c.second, c.seen)
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					if err := second.Commit(); err != nil {
						t.Fatal(err)
					}
					e.refused(e.accept(r, resource, c.second-1), resource, c.second-1, c.second)
				})
			}
		}
	})
}

// A snapshot that is older than the fence of a later holder does not hide that fence.
func TestASnapshotDoesNotHideALaterHolder(t *testing.T) {
	t.Parallel()
	blocking(t, func(e *engine, level sql.IsolationLevel) {
		for _, resource := range []string{"new", "old"} {
			ctx := context.Background()
			r := e.register()
			e.accepted(r, "other", 1)
			if resource == "old" {
				e.accepted(r, resource, 1)
			}
			tx := e.begin(level)
			if err := r.Accept(ctx, tx, "other", 1); err != nil { // it has its snapshot now
				e.Fatal(err)
			}
			e.accepted(r, resource, 9)
			err := r.Accept(ctx, tx, resource, 5)
			if e.dialect == sqlfence.PostgreSQL && level >= sql.LevelRepeatableRead {
				if !again(err) || errors.Is(err, fence.ErrStale) {
					e.Errorf("%s: the error is %v, want a serialization failure", resource, err)
				}
				continue
			}
			e.refused(err, resource, 5, 9)
		}
	})
}

func TestABusySQLiteIsNotStale(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "test.db")
	e := sqliteAt(t, path, "_txlock=deferred&_pragma=busy_timeout(0)") // transactions become writers when they write
	r := e.register()
	e.accepted(r, "a", 1)

	reader := e.begin(sql.LevelDefault)
	var n int
	if err := reader.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&n); err != nil { // its snapshot
		t.Fatal(err)
	}
	writer := e.begin(sql.LevelDefault)
	if err := r.Accept(ctx, writer, "a", 9); err != nil {
		t.Fatal(err)
	}
	if err := e.accept(r, "a", 5); !again(err) || errors.Is(err, fence.ErrStale) {
		t.Errorf("beside a writer: %v, want SQLITE_BUSY", err)
	}
	if err := writer.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := r.Accept(ctx, reader, "a", 5); !again(err) || errors.Is(err, fence.ErrStale) {
		t.Errorf("with an old snapshot: %v, want SQLITE_BUSY", err)
	}
	_ = reader.Rollback()
	e.refused(e.accept(r, "a", 5), "a", 5, 9)
}

// Whatever the order in which holders come, their writes are in the order of their fences, and a refused holder wrote
// nothing.
func TestWhatIsWrittenIsInTheOrderOfFences(t *testing.T) {
	t.Parallel()
	everywhere(t, func(e *engine) {
		for _, level := range e.levels {
			e.Run(level.String(), func(t *testing.T) {
				one := *e
				one.T = t
				e := &one
				ctx := context.Background()
				r, ledger := e.register(), e.table()
				column := map[sqlfence.Dialect]string{
					sqlfence.PostgreSQL: "n bigserial PRIMARY KEY",
					sqlfence.MySQL:      "n BIGINT AUTO_INCREMENT PRIMARY KEY",
					sqlfence.SQLite:     "n INTEGER PRIMARY KEY AUTOINCREMENT",
				}[e.dialect]
				must(t, e.db, fmt.Sprintf("CREATE TABLE %s (%s, fence BIGINT NOT NULL)", ledger, column))
				e.db.SetMaxOpenConns(8)

				write := func(f int64) error {
					tx, err := e.db.BeginTx(ctx, &sql.TxOptions{Isolation: level})
					if err != nil {
						return err
					}
					defer tx.Rollback()
					if err := r.Accept(ctx, tx, "ledger", f); err != nil {
						return err
					}
					for range 2 {
						if _, err := tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s (fence) VALUES (%d)", ledger, f)); err != nil {
							return err
						}
					}
					return tx.Commit()
				}
				const holders = 40
				var (
					all     sync.WaitGroup
					mu      sync.Mutex
					refused = map[int64]bool{}
				)
				for _, i := range rand.Perm(holders) {
					f := int64(i + 1)
					all.Go(func() {
						for {
							err := write(f)
							if again(err) {
								continue
							}
							if errors.Is(err, fence.ErrStale) {
								mu.Lock()
								defer mu.Unlock()
								refused[f] = true
							} else if err != nil {
								t.Errorf("fence %d: %v", f, err)
							}
							return
						}
					})
				}
				all.Wait()

				rows, err := e.db.QueryContext(ctx, "SELECT fence FROM "+ledger+" ORDER BY n")
				if err != nil {
					t.Fatal(err)
				}
				defer rows.Close()
				var written []int64
				for rows.Next() {
					var f int64
					if err := rows.Scan(&f); err != nil {
						t.Fatal(err)
					}
					if refused[f] {
						t.Errorf("%d was refused, and is written", f)
					}
					written = append(written, f)
				}
				if err := rows.Err(); err != nil {
					t.Fatal(err)
				}
				if len(written) == 0 || len(written) != 2*(holders-len(refused)) || !slices.IsSorted(written) || written[len(written)-1] != holders {
					t.Errorf("%d of %d refused, written: %v", len(refused), holders, written)
				}
			})
		}
	})
}
