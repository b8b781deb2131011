// Package sqlfence checks fences in the transaction of a database, through database/sql: the check and the writes it
// protects are committed together, so that a late holder writes nothing.
//
// There are two ways, and both follow the rule of package [fence]: an equal fence is accepted, a smaller one is refused,
// a greater one is accepted and remembered.
//
// # A table of fences
//
// [Register.Accept] is for a transaction that writes any number of rows. The greatest fences are in a table of their own,
// one row for a resource, which [Register.Schema] makes. Call it first in the transaction:
//
//	tx, err := db.BeginTx(ctx, nil)
//	…
//	defer tx.Rollback()
//	if err := register.Accept(ctx, tx, "account/7", lock.Fence()); err != nil {
//		return err // fence.ErrStale: a later holder has been here
//	}
//	… // INSERT, UPDATE, DELETE, as you like
//	return tx.Commit()
//
// It locks the row of the resource until the transaction ends. So a later holder waits for a transaction of an earlier
// one that has accepted its fence and not yet committed, and the other way round. If a process is paused there, all
// later holders wait until its connection is gone. That is safe, but it may take long: set
// idle_in_transaction_session_timeout (PostgreSQL), idle_transaction_timeout (MariaDB) or wait_timeout (MySQL).
//
// # A column for the fence
//
// If only one row is written, the fence may be a column of that row: fence BIGINT NOT NULL DEFAULT 0. NOT NULL matters, for
// nothing compares with NULL. Every write of the row names the fence, and none touches a row with a greater one; [Check] makes an
// error of it.
//
//	result, err := db.ExecContext(ctx, `UPDATE accounts SET balance = $1, fence = $2 WHERE id = $3 AND fence <= $2`, …)
//	if err == nil {
//		err = sqlfence.Check(result, "account/7", lock.Fence())
//	}
//
// A row that is deleted takes its fence along. If a later holder may delete a row and an earlier one may insert it again, use the
// table.
//
// # Isolation
//
// Both are right on every level. On PostgreSQL's REPEATABLE READ and SERIALIZABLE a fence that was raised since the
// transaction's snapshot is a serialization failure (SQLSTATE 40001), the database's own error and not [fence.ErrStale]:
// run the transaction again, as always on these levels, and the answer is there. So it is with MariaDB's
// innodb_snapshot_isolation, with deadlocks, and with SQLite's SQLITE_BUSY.
//
// # MySQL counts changed rows
//
// By default a MySQL connection tells how many rows an UPDATE changed, not how many it found. An UPDATE with an equal
// fence and nothing new changes no row, and [Check] would call it stale. Connect with clientFoundRows=true, as
// github.com/go-sql-driver/mysql has it in its DSN. [Register.Accept] does not depend on it.
//
// # Tested on
//
// PostgreSQL 15 with github.com/jackc/pgx/v5, SQLite 3.54 with github.com/ncruces/go-sqlite3, MariaDB 10.11 with
// github.com/go-sql-driver/mysql. MySQL itself was not at hand: its dialect is tested on MariaDB, and keeps to what both
// have.
package sqlfence
