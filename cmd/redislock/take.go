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

// plain takes the lock of that name, in the order of arrival.
func (r *runner) plain(l *link, a *attempt) error {
	if err := l.reach(a.ctx, r.name); err != nil {
		return err
	}
	lock, err := l.client.Acquire(a.ctx, r.name)
	if err != nil {
		return err
	}
	began := time.Now()
	err = a.body(lock.Context())
	if loss := r.release(lock, a, began); loss != nil {
		return loss
	}
	return err
}

// release gives the lock back after the command has ended, or leaves it to end by itself when --at-least is over. The
// error is nil unless the lock had been lost.
func (r *runner) release(lock *redislock.Lock, a *attempt, began time.Time) error {
	after, lapses := time.Duration(0), r.lease
	if a.started && r.atLeast > 0 {
		after = max(r.atLeast-time.Since(began), 0)
		lapses = max(lapses, after)
	}
	err := lock.ReleaseAfter(context.Background(), after)
	if err != nil && !errors.Is(err, redislock.ErrNotHeld) {
		r.voice.tell(message{Name: r.name}, "%q could not be given back: %v; it lapses by itself within %v", r.name, withoutOperation(err), lapses)
		return nil
	}
	return err
}

// interrupted is the end by a signal that came while there was no command yet to get it.
func interrupted(name string, sig os.Signal) error {
	return exitWith(exitSignal+int(sig.(syscall.Signal)), "the wait for %q was ended by a signal (%v); the command was not run", name, sig)
}

// explainWait says what the wait is for. Where that cannot be learned the wait will say so itself.
func (r *runner) explainWait(ctx context.Context, l *link, lock string) {
	info, err := l.client.Inspect(ctx, lock)
	if err != nil || ctx.Err() != nil || len(info.Holds) == 0 {
		return
	}
	hold := info.Holds[0]
	r.voice.tell(message{Name: r.name}, "waiting for %q, held %s; Ctrl-C ends the wait", r.name, whoHolds(hold.Since, hold.Owner))
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
