package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"example.com/redislock"
	"example.com/redislock/fence"
)

const (
	defaultGrace = 10 * time.Second
	// killTime is how long redislock waits for processes that it has killed: a process that is stuck in a system call, or that is
	// not reaped, exists for longer.
	killTime = time.Second
)

// What the command finds in its environment.
const (
	envName  = "REDISLOCK_NAME"
	envFence = "REDISLOCK_FENCE"
	envTick  = "REDISLOCK_TICK"
)

// command is run under a lock, once or several times.
type command struct {
	name     string // of the lock, as the command line has it
	metadata string // what others see of it; empty for the name of the program
	argv     []string
	path     string
	grace    time.Duration
	limit    time.Duration // after which a tick's context ends
	terminal *terminal
	stubborn bool // signals that are no request to stop do not end a wait
	onAsk    askSignal
	output   output
	voice    voice // what we say ourselves

	stdin          io.Reader
	stdout, stderr io.Writer
}

func (c *command) flags(f *pflag.FlagSet) {
	f.StringVar(&c.metadata, "metadata", "", "`TEXT` that others see while COMMAND has the lock, and in cron-status for 400 days\n(default the name of the program; the arguments are never shown)")
	f.DurationVar(&c.grace, "grace", defaultGrace, "how long COMMAND may take to end after the lock was lost; and after COMMAND was told to stop and has ended, how long the processes that it has started may take")
	f.Var(&c.onAsk, "on-ask", "send COMMAND this `SIGNAL` when somebody asks for the lock by redislock ask: INT, TERM, HUP, QUIT, USR1 or USR2\n(default none: redislock only says so)")
	f.StringVarP(&c.output.format, "output", "o", "text", "the format of redislock's own messages on standard error: text or json")
}

// find looks for the command, before a lock is disturbed for nothing.
func (c *command) find(name string, argv []string) error {
	if err := c.output.check(); err != nil {
		return err
	}
	if c.grace < 0 {
		return exitWith(exitUsage, "--grace (%v): must not be negative", c.grace)
	}
	path, err := findCommand(argv[0])
	c.name, c.argv, c.path, c.terminal = name, argv, path, openTerminal()
	return err
}

// named refuses arguments that are not NAME -- COMMAND [ARG...].
func named(cmd *cobra.Command, args []string) error {
	if cmd.ArgsLenAtDash() != 1 || len(args) < 2 {
		return fmt.Errorf("%s needs a NAME, then -- and the COMMAND", cmd.Name())
	}
	return nil
}

// attempt is one way of the command from the wait for its lock to its end. It gets the signals: one that comes while
// it waits ends the wait, and those that come while the command runs are passed on.
type attempt struct {
	*command
	tick    time.Time // that it runs for; zero if there is none
	signals <-chan os.Signal
	ctx     context.Context // bounds the wait
	cancel  context.CancelFunc
	settled chan struct{} // closed to say that the wait is over
	deaf    chan struct{} // closed when nobody listens for the end of the wait any more
	telling sync.Mutex    // held while something is said about the wait: settled is closed under it

	// Known when the wait is over.
	interrupt os.Signal // ended the wait

	// Known when body has returned.
	failed  error // why it could not be started
	started bool
	took    time.Duration
	status  int
	how     string // it ended, in words
	loss    error  // why it was ended before its time
}

// attempt begins to wait: the caller calls end when all is over.
func (c *command) attempt(signals <-chan os.Signal, tick time.Time) *attempt {
	a := &attempt{command: c, tick: tick, signals: signals, settled: make(chan struct{}), deaf: make(chan struct{})}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(a.deaf)
		for {
			select {
			case sig := <-signals:
				if c.stubborn && !stops(sig) {
					continue
				}
				a.interrupt = sig
				a.cancel()
				return
			case <-a.settled:
				return
			}
		}
	}()
	return a
}

// settle is the end of the wait. It reports whether nothing has interrupted it.
func (a *attempt) settle() bool {
	a.telling.Lock()
	select {
	case <-a.settled:
	default:
		close(a.settled)
	}
	a.telling.Unlock()
	<-a.deaf
	return a.interrupt == nil
}

// whileWaiting calls say if the wait is not over, and keeps it from being over until say has returned.
func (a *attempt) whileWaiting(say func()) {
	a.telling.Lock()
	defer a.telling.Unlock()
	select {
	case <-a.settled:
	default:
		say()
	}
}

