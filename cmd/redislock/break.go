package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"example.com/redislock"
)

const breakHelp = `Takes the lock NAME away from its holder at once, and hands it to the first waiter. The holder is told the reason when the
message reaches it. Until then it may believe that it holds the lock, and longer if it is paused or cut off: only its fence keeps
its writes out. If the holder may still answer, redislock ask is better.

It shows the holder and asks you; --yes answers in advance. Without a terminal nobody can be asked, and it refuses to go on without
--yes. It breaks only the holds that it has shown, at most 1,000 in a shared mode: a holder that got the lock later keeps it.

`

// broken is the result of a break, for programs. Holds are the holds that were ended; Fence is the greatest of theirs. Next is
// who has the lock now, absent if nobody has, and Waiting how many wait for it; both are absent if that could not be seen.
type broken struct {
	Name    string     `json:"name"`
	Broken  bool       `json:"broken"`
	Fence   int64      `json:"fence"`
	Reason  string     `json:"reason"`
	Holds   []holdJSON `json:"holds"`
	Next    *holdJSON  `json:"next,omitempty"`
	Waiting *int       `json:"waiting,omitempty"`
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
		Long:                  breakHelp + exits(map[int]string{exitUnknown: "nobody holds the lock, or nothing was broken because you said no", exitUsage: "the arguments are wrong, or a confirmation is needed and nobody can be asked", exitHeld: "the holder has changed meanwhile"}, 0, exitUnknown, exitUsage, exitUnavailable, exitHeld, exitDenied),
		Example:               "  redislock break orders/7 --reason 'stuck since 03:10, see ticket 4711'\n  redislock break --yes --reason 'node-3 is gone' cron:nightly-report",
		Args:                  cobra.ExactArgs(1),
		DisableFlagsInUseLine: true,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&reason, "reason", "", "the reason that the holder is told, and its log shows")
	f.BoolVarP(&yes, "yes", "y", false, "do not ask for a confirmation")
	o.flags(f)
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name := args[0]
		if reason == "" {
			return exitWith(exitUsage, "--reason is missing: it says why the lock is taken away, for the holder and its log")
		}
		if err := filledIn("--reason", reason); err != nil {
			return err
		}
		if len(reason) > redislock.MaxReason {
			return exitWith(exitUsage, "--reason: has %d bytes, at most %d", len(reason), redislock.MaxReason)
		}
		if !yes && !(isTerminal(cmd.InOrStdin()) && isTerminal(cmd.ErrOrStderr())) {
			return exitWith(exitUsage, "breaking %s needs a confirmation, and there is no terminal to ask for it; --yes confirms", visible(name))
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
	before, err := l.inspectHolders(name)
	if err != nil {
		return err
	}
	if before.Holders == 0 {
		if o.json() {
			_ = o.write(p, broken{Name: name, Reason: reason, Holds: []holdJSON{}, Waiting: &before.Waiting})
		}
		return exitWith(exitUnknown, "nobody holds %s on Redis at %s: there is nothing to break", visible(name), l.addr)
	}
	if !yes {
		if !confirm(cmd, forPeople(before)) {
			return exitWith(exitUnknown, "nothing was broken")
		}
		now, err := l.inspectHolders(name)
		if err != nil {
			return err
		}
		if !slices.Equal(fences(now), fences(before)) {
			return exitWith(exitHeld, "the holders of %s have changed meanwhile; nothing was broken, look again", visible(name))
		}
	}
	ended, fence, failed := l.breakHolds(before, reason)
	if failed != nil && fence == 0 {
		return failed
	}
	// If the result cannot be shown or looked at, the break has not failed, and is not said to have failed.
	if fence > 0 && !o.json() {
		_, _ = io.WriteString(p, whatWasBroken(forPeople(ended), fence))
	}
	after, err := l.inspect(name)
	if o.json() {
		out := broken{Name: name, Broken: fence > 0, Fence: fence, Reason: reason, Holds: jsonHolds(ended)}
		if err == nil {
			out.Waiting = &after.Waiting
			if holds := jsonHolds(after); len(holds) > 0 {
				out.Next = &holds[0]
			}
		}
		_ = o.write(p, out)
	}
	switch {
	case failed != nil:
		return failed
	case fence == 0:
		return exitWith(exitUnknown, "the holders of %s that were shown hold it no more: nothing was broken", visible(name))
	case err != nil:
		voice{cmd.ErrOrStderr(), o.json()}.tell(message{Name: name, Fence: fence}, "%s was broken, with the fence %d; what came after is not known: %v", visible(name), fence, err)
	case !o.json():
		_, _ = io.WriteString(p, whatCameAfter(forPeople(after)))
	}
	return nil
}

