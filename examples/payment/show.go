package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	start       = 100
	firstPays   = 30
	secondPays  = 50
	fenced      = "fenced"
	unfenced    = "unfenced"
	cleanupTime = 5 * time.Second
)

// show plays the same schedule twice, without a fence and with one.
func show(ctx context.Context, out io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, showTime)
	defer cancel()
	began := time.Now()
	s, err := findServers(ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	db, err := sql.Open("pgx", s.postgres)
	if err != nil {
		return err
	}
	defer db.Close()

	p := &play{db: db, servers: s, schema: "payment_" + strings.ToLower(rand.Text()[:10])}
	p.say = func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) } // if out fails, the exit status still tells
	if err := p.setUp(ctx); err != nil {
		return fmt.Errorf("set up in PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, p.tearDown()) }()
	p.say("The account has %d. Two tellers pay from it, %d and %d, each under the account's lock.", start, firstPays, secondPays)
	p.say("Redis: %s. PostgreSQL: %s.", s.whereRedis, s.wherePostgres)

	p.say("\nWithout a fence")
	balance, err := p.perform(ctx, unfenced)
	if err != nil {
		return err
	}
	if balance != start-firstPays {
		return fmt.Errorf("without a fence the balance is %d, not the wrong %d: the schedule was another one", balance, start-firstPays)
	}
	p.say("  balance  %d: WRONG. Both have paid, and the payment of %d is lost.", balance, secondPays)

	p.say("\nWith a fence")
	if balance, err = p.perform(ctx, fenced); err != nil {
		return err
	}
	if balance != start-firstPays-secondPays {
		return fmt.Errorf("with a fence the balance is %d, not %d", balance, start-firstPays-secondPays)
	}
	p.say("  balance  %d: right.", balance)
	p.say("\nIt took %v.", time.Since(began).Round(100*time.Millisecond))
	return nil
}

// play is one run of the example. Its account is in a schema of its own.
type play struct {
	say     func(format string, args ...any)
	db      *sql.DB
	servers *servers
	schema  string
}

// setUp makes the tables, as the migrations of an application would.
func (p *play) setUp(ctx context.Context) error {
	register, err := fences(p.schema)
	if err != nil {
		return err
	}
	for _, statement := range []string{
		"CREATE SCHEMA " + p.schema,
		"CREATE TABLE " + p.schema + ".accounts (name text PRIMARY KEY, balance int NOT NULL)",
		register.Schema(),
	} {
		if _, err := p.db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func (p *play) tearDown() error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTime)
	defer cancel()
	_, err := p.db.ExecContext(ctx, "DROP SCHEMA "+p.schema+" CASCADE")
	return err
}

// perform lets two tellers pay in the order that is described in main.go, and returns the final balance.
func (p *play) perform(ctx context.Context, rule string) (balance int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the tellers too
	if _, err := p.db.ExecContext(ctx, "INSERT INTO "+p.schema+".accounts VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET balance = excluded.balance", account, start); err != nil {
		return 0, err
	}
	first, err := p.enter(ctx, "first", firstPays, rule)
	if err != nil {
		return 0, err
	}
	defer first.leave()
	if err := first.says("ready"); err != nil {
		return 0, err
	}
	if err := first.signal(syscall.SIGSTOP); err != nil {
		return 0, err
	}
	p.say("           it is stopped before it writes (SIGSTOP), and its lease of %v runs out", lease)

	second, err := p.enter(ctx, "second", secondPays, rule)
	if err != nil {
		return 0, err
	}
	defer second.leave()
	if err := second.says("ready"); err != nil {
		return 0, err
	}
	if err := second.goesOn(); err != nil {
		return 0, err
	}

	p.say("           the first goes on (SIGCONT), where it was")
	if err := first.signal(syscall.SIGCONT); err != nil {
		return 0, err
	}
	if rule == fenced {
		if err := first.order(); err != nil {
			return 0, err
		}
		if err := first.says("refused", "ready"); err != nil {
			return 0, err
		}
	}
	if err := first.goesOn(); err != nil {
		return 0, err
	}
	err = p.db.QueryRowContext(ctx, "SELECT balance FROM "+p.schema+".accounts WHERE name = $1", account).Scan(&balance)
	return balance, err
}

// actor is the process of a teller.
type actor struct {
	name    string
	play    *play
	cmd     *exec.Cmd
	orders  io.WriteCloser
	reports *json.Decoder
	over    bool
}

// enter starts this same program as a teller. It passes the URLs in the environment, where other users cannot read
// them.
func (p *play) enter(ctx context.Context, name string, amount int, rule string) (*actor, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	a := &actor{name: name, play: p, cmd: exec.CommandContext(ctx, self, tellerCommand, strconv.Itoa(amount), rule)}
	a.cmd.Env = append(os.Environ(), redisEnv+"="+p.servers.redis, postgresEnv+"="+p.servers.postgres, schemaEnv+"="+p.schema)
	a.cmd.Stderr = os.Stderr
	dieWithParent(a.cmd)
	if a.orders, err = a.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	a.reports = json.NewDecoder(out)
	return a, a.cmd.Start()
}

// says waits for the next report of a teller, and prints it. It must be the expected one.
func (a *actor) says(whats ...string) error {
	for _, what := range whats {
		var r report
		if err := a.reports.Decode(&r); err != nil {
			return fmt.Errorf("the %s teller ended before it was %s", a.name, what)
		}
		text := ""
		switch r.What {
		case "ready":
			text = fmt.Sprintf("has the lock with fence %d, and reads a balance of %d", r.Fence, r.Balance)
		case "paid":
			text = fmt.Sprintf("pays: it writes %d", r.Balance)
		case "refused":
			text = "is refused by PostgreSQL: " + r.Err
		}
		a.play.say("  %-7s  %s", a.name, text)
		if r.What != what {
			return fmt.Errorf("the %s teller is %s, not %s", a.name, r.What, what)
		}
	}
	return nil
}

// goesOn ends a pause, after which the teller pays, gives its lock back and ends.
func (a *actor) goesOn() error {
	if err := a.order(); err != nil {
		return err
	}
	if err := a.says("paid"); err != nil {
		return err
	}
	a.over = true
	if err := a.cmd.Wait(); err != nil {
		return fmt.Errorf("the %s teller: %w", a.name, err)
	}
	return nil
}

// order tells the process to end its pause.
func (a *actor) order() error {
	_, err := io.WriteString(a.orders, "go on\n")
	return err
}

func (a *actor) signal(sig syscall.Signal) error { return a.cmd.Process.Signal(sig) }

// leave ends the process, even a stopped one.
func (a *actor) leave() {
	if !a.over {
		_ = a.cmd.Process.Kill() // it may have ended
		_ = a.cmd.Wait()         // it was killed
	}
}
