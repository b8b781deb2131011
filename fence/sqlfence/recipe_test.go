package sqlfence_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"example.com/redislock"
	"example.com/redislock/fence"
	"example.com/redislock/fence/sqlfence"
	"example.com/redislock/internal/servertest"
)

// The recipe "A payment with a fence" of docs/recipes.md.

// charge calls the payment provider, which charges once per key, however often it is called.
type charge func(ctx context.Context, key string, cents int) error

// pay pays an invoice once, however often it is called and by any number of callers.
func pay(ctx context.Context, client *redislock.Client, db *sql.DB, fences *sqlfence.Register, charge charge, invoice string) error {
	return client.Do(ctx, "invoice/"+invoice, func(ctx context.Context) error {
		var cents int
		var paid bool
		err := db.QueryRowContext(ctx, `SELECT cents, paid FROM invoices WHERE number = $1`, invoice).Scan(&cents, &paid)
		if err != nil || paid {
			return err
		}
		if err := charge(ctx, "invoice/"+invoice, cents); err != nil { // seconds may pass here
			return err
		}

		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		lock, _ := redislock.FromContext(ctx)
		if err := fences.Accept(ctx, tx, lock.Name(), lock.Fence()); err != nil {
			return err // fence.ErrStale: a later holder has been here
		}
		result, err := tx.ExecContext(ctx, `UPDATE invoices SET paid = true WHERE number = $1 AND NOT paid`, invoice)
		if err != nil {
			return err
		}
		rows, err := result.RowsAffected()
		if err == nil && rows == 1 { // otherwise an earlier holder, for which Accept waited, has paid it
			_, err = tx.ExecContext(ctx, `INSERT INTO ledger (invoice, cents) VALUES ($1, $2)`, invoice, cents)
		}
		if err != nil {
			return err
		}
		return tx.Commit()
	})
}

func TestAnInvoiceIsPaidOnceWhoeverComesLate(t *testing.T) {
	ctx := context.Background()
	db := open(t, "pgx", servertest.SharedPostgres(t).DSN())
	fences, err := sqlfence.New(sqlfence.PostgreSQL, sqlfence.WithTable("recipe_fences"))
	if err != nil {
		t.Fatal(err)
	}
	must(t, db, `DROP TABLE IF EXISTS recipe_fences, invoices, ledger`) // left by an earlier run
	must(t, db, fences.Schema())
	must(t, db, `CREATE TABLE invoices (number text PRIMARY KEY, cents int, paid bool NOT NULL DEFAULT false)`)
	must(t, db, `CREATE TABLE ledger (invoice text, cents int)`)
	must(t, db, `INSERT INTO invoices VALUES ('42', 100)`)
	booked := func(want int) {
		t.Helper()
		var rows int
		if err := db.QueryRow(`SELECT count(*) FROM ledger`).Scan(&rows); err != nil || rows != want {
			t.Errorf("%d entries, %v; not %d", rows, err, want)
		}
	}
	server := servertest.Start(t)
	client := func() *redislock.Client {
		c, err := redislock.New(server.Connect())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(ctx) })
		return c
	}
	first, later := client(), client()
	charges := map[string]int{}
	charged := func(_ context.Context, key string, _ int) error {
		charges[key]++
		return nil
	}

	// The first is held up at the provider, and the second overtakes it.
	err = pay(ctx, first, db, fences, func(ctx context.Context, key string, cents int) error {
		if _, err := later.Break(context.Background(), "invoice/42", "as if its lease had ended"); err != nil {
			t.Error(err)
		}
		if err := pay(context.Background(), later, db, fences, charged, "42"); err != nil {
			t.Errorf("the later one: %v", err)
		}
		booked(1)
		must(t, db, `UPDATE invoices SET paid = false`) // it was refunded meanwhile
		return charged(ctx, key, cents)
	}, "42")
	if !errors.Is(err, fence.ErrStale) && !errors.Is(err, redislock.ErrLost) {
		t.Errorf("the late one: %v", err)
	}
	booked(1)

	for range 2 {
		if err := pay(ctx, first, db, fences, charged, "42"); err != nil {
			t.Error(err)
		}
	}
	booked(2) // after the refund, once
	if len(charges) != 1 {
		t.Errorf("charged under %v", charges)
	}
}
