package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"example.com/redislock"
)

const cronHelp = `Runs COMMAND by a schedule, at most once for each tick (a scheduled time) in the fleet. Start it on every node, for instance in
containers without cron. There is no leader: each node fires for itself, and Redis decides which node runs the tick. So the clocks of
the nodes may differ.

COMMAND gets REDISLOCK_NAME, REDISLOCK_FENCE and REDISLOCK_TICK (the tick, in UTC) in its environment, and no standard input. For each
tick there is one line on standard error: how COMMAND ended, or that the tick was left out because an earlier one still runs, or that
Redis could not be reached. After such an error redislock goes on with the next tick. With --verbose it also says what other nodes
run. redislock cron-status NAME shows the last run.

--schedule is one of
  a cron expression  "*/5 * * * *", with seconds if there are six fields, or @daily. It is in the time zone of this machine or
                     of --time-zone, or as in "CRON_TZ=Europe/Berlin 0 3 * * *": all nodes must use the same. If the clocks are
                     set forward over a time, it is run after that. A time that comes twice is run twice. In UTC neither happens
  a duration         all multiples of it in UTC: 5m, 1h, 24h; 168h is on Mondays
After the machine was suspended, or its clock stepped forward, only the latest tick is run.

It runs until it gets SIGTERM, SIGINT, SIGHUP or SIGQUIT. COMMAND gets the same signal. redislock waits for the end of COMMAND without
a limit, and then at most --grace for the rest of its process group, which then gets SIGKILL. The exit status is 0. USR1 and USR2 are
passed on to COMMAND.

COMMAND gets SIGTERM, and SIGKILL after --grace, if the lock is lost, if --at-most is over, or if --overlap replace lets the next
tick begin. When somebody asks for the lock (redislock ask cron:NAME), redislock says so, and COMMAND gets the signal of --on-ask.

As the first process of a container redislock does not reap processes that COMMAND leaves behind when it ends by itself. If there are
any, start an init process before it (docker run --init). If redislock itself is killed by SIGKILL, all that COMMAND has started is
killed on Linux, as redislock run --help explains. On other systems COMMAND goes on. Windows has no signals: there COMMAND is ended at
once, without --grace, where it would get SIGTERM.

Exit status:
    0  it was told to stop
   64  the arguments are wrong
  126  COMMAND cannot be run
  127  COMMAND was not found`

const cronExample = `  redislock cron --schedule "*/5 * * * *" clean-up -- ./clean-up.sh
  redislock cron --schedule "0 3 * * *" --time-zone Europe/Berlin --retry 30m --at-most 1h nightly-report -- ./report.sh
  redislock cron --schedule 10s --at-least 8s poll -- ./poll.sh`

// cronRunner rings for a job and runs it.
type cronRunner struct {
	command
	server
	tickFlags
	when, zone string

	job *job
}

func newCron() *cobra.Command {
	r := &cronRunner{command: command{stubborn: true}}
	cmd := &cobra.Command{
		Use:                   "cron --schedule WHEN [flags] NAME -- COMMAND [ARG...]",
		Short:                 "Run a command by a schedule, once per tick in the fleet",
		Long:                  cronHelp,
		Example:               cronExample,
		Args:                  named,
		DisableFlagsInUseLine: true,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&r.when, "schedule", "", "`WHEN` to run COMMAND: a cron expression or a duration")
	f.StringVar(&r.zone, "time-zone", "", "the time zone of a cron expression, as `Area/City` or UTC (default that of this machine)")
	r.tickFlags.flags(f, "")
	r.command.flags(f)
	r.server.flags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r.stdout, r.stderr = cmd.OutOrStdout(), cmd.ErrOrStderr()
		r.voice = voice{r.stderr, r.output.json()}
		s, err := r.parse()
		if err != nil {
			return err
		}
		if err := r.find(args[0], args[1:]); err != nil {
			return err
		}
		l, err := r.connect()
		if err != nil {
			return err
		}
		defer l.close()
		r.job = newJob(&r.command, r.tickFlags, l, f.Changed)
		r.job.schedule = s
		if err := r.job.check(); err != nil {
			return err
		}
		r.run()
		return nil
	}
	return cmd
}

