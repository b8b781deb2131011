package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"example.com/redislock"
)

const defaultGrace = 10 * time.Second

const runHelp = `Runs COMMAND while it holds the lock NAME, and exits with its status.

COMMAND gets REDISLOCK_NAME and REDISLOCK_FENCE in its environment: sent along with every write, the fence lets the
written resource refuse a holder that is too late, because each holder's is greater than those before it. Signals are
passed on. While COMMAND runs, others who want the lock see its command line.

If the lock is lost, COMMAND gets SIGTERM, and SIGKILL after --grace. Without a terminal COMMAND has a process group
of its own, and all of it gets them. At a terminal it shares the group of redislock, so that Ctrl-C, Ctrl-Z and
pipelines work as ever, and only COMMAND itself gets them.

Exit status:
  that of COMMAND, 128+n if signal n ended it or ended the wait for the lock
   64  the arguments are wrong
   69  Redis cannot be reached
   70  the lock was lost while COMMAND ran, or --at-most was over
   75  somebody else has the lock
   77  Redis refuses this user
  126  COMMAND cannot be run
  127  COMMAND was not found`

// runner is one run of a command under a lock.
type runner struct {
	server
	wait, lease, stealAfter, atMost, grace time.Duration
	noWait                                 bool

	name string
	argv []string

	stdin          io.Reader
	stdout, stderr io.Writer
}

func newRun() *cobra.Command {
	r := &runner{}
	cmd := &cobra.Command{
		Use:     "run [flags] NAME -- COMMAND [ARG...]",
		Short:   "Run a command while holding a lock",
		Long:    runHelp,
		Example: "  redislock run --no-wait nightly-report -- ./report.sh\n  redislock run --wait 1m --at-most 10m migrations -- make migrate",
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.ArgsLenAtDash() != 1 || len(args) < 2 {
				return errors.New("run needs a NAME, then -- and the COMMAND")
			}
			return nil
		},
		DisableFlagsInUseLine: true,
	}
	f := cmd.Flags()
	r.server.flags(f)
	f.DurationVar(&r.wait, "wait", 0, "how long to wait for the lock (default for ever)")
	f.BoolVar(&r.noWait, "no-wait", false, "do not wait: exit with 75 if somebody else has the lock")
	f.DurationVar(&r.lease, "lease", redislock.DefaultLease, "how long others wait if this machine dies; renewed while COMMAND runs")
	f.DurationVar(&r.stealAfter, "steal-after", 0, "take the lock away from a holder that has had it for longer (default never)")
	f.DurationVar(&r.atMost, "at-most", 0, "how long COMMAND may hold the lock; it is ended then (default for ever)")
	f.DurationVar(&r.grace, "grace", defaultGrace, "how long COMMAND may take to end after the lock was lost")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r.name, r.argv = args[0], args[1:]
		r.stdin, r.stdout, r.stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
		switch {
		case r.noWait && f.Changed("wait"):
			return exitWith(exitUsage, "--wait and --no-wait contradict each other: give one of them")
		case r.grace < 0:
			return exitWith(exitUsage, "--grace (%v): must not be negative", r.grace)
		}
		return r.run(r.options(f.Changed))
	}
	return cmd
}

// options are those of the lock. A flag that was not given leaves the library's default alone.
func (r *runner) options(given func(flag string) bool) []redislock.Option {
	opts := []redislock.Option{redislock.WithMetadata(commandLine(r.argv))}
	for flag, opt := range map[string]redislock.Option{
		"lease":       redislock.WithLease(r.lease),
		"wait":        redislock.WithWait(r.wait),
		"steal-after": redislock.WithStealAfter(r.stealAfter),
		"at-most":     redislock.WithMaxHold(r.atMost),
	} {
		if given(flag) {
			opts = append(opts, opt)
		}
	}
	if r.noWait {
		opts = append(opts, redislock.WithWait(0))
	}
	return opts
}

// run takes the lock, runs the command under it, and gives it back when the command has ended.
func (r *runner) run(opts []redislock.Option) error {
	path, err := findCommand(r.argv[0]) // before the lock is disturbed for nothing
	if err != nil {
		return err
	}
	l, err := r.connect(redislock.WithDefaults(opts...))
	if err != nil {
		return err
	}
	defer l.close()
	signals := catchSignals()
	defer signals.stop()

	lock, err := r.acquire(l, signals.c)
	if err != nil {
		return err
	}
	c, err := startChild(path, r.argv, r.environment(lock), r.stdin, r.stdout, r.stderr)
	if err != nil {
		r.release(lock, false)
		return err
	}
	lost := r.watch(c, lock, signals.c)
	if r.release(lock, lost) || lost {
		return &exit{status: exitLost}
	}
	if status := c.status(); status != 0 {
		return &exit{status: status} // it has said why itself
	}
	return nil
}

// watch passes signals on until the command has ended, and ends it when the lock is lost: politely, and after the
// grace by force. It reports whether the lock was lost.
func (r *runner) watch(c *child, lock *redislock.Lock, signals <-chan os.Signal) bool {
	var (
		loss  = lock.Context().Done()
		ended = c.ended
		over  <-chan time.Time // the grace
		empty <-chan time.Time // time to see whether the group is empty
		lost  bool
	)
	for {
		select {
		case sig := <-signals:
			c.pass(sig.(syscall.Signal))
		case <-loss:
			loss, lost = nil, true
			say(r.stderr, "%q: %v; the command is ended, by SIGTERM now and by SIGKILL in %v", r.name, lock.Err(), r.grace)
			c.terminate()
			over = time.After(r.grace)
		case <-over:
			over = nil
			c.kill()
		case <-ended:
			if !lost || over == nil || !c.groupAlive() {
				return lost
			}
			// What the command started may still be writing: it has the rest of the grace.
			ended = nil
			empty = time.Tick(20 * time.Millisecond)
		case <-empty:
			if over == nil || !c.groupAlive() {
				return lost
			}
		}
	}
}

// release gives the lock back after the command has ended. It reports whether the lock had been lost before, and says
// so unless that was noticed while the command ran.
func (r *runner) release(lock *redislock.Lock, noticed bool) (lost bool) {
	err := lock.Release(context.Background())
	switch {
	case err == nil:
		return false
	case !errors.Is(err, redislock.ErrNotHeld):
		say(r.stderr, "%q could not be given back: %v; it lapses by itself within %v", r.name, withoutOperation(err), r.lease)
		return false
	case !noticed:
		say(r.stderr, "%q was lost before the command ended: %v; check what it did last, another holder may have run at the same time", r.name, withoutOperation(err))
	}
	return true
}

// environment is this process's, with what the command may want to know about its lock.
func (r *runner) environment(lock *redislock.Lock) []string {
	return append(os.Environ(), "REDISLOCK_NAME="+r.name, fmt.Sprintf("REDISLOCK_FENCE=%d", lock.Fence()))
}

// commandLine is how the command is shown to others: as one would type it, cut to what metadata may hold.
func commandLine(argv []string) string {
	words := make([]string, len(argv))
	for i, word := range argv {
		if word == "" || strings.ContainsAny(word, " \t\n\"'\\$&|;<>()*?[]#~`!{}") {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		words[i] = word
	}
	line := strings.Join(words, " ")
	if len(line) <= redislock.MaxMetadata {
		return line
	}
	cut := redislock.MaxMetadata - len("…")
	for cut > 0 && !utf8.RuneStart(line[cut]) {
		cut--
	}
	return line[:cut] + "…"
}
