package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"example.com/redislock/ui/trouble"
)

const askHelp = `Asks the holders of the lock NAME to give it up. The lock is not taken away: the holders decide. A program of the library is told by
the channel Asked of its lock. redislock run and redislock cron write the request to their standard error, and send COMMAND the signal
of --on-ask.

`

// asked is the result of a request, for programs: how many holders were told, and who held the lock just before.
type asked struct {
	Name  string     `json:"name"`
	Told  int        `json:"told"`
	Why   string     `json:"why"`
	Holds []holdJSON `json:"holds"`
}

func newAsk() *cobra.Command {
	var (
		s   server
		o   output
		why string
	)
	cmd := &cobra.Command{
		Use:                   "ask [flags] --why TEXT NAME",
		Short:                 "Ask the holder of a lock to give it up",
		Long:                  askHelp + exits(map[int]string{exitUnknown: "nobody holds the lock, or no holder could be told"}, 0, exitUnknown, exitUsage, exitUnavailable, exitDenied),
		Example:               "  redislock ask migrations --why 'the hotfix must go out'",
		Args:                  cobra.ExactArgs(1),
		DisableFlagsInUseLine: true,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&why, "why", "", "the reason that the holders are told")
	o.flags(f)
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name := args[0]
		if why == "" {
			return exitWith(exitUsage, "--why is missing: it says what the lock is needed for, and the holder is told")
		}
		if err := filledIn("--why", why); err != nil {
			return err
		}
		p, l, err := begin(cmd, &s, &o)
		if err != nil {
			return err
		}
		defer l.close()
		info, err := l.inspect(name) // before it asks: nothing that fails afterwards can hide that somebody was told
		if err != nil {
			return err
		}
		var told int
		if err := l.within(context.Background(), func(ctx context.Context) (err error) {
			told, err = l.client.Ask(ctx, name, why)
			return err
		}); err != nil {
			return err
		}
		if told > 0 {
			l.tell("asked", name, why)
		}
		switch {
		case o.json():
			_ = o.write(p, asked{Name: name, Told: told, Why: why, Holds: jsonHolds(info)})
		case told > 0:
			_, _ = fmt.Fprintf(p, "%s: %s told%s. It is theirs to give it up: %s shows whether they do.\n",
				visible(name), holdersInWords(told), listed(forPeople(info)), watchCommand(name))
		}
		switch {
		case told > 0:
			return nil
		case allKept(info):
			return exitWith(exitUnknown, "nobody holds %s but %s%s: nobody is there to hear", visible(name), who(readableOwner(info.Holds[0].Owner)), givenBack(info.Holds[0]))
		case info.Holders > 0:
			return exitWith(exitUnknown, "%s is held%s, and no holder could be told: it may be paused or gone; redislock show %s says more", visible(name), listed(forPeople(info)), typed(name))
		default:
			return exitWith(exitUnknown, "nobody holds %s on Redis at %s: there is nobody to ask", visible(name), l.addr)
		}
	}
	return cmd
}

// filledIn is a usage error for a reason that was copied from an advice as it stands: only dots.
func filledIn(flag, reason string) error {
	if strings.Trim(reason, ".… ") == "" {
		return exitWith(exitUsage, "%s %s: write the reason in the place of the dots; the holder is told, and its log shows it", flag, trouble.ShellWord(reason))
	}
	return nil
}

func holdersInWords(n int) string {
	if n == 1 {
		return "1 holder was"
	}
	return fmt.Sprintf("%d holders were", n)
}

// listed names the first holder that still holds, if there is one.
func listed(info readable) string {
	if len(info.Holds) == 0 {
		return ""
	}
	text := " (" + who(present(info.Info).Owner)
	if info.Holders > 1 {
		text += fmt.Sprintf(" and %d more", info.Holders-1)
	}
	return text + ")"
}
