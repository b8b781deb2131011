package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"example.com/redislock"
)

// patience is how long a person at a terminal sees nothing before being told what the wait is for.
const patience = time.Second

// acquire waits for the lock. A signal ends the wait, and then nothing is held.
func (r *runner) acquire(l *link, signals <-chan os.Signal) (*redislock.Lock, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	type result struct {
		lock *redislock.Lock
		err  error
	}
	acquired := make(chan result, 1)
	asked := time.Now()
	go func() {
		var got result
		if got.err = l.reach(ctx, r.name); got.err == nil {
			got.lock, got.err = l.client.Acquire(ctx, r.name)
		}
		acquired <- got
	}()
	if isTerminal(r.stderr) {
		explanation := time.AfterFunc(patience, func() { r.explainWait(ctx, l) })
		defer explanation.Stop()
	}
	select {
	case got := <-acquired:
		switch {
		case got.err == nil:
			return got.lock, nil
		case errors.Is(got.err, redislock.ErrHeld):
			return nil, r.held(got.err, time.Since(asked))
		default:
			return nil, l.explain(got.err)
		}
	case sig := <-signals:
		cancel()
		if got := <-acquired; got.lock != nil { // it was granted at that very moment
			_ = got.lock.Release(context.Background()) // or it lapses by its lease
		}
		return nil, exitWith(exitSignal+int(sig.(syscall.Signal)), "the wait for %q was ended by a signal (%v); the command was not run", r.name, sig)
	}
}

// explainWait says what the wait is for. Where that cannot be learned the wait will say so itself.
func (r *runner) explainWait(ctx context.Context, l *link) {
	info, err := l.client.Inspect(ctx, r.name)
	if err != nil || ctx.Err() != nil || len(info.Holds) == 0 {
		return
	}
	hold := info.Holds[0]
	say(r.stderr, "waiting for %q, held %s; Ctrl-C ends the wait", r.name, whoHolds(hold.Since, hold.Owner))
}

func whoHolds(since time.Time, owner redislock.Owner) string {
	return fmt.Sprintf("since %s by %s", since.Local().Format(time.RFC3339), owner)
}

// held says who has the lock, since when, and how to wait for it.
func (r *runner) held(err error, waited time.Duration) error {
	who := "by another"
	var held *redislock.HeldError
	if errors.As(err, &held) && !held.Since.IsZero() {
		who = whoHolds(held.Since, held.Holder)
	}
	if r.noWait || r.wait == 0 {
		return exitWith(exitHeld, "%q is held %s; --wait DURATION waits for it", r.name, who)
	}
	return exitWith(exitHeld, "%q is still held after %v, %s; a longer --wait waits longer, none waits for ever", r.name, waited.Round(time.Millisecond), who)
}
