package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/fence"
	"example.com/redislock/fence/sqlfence"
)

const (
	account = "account/7"
	lease   = 500 * time.Millisecond // short, for the show
)

// teller is the application: it pays from an account.
type teller struct {
	locks  *redislock.Client
	db     *sql.DB
	schema string
	fences *sqlfence.Register // nil: it pays without a fence

	pause  func()       // is called before it writes
	report func(report) // tells the show what happened
}

// pay takes the lock of the account, reads the balance, and writes the balance after the payment.
func (t *teller) pay(ctx context.Context, amount int) error {
	lock, err := t.locks.Acquire(ctx, account, redislock.WithLease(lease))
	if err != nil {
		return err
	}
	defer lock.Release(ctx)

	var balance int
	if err := t.db.QueryRowContext(ctx, `SELECT balance FROM `+t.schema+`.accounts WHERE name = $1`, account).Scan(&balance); err != nil {
		return err
	}
	balance -= amount
	if err := lock.Err(); err != nil {
		return err // it would be wrong to go on
	}
	t.report(report{What: "ready", Fence: lock.Fence(), Balance: balance + amount})
	t.pause() // the process may be stopped here for any time, and cannot know it

	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if t.fences != nil {
		if err := t.fences.Accept(ctx, tx, account, lock.Fence()); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `UPDATE `+t.schema+`.accounts SET balance = $1 WHERE name = $2`, balance, account); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	t.report(report{What: "paid", Balance: balance})
	return nil
}

const (
	tellerCommand = "teller"
	schemaEnv     = "PAYMENT_SCHEMA"
)

// report is a line that a teller's process writes to its standard output.
type report struct {
	What    string // ready, paid, refused
	Fence   int64
	Balance int // the balance that it read or wrote
	Err     string
}

// runTeller is the main function of a teller's process. It pays an amount, and tries once more if it was too late. At
// its pause it waits for a line of input.
func runTeller(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) != 2 {
		return errors.New("a teller is started by the show, with an amount and a rule")
	}
	amount, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	options, err := redis.ParseURL(os.Getenv(redisEnv))
	if err != nil {
		return fmt.Errorf("%s: %w", redisEnv, err)
	}
	rdb := redis.NewClient(options)
	defer rdb.Close()
	t := &teller{schema: os.Getenv(schemaEnv)}
	if t.locks, err = redislock.New(rdb, redislock.WithPrefix(t.schema)); err != nil {
		return err
	}
	defer t.locks.Close(ctx)
	if t.db, err = sql.Open("pgx", os.Getenv(postgresEnv)); err != nil {
		return err
	}
	defer t.db.Close()
	if args[1] == fenced {
		if t.fences, err = fences(t.schema); err != nil {
			return err
		}
	}
	lines := json.NewEncoder(out)
	t.report = func(r report) { _ = lines.Encode(r) } // if it fails, the show has ended
	orders := bufio.NewReader(in)
	t.pause = func() {
		if _, err := orders.ReadString('\n'); err != nil {
			os.Exit(1) // the show is over
		}
	}

	err = t.pay(ctx, amount)
	if errors.Is(err, fence.ErrStale) {
		t.report(report{What: "refused", Err: err.Error()})
		err = t.pay(ctx, amount) // from the beginning: a new lock, the balance as it is now
	}
	return err
}

// fences is the register of fences, in the schema of the show.
func fences(schema string) (*sqlfence.Register, error) {
	return sqlfence.New(sqlfence.PostgreSQL, sqlfence.WithTable(schema+".fences"))
}
