package main

import (
	"context"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"

	"example.com/redislock"
	"example.com/redislock/ui/doctor"
	"example.com/redislock/ui/history"
	"example.com/redislock/ui/trouble"
)

const topHelp = `Shows all locks in use that match PATTERN (as in redislock ls), live. Above them it lists what needs a person, of these locks, of the jobs
that match (a job by the name of its lock, cron:NAME), and of the server: waiters that wait for a long time, holders that do not renew,
deadlocks, queues that only grow, jobs that are overdue, elections without a leader, locks that were lost lately, and dangers of the
server. If there is no trouble, that is one line.

Keys:
  t n o w   sort by trouble, name, oldest hold or waiters; the same key again reverses the order
  /         search names, holders and metadata; Enter ends the input, Esc clears it
  arrows    choose a lock; also the page keys, Home and End
  Enter     open it: who holds it, who waits, what that means, and what can be done; Esc goes back
  q         quit
Where a lock is open and somebody holds it, as capital letters:
  A         ask its holders to give it up: asks you for the reason, which they are told
  B         break it: asks you for the reason, and to confirm

The word danger, and !! before a lock, say that work stands still or is not safe: a first waiter that has waited for more than ten
minutes, a holder that does not renew while others wait, a deadlock, a job that has not begun a minute after its time, a Redis that is
full. The word warning, and ! before a lock, say that it may become a danger: a wait of more than a minute (where some waits were seen
to be served, of more than three times the longest of them, and of ten seconds), a holder that does not renew, a lock that was lost in
the last ten minutes, a job whose last run failed.

It needs a terminal of at least 40 columns. For programs, use redislock ls and redislock show.

`

// topper is the command: what it asks Redis, and how often.
type topper struct {
	link     *link
	flags    string // that lead to the same Redis
	pattern  string
	interval time.Duration
	read     string // the last entry of the history that was read
	runs     []redislock.CronStatus
	runsAt   time.Time // when the jobs were read, and how long that took
	runsTook time.Duration
	part     func(topPart) bool // takes in a part of a look that takes long; false if it cannot yet. nil: there are no parts
	again    chan struct{}      // has something in it when the server is to be examined now; has room for one
}

func newTop() *cobra.Command {
	var (
		s server
		t topper
	)
	cmd := &cobra.Command{
		Use:                   "top [flags] [PATTERN]",
		Short:                 "See all locks live, trouble first, and act on them",
		Long:                  topHelp + exits(nil, 0, exitUsage, exitUnavailable, exitDenied, exitSignal),
		Example:               "  redislock top\n  redislock top 'orders/*'",
		Args:                  cobra.MaximumNArgs(1),
		DisableFlagsInUseLine: true,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.DurationVar(&t.interval, "interval", defaultInterval, "how often to look")
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if t.interval < 100*time.Millisecond {
			return exitWith(exitUsage, "--interval (%v): must be at least 100ms", t.interval)
		}
		if !isTerminal(cmd.OutOrStdout()) || !isTerminal(cmd.InOrStdin()) || os.Getenv("TERM") == "dumb" {
			return exitWith(exitUsage, "top needs a terminal; without one, use redislock ls and redislock show")
		}
		p, l, err := begin(cmd, &s, &output{format: "text"})
		if err != nil {
			return err
		}
		defer l.close()
		t.link, t.flags, t.pattern, t.again = l, s.again(), strings.Join(args, ""), make(chan struct{}, 1)
		return t.run(cmd, p, s.prefix)
	}
	return cmd
}

func (t *topper) run(cmd *cobra.Command, p *page, prefix string) error {
	ctx, stop := interruptible()
	defer stop()
	m := newTopModel(t)
	m.width, m.height = p.width, 24
	program := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(cmd.InOrStdin()), tea.WithOutput(cmd.OutOrStdout()), tea.WithoutSignalHandler(),
		tea.WithColorProfile((&watcher{page: p}).liveProfile()))
	started := make(chan struct{})
	t.part = func(some topPart) bool {
		select {
		case <-started:
			program.Send(some)
			return true
		default:
			return false
		}
	}
	first := make(chan topView, 1)
	go func() { first <- t.look(ctx) }()
	select {
	case v := <-first:
		if v.err != nil {
			return v.err
		}
		m.take(v)
	case <-time.After(firstTime):
		m.first = first
	}
	close(started)
	examined := make(chan struct{})
	examining, end := context.WithCancel(ctx)
	go func() {
		defer close(examined)
		var full time.Time // when the server was last seen to be full
		for examining.Err() == nil {
			report := doctor.Examine(examining, t.link.rdb, prefix)
			if examining.Err() == nil {
				program.Send(topReport(report))
			}
			pause := time.Minute
			if report.Full() {
				full = time.Now()
			}
			if time.Since(full) < 3*pause { // or was so a moment ago
				pause = trouble.ExamineFull
			}
			select {
			case <-time.After(pause):
			case <-t.again:
			case <-examining.Done():
			}
		}
	}()
	last, err := program.Run()
	end()
	<-examined
	switch {
	case ctx.Err() != nil:
		return endOfSignal(ctx)
	case err != nil:
		return exitWith(exitUnavailable, "the terminal cannot be used: %v; use redislock ls instead", err)
	}
	if m, ok := last.(*topModel); ok && m.interrupted {
		return &exit{status: exitSignal + 2} // as by SIGINT, which the terminal does not send while we read the keys
	}
	return nil
}

