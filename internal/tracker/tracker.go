// Package tracker counts operations that are under way, so that Close can wait until there are none. An operation is counted
// first, and then looks whether it may begin. Close is noted first, and then looks at the count. So one of the two sees the
// other.
package tracker

import (
	"sync"
	"sync/atomic"
	"time"
)

// Tracker counts operations that are under way.
type Tracker struct {
	n atomic.Int64

	mu   sync.Mutex
	zero chan struct{} // closed when nothing is under way; nil until somebody asks
}

// Add counts one more.
func (t *Tracker) Add() { t.n.Add(1) }

// Done counts one less.
func (t *Tracker) Done() {
	if t.n.Add(-1) == 0 {
		t.look()
	}
}

// Busy reports whether anything is under way.
func (t *Tracker) Busy() bool { return t.n.Load() > 0 }

// Count is how much is under way.
func (t *Tracker) Count() int64 { return t.n.Load() }

// Idle is closed when nothing is under way.
func (t *Tracker) Idle() <-chan struct{} {
	t.mu.Lock()
	if t.zero == nil {
		t.zero = make(chan struct{})
	}
	zero := t.zero
	t.mu.Unlock()
	t.look() // who was done before did not see that somebody asks
	return zero
}

// IdleWithin is closed when nothing is under way, or after some time.
func (t *Tracker) IdleWithin(d time.Duration) <-chan struct{} {
	idle, either := t.Idle(), make(chan struct{})
	go func() {
		timer := time.NewTimer(d)
		defer timer.Stop()
		defer close(either)
		select {
		case <-idle:
		case <-timer.C:
		}
	}()
	return either
}

func (t *Tracker) look() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.zero != nil && t.n.Load() == 0 {
		close(t.zero)
		t.zero = nil
	}
}