// maxBroken is how many holders one command breaks.
const maxBroken = 1000

// inspectHolders looks at all holders of the lock, or at the first maxBroken of them.
func (l *link) inspectHolders(name string) (redislock.Info, error) {
	info, err := l.inspect(name)
	for err == nil && info.More() && len(info.Holds) < min(info.Holders, maxBroken) {
		info, err = l.inspectMore(info)
	}
	info.Holds = info.Holds[:min(len(info.Holds), maxBroken)]
	return info, err
}

// breakHolds ends the holds in info, and no others. It returns those that it has ended, and the greatest of their fences;
// 0 if they had all ended already. Each is broken by itself, all at once, so that it is known of each.
func (l *link) breakHolds(info redislock.Info, reason string) (ended redislock.Info, fence int64, err error) {
	fences := make([]int64, len(info.Holds))
	errs := make([]error, len(info.Holds))
	err = l.within(context.Background(), func(ctx context.Context) error {
		var all sync.WaitGroup
		for i, h := range info.Holds {
			all.Go(func() {
				fences[i], errs[i] = l.client.BreakHolds(ctx, redislock.Info{Name: info.Name, Holds: []redislock.Hold{h}}, reason)
			})
		}
		all.Wait()
		return cmp.Or(errs...)
	})
	defer func() {
		if len(ended.Holds) > 0 {
			l.tell("broken", info.Name, reason, ended.Holds...)
		}
	}()
	ended = info
	ended.Holds = nil
	for i, h := range info.Holds {
		if fences[i] > 0 {
			ended.Holds, fence = append(ended.Holds, h), max(fence, fences[i])
		}
	}
	return ended, fence, err
}

// confirm shows the holds that would be broken, and asks for a confirmation.
func confirm(cmd *cobra.Command, info readable) bool {
	w := cmd.ErrOrStderr()
	next := "Nobody waits for it."
	if len(info.Places) > 0 {
		next = fmt.Sprintf("The next of %d who wait is %v.", info.Waiting, info.Places[0].Owner)
	}
	_, _ = fmt.Fprintf(w, "%s is held\n", info.Name)
	for _, h := range info.Holds {
		_, _ = fmt.Fprintf(w, "  since %s, for %s, by %s, with the fence %d%s\n", moment3(h.Since), rounded(info.Now.Sub(h.Since)), h.Owner, h.Fence, givenBack(h))
	}
	if more := info.Holders - len(info.Holds); more > 0 {
		_, _ = fmt.Fprintf(w, "  and by %d more, who keep it\n", more)
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

// whatWasBroken says who has lost the lock.
func whatWasBroken(ended readable, fence int64) string {
	first := ended.Holds[0]
	text := fmt.Sprintf("%s was broken: %s has lost it", ended.Name, first.Owner)
	if first.Kept {
		text = fmt.Sprintf("%s was broken: it was kept for %s, who had given it back", ended.Name, first.Owner)
	}
	text += fmt.Sprintf(", with the fence %d", first.Fence)
	if more := len(ended.Holds) - 1; more > 0 {
		text += fmt.Sprintf(", and %d more, up to the fence %d", more, fence)
	}
	return text + ".\n"
}

// whatCameAfter says who has the lock now.
func whatCameAfter(after readable) string {
	switch {
	case len(after.Holds) > 0:
		text := "held by " + after.Holds[0].Owner.String()
		if after.Holders > 1 {
			text += fmt.Sprintf(" and %d more", after.Holders-1)
		}
		return fmt.Sprintf("It is now %s, with the fence %d; %d waiting.\n", text, after.Holds[0].Fence, after.Waiting)
	case after.Waiting > 0:
		return fmt.Sprintf("It is free, and about to go to the first of %d who wait.\n", after.Waiting)
	default:
		return "It is free; nobody waited for it.\n"
	}
}
