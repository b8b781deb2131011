// Command payment shows what a fence is for. Two tellers, processes of their own, pay from one account, each under the
// account's lock. The first is stopped after it has read the balance and looked at its lock, and before it writes; its
// lease runs out, the second takes over and pays; the first goes on and writes. Without a fence it writes over the
// second's payment. With one, PostgreSQL refuses it.
//
//	go run .
//
// It starts a redis-server and a PostgreSQL of its own, where it finds them installed, and ends them again; or it uses
// those of REDISLOCK_URL and DATABASE_URL, and leaves nothing there. The exit status is 1 if anything went otherwise
// than described. It is for Unix, where a process can be stopped and continued.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// showTime bounds the whole show: what has not happened by then does not happen.
const showTime = 30 * time.Second

func main() {
	runtime.LockOSThread() // what is started here is to end with this thread (dieWithParent), so it stays
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := show
	if len(os.Args) > 1 && os.Args[1] == tellerCommand {
		run = func(ctx context.Context, out io.Writer) error { return runTeller(ctx, os.Args[2:], os.Stdin, out) }
	}
	if err := run(ctx, os.Stdout); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		fmt.Fprintln(os.Stderr, "payment:", err)
		os.Exit(1)
	}
}
