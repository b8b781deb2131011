package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/colorprofile"
	"github.com/spf13/cobra"

	"example.com/redislock"
)

const watchHelp = `Watches the lock NAME, or all locks whose names match PATTERN (as in redislock ls; without PATTERN all locks), until q, Ctrl-C or a
signal. An argument with *, ?, [ or \ is a PATTERN, unless --name says that it is a NAME. On a terminal the view is live. Elsewhere, and
with --output json, it writes one line for each lock in use, and then one line for each change: a caller gets the lock, gives it back,
loses it, begins or ceases to wait. A renewal of a lease is not a change.

The columns of a line are: the time by the clock of Redis, the name, the holder ("-" for nobody), the mode, the last fence and the
number of waiters, with one tab between them. A JSON object is like those of redislock show; for a PATTERN it has at most 10 holders and
10 waiters.

One lock is watched by push. For a PATTERN redislock goes through all keys of the server each --interval, or less often if that takes
long.

`

const defaultInterval = time.Second

// watcher follows one lock, or all that match a pattern.
type watcher struct {
	link     *link
	page     *page
	output   output
	voice    voice
	target   string
	one      bool // the target is a name
	all      bool
	interval time.Duration
	told     map[string]bool // what is in the way, and was said already
}

// view is the result of one look, or its error.
type view struct {
	infos  []redislock.Info
	failed []failure // single locks that could not be looked at
	at     time.Time // here
	err    error     // nothing could be
	looked int       // how many locks were looked at, shown or not
}

// perLock is how much of a rest there is for each lock that was looked at: Redis takes about a fifth of that for it.
const perLock = 100 * time.Microsecond

// rest is the time from a look that took so long to the next. What a look takes is mostly the time of round trips, on a machine that is
// busy; the work of Redis goes by the number of locks. A look that failed was no work.
func (v view) rest(interval, took time.Duration) time.Duration {
	if v.err != nil {
		return interval
	}
	return max(interval, min(4*took, time.Duration(v.looked)*perLock))
}

func newWatch() *cobra.Command {
	var (
		s      server
		w      watcher
		byName bool
	)
	cmd := &cobra.Command{
		Use:                   "watch [flags] [NAME | PATTERN]",
		Short:                 "Watch locks change",
		Long:                  watchHelp + exits(nil, 0, exitUsage, exitUnavailable, exitDenied, exitSignal),
		Example:               "  redislock watch\n  redislock watch orders/7\n  redislock watch --output json 'orders/*' | jq -c '[.name, .holds[0].pid]'",
		Args:                  cobra.MaximumNArgs(1),
		DisableFlagsInUseLine: true,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&byName, "name", false, "the argument is a NAME, even if it has *, ?, [ or \\")
	f.BoolVarP(&w.all, "all", "a", false, "also show idle locks")
	f.DurationVar(&w.interval, "interval", defaultInterval, "how often to look at all locks that match a PATTERN")
	w.output.flags(f)
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if w.interval < 100*time.Millisecond {
			return exitWith(exitUsage, "--interval (%v): must be at least 100ms", w.interval)
		}
		if byName && len(args) == 0 {
			return exitWith(exitUsage, "--name: which? redislock watch --name NAME")
		}
		var err error
		if w.page, w.link, err = begin(cmd, &s, &w.output); err != nil {
			return err
		}
		defer w.link.close()
		w.voice = voice{cmd.ErrOrStderr(), w.output.json()}
		w.target = strings.Join(args, "")
		w.one = byName || len(args) > 0 && !isPattern(w.target)
		return w.run(cmd)
	}
	return cmd
}

