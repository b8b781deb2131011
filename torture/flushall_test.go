package torture

import (
	"context"
	"testing"
	"time"
)

func TestWhatFlushallTakesAwayTheFenceProtects(t *testing.T) {
	playLoss(t, Row{
		Fault: "FLUSHALL while held",
		Promise: "Each holder learns at its next renewal that its lock is gone, at the latest when its lease ends. The waiters join the " +
			"queue again by themselves. Until then two processes may believe that they hold a lock. The resource refuses by the " +
			"fence what the former holder writes.",
		Physics: "The server has forgotten the holders.",
		Inject: func(x *Run) {
			for i := 0; x.Every(300 * time.Millisecond); i++ {
				workers := x.Workers()
				name, w := []string{"a", "b"}[i%2], workers[i%len(workers)]
				x.Hold(w, name, "exclusive")
				x.Loss("FLUSHALL", func() { x.done(x.Admin.FlushAll(context.Background()).Err()) })
				x.Eventually("the holder has learnt of it", func() bool { return !w.keeps(name) })
			}
		},
	})
}
