package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9/logging"
	"github.com/spf13/cobra"
)

// Exit statuses. Those of redislock itself are from sysexits(3), so that they do not look like those of the command that it runs.
// A command that cannot be run or dies from a signal has those of the shell.
const (
	exitViolated    = 1   // demo: a promise was not kept
	exitUnknown     = 1   // cron-status, show: nothing of that name is known; break, ask: nobody holds it
	exitDanger      = 1   // doctor: something endangers locks; deadlocks: there is one
	exitUsage       = 64  // EX_USAGE
	exitUnavailable = 69  // EX_UNAVAILABLE: Redis cannot be reached or cannot serve
	exitLost        = 70  // EX_SOFTWARE: the lock was lost while the command ran
	exitHeld        = 75  // EX_TEMPFAIL: somebody else has the lock, or an earlier tick
	exitDenied      = 77  // EX_NOPERM: Redis refuses this user
	exitCannotRun   = 126 // the command was found but cannot be run
	exitNotFound    = 127 // the command was not found
	exitSignal      = 128 // plus the number of the signal
)

// statuses are the exit statuses as the help and the man page explain them.
var statuses = []struct {
	status int
	text   string
}{
	{0, "success"},
	{exitUnknown, "the answer is no: nothing of that name is known (show, cron-status), nobody holds the lock (ask, break),\nnothing was broken because you said no (break), a promise was not kept (demo), a danger was found (doctor, with --strict a warning),\nthere is a deadlock (deadlocks)"},
	{exitUsage, "the arguments are wrong, or a confirmation is needed and nobody can be asked"},
	{exitUnavailable, "Redis cannot be reached, or cannot serve locks"},
	{exitLost, "the lock was lost while the command ran (run)"},
	{exitHeld, "somebody else has the lock, or an earlier tick (run); the holder has changed meanwhile (break); the server is busy (bench)"},
	{exitDenied, "Redis refuses this user: a wrong password, or a right that is missing"},
	{exitCannotRun, "the command cannot be run (run, cron)"},
	{exitNotFound, "the command was not found (run, cron)"},
	{exitSignal, "signal n ended redislock, or its command (run)"},
}

// exitTable lists some of the statuses, or all of them. Those of a command that has more to say about one are in its own
// words.
func exitTable(only ...int) string {
	text := "Exit status:"
	for _, s := range statuses {
		if len(only) == 0 || slices.Contains(only, s.status) {
			number := fmt.Sprint(s.status)
			if s.status == exitSignal {
				number += "+n"
			}
			text += fmt.Sprintf("\n  %5s  %s", number, strings.ReplaceAll(s.text, "\n", "\n         "))
		}
	}
	return text
}

// exits lists these statuses of one command, those that it has more to say about in its own words.
func exits(own map[int]string, which ...int) string {
	text := "Exit status:"
	for _, s := range statuses {
		if !slices.Contains(which, s.status) {
			continue
		}
		number := fmt.Sprint(s.status)
		if s.status == exitSignal {
			number += "+n"
		}
		text += fmt.Sprintf("\n  %5s  %s", number, cmp.Or(own[s.status], ownStatuses[s.status], s.text))
	}
	return text
}

// ownStatuses are those that mean less in one command than in all.
var ownStatuses = map[int]string{
	exitUsage: "the arguments are wrong", exitSignal: "signal n ended redislock",
}

// exit is an error that ends the program with this status, after saying text if there is any.
type exit struct {
	status int
	text   string
}

func (e *exit) Error() string { return e.text }

func exitWith(status int, format string, args ...any) error {
	return &exit{status, fmt.Sprintf(format, args...)}
}

// Run is the program: it does what args, without the program's name, ask for and returns the exit status. Its own messages go to
// stderr.
func Run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	logging.Disable() // go-redis writes to standard error by itself, where the command and we have our say

	root := newRoot()
	root.SetArgs(append([]string{}, args...)) // cobra takes os.Args for nil
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	var e *exit
	if !errors.As(err, &e) { // what cobra found wrong with the arguments
		e = &exit{exitUsage, err.Error() + "; " + cmd.CommandPath() + " --help explains"}
	}
	if e.text != "" {
		voice{stderr, outputIsJSON(cmd)}.tell(message{Status: e.status}, "%s", e.text)
	}
	return e.status
}

const rootHelp = `redislock takes locks in Redis that all instances of an application share: fair, fenced and leased. It runs commands under
them, shows who holds them and who waits, and helps when a lock is stuck.

Every command uses the Redis of --redis or REDIS_URL: one server, a primary behind Sentinels, or a cluster. On a terminal the result
is a table. Elsewhere it is plain lines with one tab between the columns. With --output json the result is JSON: names are in
snake_case and do not change between versions, times are in RFC 3339 and UTC, durations are in seconds. The messages of redislock
itself on standard error are then JSON too, one object on each line.

`

const rootExample = `  redislock ls                                        # which locks are in use
  redislock show orders/7                             # who holds this, and why
  redislock run --no-wait nightly-report -- ./report.sh
  redislock ls --output json | jq -r .name`

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "redislock",
		Short:         "Locks in Redis: fair, fenced, leased",
		Long:          rootHelp + exitTable(),
		Example:       rootExample,
		Version:       builtFrom().Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(*cobra.Command, []string) error {
			return exitWith(exitUsage, "a command is missing, such as run, cron or demo; redislock --help lists the commands")
		},
	}
	pageFlags(root.PersistentFlags())
	root.AddGroup(
		&cobra.Group{ID: "use", Title: "Run commands under locks:"},
		&cobra.Group{ID: "see", Title: "See and understand:"},
		&cobra.Group{ID: "act", Title: "Help where one is stuck:"},
		&cobra.Group{ID: "try", Title: "Try and measure:"},
	)
	group := func(id string, cmds ...*cobra.Command) {
		for _, cmd := range cmds {
			cmd.GroupID = id
			root.AddCommand(cmd)
		}
	}
	group("use", newRun(), newCron(), newAcquire(), newRelease(), newWait())
	group("see", newTop(), newLs(), newShow(), newWatch(), newDeadlocks(), newCronStatus(), newOnce(), newShare(), newFirst(), newDoctor(), newUI())
	group("act", newAsk(), newBreak(), newLimit())
	group("try", newBench(), newDemo())
	root.AddCommand(newContexts(), newVersion(), newMan(), newInstance())
	completeFlags(root)
	fitHelp(root)
	return root
}
