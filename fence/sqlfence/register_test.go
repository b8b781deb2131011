package sqlfence_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/fence"
	"example.com/redislock/fence/sqlfence"
)

func TestASmallerFenceIsRefusedAndAnyOtherAccepted(t *testing.T) {
	t.Parallel()
	everywhere(t, func(e *engine) {
		r := e.register()
		e.accepted(r, "account/7", 5)
		e.accepted(r, "account/7", 5) // one holder writes many times
		e.accepted(r, "account/7", 9)
		e.refused(e.accept(r, "account/7", 8), "account/7", 8, 9)
		e.refused(e.accept(r, "account/7", 5), "account/7", 5, 9)
		e.accepted(r, "account/7", 9)
		latest := time.Now().Add(23 * time.Hour).UnixMicro() // nearly as far ahead as is allowed
		e.accepted(r, "account/7", latest)
		e.refused(e.accept(r, "account/7", latest-1), "account/7", latest-1, latest)
	})
}

func TestAResetResourceAcceptsAnyFence(t *testing.T) {
	t.Parallel()
	everywhere(t, func(e *engine) {
		r := e.register()
		e.accepted(r, "a", 9)
		e.accepted(r, "b", 9)
		undone := e.begin(sql.LevelDefault)
		if err := r.Reset(context.Background(), undone, "a"); err != nil {
			e.Fatal(err)
		}
		_ = undone.Rollback()
		e.refused(e.accept(r, "a", 5), "a", 5, 9)
		tx := e.begin(sql.LevelDefault)
		if err := r.Reset(context.Background(), tx, "a"); err != nil {
			e.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			e.Fatal(err)
		}
		e.accepted(r, "a", 5)
		e.refused(e.accept(r, "b", 8), "b", 8, 9)
	})
}

func TestResourcesDoNotMeet(t *testing.T) {
	t.Parallel()
	everywhere(t, func(e *engine) {
		r := e.register()
		names := []string{"a", "A", "a ", " a", "ä", "a'", `a"`, "a`", "a%", "a\\", "a\n", "ß", "ss", "😀", strings.Repeat("x", redislock.MaxName)}
		for i, name := range names {
			e.accepted(r, name, int64(1000-i)) // as one resource, each would refuse the next
		}
		for i, name := range names {
			f := int64(1000 - i)
			e.refused(e.accept(r, name, f-1), name, f-1, f)
		}
	})
}

func TestWhatCannotBeAFenceIsInvalid(t *testing.T) {
	t.Parallel()
	everywhere(t, func(e *engine) {
		r := e.register()
		for _, bad := range []struct {
			resource string
			fence    int64
		}{{"a", 0}, {"a", -1}, {"a", 1e16}, {"a", time.Now().Add(25 * time.Hour).UnixMicro()}, {"", 1}, {"a\xff", 1}, {"a\x00", 1}, {strings.Repeat("x", redislock.MaxName+1), 1}} {
			if err := e.accept(r, bad.resource, bad.fence); !errors.Is(err, redislock.ErrInvalid) || errors.Is(err, fence.ErrStale) {
				e.Errorf("fence %d of %.10q: %v, want ErrInvalid", bad.fence, bad.resource, err)
			}
		}
		e.accepted(r, "a", 1) // nothing was remembered
	})
}

func TestWhatIsRolledBackWasNotAccepted(t *testing.T) {
	t.Parallel()
	everywhere(t, func(e *engine) {
		r := e.register()
		e.accepted(r, "old", 5)
		for _, resource := range []string{"old", "new"} {
			tx := e.begin(sql.LevelDefault)
			if err := r.Accept(context.Background(), tx, resource, 9); err != nil {
				e.Fatal(err)
			}
			if err := tx.Rollback(); err != nil {
				e.Fatal(err)
			}
			e.accepted(r, resource, 7)
			e.refused(e.accept(r, resource, 6), resource, 6, 7)
		}
	})
}

