package sqlfence

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"example.com/redislock"
	"example.com/redislock/fence"
)

// DefaultTable is where fences are unless [WithTable] says otherwise.
const DefaultTable = "redislock_fences"

// Register is a table of the greatest fences, one row for a resource. It holds no connection, and its methods may be
// called from any goroutine.
//
// Rows are kept until somebody deletes them. A fence is the time of its grant in µs, or more, so those of long ago are
// told by it: DELETE FROM redislock_fences WHERE fence < …, with time.Now().AddDate(0, 0, -90).UnixMicro() for instance.
// A resource whose row is gone accepts any fence.
type Register struct {
	dialect    Dialect
	table      string
	statements statements
}

// Option shapes a [Register]. A value that cannot work makes [New] fail with [redislock.ErrInvalid].
type Option func(*Register) error

// tableName matches a name or schema.name that is short enough for all dialects.
var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?$`)

// WithTable sets the name of the table, or schema.name; the default is [DefaultTable]. Each has at most 63 letters of
// ASCII, digits and underscores. It is quoted, so capitals stay capitals and reserved words are no trouble.
func WithTable(name string) Option {
	return func(r *Register) error {
		if !tableName.MatchString(name) {
			return invalid("WithTable(%q): must be a name or schema.name, each of up to 63 letters, digits and underscores", name)
		}
		r.table = name
		return nil
	}
}

// New makes a Register. Nothing is sent: the table must be there before the first [Register.Accept].
func New(d Dialect, opts ...Option) (*Register, error) {
	r := &Register{dialect: d, table: DefaultTable}
	s, ok := dialects[d]
	if !ok {
		return nil, fmt.Errorf("redislock: new fence register: %w", invalid("%v is not a dialect", d))
	}
	for _, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("redislock: new fence register: %w", invalid("a nil Option"))
		}
		if err := opt(r); err != nil {
			return nil, fmt.Errorf("redislock: new fence register: %w", err)
		}
	}
	r.statements = s.on(r.table)
	return r, nil
}

// Schema is the statement that makes the table if it does not exist yet, for a migration.
func (r *Register) Schema() string { return r.statements.schema }

// Accept remembers the fence of a resource, in the caller's transaction: for good when that commits, and not at all when it is
// rolled back. The row of the resource is locked until then. So no other fence of the resource is accepted before, and the other
// writes of the transaction are one with the check. Call it before the writes: then those who come at the same time wait here,
// and not for each other's rows.
//
// The error is [fence.ErrStale], as a [*fence.StaleError], if a greater one was seen: the transaction is to be rolled back. It is
// [redislock.ErrInvalid] for a fence that no lock can have ([fence.Validate]), and for a resource that is not 1 to
// [redislock.MaxName] bytes of UTF-8 without a NUL. Any other error is the database's own, wrapped: then it is not known whether
// the fence is stale, and the transaction may be run again.
func (r *Register) Accept(ctx context.Context, tx *sql.Tx, resource string, f int64) error {
	err := check(resource, f)
	if err != nil {
		return wrap(resource, err)
	}
	var seen int64
	if r.statements.read == "" {
		err = tx.QueryRowContext(ctx, r.statements.accept, resource, f).Scan(&seen)
	} else if _, err = tx.ExecContext(ctx, r.statements.accept, resource, f, f); err == nil {
		err = tx.QueryRowContext(ctx, r.statements.read, resource).Scan(&seen)
	}
	if err != nil {
		return wrap(resource, err)
	}
	if seen > f {
		return &fence.StaleError{Resource: resource, Fence: f, Seen: seen}
	}
	return nil
}

// Reset forgets the greatest fence of a resource, in the caller's transaction: the next one is accepted, whichever it is. It is
// for operators who know that there is no late writer any more. The error is the database's own, wrapped.
func (r *Register) Reset(ctx context.Context, tx *sql.Tx, resource string) error {
	if _, err := tx.ExecContext(ctx, r.statements.reset, resource); err != nil {
		return fmt.Errorf("redislock: reset the fence of %q: %w", resource, err)
	}
	return nil
}

// Check is for an UPDATE or DELETE of one row with "fence <= …" among its conditions: it is a [*fence.StaleError], with nothing
// in Seen, if no row was affected. No row is affected either if there is no row with that id. If that can be, look for the row in
// the same transaction. A fence that no lock can have is [redislock.ErrInvalid], and the write is to be undone.
//
// The driver must count the rows that were found. MySQL's does so with clientFoundRows=true only.
func Check(result sql.Result, resource string, f int64) error {
	if err := check(resource, f); err != nil {
		return wrap(resource, err)
	}
	switch rows, err := result.RowsAffected(); {
	case err != nil:
		return wrap(resource, err)
	case rows == 0:
		return &fence.StaleError{Resource: resource, Fence: f}
	}
	return nil
}

func check(resource string, f int64) error {
	switch {
	case resource == "" || len(resource) > redislock.MaxName:
		return invalid("a resource of %d bytes: must have 1 to %d", len(resource), redislock.MaxName)
	case !utf8.ValidString(resource) || strings.Contains(resource, "\x00"):
		return invalid("a resource that is not UTF-8, or has a NUL")
	}
	return fence.Validate(f)
}

func wrap(resource string, err error) error {
	return fmt.Errorf("redislock: accept a fence of %q: %w", resource, err)
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", redislock.ErrInvalid, fmt.Sprintf(format, args...))
}
