package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"example.com/redislock"
)

const limitHelp = `Shows or sets the limit of the lock NAME. A limit bounds the holds of a lock, whatever the programs that take it say:
semaphore=10 allows at most 10 units of a semaphore, even if the programs name a larger size. It applies to all programs at once.
small+large=3 counts the holds of several modes together. The built-in modes are read and semaphore; a lock that is taken with -n is
a semaphore.

The new limit replaces the one before, and ends by itself. No holder loses the lock because of it: holders beyond the limit keep it,
and others wait. A waiter is granted the lock as soon as the limit allows it; with 0 nobody is. A hold in the mode exclusive is not
limited, so no rule can name that mode; write can be limited.

`

// limitJSON is a limit, for programs. Rules is empty where there is none.
type limitJSON struct {
	Name string `json:"name"`
	limitOfJSON
}

// limitOfJSON is what a limit says. LeftSeconds are until it ends.
type limitOfJSON struct {
	Rules       []ruleJSON `json:"rules"`
	Until       *time.Time `json:"until,omitempty"`
	LeftSeconds float64    `json:"left_seconds"`
}

type ruleJSON struct {
	Modes []string `json:"modes"`
	Most  int      `json:"most"`
}

func newLimit() *cobra.Command {
	var (
		s    server
		o    output
		long time.Duration
		off  bool
	)
	cmd := &cobra.Command{
		Use:                   "limit [flags] NAME [MODE=N...]",
		Short:                 "Show or set how many may hold a lock at once",
		Long:                  limitHelp + exits(map[int]string{0: "the limit was shown, or set, or removed", exitUnknown: "no limit is set"}, 0, exitUnknown, exitUsage, exitUnavailable, exitDenied),
		Example:               "  redislock limit partner-api\n  redislock limit --for 2h partner-api semaphore=10\n  redislock limit --off partner-api",
		Args:                  cobra.MinimumNArgs(1),
		DisableFlagsInUseLine: true,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.DurationVar(&long, "for", 24*time.Hour, "how long the new limit stands")
	f.BoolVar(&off, "off", false, "remove the limit")
	o.flags(f)
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, set := args[0], len(args) > 1
		rules, err := rulesOf(args[1:])
		switch {
		case err != nil:
			return err
		case off && set:
			return exitWith(exitUsage, "--off removes the limit: name no other")
		case f.Changed("for") && !set:
			return exitWith(exitUsage, "--for is for a new limit: name it, such as semaphore=10")
		case set && (long < time.Second || long > redislock.MaxRetention):
			return exitWith(exitUsage, "--for (%v): must be from %v to %v", long, time.Second, redislock.MaxRetention)
		}
		p, l, err := begin(cmd, &s, &o)
		if err != nil {
			return err
		}
		defer l.close()
		if off || set {
			if err := l.within(context.Background(), func(ctx context.Context) error {
				return l.client.SetLimit(ctx, name, max(long, time.Second), rules...)
			}); err != nil {
				return err
			}
		}
		info, err := l.inspect(name)
		if err != nil {
			return err
		}
		has := len(info.Limit.Rules) > 0
		switch {
		case o.json():
			err = o.write(p, limitJSON{Name: name, limitOfJSON: jsonLimit(info)})
		case has:
			_, err = fmt.Fprintf(p, "%s: %s\n", visible(name), limitInWords(info, info.Now))
		case off:
			_, err = fmt.Fprintf(p, "%s: no limit any more\n", visible(name))
		}
		if err == nil && !has && !off {
			err = exitWith(exitUnknown, "no limit is set for %s on Redis at %s", visible(name), l.addr)
		}
		return err
	}
	return cmd
}

// rulesOf reads MODE=N and MODE+MODE=N.
func rulesOf(args []string) (rules []redislock.Rule, err error) {
	for _, arg := range args {
		modes, number, ok := strings.Cut(arg, "=")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || modes == "" {
			return nil, exitWith(exitUsage, "%s: a limit is MODE=N, such as semaphore=10 or small+large=3", visible(arg))
		}
		rules = append(rules, redislock.AtMost(n, strings.Split(modes, "+")...))
	}
	return rules, nil
}

func jsonLimit(info redislock.Info) limitOfJSON {
	l := limitOfJSON{Rules: []ruleJSON{}, Until: jsonTime(info.Limit.Until)}
	if l.Until != nil {
		l.LeftSeconds = info.Limit.Until.Sub(info.Now).Seconds()
	}
	for _, r := range info.Limit.Rules {
		most, _ := r.Most()
		l.Rules = append(l.Rules, ruleJSON{r.Modes(), most})
	}
	return l
}

// limitInWords is like "at most 10 semaphore, until …".
func limitInWords(info redislock.Info, now time.Time) string {
	var texts []string
	for _, r := range info.Limit.Rules {
		most, _ := r.Most()
		texts = append(texts, fmt.Sprintf("at most %d %s", most, visible(strings.Join(r.Modes(), "+"))))
	}
	return strings.Join(texts, ", ") + ", until " + moment3(info.Limit.Until) + ", for another " + rounded(info.Limit.Until.Sub(now))
}
