package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
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

// explainWait says what the wait is for, if it is not over by then. Where that cannot be learned the wait will say so itself.
func (r *runner) explainWait(a *attempt, l *link) {
	info, err := l.client.Inspect(a.ctx, r.lock())
	if err != nil || len(info.Holds) == 0 {
		return
	}
	hold := info.Holds[0]
	if host, _ := os.Hostname(); hold.Owner.PID == os.Getpid() && hold.Owner.Host == host {
		return // it was granted to us, and we have not heard of it yet
	}
	a.whileWaiting(func() {
		switch {
		case insideOf(r.name) && ownHold(hold):
			r.voice.tell(message{Name: r.name}, "waiting for %q, held %s, %s", r.name, heldAround, notTwice)
		case isTerminal(r.stderr):
			r.voice.tell(message{Name: r.name}, "waiting for %q, held %s; Ctrl-C ends the wait", r.name, whoHolds(hold.Since, hold.Owner))
		}
	})
}

func whoHolds(since time.Time, owner redislock.Owner) string {
	return fmt.Sprintf("since %s by %s", since.Local().Format(time.RFC3339), readableOwner(owner))
}

// held says who has the lock, since when, and how to wait for it.
func (r *runner) held(l *link, err error, waited time.Duration) error {
	who := "by another"
	var held *redislock.HeldError
	if errors.As(err, &held) && !held.Since.IsZero() {
		who = whoHolds(held.Since, held.Holder)
	}
	switch {
	case r.heldAround(l):
		return exitWith(exitHeld, "%q is held %s, %s", r.name, heldAround, notTwice)
	case r.noWait || r.wait == 0:
		return exitWith(exitHeld, "%q is held %s; --wait DURATION waits for it", r.name, who)
	}
	return exitWith(exitHeld, "%q is still held after %v, %s; a longer --wait waits longer, and without --wait there is no limit", r.name, waited.Round(time.Millisecond), who)
}

const (
	heldAround = "by the redislock run or cron that runs this one"
	notTwice   = "which would wait for itself: run COMMAND without redislock there, or under another name"
)

// heldAround reports whether the lock is that of a redislock which runs this one.
func (r *runner) heldAround(l *link) bool {
	if !insideOf(r.name) {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), statusTime)
	defer cancel()
	info, err := l.client.Inspect(ctx, r.lock())
	return err == nil && slices.ContainsFunc(info.Holds, ownHold)
}

// insideOf reports whether this program is run by another one that has the lock of that name, as far as the environment says.
func insideOf(name string) bool { return os.Getenv(envName) == name }

// ownHold reports whether a hold is that under which this program runs, as far as the environment says.
func ownHold(h redislock.Hold) bool { return os.Getenv(envFence) == strconv.FormatInt(h.Fence, 10) }
