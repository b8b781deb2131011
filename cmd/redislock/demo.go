package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/spf13/cobra"
)

const (
	// demoTime bounds the whole demo.
	demoTime = 18 * time.Second
	// defaultSlack is how much longer than promised a busy machine may take.
	defaultSlack = 250 * time.Millisecond
	instances    = 3
)

var demoHelp = `Shows what the locks promise. Three processes share locks, are killed, are paused, and have locks stolen from them, and the
demo measures what happens. Without --redis they use a Redis in memory that ends with the demo. On a server of yours the demo uses
a prefix of its own, and leaves only keys that expire. It takes some seconds.

With --output json the result is one object with all measurements.

` + exits(map[int]string{exitViolated: "a promise was not kept"}, 0, exitViolated, exitUsage, exitUnavailable, exitDenied, exitSignal)

func newDemo() *cobra.Command {
	var (
		s     server
		o     output
		slack time.Duration
	)
	cmd := &cobra.Command{
		Use:     "demo [flags]",
		Short:   "Show on this machine what the locks promise",
		Long:    demoHelp,
		Example: "  redislock demo\n  redislock demo --redis redis://127.0.0.1:6379\n  redislock demo --output json | jq '.findings[] | select(.kept | not)'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if !o.json() {
				return runDemo(s, slack, newAccount(cmd.OutOrStdout()), cmd.ErrOrStderr())
			}
			a := newAccount(io.Discard)
			began := time.Now()
			err := runDemo(s, slack, a, cmd.ErrOrStderr())
			if len(a.found) > 0 {
				_ = o.write(cmd.OutOrStdout(), a.json(time.Since(began)))
			}
			return err
		},
		DisableFlagsInUseLine: true,
	}
	s.topologyFlags(cmd.Flags())
	o.flags(cmd.Flags())
	cmd.Flags().StringVar(&s.url, "redis", "", "use the Redis at this `URL` instead of one in memory")
	cmd.Flags().DurationVar(&slack, "slack", defaultSlack, "how much longer than promised a busy machine may take")
	return cmd
}

// demo is one run of it: the processes, the Redis they share, and the account of what happened.
type demo struct {
	*account
	link    *link
	server  server
	dir     string // for what the processes write
	slack   time.Duration
	stderr  io.Writer
	troupe  [instances]*instance
	reports chan report
	unread  []report
}

// runDemo plays all scenes. It keeps to one thread, because what it starts is to end with it (dieWithParent).
func runDemo(s server, slack time.Duration, account *account, stderr io.Writer) (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	where := "at " + s.url
	if s.url == "" && (s.cluster || s.master != "" || s.ca != "" || s.cert != "" || s.key != "") {
		return exitWith(exitUsage, "--cluster, --sentinel-master and --tls-... are about the server of --redis: name it")
	}
	if s.url == "" {
		m := miniredis.NewMiniRedis()
		m.ClockTTL(true)
		if err := m.StartAddr("127.0.0.1:0"); err != nil {
			return exitWith(exitUnavailable, "no Redis in memory: %v; name a real one by --redis URL", err)
		}
		defer m.Close()
		s.url = "redis://" + m.Addr()
		where = "in memory"
	}
	s.prefix = "redislock-demo-" + strings.ToLower(rand.Text())
	l, err := s.connect()
	if err != nil {
		return err
	}
	defer l.close()
	if where != "in memory" {
		where = "at " + l.addr // the URL may hold a password
	}

	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(caught)
	ctx, cancel := context.WithTimeout(context.Background(), demoTime)
	defer cancel()
	ctx, interrupt := context.WithCancelCause(ctx)
	go func() {
		select {
		case sig := <-caught:
			interrupt(&exit{exitSignal + int(sig.(syscall.Signal)), fmt.Sprintf("the demo was ended by a signal (%v)", sig)})
		case <-ctx.Done():
		}
	}()

	if err := l.probe("probe"); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "redislock-demo-")
	if err != nil {
		return exitWith(exitCannotRun, "no directory for the demo: %v; set TMPDIR to one that can be written", err)
	}
	defer os.RemoveAll(dir)

	d := &demo{account: account, link: l, server: s, dir: dir, slack: slack, stderr: stderr, reports: make(chan report, 1024)}
	defer d.dismiss()
	began := time.Now()
	d.line("%d processes share locks on a Redis %s.", instances, where)
	for _, scene := range scenes {
		if err := d.play(ctx, scene); err != nil {
			return err
		}
	}
	d.table()
	d.line("%d processes were started; it took %v.", d.started, time.Since(began).Round(time.Millisecond))
	if bad := d.violated(); len(bad) > 0 {
		return exitWith(exitViolated, "violated: %s; if this machine is very busy, try again with a larger --slack", strings.Join(bad, "; "))
	}
	return nil
}

// play plays one scene with three processes that are well. A scene that could not be played to its end counts as a
// violation; the next one gets new processes. An error ends the demo.
func (d *demo) play(ctx context.Context, s scene) error {
	d.begin(s.title)
	err := d.assemble(ctx)
	if err == nil {
		err = s.play(ctx, d)
	}
	if err != nil {
		var ended *exit
		if cause := context.Cause(ctx); errors.As(cause, &ended) {
			d.line("")
			return ended
		}
		d.check("played to its end", err.Error(), "without an error", false)
		d.dismiss()
	}
	d.end()
	return nil
}

// assemble has three processes ready, and nothing unread from before.
func (d *demo) assemble(ctx context.Context) error {
	d.forget()
	for n, i := range d.troupe {
		if i == nil || i.hasEnded() {
			started, err := startInstance(n, d.server, d.stderr, d.reports)
			if err != nil {
				return err
			}
			d.troupe[n] = started
			d.started++
			if _, err := d.await(ctx, from(n, "ready")); err != nil {
				return err
			}
		}
	}
	d.forget()
	return nil
}

func (d *demo) forget() {
	d.unread = nil
	for len(d.reports) > 0 {
		<-d.reports
	}
}

// dismiss ends all processes, also a paused one, and waits for them.
func (d *demo) dismiss() {
	for n, i := range d.troupe {
		if i != nil {
			i.kill()
			d.troupe[n] = nil
		}
	}
}

// await is the first report that fits, of those that nobody has asked for yet. A process that says it failed, or ends,
// fails the scene.
func (d *demo) await(ctx context.Context, fits func(report) bool) (report, error) {
	for k, r := range d.unread {
		if fits(r) {
			d.unread = append(d.unread[:k:k], d.unread[k+1:]...)
			return r, nil
		}
	}
	for {
		select {
		case r := <-d.reports:
			switch {
			case fits(r):
				return r, nil
			case r.What == "failed":
				return r, fmt.Errorf("process %d: %s", r.Instance+1, r.Err)
			case r.What == "gone":
				return r, fmt.Errorf("process %d ended by itself", r.Instance+1)
			}
			d.unread = append(d.unread, r)
		case <-ctx.Done():
			return report{}, fmt.Errorf("it did not happen in time: %w", context.Cause(ctx))
		}
	}
}

// from is for await: a report of that kind by that process.
func from(n int, what string) func(report) bool {
	return func(r report) bool { return r.Instance == n && r.What == what }
}