// isPattern reports whether an argument is taken for a pattern.
func isPattern(target string) bool { return strings.ContainsAny(target, `*?[\`) }

// run watches until it is told to stop.
func (w *watcher) run(cmd *cobra.Command) error {
	ctx, stop := interruptible()
	defer stop()
	first := w.look(ctx)
	if first.err != nil {
		return first.err
	}
	var err error
	if isTerminal(cmd.OutOrStdout()) && os.Getenv("TERM") != "dumb" && !w.output.json() {
		err = w.live(ctx, cmd, first)
	} else {
		err = w.lines(ctx, first)
	}
	var told *exit
	if errors.As(context.Cause(ctx), &told) {
		return told
	}
	return err
}

// look is one look. Its error ends the program.
func (w *watcher) look(ctx context.Context) (v view) {
	if w.one {
		v.err = w.link.within(ctx, func(ctx context.Context) error {
			info, err := w.link.client.Inspect(ctx, w.target)
			v.infos = []redislock.Info{info}
			return err
		})
	} else {
		v.infos, v.failed, v.err = w.link.list(ctx, w.target, func(info redislock.Info) bool {
			v.looked++
			return w.all || !info.Idle()
		})
		slices.SortFunc(v.infos, func(a, b redislock.Info) int { return strings.Compare(a.Name, b.Name) })
	}
	v.at = time.Now()
	return v
}

// follow reports each look from now on, until ctx ends or see returns false.
func (w *watcher) follow(ctx context.Context, see func(view) bool) {
	if w.one {
		for info, err := range w.link.client.Watch(ctx, w.target) {
			v := view{infos: []redislock.Info{info}, at: time.Now()}
			if err != nil {
				v.err = w.link.explain(err)
			}
			if ctx.Err() != nil || !see(v) {
				return
			}
		}
		return
	}
	for pause := w.interval; ; {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		began := time.Now()
		v := w.look(ctx)
		if ctx.Err() != nil || !see(v) {
			return
		}
		pause = v.rest(w.interval, time.Since(began))
	}
}

// lines writes a line for each lock in use, and one for each change.
func (w *watcher) lines(ctx context.Context, first view) (err error) {
	known := map[string]string{}
	var failed error // the last time
	see := func(v view) bool {
		if failed = v.err; v.err != nil {
			w.report([]failure{{err: v.err}})
			return true
		}
		present := map[string]bool{}
		for _, f := range v.failed {
			present[f.name] = true // as far as anybody knows
		}
		for _, info := range v.infos {
			present[info.Name] = true
			if state := stateOf(info); known[info.Name] != state {
				known[info.Name] = state
				if err = w.line(info); err != nil {
					return false
				}
			}
		}
		troubles := v.failed
		for name := range known {
			if w.one || present[name] {
				continue
			}
			info, failed := w.vanished(ctx, name)
			if failed != nil { // it is looked at again the next time
				troubles = append(troubles, failure{name, failed})
				continue
			}
			delete(known, name)
			if err = w.line(info); err != nil {
				return false
			}
		}
		if ctx.Err() == nil {
			w.report(troubles)
		}
		return true
	}
	if see(first) {
		w.follow(ctx, see)
	}
	if err == nil && ctx.Err() == nil {
		err = failed // it gave up: nothing will come any more
	}
	return err
}

// vanished is a lock that is not in the list any more: it is idle, or forgotten.
func (w *watcher) vanished(ctx context.Context, name string) (info redislock.Info, err error) {
	err = w.link.within(ctx, func(ctx context.Context) (err error) {
		info, err = w.link.client.Inspect(ctx, name)
		return err
	})
	return info, err
}

// report says what is in the way, once, and when nothing is any more. A failure without a name is about Redis itself.
func (w *watcher) report(troubles []failure) {
	told := map[string]bool{}
	for _, f := range troubles {
		about, text := "lock "+f.name, f.Error() // the text of the same failure may differ each time
		if f.name == "" {
			text = f.err.Error()
			about = text
		}
		if !w.told[about] {
			w.voice.tell(message{Name: f.name}, "%s; it is tried again", text)
		}
		told[about] = true
	}
	if len(troubles) == 0 && len(w.told) > 0 {
		w.voice.say("Redis at %s answers again", w.link.addr)
	}
	w.told = told
}

// stateOf is the same for two states of a lock that are no change.
func stateOf(info redislock.Info) string {
	var b strings.Builder
	fmt.Fprint(&b, info.Holders, info.Waiting)
	for _, h := range info.Holds {
		fmt.Fprint(&b, " ", h.Fence, h.Mode, h.Revoked, h.Kept)
	}
	for _, p := range info.Places {
		fmt.Fprint(&b, " ", p.Since.UnixMicro(), p.Owner.PID)
	}
	return b.String()
}

func (w *watcher) line(info redislock.Info) error {
	if w.output.json() {
		return w.output.write(w.page, jsonLock(info))
	}
	row := lockRow(forPeople(info), 0, true)
	_, err := fmt.Fprintln(w.page, strings.Join([]string{
		info.Now.UTC().Format(time.RFC3339Nano), row[0].text, row[1].text, row[2].text, strconv.FormatInt(info.Fence, 10), row[5].text,
	}, "\t"))
	return err
}

// liveProfile has at least what a live view needs.
func (w *watcher) liveProfile() colorprofile.Profile { return max(w.page.profile, colorprofile.Ascii) }