// parse reads the schedule and its time zone.
func (r *cronRunner) parse() (schedule, error) {
	if r.when == "" {
		return nil, exitWith(exitUsage, "--schedule is missing: it says when to run the command; give a cron expression such as \"*/5 * * * *\", or a duration")
	}
	zone := time.Local
	if r.zone != "" {
		var err error
		if zone, err = time.LoadLocation(r.zone); err != nil {
			return nil, exitWith(exitUsage, "--time-zone (%q): %v; it must be like Europe/Berlin or UTC", r.zone, err)
		}
	}
	s, err := parseSchedule(r.when, zone)
	if err != nil {
		return nil, exitWith(exitUsage, "--schedule (%q): %v", r.when, err)
	}
	if _, inUTC := s.(multiples); r.zone != "" && (inUTC || ownZone(r.when)) {
		return nil, exitWith(exitUsage, "--time-zone and --schedule (%q) contradict each other: the schedule has a time zone already", r.when)
	}
	return s, nil
}

// run runs ticks until a signal says to stop, and then waits for the running command.
func (r *cronRunner) run() {
	signals := catchSignals()
	defer signals.stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ticks := make(chan time.Time)
	go alarm(ctx, r.job.schedule, wallClock, ticks)
	go r.job.announce(ctx)
	next := r.job.schedule.Next(time.Now())
	r.voice.tell(message{Name: r.name, Next: jsonTime(next)}, "%q: the next tick is %s", r.name, format(next))

	under := map[chan os.Signal]bool{} // attempts under way
	ended := make(chan chan os.Signal)
	for ctx.Err() == nil || len(under) > 0 {
		select {
		case tick := <-ticks:
			own := make(chan os.Signal, cap(signals.c))
			under[own] = true
			go func() {
				r.ring(r.attempt(own, tick))
				ended <- own
			}()
		case sig := <-signals.c:
			for own := range under {
				select {
				case own <- sig:
				default: // it has 16 of them unread
				}
			}
			if stops(sig) {
				cancel()
				ticks = nil
			}
		case own := <-ended:
			delete(under, own)
		}
	}
}

// ring runs a tick here unless it must not, and says what happened to it.
func (r *cronRunner) ring(a *attempt) {
	outcome, err := r.job.run(a)
	a.end()
	if text := r.account(a, outcome, err); text != "" {
		m := message{Name: r.name, Tick: jsonTime(a.tick)}
		if outcome != 0 {
			m.Outcome = outcome.String()
		}
		r.voice.tell(m, "%q: tick %s: %s", r.name, format(a.tick), text)
	}
}

// account says what happened to a tick; empty if that is not to be said.
func (r *cronRunner) account(a *attempt, outcome redislock.Outcome, err error) string {
	switch {
	case a.failed != nil:
		return a.failed.Error()
	case a.started && a.loss != nil:
		return fmt.Sprintf("ended after %s: %v (%s)", rounded(a.took), a.loss, a.how)
	case a.started && a.status != 0:
		return fmt.Sprintf("%s after %s", a.how, rounded(a.took))
	case a.started && err != nil:
		return fmt.Sprintf("%v, after %s; check what it did last, another may have run at the same time", withoutOperation(err), rounded(a.took))
	case a.started:
		return "ran in " + rounded(a.took)
	case outcome == redislock.OutcomeElsewhere && r.verbose:
		return r.job.elsewhere(a.tick)
	case outcome == redislock.OutcomeElsewhere, a.interrupt != nil:
		return ""
	case outcome == redislock.OutcomeSkipped:
		return r.job.skipped()
	case outcome == redislock.OutcomeMissed:
		return "too long ago to know whether it was run; not run"
	default:
		return fmt.Sprintf("not run here: %v", r.job.link.explain(err))
	}
}
