package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
)

const benchHelp = `Measures in about ten seconds the cost of locks on your Redis, from this machine: PING, the least work of a lock (SET NX
and a script that compares and deletes), and an acquire with its release, each at 1, 16 and 256 callers at a time. It also measures
the time from a release until a waiter of another Client has the lock. All measurements take turns within the same seconds, so
their ratios are meaningful even if the machine is busy.

It puts load on the server, for a while as much as 256 callers can. So it refuses to begin (exit status 75) on a server that
executes more than 1000 commands a second already, or does not say how many. With --yes it begins all the same. It uses only names
that begin with bench-, which a user with the rights of redislock.ACL may use. It leaves only keys that expire within about an hour:
idle locks, which redislock ls shows only with --all.

Without a terminal the columns are: what was measured, callers, times per second, median and 99th percentile in seconds, and the
ratio of the median to those of PING and of SET NX, with one tab between them.

`

const (
	defaultBench = 10 * time.Second
	// busyServer is how many commands a second are too many to bench beside.
	busyServer = 1000
)

func newBench() *cobra.Command {
	var (
		s        server
		o        output
		duration time.Duration
		yes      bool
	)
	cmd := &cobra.Command{
		Use:                   "bench [flags]",
		Short:                 "Measure what locks cost on your Redis",
		Long:                  benchHelp + exits(map[int]string{exitHeld: "the server is busy"}, 0, exitUsage, exitUnavailable, exitHeld, exitDenied, exitSignal),
		Example:               "  redislock bench\n  redislock bench --redis redis://staging:6379 --duration 30s\n  redislock bench --output json | jq '.rows[] | select(.what == \"lock\")'",
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.DurationVar(&duration, "duration", defaultBench, "how long to measure, from 1s to 1m")
	f.BoolVarP(&yes, "yes", "y", false, "begin even if the server is busy")
	o.flags(f)
	s.flags(f)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if duration < time.Second || duration > time.Minute {
			return exitWith(exitUsage, "--duration (%v): must be from 1s to 1m", duration)
		}
		own := "bench-" + strings.ToLower(rand.Text()[:10]) + "/"
		p, l, err := begin(cmd, &s, &o)
		if err != nil {
			return err
		}
		defer l.close()
		other, err := s.connect() // to hand locks over to
		if err != nil {
			return err
		}
		defer other.close()
		if err := l.mayLoad(own, yes); err != nil {
			return err
		}
		voice{cmd.ErrOrStderr(), o.json()}.say("measuring for %v, with up to %d callers, on Redis at %s: this puts load on it", duration, crowd[len(crowd)-1], l.addr)

		ctx, cancel := context.WithCancelCause(context.Background())
		defer cancel(nil)
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		defer signal.Stop(signals)
		go func() {
			select {
			case sig := <-signals:
				cancel(exitWith(exitSignal+int(sig.(syscall.Signal)), "the measurement was ended by a signal (%v)", sig))
			case <-ctx.Done():
			}
		}()
		b := &bench{link: l, other: other, prefix: s.prefix, own: own}
		if err := b.run(ctx, duration); err != nil {
			var told *exit
			if errors.As(context.Cause(ctx), &told) {
				return told
			}
			return l.explain(err)
		}
		result := b.result(duration)
		if o.json() {
			return o.write(p, result)
		}
		return p.rows([]string{"WHAT", "CALLERS", "PER SECOND", "P50", "P99", "× PING", "× SET NX"}, benchRows(result, !p.tables))
	}
	return cmd
}

// mayLoad refuses a server that others need more.
func (l *link) mayLoad(own string, yes bool) error {
	if err := l.probe(own + "probe"); err != nil || yes {
		return err
	}
	return l.within(context.Background(), func(ctx context.Context) error {
		busiest, err := l.busiest(ctx)
		switch {
		case redis.HasErrorPrefix(err, "NOPERM"):
			return exitWith(exitHeld, "Redis at %s does not say how busy it is (%v); --yes measures all the same", l.addr, err)
		case err != nil:
			return err
		case busiest > busyServer:
			return exitWith(exitHeld, "Redis at %s executes %d commands per second for others now; --yes measures all the same", l.addr, busiest)
		}
		return nil
	})
}

// busiest is how many commands a second the server executes, on a cluster the busiest of its masters.
func (l *link) busiest(ctx context.Context) (int, error) {
	cluster, ok := l.rdb.(*redis.ClusterClient)
	if !ok {
		return commandsPerSecond(ctx, l.rdb)
	}
	rates := make(chan int, 1024)
	if err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		rate, err := commandsPerSecond(ctx, node)
		rates <- rate
		return err
	}); err != nil {
		return 0, err
	}
	close(rates)
	most := 0
	for rate := range rates {
		most = max(most, rate)
	}
	return most, nil
}

func commandsPerSecond(ctx context.Context, rdb redis.Cmdable) (int, error) {
	text, err := rdb.Info(ctx, "stats").Result()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "instantaneous_ops_per_sec:"); ok {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, errors.New("INFO stats has no instantaneous_ops_per_sec")
}

// benchJSON is the result of the measurement, for programs. What is "ping", "set_nx" (set and compare-and-delete), "lock"
// (acquire and release) or "hand_off" (from a release until the waiter of another Client has the lock).
type benchJSON struct {
	Address string         `json:"address"`
	Seconds float64        `json:"seconds"`
	Rows    []benchRowJSON `json:"rows"`
}

type benchRowJSON struct {
	What       string  `json:"what"`
	Callers    int     `json:"callers"`
	Count      int     `json:"count"`
	PerSecond  float64 `json:"per_second"`
	P50Seconds float64 `json:"p50_seconds"`
	P99Seconds float64 `json:"p99_seconds"`
	// Ratios of the medians, at the same number of callers; 0 where there is nothing to compare with.
	ToPing  float64 `json:"to_ping"`
	ToSetNX float64 `json:"to_set_nx"`
}

var benchNames = map[string]string{"ping": "PING", "set_nx": "SET NX, compare and delete", "lock": "acquire, release", "hand_off": "hand-over to a waiter"}

func benchRows(result benchJSON, precise bool) (rows [][]cell) {
	ratio := func(r float64) string {
		if r == 0 {
			return "-"
		}
		return strconv.FormatFloat(r, 'f', 2, 64)
	}
	for _, r := range result.Rows {
		style, name := plain, benchNames[r.What]
		if r.What == "lock" || r.What == "hand_off" {
			style = heading
		}
		seconds := func(s float64) string {
			return round(time.Duration(s * float64(time.Second)).Round(time.Microsecond)).String()
		}
		if precise {
			name = r.What
			seconds = func(s float64) string { return strconv.FormatFloat(s, 'f', 6, 64) }
		}
		rows = append(rows, []cell{
			{name, style},
			{strconv.Itoa(r.Callers), plain},
			{fmt.Sprintf("%.0f", r.PerSecond), plain},
			{seconds(r.P50Seconds), plain},
			{seconds(r.P99Seconds), plain},
			{ratio(r.ToPing), plain},
			{ratio(r.ToSetNX), plain},
		})
	}
	return rows
}
