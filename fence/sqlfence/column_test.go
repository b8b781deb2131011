package sqlfence_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"example.com/redislock"
	"example.com/redislock/fence"
	"example.com/redislock/fence/sqlfence"
	"example.com/redislock/internal/servertest"
)

// account is a row with a fence column.
type account struct {
	*engine
	table string
}

func (e *engine) account() account {
	e.Helper()
	a := account{e, e.table()}
	must(e.T, e.db, fmt.Sprintf("CREATE TABLE %s (id INT PRIMARY KEY, balance INT NOT NULL, fence BIGINT NOT NULL DEFAULT 0)", a.table))
	must(e.T, e.db, fmt.Sprintf("INSERT INTO %s (id, balance) VALUES (7, 0)", a.table))
	return a
}

// set writes as an application does.
func (a account) set(db interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, id, balance int, f int64,
) error {
	statement := "UPDATE %s SET balance = ?, fence = ? WHERE id = ? AND fence <= ?"
	if a.dialect == sqlfence.PostgreSQL {
		statement = "UPDATE %s SET balance = $1, fence = $2 WHERE id = $3 AND fence <= $4"
	}
	result, err := db.ExecContext(context.Background(), fmt.Sprintf(statement, a.table), balance, f, id, f)
	if err != nil {
		return err
	}
	return sqlfence.Check(result, "account/7", f)
}

func (a account) holds(balance int, f int64) {
	a.Helper()
	var gotBalance int
	var gotFence int64
	if err := a.db.QueryRow(fmt.Sprintf("SELECT balance, fence FROM %s WHERE id = 7", a.table)).Scan(&gotBalance, &gotFence); err != nil {
		a.Fatal(err)
	}
	if gotBalance != balance || gotFence != f {
		a.Errorf("the balance is %d by fence %d, want %d by %d", gotBalance, gotFence, balance, f)
	}
}

func TestARowRefusesALateWriter(t *testing.T) {
	t.Parallel()
	everywhere(t, func(e *engine) {
		a := e.account()
		set := func(balance int, f int64) {
			e.Helper()
			if err := a.set(a.db, 7, balance, f); err != nil {
				e.Errorf("%d by %d: %v", balance, f, err)
			}
		}
		set(50, 5)
		set(60, 5)
		set(60, 5) // the same values again: the row is found, and not changed
		set(100, 9)
		e.refused(a.set(a.db, 7, 70, 5), "account/7", 5, 0)
		a.holds(100, 9)
		e.refused(a.set(a.db, 8, 70, 10), "account/7", 10, 0) // there is no such row
		if err := a.set(a.db, 7, 70, 0); !errors.Is(err, redislock.ErrInvalid) {
			e.Errorf("a fence of 0: %v, want ErrInvalid", err)
		}
		a.holds(100, 9)
	})
}

// The package comment warns of this.
func TestMySQLWithoutFoundRowsCallsANoChangeStale(t *testing.T) {
	t.Parallel()
	a := mariadbAt(t, servertest.SharedMariaDB(t), "").account()
	if err := a.set(a.db, 7, 60, 5); err != nil {
		t.Fatal(err)
	}
	if err := a.set(a.db, 7, 60, 5); !errors.Is(err, fence.ErrStale) {
		t.Errorf("the same again is %v: the docs can do without the warning", err)
	}
}

func TestARowRefusesAWriterWhoWaitedForALaterOne(t *testing.T) {
	t.Parallel()
	blocking(t, func(e *engine, level sql.IsolationLevel) {
		a := e.account()
		later, late := e.begin(level), e.begin(level)
		session := e.session(late)
		if err := a.set(later, 7, 100, 9); err != nil {
			e.Fatal(err)
		}
		result := make(chan error, 1)
		go func() { result <- a.set(late, 7, 70, 5) }()
		e.waits(session)
		if err := later.Commit(); err != nil {
			e.Fatal(err)
		}
		err := answer(e.T, result)
		if e.dialect == sqlfence.PostgreSQL && level >= sql.LevelRepeatableRead {
			if !again(err) || errors.Is(err, fence.ErrStale) {
				e.Errorf("the error is %v, want a serialization failure", err)
			}
			err = a.set(e.begin(level), 7, 70, 5)
		}
		e.refused(err, "account/7", 5, 0)
		_ = late.Rollback()
		a.holds(100, 9)
	})
}

// uncounted is a driver that does not count rows.
type uncounted struct{ sql.Result }

func (uncounted) RowsAffected() (int64, error) { return 0, errors.ErrUnsupported }

func TestWithoutACountNobodyKnows(t *testing.T) {
	t.Parallel()
	if err := sqlfence.Check(uncounted{}, "a", 5); !errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fence.ErrStale) {
		t.Errorf("the error is %v, want the driver's own", err)
	}
}
