// Command bench measures redislock beside its peers, and all of them beside the cheapest commands that could do
// the work, in one run on one machine. It starts the Redis servers that it needs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"testing"
	"time"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/report"
	"example.com/redislock/internal/servertest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	testing.TB
	ctx   context.Context
	log   *measure.Log
	scale float64 // a factor for all durations: below 1 for a quick look
}

// section is a part of a run.
type section struct {
	id  string
	run func(*bench)
}

var sections = []section{
	{"pair", (*bench).pair},
	{"callers", (*bench).callers},
	{"server", (*bench).server},
	{"worst", (*bench).worst},
	{"wake", (*bench).wake},
	{"handoff", (*bench).handoff},
	{"crowd", (*bench).crowd},
	{"readers", (*bench).readers},
	{"recovery", (*bench).recovery},
	{"waiting", (*bench).waiting},
	{"holding", (*bench).holding},
	{"first", (*bench).first},
	{"batch", (*bench).batch},
	{"cluster", (*bench).cluster},
	{"servers", (*bench).servers},
	{"quorum", (*bench).quorum},
	{"turns", (*bench).turns},
	{"footprint", (*bench).footprint},
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == partArgument {
		return runPart(ctx, args[1:])
	}
	if len(args) > 0 && roles[args[0]] != nil {
		return roles[args[0]](ctx, args[1:], os.Stdin, os.Stdout)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("only", "", "run the sections whose names match this `expression`")
	scale := flags.Float64("scale", 1, "make everything take this times as long")
	out := flags.String("out", "", "write what was measured to this `file`")
	docs := flags.String("docs", "", "write performance.md with its appendix, and scale.md, into this `folder`: only after a whole run")
	from := flags.String("from", "", "measure nothing: take what was measured from this `file`")
	against := flags.String("against", "", "say which rows are worse than in the run of this `file`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *from != "" {
		return rewriteDocs(*from, *docs, *against)
	}
	wanted, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	r := &report.Run{When: time.Now(), Only: *only, Scale: *scale}
	if *docs != "" && (*only != "" || *scale < 1) {
		return fmt.Errorf("-docs: %w", report.ErrPartial) // checked before ten minutes are spent on the run
	}
	err = servertest.Program(func(t testing.TB) {
		b := &bench{TB: t, ctx: ctx, log: &r.Log, scale: *scale}
		r.Facts = b.facts(t)
		for _, s := range sections {
			if !wanted.MatchString(s.id) || t.Failed() || ctx.Err() != nil {
				continue
			}
			begun := time.Now()
			s.run(b)
			b.print(s.id)
			fmt.Printf("(%s took %v)\n\n", s.id, time.Since(begun).Round(time.Millisecond))
		}
	})
	if err == nil {
		err = ctx.Err()
	}
	r.Took = time.Since(r.When)
	if err != nil {
		return err
	}
	return finishRun(r, *out, *docs, *against)
}

// print shows the medians of a section and the sum of the failures, for the person who watches.
func (b *bench) print(id string) {
	for _, s := range b.log.Subjects(id) {
		for _, q := range b.log.Quantities(id) {
			for _, x := range b.log.Xs(id, q) {
				k := measure.Key{Section: id, Subject: s, Quantity: q, X: x}
				m := b.log.Median(k)
				if q == failed && m == m {
					m = 0
					for _, v := range b.log.Values(k) {
						m += v
					}
				}
				if m == m {
					fmt.Printf("%-10s %-28s %-32s %8.0f %14.3f\n", id, s, q, x, m)
				}
			}
		}
	}
}

// must ends the run with an error, unless the user ended the run.
func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// lasts is a duration of the run, scaled.
func (b *bench) lasts(d time.Duration) time.Duration { return time.Duration(float64(d) * b.scale) }
