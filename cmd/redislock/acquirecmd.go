package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"example.com/redislock"
)

const acquireHelp = `Takes the lock NAME for a script that cannot be run by redislock run, and writes a token to standard output. redislock release TOKEN
gives the lock back. Anybody who has the token can do so: keep it secret.

Nothing renews the lock. It is held for --lease, and then others can get it, even if the script still runs. Choose a lease that is longer
than the work takes at worst. Use redislock run where you can: it renews the lock, and ends the work when the lock is lost.

`

const releaseHelp = `Gives back the lock of a TOKEN that redislock acquire wrote. If TOKEN is -, it is read from standard input, because other users can
read a command line.

`

// acquired is a lock that was taken, for programs. Until is by the clock of this machine, and never later than the lock is held.
type acquired struct {
	Name         string    `json:"name"`
	Token        string    `json:"token"`
	Fence        int64     `json:"fence"`
	LeaseSeconds float64   `json:"lease_seconds"`
	Until        time.Time `json:"until"`
}

func newAcquire() *cobra.Command {
	var (
		s             server
		o             output
		lease, wait   time.Duration
		noWait        bool
		metadata      string
		units         int
		shared, given bool
	)
	cmd := &cobra.Command{
		Use:   "acquire [flags] --lease DURATION NAME",
		Short: "Take a lock and write a token for its release",
		Long: acquireHelp + exits(map[int]string{0: "the lock is taken, and the token was written", exitHeld: "somebody else has the lock, after --wait or with --no-wait"},
			0, exitUsage, exitUnavailable, exitHeld, exitDenied, exitSignal),
		Example:               "  token=$(redislock acquire --lease 10m deploy) || exit\n  ...\n  redislock release \"$token\"",
		Args:                  cobra.ExactArgs(1),
		DisableFlagsInUseLine: true,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.DurationVar(&lease, "lease", 0, "how long the lock is held unless it is released; it is not renewed")
	f.DurationVar(&wait, "wait", 0, "how long to wait for the lock (default for ever)")
	f.BoolVar(&noWait, "no-wait", false, "do not wait: exit with 75 if somebody else has the lock")
	modeFlags(f, &units, &shared)
	f.StringVar(&metadata, "metadata", "", "`TEXT` that others see (default the name of the calling process)")
	o.flags(f)
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name := args[0]
		given = f.Changed("wait")
		switch {
		case lease <= 0:
			return exitWith(exitUsage, "--lease is missing: it says how long the lock is held, because nothing renews it; for example --lease 10m")
		case given && noWait:
			return exitWith(exitUsage, "--wait and --no-wait contradict each other: give one of them")
		}
		if metadata == "" {
			metadata = fmt.Sprintf("redislock acquire, called by process %d", os.Getppid())
		}
		opts := []redislock.Option{redislock.WithLease(lease), redislock.WithoutRenewal(), redislock.WithMetadata(metadata)}
		if noWait || given {
			opts = append(opts, redislock.WithWait(wait))
		}
		mode, err := modeOfFlags(f, units, shared)
		if err != nil {
			return err
		}
		if mode != nil {
			opts = append(opts, *mode)
		}
		p, l, err := begin(cmd, &s, &o)
		if err != nil {
			return err
		}
		defer l.close()
		ctx, stop := interruptible()
		defer stop()
		if err := l.reach(ctx, name); err != nil {
			return l.explain(err)
		}
		unread := make(chan os.Signal, 1)
		signal.Notify(unread, syscall.SIGPIPE) // a token that nobody reads is an error of the write, and does not end the program
		defer signal.Stop(unread)
		lock, err := l.client.Acquire(ctx, name, opts...)
		var held *redislock.HeldError
		switch {
		case ctx.Err() != nil && err != nil:
			return endOfSignal(ctx)
		case errors.As(err, &held) && !held.Since.IsZero():
			return exitWith(exitHeld, "%s is held %s", visible(name), whoHolds(held.Since, held.Holder))
		case errors.Is(err, redislock.ErrHeld):
			return exitWith(exitHeld, "%s is held by another caller", visible(name))
		case err != nil:
			return l.explain(err)
		}
		fence, until := lock.Fence(), lock.Deadline()
		token, err := lock.Handoff()
		if err != nil {
			_ = lock.Release(context.Background())
			return l.explain(err)
		}
		if o.json() {
			err = o.write(p, acquired{name, token, fence, lease.Seconds(), until.UTC()})
		} else {
			_, err = fmt.Fprintln(p, token)
		}
		if err != nil { // nobody has the token
			if lock, failed := l.client.Resume(context.Background(), token); failed == nil {
				_ = lock.Release(context.Background())
			}
		}
		return err
	}
	return cmd
}

// released is the result of a release, for programs.
type released struct {
	Name     string `json:"name"`
	Released bool   `json:"released"`
}

func newRelease() *cobra.Command {
	var (
		s server
		o output
	)
	cmd := &cobra.Command{
		Use:   "release [flags] TOKEN",
		Short: "Give back a lock that redislock acquire took",
		Long: releaseHelp + exits(map[int]string{
			0: "the lock was given back", exitUsage: "the arguments are wrong, or that is no token of this prefix",
			exitLost: "the lock was not held any more: its lease was over, or it was broken or released before",
		}, 0, exitUsage, exitUnavailable, exitLost, exitDenied),
		Example:               "  redislock release \"$token\"\n  printenv TOKEN | redislock release -",
		Args:                  cobra.ExactArgs(1),
		DisableFlagsInUseLine: true,
	}
	o.flags(cmd.Flags())
	s.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		token := args[0]
		if token == "-" {
			text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 4096))
			if err != nil {
				return exitWith(exitUsage, "the token cannot be read: %v", err)
			}
			token = string(text)
		}
		token = strings.TrimSpace(token)
		p, l, err := begin(cmd, &s, &o)
		if err != nil {
			return err
		}
		defer l.close()
		ctx, cancel := context.WithTimeoutCause(context.Background(), reachTime, errSilent)
		defer cancel()
		lock, err := l.client.Resume(ctx, token)
		if err == nil {
			err = lock.Release(ctx)
		}
		switch {
		case errors.Is(err, redislock.ErrInvalid):
			return exitWith(exitUsage, "%v", withoutOperation(err))
		case errors.Is(err, redislock.ErrNotHeld), errors.Is(err, redislock.ErrLost):
			if o.json() {
				_ = o.write(p, released{"", false})
			}
			return exitWith(exitLost, "the lock was not held any more: its lease was over, or it was broken or released before; another may have had it meanwhile")
		case err != nil:
			return l.ended(ctx, err)
		}
		if o.json() {
			return o.write(p, released{lock.Name(), true})
		}
		return nil
	}
	return cmd
}
