package gocronlock_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"

	"example.com/redislock/redislocktest"
)

// A leader that leads for months keeps nothing of the runs that are over, whose context, gocron's, ends with the job.
func TestAStableLeaderKeepsNothingOfItsRuns(t *testing.T) {
	const runs = 2000
	synctest.Test(t, func(t *testing.T) {
		e := newElector(t, redislocktest.New(t).Client)
		synctest.Wait()
		job, end := context.WithCancel(t.Context()) // as gocron has it: it lives as long as the job is scheduled
		defer end()
		var last context.Context
		run := e.Task(func(ctx context.Context) error { last = ctx; return ctx.Err() })
		kept := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := kept()
		for range runs {
			if err := run(job); err != nil {
				t.Fatal(err)
			}
			if last.Err() == nil {
				t.Fatal("the context of a run lives on")
			}
		}
		synctest.Wait()
		if now := kept(); now > before+200*runs {
			t.Errorf("%d bytes a run are kept", (now-before)/runs)
		}
	})
}
