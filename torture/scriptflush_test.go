package torture

import (
	"context"
	"testing"
	"time"
)

func TestScriptsThatTheServerForgetsAreSentAgain(t *testing.T) {
	flushed := 0
	var took time.Duration
	played(t, Row{
		Fault: "SCRIPT FLUSH at 1 kHz",
		Promise: "If the server does not know a script any more, the same call sends its text, and nothing else changes. No lock " +
			"depends on the server's script cache.",
		Inject: func(x *Run) {
			ctx := context.Background()
			begun := time.Now()
			for x.Every(10 * time.Millisecond) {
				x.Fault("scripts were flushed")
				all := x.Admin.Pipeline()
				for due := int(time.Since(begun).Milliseconds()); flushed < due; flushed++ {
					all.ScriptFlush(ctx)
				}
				_, err := all.Exec(ctx)
				x.done(err)
			}
			took = time.Since(begun)
		},
	})
	t.Logf("%d times in %v", flushed, took)
}
