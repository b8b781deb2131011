package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"example.com/redislock"
)

const breakHelp = `Takes the lock NAME away from whoever holds it, at once, and hands it to the first who waits. The holder is told the
reason as soon as the message reaches it. Until then, or for longer if it is paused or cut off, it may believe that it
holds the lock: only its fence keeps its writes out. Where the holder may still answer, redislock ask is the better way.

It shows who holds the lock and asks; --yes answers in advance. Where nobody can be asked, because there is no
terminal, it refuses to go on without --yes. In a shared mode all holders lose the lock.

`

// broken is what came of a break, for programs. Holds are those that were ended; Fence is the greatest of theirs. Next is
// who has the lock now, absent if nobody has.
type broken struct {
	Name    string     `json:"name"`
	Broken  bool       `json:"broken"`
	Fence   int64      `json:"fence"`
	Reason  string     `json:"reason"`
	Holds   []holdJSON `json:"holds"`
	Next    *holdJSON  `json:"next,omitempty"`
	Waiting int        `json:"waiting"`
}

func newBreak() *cobra.Command {
	var (
		s      server
		o      output
		reason string
		yes    bool
	)
	cmd := &cobra.Command{
		Use:                   "break [flags] --reason TEXT NAME",
		Short:                 "Take a lock away from its holder",
		Long:                  breakHelp + exitTable(0, exitUnknown, exitUsage, exitUnavailable, exitHeld, exitDenied),
		Example:               "  redislock break orders/7 --reason 'stuck since 03:10, see ticket 4711'\n  redislock break --yes --reason 'node-3 is gone' cron:nightly-report",
		Args:                  cobra.ExactArgs(1),
		DisableFlagsInUseLine: true,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&reason, "reason", "", "what the holder is told, and its log will show")
	f.BoolVarP(&yes, "yes", "y", false, "do not ask")
	o.flags(f)
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name := args[0]
		if reason == "" {
			return exitWith(exitUsage, "--reason says why the lock is taken away: the holder is told, and whoever reads its log")
		}
		if len(reason) > redislock.MaxReason {
			return exitWith(exitUsage, "--reason: has %d bytes, at most %d", len(reason), redislock.MaxReason)
		}
		if !yes && !(isTerminal(cmd.InOrStdin()) && isTerminal(cmd.ErrOrStderr())) {
			return exitWith(exitUsage, "breaking %s needs a confirmation, and there is no terminal to ask at: --yes gives it", visible(name))
		}
		p, l, err := begin(cmd, &s, &o)
		if err != nil {
			return err
		}
		defer l.close()
		return breakLock(cmd, p, l, &o, name, reason, yes)
	}
	return cmd
}

func breakLock(cmd *cobra.Command, p *page, l *link, o *output, name, reason string, yes bool) error {
	before, err := l.inspect(name)
	if err != nil {
		return err
	}
	if before.Holders == 0 {
		if o.json() {
			_ = o.write(p, broken{Name: name, Reason: reason, Holds: []holdJSON{}, Waiting: before.Waiting})
		}
		return exitWith(exitUnknown, "nobody holds %s on Redis at %s: there is nothing to break", visible(name), l.addr)
	}
	if !yes {
		if !confirm(cmd, before) {
			return exitWith(exitUnknown, "nothing was broken")
		}
		now, err := l.inspect(name)
		if err != nil {
			return err
		}
		if !slices.Equal(fences(now), fences(before)) {
			return exitWith(exitHeld, "the holders of %s have changed meanwhile; nothing was broken, look again", visible(name))
		}
	}
	var fence int64
	if err := l.within(context.Background(), func(ctx context.Context) (err error) {
		fence, err = l.client.Break(ctx, name, reason)
		return err
	}); err != nil {
		return err
	}
	after, err := l.inspect(name)
	if err != nil {
		return err
	}
	if o.json() {
		out := broken{Name: name, Broken: fence > 0, Fence: fence, Reason: reason, Holds: jsonHolds(before), Waiting: after.Waiting}
		if holds := jsonHolds(after); len(holds) > 0 {
			out.Next = &holds[0]
		}
		return o.write(p, out)
	}
	if fence == 0 {
		return exitWith(exitUnknown, "%s was given back meanwhile: nothing was broken", visible(name))
	}
	_, err = io.WriteString(p, outcomeOfBreak(before, after, fence))
	return err
}

// confirm shows what is about to be broken and asks whether it is to be.
func confirm(cmd *cobra.Command, info redislock.Info) bool {
	w := cmd.ErrOrStderr()
	next := "Nobody waits for it."
	if len(info.Places) > 0 {
		next = fmt.Sprintf("The next of %d who wait is %s.", info.Waiting, visible(info.Places[0].Owner.String()))
	}
	_, _ = fmt.Fprintf(w, "%s is held\n", visible(info.Name))
	for _, h := range info.Holds {
		_, _ = fmt.Fprintf(w, "  since %s, for %s, by %s, with the fence %d\n", moment3(h.Since), rounded(info.Now.Sub(h.Since)), visible(h.Owner.String()), h.Fence)
	}
	if more := info.Holders - len(info.Holds); more > 0 {
		_, _ = fmt.Fprintf(w, "  and by %d more\n", more)
	}
	_, _ = fmt.Fprintf(w, "%s\nBreak it? [y/N] ", next)
	answer, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n') // the end of the input is no
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

func fences(info redislock.Info) (all []int64) {
	for _, h := range info.Holds {
		all = append(all, h.Fence)
	}
	return all
}

// outcomeOfBreak says what was broken, and who is next.
func outcomeOfBreak(before, after redislock.Info, fence int64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s was broken: %s has lost it, with the fence %d", visible(before.Name), visible(before.Holds[0].Owner.String()), fence)
	if before.Holders > 1 {
		fmt.Fprintf(&b, ", and %d more", before.Holders-1)
	}
	b.WriteString(".\n")
	switch {
	case len(after.Holds) > 0:
		fmt.Fprintf(&b, "It is now held by %s, with the fence %d; %d waiting.\n", visible(after.Holds[0].Owner.String()), after.Holds[0].Fence, after.Waiting)
	case after.Waiting > 0:
		fmt.Fprintf(&b, "It is free, and about to go to the first of %d who wait.\n", after.Waiting)
	default:
		b.WriteString("It is free; nobody waited for it.\n")
	}
	return b.String()
}
