package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"example.com/redislock"
	"example.com/redislock/quorum"
)

const runHelp = `Runs COMMAND while it holds the lock NAME, and exits with its status.

COMMAND gets REDISLOCK_NAME and REDISLOCK_FENCE in its environment. The fence of each holder is greater than those before it. Send it
with every write, so that the written resource can refuse a holder that is too late. Signals are passed on to COMMAND. While COMMAND
runs, others who want the lock see the name of its program, or the text of --metadata. Its arguments, which may be secrets, are not
stored.

If the lock is lost, COMMAND gets SIGTERM, and SIGKILL after --grace. Without a terminal COMMAND has a process group of its own, and
the whole group gets these signals. At a terminal it shares the group of redislock, so that Ctrl-C, Ctrl-Z and pipelines work as usual,
and only COMMAND itself gets them.

If COMMAND is told to stop by a signal that was passed on, redislock gives the lock back when the whole group has ended. Processes of
the group that remain after COMMAND get SIGKILL after --grace. If COMMAND ends by itself, redislock gives the lock back at once and
leaves such processes alone. At a terminal redislock waits only for COMMAND itself. It never waits for processes that have left the
group (setsid).

If redislock itself is killed by SIGKILL, it cannot give the lock back: the lock is free when its lease is over. On Linux a second
process of redislock, the keeper, then kills COMMAND and all that it has started, in whatever group or session. It cannot kill what
another program has started for COMMAND (a container, a service, a command on another machine), and nothing at all if keeper and
redislock are killed at once. On other systems COMMAND goes on. Then only the fence keeps its writes out.

Windows has no signals. There COMMAND is ended at once, without --grace, where it would get SIGTERM, and the processes that it has
started go on. Ctrl-C reaches it by the console, and --on-ask takes no signal.

When somebody asks for the lock by redislock ask, redislock says so on standard error, and COMMAND gets the signal of --on-ask, if
there is one. With --output json the messages of redislock itself on standard error are JSON, one object on each line. The output of
COMMAND is not changed.

With --quorum the lock is that of package quorum: it is held on a majority of three, five, seven or nine independent masters, and a
minority of them may fail. A master that has just been restarted does not count until it has been up for the longest lease, unless it
runs with appendfsync always. The users of these masters need INFO and CONFIG GET.

With --once COMMAND runs to success once in the fleet. If it was done before, redislock says so and exits with 0. If another process
runs it, redislock waits for the end. If that run fails, the next waiter runs its own COMMAND. The success is remembered for ten years,
or as --forget says. To run it once per deploy, put the version into NAME.

With --tick COMMAND runs at most once for each tick (a scheduled time), however many nodes start it. A node that finds the tick begun
elsewhere exits with 0 and says nothing, so that 40 crontabs send no 39 mails. With --verbose it says who has run the tick. COMMAND
gets the tick in REDISLOCK_TICK, in UTC. --tick is one of
  a duration         the last multiple of it in UTC: 5m, 1h, 24h; 168h is the last Monday
  a cron expression  its last time: "*/5 * * * *", with seconds if there are six fields, or @daily. It is in the time zone of
                     this machine, or as in "CRON_TZ=Europe/Berlin 0 3 * * *": all nodes must use the same
  a time             2026-11-21T10:05:00Z, if the scheduler says for which time it starts COMMAND
A tick is left out if an earlier one still runs. With --overlap wait it waits for the earlier one. With --overlap replace the earlier
COMMAND gets SIGTERM, and may still be ending when the next one begins. Without --retry a tick that was begun is not begun again, even
if it failed. redislock cron-status NAME shows the last run.

Exit status:
  that of COMMAND, 128+n if signal n ended it or ended the wait for the lock
    0  also: --once was done before, or --tick was run or left out elsewhere
   64  the arguments are wrong, or --tick is too long ago or too far ahead
   69  Redis cannot be reached
   70  the lock was lost while COMMAND ran, or --at-most was over
   75  somebody else has the lock, or --tick was left out: an earlier one still runs, or its --at-least or --pause is not over
   77  Redis refuses this user
  126  COMMAND cannot be run
  127  COMMAND was not found`

