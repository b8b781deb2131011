package torture

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
)

// The methods that an injector uses.

// Injecting reports whether there is still time for faults.
func (x *Run) Injecting() bool { return time.Now().Before(x.until) && !x.Failed() }

// Every waits for d, and reports whether there is time for another fault: for x.Every(d) { … }
func (x *Run) Every(d time.Duration) bool {
	if time.Now().Add(d).After(x.until) {
		return false
	}
	time.Sleep(d)
	return x.Injecting()
}

// Fault records a fault, and is called just before it. The names are those of the locks whose recovery is to be
// measured; without any it is all of them.
func (x *Run) Fault(what string, names ...string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(names) == 0 {
		names = x.names()
	}
	x.faults = append(x.faults, Mark{What: what, At: now(), Names: names})
}

// Loss records and makes a fault by which the server loses data. Only a row with Physics may call it.
func (x *Run) Loss(what string, do func(), names ...string) {
	x.Helper()
	if x.Physics == "" {
		x.Fatal("a loss in a row without Physics")
	}
	x.Fault(what, names...)
	from := now()
	do()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.losses = append(x.losses, Mark{What: what, At: from, To: now(), Names: x.faults[len(x.faults)-1].Names})
}

func (x *Run) names() []string {
	var names []string
	for _, n := range x.Load.Names {
		names = append(names, n.Name)
	}
	return names
}

// Key is the key of a lock in Redis.
func (x *Run) Key(name string) string { return prefix + ":{" + name + "}" }

// Workers are the workers that were not killed.
func (x *Run) Workers() []*Worker {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(x.workers), func(w *Worker) bool { return !w.alive() })
}

// holder is a worker that has said that it holds a lock, nil if none has.
func (x *Run) holder(name string) *Worker {
	for _, w := range x.Workers() {
		if !w.stopped() && w.Holds(name) {
			return w
		}
	}
	return nil
}

// Holder waits until a worker has logged that it holds a lock. The worker may give it back at any moment, or may have
// done so already. If that matters, use Hold and Granted.
func (x *Run) Holder(name string) (w *Worker) {
	x.Helper()
	x.Eventually(name+" is held", func() bool { w = x.holder(name); return w != nil })
	return w
}

// Granted waits until a worker other than this one is granted a lock after the given time.
func (x *Run) Granted(name string, after time.Time, than *Worker) (w *Worker) {
	x.Helper()
	x.Eventually(name+" is granted", func() bool {
		for _, w = range x.Workers() {
			if w != than && w.grantedAfter(name, after.UnixMicro()) {
				return true
			}
		}
		return false
	})
	return w
}

// Hold makes a worker take a lock and keep it until Drop, or until it is lost. It waits until the worker has it. The mode is
// one of exclusive, read, write, semaphore. Always call Drop, even if the lock should have been lost; otherwise the whole
// load waits for it in the end.
func (x *Run) Hold(w *Worker, name, mode string) {
	x.Helper()
	w.tell(Command{Do: "hold", Name: name, Mode: mode})
	x.Eventually(fmt.Sprintf("worker %d holds %s", w.Index, name), func() bool { return w.keeps(name) })
}

// Drop makes the worker give the lock back.
func (x *Run) Drop(w *Worker, name string) { w.tell(Command{Do: "drop", Name: name}) }

// Kill ends a worker at once (SIGKILL), and returns when it is gone.
func (x *Run) Kill(w *Worker) { w.kill() }

// Replace starts a worker in the place of one that was killed; it is ready when Replace returns.
func (x *Run) Replace() *Worker {
	x.Helper()
	w := x.start()
	x.Eventually("the new worker is ready", func() bool { return w.said(Ready) })
	return w
}

// Pause stops a worker (SIGSTOP): time goes on without it.
func (x *Run) Pause(w *Worker) { w.pause() }

// Resume lets it go on (SIGCONT).
func (x *Run) Resume(w *Worker) { w.resume() }

// Storm makes a worker wait for an exclusive lock n times at once. Cancel makes all of these waits give up, each at a
// random moment of the next 20 ms.
func (x *Run) Storm(w *Worker, name string, n int) { w.tell(Command{Do: "storm", Name: name, N: n}) }

// Cancel ends the waits of [Run.Storm] in a worker.
func (x *Run) Cancel(w *Worker) { w.tell(Command{Do: "cancel"}) }

// Client is the harness's own Client, on a connection without faults.
func (x *Run) Client() *redislock.Client {
	x.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.client == nil {
		x.client = x.open(x.Admin)
	}
	return x.client
}

func (x *Run) open(rdb redis.UniversalClient) *redislock.Client {
	x.Helper()
	c, err := redislock.New(rdb, redislock.WithPrefix(prefix))
	if err != nil {
		x.Fatal(err)
	}
	x.Cleanup(func() { // in case that the test was ended before
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.Close(ctx)
	})
	return c
}

// Inspect is the state of a lock.
func (x *Run) Inspect(name string) redislock.Info {
	x.Helper()
	info, err := x.Client().Inspect(context.Background(), name)
	if err != nil {
		x.Fatal(err)
	}
	return info
}

// Eventually waits for a condition, for at most the Bound of the row, and otherwise ends the test.
func (x *Run) Eventually(what string, is func() bool) {
	x.Helper()
	limit := max(patience, x.Bound+recovery)
	for until := time.Now().Add(limit); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(until) {
			x.describe()
			x.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// describe logs the holders and waiters of the locks, as the server and the workers see them.
func (x *Run) describe() {
	x.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, name := range x.names() {
		for _, c := range x.clients() {
			info, err := c.Inspect(ctx, name)
			x.Logf("%s: %+v, %v", name, info, err)
		}
	}
	for _, w := range x.Workers() {
		w.mu.Lock()
		x.Logf("worker %d: %d waiting, %d held, stopped %v", w.Index, len(w.open), len(w.holds), w.paused)
		for _, e := range w.open {
			x.Logf("worker %d: waits: %+v", w.Index, *e)
		}
		w.mu.Unlock()
	}
}
