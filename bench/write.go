package main

import (
	"cmp"
	"fmt"
	"testing"

	"example.com/redislock/bench/internal/report"
	"example.com/redislock/internal/servertest"
)

// facts are the facts of this run. It starts a server to ask for its own.
func (b *bench) facts(t testing.TB) report.Facts {
	t.Helper()
	f, err := report.Gather(b.ctx, servertest.Start(t).Admin())
	b.must(err)
	return f
}

// finishRun saves a run in a file, prints the budgets of what was measured and the rows that are worse than in an earlier run, and
// writes the documents into a folder. A step whose path is empty is left out.
func finishRun(r *report.Run, out, docs, against string) error {
	if out != "" {
		if err := r.Save(out); err != nil {
			return err
		}
	}
	fmt.Print(r.BudgetText())
	if against != "" {
		before, err := report.Read(against)
		if err != nil {
			return err
		}
		fmt.Printf("\nWorse than before by more than 5 %%, as ratios:\n%s", cmp.Or(r.Against(before), "nothing\n"))
	}
	if docs == "" {
		return nil
	}
	return r.Write(docs)
}

// rewriteDocs makes the documents again from the file of a run.
func rewriteDocs(from, docs, against string) error {
	r, err := report.Read(from)
	if err != nil {
		return err
	}
	return finishRun(r, "", docs, against)
}