const runExample = `  redislock run --no-wait nightly-report -- ./report.sh
  redislock run --wait 1m --at-most 10m migrations -- make migrate
  redislock run --on-ask TERM batch -- ./batch.sh
  redislock run -n 3 transcode -- ./transcode.sh
  redislock run --once migrations/v42 -- make migrate
  redislock run --tick 5m --at-most 4m clean-up -- ./clean-up.sh
  redislock run --tick "0 3 * * *" --retry 30m nightly -- ./report.sh`

// runner is one run of a command under a lock, which is got in one of three ways.
type runner struct {
	command
	server
	several
	tickFlags
	wait, stealAfter, forget time.Duration
	noWait, once, shared     bool
	units                    int
	mode                     *redislock.Option
	tick                     string

	given func(flag string) bool
}

func newRun() *cobra.Command {
	r := &runner{}
	cmd := &cobra.Command{
		Use:                   "run [flags] NAME -- COMMAND [ARG...]",
		Short:                 "Run a command under a lock, once in the fleet, or per tick",
		Long:                  runHelp,
		Example:               runExample,
		Args:                  named,
		DisableFlagsInUseLine: true,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.DurationVar(&r.wait, "wait", 0, "how long to wait for the lock (default for ever)")
	f.BoolVar(&r.noWait, "no-wait", false, "do not wait: exit with 75 if somebody else has the lock")
	f.DurationVar(&r.stealAfter, "steal-after", 0, "take the lock away from a holder that has had it for longer than this (default never)")
	f.BoolVar(&r.once, "once", false, "run COMMAND to success once in the fleet")
	f.DurationVar(&r.forget, "forget", 0, "with --once: how long the success is remembered; then COMMAND may run again (default ten years)")
	f.StringVar(&r.tick, "tick", "", "run COMMAND at most once per tick `T`: a duration, a cron expression or a time")
	modeFlags(f, &r.units, &r.shared)
	r.several.flags(f, "take the lock")
	f.DurationVar(&r.longest, "longest-lease", 0, "with --quorum: the longest lease that anybody takes on those masters, as in WithLongestLease (default 1m)")
	r.tickFlags.flags(f, "with --tick: ")
	r.command.flags(f)
	r.server.flags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r.stdin, r.stdout, r.stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
		r.voice = voice{r.stderr, r.output.json()}
		r.given = f.Changed
		if err := r.contradictions(); err != nil {
			return err
		}
		if _, err := r.several.given(f, "once", "tick", "at-least", "on-ask", "at-once", "shared"); err != nil {
			return err
		}
		var err error
		if r.mode, err = modeOfFlags(f, r.units, r.shared); err != nil {
			return err
		}
		if err := r.find(args[0], args[1:]); err != nil {
			return err
		}
		return r.run()
	}
	return cmd
}

// contradictions refuses flags that mean nothing beside each other.
func (r *runner) contradictions() error {
	for _, pair := range [][3]string{
		{"wait", "no-wait", "give one of them"},
		{"once", "tick", "what is done once has no ticks; --forget lets it run again"},
		{"once", "at-least", "what is done is not run again anyway"},
		{"once", "at-once", "what is done once is done by one"},
		{"once", "shared", "what is done once is done by one"},
		{"tick", "at-once", "a tick is run by one"},
		{"tick", "shared", "a tick is run by one"},
		{"tick", "wait", "--overlap wait waits for an earlier tick, --retry stands by for this one"},
		{"tick", "no-wait", "a tick waits for nobody unless --overlap or --retry says so"},
		{"tick", "steal-after", "--overlap replace takes the lock from an earlier tick"},
	} {
		if r.given(pair[0]) && r.given(pair[1]) {
			return exitWith(exitUsage, "--%s and --%s contradict each other: %s", pair[0], pair[1], pair[2])
		}
	}
	for _, pair := range [][2]string{{"forget", "once"}, {"retry", "tick"}, {"overlap", "tick"}, {"pause", "tick"}, {"group", "tick"}, {"verbose", "tick"}, {"longest-lease", "quorum"}} {
		if r.given(pair[0]) && !r.given(pair[1]) {
			return exitWith(exitUsage, "--%s needs --%s", pair[0], pair[1])
		}
	}
	switch {
	case r.atLeast < 0 || r.atLeast > redislock.MaxLease:
		return exitWith(exitUsage, "--at-least (%v): must be from 0 to %v", r.atLeast, redislock.MaxLease)
	case r.given("at-most") && r.tick == "" && r.atLeast > r.atMost:
		return exitWith(exitUsage, "--at-least (%v) is longer than --at-most (%v), after which the lock is given up", r.atLeast, r.atMost)
	}
	return nil
}