// What the model is told of.
type (
	topView struct {
		view
		runs []redislock.CronStatus
		ends []topEnd // that were told or seen by others, where a history is kept
		took time.Duration

		taken int // of the infos, that parts of the look have brought already
	}
	topPart struct { // what a look has read since its last part
		infos []redislock.Info
		read  int // by the whole look so far
	}
	topEnd struct {
		name string
		end  trouble.End
	}
	topReport doctor.Report
	topLook   struct{} // it is time to look
	topLock   struct { // one lock, as it is on its own page
		info redislock.Info
		err  error
	}
	topDone struct { // the result of an action
		said  string
		ended redislock.Info // the holds that were broken
		why   string
	}
)

const (
	// firstTime is for how long the first look may keep people waiting for a screen.
	firstTime = time.Second
	// jobsShare is how many times as long as it took to read the jobs it is until they are read again.
	jobsShare = 10
)

// look is one look at all there is. If it takes longer than the interval, what was read so far is given to part.
func (t *topper) look(ctx context.Context) (v topView) {
	began := time.Now()
	last, wanted := began, matching(t.pattern)
	var some []redislock.Info
	v.infos, v.failed, v.err = t.link.list(ctx, t.pattern, func(info redislock.Info) bool {
		v.looked++
		if t.part == nil {
			return true
		}
		if some = append(some, info); time.Since(last) >= t.interval && t.part(topPart{some, v.looked}) {
			v.taken, some, last = v.looked, nil, time.Now()
		}
		return true
	})
	if asked := time.Now(); v.err == nil && asked.Sub(t.runsAt) >= jobsShare*t.runsTook {
		var runs []redislock.CronStatus
		attended, stop := t.link.attended(ctx)
		defer stop()
		for status, err := range t.link.client.CronJobs(attended) {
			switch {
			case err == nil:
				if wanted("cron:" + status.Job) {
					runs = append(runs, status)
				}
			case status.Job == "":
				v.err = t.link.ended(attended, err)
			}
		}
		if v.err == nil {
			t.runs, t.runsAt, t.runsTook = runs, time.Now(), time.Since(asked)
		}
	}
	v.runs = t.runs
	if v.err == nil { // a user may lack the right to read it
		bounded, cancel := context.WithTimeout(ctx, tellTime)
		defer cancel()
		if t.read == "" {
			now := began
			if len(v.infos) > 0 {
				now = v.infos[0].Now
			}
			t.read = history.Since(now.Add(-trouble.Recent))
		}
		_ = history.Open(t.link.rdb, t.link.prefix).Read(bounded, t.read, func(e history.Entry) {
			t.read = e.ID
			if end, bad := trouble.Told(e); bad && wanted(e.Name) {
				v.ends = append(v.ends, topEnd{e.Name, end})
			}
		})
	}
	v.at, v.took = time.Now(), time.Since(began)
	return v
}

// asks has the holders of a lock asked to give it up.
func (t *topper) asks(name, why string) tea.Cmd {
	return func() tea.Msg {
		told := 0
		err := t.link.within(context.Background(), func(ctx context.Context) (err error) {
			told, err = t.link.client.Ask(ctx, name, why)
			return err
		})
		switch {
		case err != nil:
			return topDone{said: oneLine(err.Error())}
		case told == 0:
			return topDone{said: "nobody was there to be told: nobody holds it, or the holder is paused or gone"}
		}
		t.link.tell("asked", name, why)
		return topDone{said: holdersInWords(told) + " told; it is theirs to give it up"}
	}
}

// breaks breaks the holds that were shown.
func (t *topper) breaks(info redislock.Info, why string) tea.Cmd {
	return func() tea.Msg {
		ended, fence, err := t.link.breakHolds(info, why)
		switch {
		case err != nil && fence == 0:
			return topDone{said: oneLine(err.Error())}
		case fence == 0:
			return topDone{said: "those who were shown do not hold it any more: nothing was broken"}
		}
		return topDone{strings.TrimSpace(whatWasBroken(forPeople(ended), fence)), ended, why}
	}
}

// judge finds the locks that need a person now.
func (m *topModel) judge() {
	m.found = trouble.All(m.memory.Troubles(m.now), m.seen.runs, m.report, m.now)
	m.levels, m.places = map[string]trouble.Level{}, map[string]int{}
	for i, t := range m.found {
		for j, name := range append([]string{t.Lock, "cron:" + t.Job}, t.Others...) {
			if m.places[name] == 0 {
				m.places[name] = 1 + 2*i + min(j, 2)/2
			}
		}
		if t.Lock != "" {
			for _, name := range append([]string{t.Lock}, t.Others...) {
				m.levels[name] = max(m.levels[name], t.Level)
			}
		}
		if t.Job != "" {
			m.levels["cron:"+t.Job] = max(m.levels["cron:"+t.Job], t.Level)
		}
	}
}
