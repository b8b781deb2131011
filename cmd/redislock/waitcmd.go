package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"example.com/redislock"
)

const waitHelp = `Waits until nobody holds the lock NAME (--free), or until somebody holds it (--held). It does not take the lock: when it returns,
another process may have the lock. To take it, use redislock run or redislock acquire.

A lock that was given back and is kept for a while counts as held. The wait is by push: Redis is not polled.

`

// waited is the state that ended a wait, for programs.
type waited struct {
	lockJSON
	WaitedSeconds float64 `json:"waited_seconds"`
}

func newWait() *cobra.Command {
	var (
		s          server
		o          output
		free, held bool
		timeout    time.Duration
	)
	cmd := &cobra.Command{
		Use:   "wait [flags] --free NAME",
		Short: "Wait until a lock is free",
		Long: waitHelp + exits(map[int]string{0: "the lock is free (--free) or held (--held)", exitHeld: "it was not within --timeout"},
			0, exitUsage, exitUnavailable, exitHeld, exitDenied, exitSignal),
		Example:               "  redislock wait --free migrations && ./start.sh\n  redislock wait --free --timeout 5m deploy",
		Args:                  cobra.ExactArgs(1),
		DisableFlagsInUseLine: true,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&free, "free", false, "wait until nobody holds the lock")
	f.BoolVar(&held, "held", false, "wait until somebody holds the lock")
	f.DurationVar(&timeout, "timeout", 0, "how long to wait at most (default for ever)")
	o.flags(f)
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case free == held:
			return exitWith(exitUsage, "give --free or --held")
		case timeout < 0:
			return exitWith(exitUsage, "--timeout (%v): must not be negative", timeout)
		}
		p, l, err := begin(cmd, &s, &o)
		if err != nil {
			return err
		}
		defer l.close()
		info, err := l.inspect(args[0])
		if err != nil {
			return err
		}
		began := time.Now()
		is := func() bool { return (info.Holders > 0) == held }
		if !is() {
			ctx, stop := interruptible()
			defer stop()
			bounded := ctx
			if timeout > 0 {
				var cancel context.CancelFunc
				bounded, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			if info, err = l.until(bounded, args[0], func(i redislock.Info) bool { info = i; return is() }); err != nil {
				switch {
				case ctx.Err() != nil:
					return endOfSignal(ctx)
				case errors.Is(bounded.Err(), context.DeadlineExceeded) && held:
					return exitWith(exitHeld, "nobody holds %s, after %v", visible(args[0]), timeout)
				case errors.Is(bounded.Err(), context.DeadlineExceeded):
					return exitWith(exitHeld, "%s is still held%s, after %v", visible(args[0]), listed(forPeople(info)), timeout)
				}
				return err
			}
		}
		if o.json() {
			return o.write(p, waited{jsonLock(info), time.Since(began).Seconds()})
		}
		return nil
	}
	return cmd
}

// until watches a lock until it is as wanted. It returns the last state that was seen. An outage is waited for, as a lock is.
func (l *link) until(ctx context.Context, name string, wanted func(redislock.Info) bool) (last redislock.Info, err error) {
	for ctx.Err() == nil {
		for info, failed := range l.client.Watch(ctx, name) {
			if err = failed; failed != nil {
				continue
			}
			if last = info; wanted(info) {
				return info, nil
			}
		}
		if err != nil && ctx.Err() == nil {
			return last, l.explain(err)
		}
	}
	return last, ctx.Err()
}