// run gets the lock, runs the command under it, and gives it back when the command has ended.
func (r *runner) run() error {
	defaults := redislock.WithDefaults(r.options()...)
	var links []*link
	var q *quorum.Locker
	var err error
	if len(r.urls) > 0 {
		links, q, err = r.several.connect(r.server, defaults)
	} else {
		links = make([]*link, 1)
		links[0], err = r.server.connect(defaults)
	}
	if err != nil {
		return err
	}
	defer closeAll(links)
	l := links[0]
	signals := catchSignals()
	defer signals.stop()

	get, tick := r.plain, time.Time{}
	switch {
	case q != nil:
		get = r.overQuorum(q)
	case r.once:
		get = r.doOnce
	case r.given("tick"):
		var j *job
		j, tick, err = r.job(l)
		get = func(_ *link, a *attempt) error { return j.exits(a) }
	}
	if err != nil {
		return err
	}
	a := r.attempt(signals.c, tick)
	defer a.end()
	if isTerminal(r.stderr) || insideOf(r.name) {
		explanation := time.AfterFunc(patience, func() { r.explainWait(a, l) })
		defer explanation.Stop()
	}
	asked := time.Now()
	err = get(l, a)
	a.end()
	return r.verdict(l, a, err, time.Since(asked))
}

// lock is the name of the lock that is waited for.
func (r *runner) lock() string {
	switch {
	case r.once:
		return "once:" + r.name
	case r.given("tick"):
		return "cron:" + r.name
	}
	return r.name
}

// options are those of the lock. A flag that was not given leaves the library's default alone.
func (r *runner) options() []redislock.Option {
	opts := []redislock.Option{redislock.WithMetadata(r.shownAs())}
	for flag, opt := range map[string]redislock.Option{
		"lease":       redislock.WithLease(r.lease),
		"wait":        redislock.WithWait(r.wait),
		"steal-after": redislock.WithStealAfter(r.stealAfter),
		"at-most":     redislock.WithMaxHold(r.atMost),
	} {
		if r.given(flag) && (flag != "at-most" || !r.given("tick")) { // a tick ends by its context, its lock stays
			opts = append(opts, opt)
		}
	}
	if r.noWait {
		opts = append(opts, redislock.WithWait(0))
	}
	if r.mode != nil {
		opts = append(opts, *r.mode)
	}
	return opts
}

// verdict is how the program ends, after an attempt and with the error of the way that it took.
func (r *runner) verdict(l *link, a *attempt, err error, took time.Duration) error {
	var said *exit
	switch {
	case a.interrupt != nil:
		return interrupted(r.name, a.interrupt)
	case a.failed != nil:
		return a.failed
	case !a.started && err == nil, errors.As(err, &said):
		return err
	case !a.started && errors.Is(err, redislock.ErrHeld):
		return r.held(l, err, took)
	case !a.started:
		return l.explain(err)
	case a.loss != nil:
		return &exit{status: exitLost} // it was said when it happened
	case errors.Is(err, redislock.ErrLost), errors.Is(err, redislock.ErrNotHeld):
		return exitWith(exitLost, "%q was lost before the command ended: %v; check what it did last, another holder may have run at the same time", r.name, withoutOperation(err))
	case a.status != 0:
		return &exit{status: a.status} // it has said why itself
	case err != nil:
		return exitWith(exitUnavailable, "%q: %v; it may be run again", r.name, withoutOperation(err))
	}
	return nil
}
