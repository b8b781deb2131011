package gocronlock_test

import (
	"context"
	"testing"
	"testing/synctest"

	"example.com/redislock/redislocktest"
)

// A leader that leads for months keeps nothing of runs that are over. The context of a run ends with the run, and not only
// with the leadership or with gocron's context, which lives as long as the job is scheduled.
func TestAStableLeaderKeepsNothingOfItsRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newElector(t, redislocktest.New(t).Client)
		synctest.Wait()
		job, end := context.WithCancel(t.Context())
		defer end()
		var last context.Context
		run := e.Task(func(ctx context.Context) error { last = ctx; return ctx.Err() })
		for range 3 {
			if err := run(job); err != nil {
				t.Fatal(err)
			}
			if last.Err() == nil {
				t.Fatal("the context of a run lives on")
			}
		}
	})
}
