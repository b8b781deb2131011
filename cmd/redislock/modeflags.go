package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"example.com/redislock"
)

// modeFlags say how many may have the lock at once.
func modeFlags(f *pflag.FlagSet, units *int, shared *bool) {
	f.IntVarP(units, "at-once", "n", 0, "up to `N` holders may have the lock at once, a semaphore, if all of them give this flag")
	f.BoolVar(shared, "shared", false, "share the lock with all others that give --shared; a holder without --shared has the lock alone")
}

// modeOfFlags is the option that they ask for; nil for none.
func modeOfFlags(f *pflag.FlagSet, units int, shared bool) (*redislock.Option, error) {
	var opt redislock.Option
	switch {
	case f.Changed("at-once") && shared:
		return nil, exitWith(exitUsage, "-n and --shared contradict each other: -n bounds the number of holders, and --shared does not")
	case f.Changed("at-once") && (units < 1 || units > redislock.MaxUnits):
		return nil, exitWith(exitUsage, "-n (%d): must be from 1 to %d", units, redislock.MaxUnits)
	case f.Changed("at-once"):
		opt = redislock.WithMode(redislock.Semaphore(units))
	case shared:
		opt = redislock.WithMode(redislock.Read)
	default:
		return nil, nil
	}
	return &opt, nil
}

// interruptible is a context that ends by a signal; endOfSignal is the end of the program then. A signal that was ignored when we
// were started, by nohup for instance, stays ignored.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	for _, sig := range passedOn {
		if stops(sig) && !signal.Ignored(sig) {
			signal.Notify(signals, sig)
		}
	}
	go func() {
		select {
		case sig := <-signals:
			cancel(&exit{status: exitSignal + int(sig.(syscall.Signal))})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

func endOfSignal(ctx context.Context) error { return context.Cause(ctx) }
