package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"example.com/redislock/ui/doctor"
)

const doctorHelp = `Examines the Redis of the locks. For each fault it says what is wrong, why that matters for locks, what shows more (look), and what
repairs it (fix), after what that costs (note). It changes no setting. It takes one lock under the prefix and gives it back, which leaves a key that expires.

Of a cluster every master is examined. If the user of the URL may not ask something, that is named with the permission that is
missing. Examine once as an administrator, and once as the user of the applications, to see their permissions.

  danger   in ordinary use locks are refused, get lost or have two owners
  warning  locks suffer when something else fails, or get slow
  unknown  could not be asked

`

const doctorExample = `  redislock doctor --redis redis://admin:password@redis.internal:6379
  redislock doctor --strict --replicas 1
  redislock doctor --output json | jq '.findings[] | select(.level == "danger")'`

func newDoctor() *cobra.Command {
	var (
		s        server
		o        output
		strict   bool
		replicas int
		margin   time.Duration
		m        several
	)
	cmd := &cobra.Command{
		Use:                   "doctor [flags]",
		Short:                 "Examine the Redis of the locks",
		Long:                  doctorHelp + exits(map[int]string{exitDanger: "a danger was found, or with --strict a warning"}, 0, exitDanger, exitUsage, exitUnavailable, exitDenied),
		Example:               doctorExample,
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&strict, "strict", false, "exit with 1 for warnings too")
	f.IntVar(&replicas, "replicas", 0, "how many replicas the applications wait for, as in their WithReplicas")
	f.DurationVar(&margin, "clock-margin", 10*time.Millisecond, "by how much the clocks of masters may differ, as in WithClockMargin")
	o.flags(f)
	s.flags(f)
	m.flags(f, "examine what package quorum takes locks on:")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if replicas < 0 {
			return exitWith(exitUsage, "--replicas (%d): must not be negative", replicas)
		}
		if margin < 0 {
			return exitWith(exitUsage, "--clock-margin (%v): must not be negative", margin)
		}
		many, err := m.given(f)
		if err != nil {
			return err
		}
		options := []doctor.Option{doctor.ForReplicas(replicas), doctor.ForClockMargin(margin)}
		if many {
			return doctorOfQuorum(cmd, &s, &o, &m, strict, options)
		}
		p, l, err := begin(cmd, &s, &o)
		if err != nil {
			return err
		}
		defer l.close()
		if err := l.answers(context.Background()); err != nil {
			return err
		}
		rdb, done := l.whole(context.Background())
		defer done()
		report := doctor.Examine(context.Background(), rdb, s.prefix, options...)
		if rdb == l.rdb {
			report.Address = l.addr // as messages call it, with the database
		}
		return tellReport(p, &o, report, strict)
	}
	return cmd
}

// tellReport writes a report, and exits by its worst finding.
func tellReport(p *page, o *output, report doctor.Report, strict bool) (err error) {
	if o.json() {
		err = o.write(p, report)
	} else {
		err = printReport(p, report)
	}
	if err != nil {
		return exitWith(exitUnavailable, "cannot write the report: %v", err)
	}
	if worst := report.Worst(); worst == doctor.Danger || strict && worst == doctor.Warning {
		return exitWith(exitDanger, "")
	}
	return nil
}

// answers sees whether there is anything to examine: any answer will do, but for one that this user is not let in.
func (l *link) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- l.rdb.Ping(ctx).Err() }() // a read of go-redis heeds no context
	var err error
	select {
	case err = <-answer:
	case <-ctx.Done():
		err = errSilent
	}
	var fromServer redis.Error
	if err == nil || errors.As(err, &fromServer) && !redis.HasErrorPrefix(err, "NOAUTH") && !redis.HasErrorPrefix(err, "WRONGPASS") {
		return nil
	}
	return l.explain(err)
}

// whole is a client of the whole cluster, where the server is a node of one.
func (l *link) whole(ctx context.Context) (rdb redis.UniversalClient, done func()) {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	if text, err := l.rdb.Info(ctx, "cluster").Result(); err != nil || !strings.Contains(text, "cluster_enabled:1") {
		return l.rdb, func() {}
	}
	single, ok := l.rdb.(*redis.Client)
	if !ok {
		return l.rdb, func() {}
	}
	o := single.Options()
	cluster := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: []string{o.Addr}, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig, ClientName: o.ClientName,
		Protocol: o.Protocol, DialTimeout: o.DialTimeout, ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout, DialerRetries: 1,
	})
	return cluster, func() { _ = cluster.Close() }
}

// printReport is for a person: the worst first. A check without a fault takes one line.
func printReport(w io.Writer, r doctor.Report) error {
	styles := map[doctor.Level]lipgloss.Style{doctor.Danger: bad, doctor.Warning: uneasy, doctor.Unknown: faint, doctor.OK: good}
	counts := map[doctor.Level]int{}
	var text strings.Builder
	fmt.Fprintf(&text, "Redis at %s, for locks under %s:\n\n", oneLine(r.Address), oneLine(r.Prefix))
	for _, g := range grouped(r.Findings) {
		counts[g.Level] += len(g.names)
		level := styles[g.Level].Render(fmt.Sprintf("%-7s", g.Level))
		fmt.Fprintf(&text, "%s  %s: %s\n", level, oneLine(strings.Join(g.names, ", ")), oneLine(g.Found))
		if len(g.nodes) > 0 && g.Level != doctor.OK {
			fmt.Fprintf(&text, "         at   %s\n", oneLine(strings.Join(g.nodes, ", ")))
		}
		if g.Why != "" {
			fmt.Fprintf(&text, "         why  %s\n", oneLine(g.Why))
		}
		if g.Look != "" {
			fmt.Fprintf(&text, "         look first, this changes nothing: see what fills it\n              %s\n", oneLine(g.Look))
		}
		if g.Fix != "" {
			fmt.Fprintf(&text, "         fix  %s\n", oneLine(g.Fix))
		}
		if g.Cost != "" {
			fmt.Fprintf(&text, "         note %s\n", oneLine(g.Cost))
		}
		if g.Command != "" {
			fmt.Fprintf(&text, "              %s\n", oneLine(g.Command))
		}
	}
	fmt.Fprintf(&text, "\n%d danger, %d warning, %d unknown, %d ok\n", counts[doctor.Danger], counts[doctor.Warning], counts[doctor.Unknown], counts[doctor.OK])
	_, err := io.WriteString(w, text.String())
	return err
}

// group is one finding of several nodes, or several checks that could not be asked for the same reason.
type group struct {
	doctor.Finding
	names, nodes []string
}

func grouped(findings []doctor.Finding) (groups []*group) {
	for _, f := range findings {
		at := slices.IndexFunc(groups, func(g *group) bool {
			return g.Level == f.Level && g.Found == f.Found && g.Why == f.Why && g.Fix == f.Fix && (g.Check == f.Check || f.Level == doctor.Unknown)
		})
		if at < 0 {
			at = len(groups)
			groups = append(groups, &group{Finding: f})
		}
		g := groups[at]
		if !slices.Contains(g.names, f.Check) {
			g.names = append(g.names, f.Check)
		}
		if f.Node != "" && !slices.Contains(g.nodes, f.Node) {
			g.nodes = append(g.nodes, f.Node)
		}
	}
	return groups
}
