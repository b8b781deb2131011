// Command bench measures redislock beside its peers, and all of them beside the cheapest commands that could do
// the work, in one run on one machine. It starts the Redis servers that it needs.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"testing"
	"time"

	"example.com/redislock/bench/internal/measure"
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
	scale float64 // of all durations: below 1 for a quick look
}

// section is a part of a run.
type section struct {
	id  string
	run func(*bench)
}

var sections = []section{
	{"pair", (*bench).pair},
}

// results is what the file of a run has.
type results struct {
	When time.Time
	Took time.Duration
	Log  measure.Log
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("only", "", "run the sections whose names match this `expression`")
	scale := flags.Float64("scale", 1, "make everything take this times as long")
	out := flags.String("out", "", "write what was measured to this `file`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	wanted, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	r := results{When: time.Now()}
	err = servertest.Program(func(t testing.TB) {
		b := &bench{TB: t, ctx: ctx, log: &r.Log, scale: *scale}
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
	if err == nil && *out != "" {
		text, e := json.MarshalIndent(r, "", " ")
		if e != nil {
			return e
		}
		err = os.WriteFile(*out, text, 0o644)
	}
	return err
}

// print shows the medians of a section as they are, for who watches.
func (b *bench) print(id string) {
	for _, s := range b.log.Subjects(id) {
		for _, q := range b.log.Quantities(id) {
			for _, x := range b.log.Xs(id, q) {
				if m := b.log.Median(measure.Key{Section: id, Subject: s, Quantity: q, X: x}); m == m {
					fmt.Printf("%-10s %-28s %-32s %8.0f %14.3f\n", id, s, q, x, m)
				}
			}
		}
	}
}

// must ends the run for an error, unless the user ended it.
func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// lasts is a duration of the run, scaled.
func (b *bench) lasts(d time.Duration) time.Duration { return time.Duration(float64(d) * b.scale) }
