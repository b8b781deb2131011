// Command payment shows what a fence is for. Two processes, the tellers, pay from one account, each under the
// account's lock. The first teller is stopped after it has read the balance and looked at its lock, and before it
// writes. Its lease runs out, and the second teller gets the lock and pays. Then the first teller goes on and writes.
// Without a fence it overwrites the payment of the second. With a fence, PostgreSQL refuses the write.
//
//	go run .
//
// It starts a redis-server and a PostgreSQL of its own, which must be installed, and ends them again. With
// REDISLOCK_URL and DATABASE_URL it uses those servers, and leaves nothing there. The exit status is 1 if anything
// happened that is not described here. It needs Unix, where a process can be stopped and continued.
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

// showTime is the time limit for the whole program.
const showTime = 30 * time.Second

func main() {
	runtime.LockOSThread() // the processes that are started here end with this thread (dieWithParent), so it must stay
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
