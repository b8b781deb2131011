package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	// completeTime is how long a person who has pressed the tab key waits at most, and maxCompleted how many names are
	// offered.
	completeTime = time.Second
	maxCompleted = 200
)

// completeFlags has the shell offer the values of flags, and the names of locks and jobs that Redis knows.
func completeFlags(root *cobra.Command) {
	for _, cmd := range append(root.Commands(), root) {
		for flag, values := range map[string][]string{
			"output": {"text", "json"}, "sort": {"name", "since", "waiting"}, "overlap": overlapNames, "on-ask": append(askSignals(), "none"),
			colorFlag: {"auto", "always", "never"},
		} {
			if cmd.Flags().Lookup(flag) != nil || cmd.PersistentFlags().Lookup(flag) != nil {
				_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
			}
		}
		switch cmd.Name() {
		case "ls", "top", "show", "watch", "break", "ask", "wait", "limit":
			cmd.ValidArgsFunction = completeWith((*link).lockNames)
		case "cron-status":
			cmd.ValidArgsFunction = completeWith((*link).jobNames)
		case "man", "run", "cron", "acquire", "release":
		default:
			if cmd != root {
				cmd.ValidArgsFunction = cobra.NoFileCompletions
			}
		}
	}
}

// completeWith offers names for the first argument, from the Redis that the flags so far and the environment mean. If Redis does
// not answer in time, it offers the names that it knows by then.
func completeWith(names func(*link, context.Context, string, func(string) bool)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) (found []string, _ cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		s := serverOf(cmd)
		l, err := s.connect()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), completeTime)
		defer cancel()
		defer func() {
			cancel()
			_ = l.client.Close(ctx) // nothing of it is in use
			_ = l.rdb.Close()
		}()
		names(l, ctx, begun, func(name string) bool {
			// Shells insert an offered name as it is: a name that must be quoted could be run as a command.
			if strings.HasPrefix(name, begun) && typed(name) == name {
				found = append(found, name)
			}
			return len(found) < maxCompleted
		})
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// serverOf reads the flags of a command that is not run.
func serverOf(cmd *cobra.Command) (s server) {
	f := cmd.Flags()
	s.set = f
	s.context, _ = f.GetString("context")
	s.url, _ = f.GetString("redis")
	s.prefix, _ = f.GetString("prefix")
	s.cluster, _ = f.GetBool("cluster")
	s.master, _ = f.GetString("sentinel-master")
	s.ca, _ = f.GetString("tls-ca")
	s.cert, _ = f.GetString("tls-cert")
	s.key, _ = f.GetString("tls-key")
	return s
}

func (l *link) lockNames(ctx context.Context, begun string, offer func(string) bool) {
	for info, err := range l.client.List(ctx, literally(begun)+"*") {
		if err != nil && info.Name == "" || !offer(info.Name) {
			return
		}
	}
}

func (l *link) jobNames(ctx context.Context, _ string, offer func(string) bool) {
	for status, err := range l.client.CronJobs(ctx) {
		if err != nil && status.Job == "" || !offer(status.Job) {
			return
		}
	}
}

// literally is a pattern that means the text itself.
func literally(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`).Replace(text)
}