func TestAStaleFenceLeavesTheTransactionUsable(t *testing.T) {
	t.Parallel()
	everywhere(t, func(e *engine) {
		r := e.register()
		e.accepted(r, "a", 9)
		tx := e.begin(sql.LevelDefault)
		e.refused(r.Accept(context.Background(), tx, "a", 5), "a", 5, 9)
		e.refused(r.Accept(context.Background(), tx, "a", 5), "a", 5, 9)
		if err := r.Accept(context.Background(), tx, "b", 5); err != nil { // a transaction may be about several
			e.Error(err)
		}
		if err := tx.Commit(); err != nil {
			e.Error(err)
		}
		e.refused(e.accept(r, "b", 4), "b", 4, 5)
		e.accepted(r, "a", 9)
	})
}

func TestWhatTheDatabaseSaysIsNotStale(t *testing.T) {
	t.Parallel()
	everywhere(t, func(e *engine) {
		ctx, cancel := context.WithCancel(context.Background())
		tx := e.begin(sql.LevelDefault)
		missing, err := sqlfence.New(e.dialect)
		if err != nil {
			e.Fatal(err)
		}
		noTable := missing.Accept(ctx, tx, "a", 5)
		_ = tx.Rollback()
		over := missing.Accept(ctx, tx, "a", 5)
		if !errors.Is(over, sql.ErrTxDone) {
			e.Errorf("in a transaction that is over: %v, want sql.ErrTxDone", over)
		}
		r := e.register()
		tx = e.begin(sql.LevelDefault)
		cancel()
		cancelled := r.Accept(ctx, tx, "a", 5)
		if !errors.Is(cancelled, context.Canceled) {
			e.Errorf("under a context that ended: %v, want its error", cancelled)
		}
		for _, err := range []error{noTable, over, cancelled} {
			if err == nil || errors.Is(err, fence.ErrStale) || errors.Is(err, redislock.ErrInvalid) || !strings.Contains(err.Error(), `"a"`) {
				e.Errorf("the error is %v, want the database's own", err)
			}
		}
	})
}

func TestATableMayHaveAnyPlainName(t *testing.T) {
	t.Parallel()
	everywhere(t, func(e *engine) {
		for _, name := range []string{e.table(), "Select", "select_2", "_x", "main_" + strings.Repeat("x", 58)} {
			r, err := sqlfence.New(e.dialect, sqlfence.WithTable(name))
			if err != nil {
				e.Fatal(err)
			}
			must(e.T, e.db, r.Schema())
			must(e.T, e.db, r.Schema()) // it is there already
			e.accepted(r, "a", 5)
			e.refused(e.accept(r, "a", 4), "a", 4, 5)
		}
		schema := map[sqlfence.Dialect]string{sqlfence.PostgreSQL: "public", sqlfence.MySQL: "test", sqlfence.SQLite: "main"}[e.dialect]
		table := e.table()
		plain, err := sqlfence.New(e.dialect, sqlfence.WithTable(table))
		if err != nil {
			e.Fatal(err)
		}
		qualified, err := sqlfence.New(e.dialect, sqlfence.WithTable(schema+"."+table))
		if err != nil {
			e.Fatal(err)
		}
		must(e.T, e.db, qualified.Schema())
		e.accepted(qualified, "a", 5)
		e.refused(e.accept(plain, "a", 4), "a", 4, 5)
	})
}

func TestARegisterThatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "a b", `a"b`, "a`b", "a;b", "a.b.c", ".a", "a.", "1a", "ä", strings.Repeat("x", 64)} {
		if r, err := sqlfence.New(sqlfence.SQLite, sqlfence.WithTable(name)); r != nil || !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("table %q: %v, want ErrInvalid", name, err)
		}
	}
	for _, d := range []sqlfence.Dialect{0, -1, sqlfence.SQLite + 1} {
		if r, err := sqlfence.New(d); r != nil || !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("%v: %v, want ErrInvalid", d, err)
		}
	}
	if r, err := sqlfence.New(sqlfence.SQLite, nil); r != nil || !errors.Is(err, redislock.ErrInvalid) {
		t.Errorf("a nil Option: %v, want ErrInvalid", err)
	}
}
