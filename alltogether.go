package redislock

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
)

const (
	// fewNames are taken and given back one after the other; of more, several at a time.
	fewNames = 8
	// maxTogether is how many are asked for at a time.
	maxTogether = 256
)

// many reports whether the locks are taken several at a time. An acquire that steals, or that waits for replicas, may last, and keeps to
// its turn.
func (a *Locks) many(s *settings) bool {
	return len(a.names) > fewNames && !s.stealSet && s.replicas == 0
}

// attempt is the result of one of several acquires.
type attempt struct {
	lock     *Lock
	err      error
	returned bool
	panicked any
	told     Event // of giving it back
}

// takeTogether asks for n locks at a time, in a few pipelines, and waits for none. It keeps those before the first that it did not get,
// and returns how many that are. The error is why it did not get the next one, unless somebody has it.
//
// No two callers wait for each other, as a waiting caller holds only names before the one that it waits for. Locks that were granted
// behind the first refusal are given back before anything else is done, and the caller waits for nothing meanwhile.
func (a *Locks) takeTogether(ctx context.Context, from, n int, each func(int) []Option) (taken int, err error) {
	all := make([]attempt, n)
	var asking, givingBack sync.WaitGroup
	for k := range all {
		if a.locks[from+k] != nil { // nested: nothing to be asked for
			continue
		}
		asking.Go(func() {
			t := &all[k]
			defer func() { t.panicked = recover() }() // the Observer's: it is the caller's to see
			t.lock, t.err = a.client.acquire(ctx, a.names[from+k], append(slices.Clip(each(from+k)), strictly, WithWait(0)))
			t.returned = true
		})
	}
	asking.Wait()
	for taken < n && (all[taken].lock != nil || a.locks[from+taken] != nil) {
		if l := all[taken].lock; l != nil {
			a.keep(from+taken, l)
		}
		taken++
	}
	for k := taken; k < n; k++ {
		if t := &all[k]; t.lock != nil {
			givingBack.Go(func() { t.told, _ = t.lock.end(ctx, true, 0) }) // where Redis does not answer it goes on in the background
		}
	}
	givingBack.Wait()
	for k := range all {
		t := &all[k]
		a.client.tellOf(t.told)
		switch {
		case t.panicked != nil:
			panic(t.panicked)
		case !t.returned && a.locks[from+k] == nil: // the Observer, or a hook of the Redis client, has ended the goroutine
			runtime.Goexit()
		}
	}
	if taken == n {
		return taken, nil
	}
	if err = all[taken].err; errors.Is(err, ErrHeld) {
		err = nil
	}
	return taken, err
}
