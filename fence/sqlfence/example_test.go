package sqlfence_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	_ "github.com/ncruces/go-sqlite3/vfs/memdb"

	"example.com/redislock/fence"
	"example.com/redislock/fence/sqlfence"
)

// exampleDB is a database in memory with accounts, one of them empty.
func exampleDB() (db *sql.DB, stop func()) {
	db, err := sql.Open("sqlite3", "file:/example?vfs=memdb&_txlock=immediate")
	if err != nil {
		panic(err)
	}
	for _, statement := range []string{
		"CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, fence BIGINT NOT NULL DEFAULT 0)",
		"CREATE TABLE bookings (account INTEGER NOT NULL, amount INTEGER NOT NULL)",
		"INSERT INTO accounts (id, balance) VALUES (7, 0)",
	} {
		if _, err := db.Exec(statement); err != nil {
			panic(err)
		}
	}
	return db, func() { _ = db.Close() }
}

// A transaction writes several rows. The table of fences guards all of them.
func ExampleRegister_Accept() {
	ctx := context.Background()
	db, stop := exampleDB()
	defer stop()

	fences, err := sqlfence.New(sqlfence.SQLite)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := db.ExecContext(ctx, fences.Schema()); err != nil { // in an application: a migration
		fmt.Println(err)
		return
	}

	book := func(amount int, f int64) error { // f: lock.Fence(), or fence.FromContext
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := fences.Accept(ctx, tx, "account/7", f); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO bookings (account, amount) VALUES (7, ?)", amount); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance + ? WHERE id = 7", amount); err != nil {
			return err
		}
		return tx.Commit()
	}
	const paused, next = 1_795_219_200_000_000, 1_795_219_205_000_000 // fences of two grants, five seconds apart
	fmt.Println("next:", book(100, next))
	fmt.Println("paused:", book(-30, paused))

	var balance int
	err = db.QueryRowContext(ctx, "SELECT balance FROM accounts WHERE id = 7").Scan(&balance)
	fmt.Println("balance:", balance, err)
	// Output:
	// next: <nil>
	// paused: redislock: stale fence 1795219200000000 of "account/7": 1795219205000000 was seen
	// balance: 100 <nil>
}

// Only one row is written, and the fence is a column of that row.
func ExampleCheck() {
	ctx := context.Background()
	db, stop := exampleDB()
	defer stop()

	set := func(balance int, f int64) error {
		result, err := db.ExecContext(ctx, "UPDATE accounts SET balance = ?1, fence = ?2 WHERE id = 7 AND fence <= ?2", balance, f)
		if err != nil {
			return err
		}
		return sqlfence.Check(result, "account/7", f)
	}
	fmt.Println("next:", set(100, 9))
	err := set(70, 5)
	fmt.Println("paused:", errors.Is(err, fence.ErrStale))
	// Output:
	// next: <nil>
	// paused: true
}

func ExampleRegister_Schema() {
	fences, err := sqlfence.New(sqlfence.PostgreSQL, sqlfence.WithTable("billing.fences"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(fences.Schema())
	// Output:
	// CREATE TABLE IF NOT EXISTS "billing"."fences" (resource text COLLATE "C" PRIMARY KEY, fence bigint NOT NULL)
}
