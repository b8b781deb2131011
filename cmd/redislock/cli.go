package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/redis/go-redis/v9/logging"
	"github.com/spf13/cobra"
)

// Exit statuses: those of sysexits(3) where redislock itself has something to say, so that they do not look like those
// of the command it runs, and those of the shell for a command that cannot be run or dies from a signal.
const (
	exitViolated    = 1   // demo: a promise was not kept
	exitUnknown     = 1   // cron-status: no run of that name is known
	exitUsage       = 64  // EX_USAGE
	exitUnavailable = 69  // EX_UNAVAILABLE: Redis cannot be reached or cannot serve
	exitLost        = 70  // EX_SOFTWARE: the lock was lost while the command ran
	exitHeld        = 75  // EX_TEMPFAIL: somebody else has the lock, or an earlier tick
	exitDenied      = 77  // EX_NOPERM: Redis refuses this user
	exitCannotRun   = 126 // the command was found but cannot be run
	exitNotFound    = 127 // the command was not found
	exitSignal      = 128 // plus the number of the signal
)

// exit is an error that ends the program with this status, after saying text if there is any.
type exit struct {
	status int
	text   string
}

func (e *exit) Error() string { return e.text }

func exitWith(status int, format string, args ...any) error {
	return &exit{status, fmt.Sprintf(format, args...)}
}

// Run is the program: it does what args, without the program's name, ask for and returns the exit status. Whatever it
// has to say itself goes to stderr.
func Run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	logging.Disable() // go-redis writes to standard error by itself, where the command and we have our say

	root := newRoot()
	root.SetArgs(append([]string{}, args...)) // cobra takes os.Args for nil
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	if err == nil {
		return 0
	}
	var e *exit
	if !errors.As(err, &e) { // what cobra found wrong with the arguments
		e = &exit{exitUsage, err.Error() + "; redislock --help explains"}
	}
	if e.text != "" {
		say(stderr, "%s", e.text)
	}
	return e.status
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "redislock",
		Short:         "Locks in Redis: fair, fenced, leased",
		Long:          "redislock takes locks in Redis that all instances of an application share: fair, fenced and leased.",
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(*cobra.Command, []string) error {
			return exitWith(exitUsage, "name a command, such as run, cron or demo; redislock --help lists them")
		},
	}
	root.AddCommand(newRun(), newCron(), newCronStatus(), newDemo(), newInstance())
	root.AddCommand(newDoctor())
	return root
}

// say writes one line for people. What others put into it, such as the command line of a holder, cannot break the line
// or steer the terminal.
func say(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, "redislock: %s\n", oneLine(fmt.Sprintf(format, args...))) // there is no other place to complain
}

// oneLine turns control characters and line breaks into spaces, one for each run of them.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, unicode.IsControl), " ")
}