// end is the end of the attempt, whether its body was run or not.
func (a *attempt) end() {
	a.settle()
	a.cancel()
}

// body runs the command under the lock whose context ctx is, and returns when it has ended, with an error unless it ended by
// itself and well. It does so however the lock was acquired.
func (a *attempt) body(ctx context.Context) error {
	if !a.settle() {
		return fmt.Errorf("interrupted by a signal (%v)", a.interrupt)
	}
	began := time.Now()
	c, err := a.start(a.environment(ctx))
	if err != nil {
		a.failed = err
		return err
	}
	a.started = true
	told := a.watch(ctx, c, requests(ctx))
	c.release()
	a.took, a.status, a.how = time.Since(began), c.status(), c.words()
	switch {
	case a.loss != nil:
		return fmt.Errorf("%w (%s)", a.loss, a.how)
	case a.status == 0:
		return nil
	case told:
		a.cancel() // so that who stands by for the tick knows that this node was stopped, and the command did not fail
	}
	return errors.New(a.how)
}

// watch passes signals on until the command has ended, and ends it when ctx does: politely, and after the grace by
// force. It reports whether the command was told to stop by a signal that was passed on.
//
// A command that ends by itself may leave something running, as a shell that starts a service does. Of one that did not,
// because its lock was lost, it was told to stop, or a signal killed it, all that is left in its group is waited for: it
// may still be writing, and the lock must not be another's by then.
func (a *attempt) watch(ctx context.Context, c *child, asked <-chan redislock.Request) (told bool) {
	var (
		loss  = ctx.Done()
		ended = c.ended
		over  <-chan time.Time // the grace
		look  <-chan time.Time // time to see whether the group is empty
		stuck <-chan time.Time // what was killed is not gone after so long: it never may be
	)
	for {
		select {
		case sig := <-a.signals:
			told = told || stops(sig)
			c.pass(sig.(syscall.Signal))
		case request, open := <-asked:
			if !open {
				asked = nil
				continue
			}
			told = a.heed(c, request) || told
		case <-loss:
			loss, a.loss = nil, a.whyEnded(ctx)
			if ended == nil { // the rest of the group has its grace already
				continue
			}
			a.voice.tell(message{Name: a.name}, "%q: %v; the command is ended, %s", a.name, a.loss, ending(a.grace))
			c.terminate()
			over = time.After(a.grace)
		case <-over:
			if over = nil; ended == nil {
				a.voice.tell(message{Name: a.name}, "%q: the command has ended, but not all that it has started: that gets SIGKILL now", a.name)
			}
			c.kill()
			stuck = time.After(killTime)
		case <-ended:
			byItself := a.loss == nil && !told && !c.killed()
			if byItself || !c.groupAlive() {
				return told
			}
			ended, look = nil, time.Tick(20*time.Millisecond)
			if a.loss == nil {
				over = time.After(a.grace)
			}
			if a.loss == nil && !told {
				a.voice.tell(message{Name: a.name}, "%q: the command was killed, but not all that it has started: that gets SIGTERM now, and SIGKILL in %v", a.name, a.grace)
				c.terminate()
			}
		case <-look:
			if !c.groupAlive() {
				return told
			}
		case <-stuck:
			if stuck = nil; ended == nil {
				return told
			}
		}
	}
}

// whyEnded is why a body's context has ended: its lock is lost, or its time is over.
func (a *attempt) whyEnded(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return fmt.Errorf("--at-most (%v) is over", a.limit)
}

// environment is this process's, with what the command may want to know about its lock.
func (a *attempt) environment(ctx context.Context) []string {
	env := append(os.Environ(), envName+"="+a.name)
	if number, ok := fence.FromContext(ctx); ok {
		env = append(env, fmt.Sprintf("%s=%d", envFence, number))
	}
	if !a.tick.IsZero() {
		env = append(env, envTick+"="+a.tick.UTC().Format(time.RFC3339Nano))
	}
	return env
}

// shownAs is the text that others see while the command has the lock, and as long as its last run is remembered. Arguments may be
// secrets, so it is the name of the program unless --metadata says more.
func (c *command) shownAs() string {
	return cmp.Or(c.metadata, filepath.Base(c.argv[0]))
}
