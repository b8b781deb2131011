package redislock_test

import (
	"fmt"
	"testing"
	"time"

	"example.com/redislock"
)

// move gives the slot of a lock to another master, with what is in it, step by step as redis-cli does it. between is
// called when the lock's key has moved and the slot has not.
func (f *fleet) move(name string, between func()) {
	f.Helper()
	key := "redislock:{" + name + "}"
	from := f.cluster.Serving(key)
	to := f.cluster.Masters[0]
	if to == from {
		to = f.cluster.Masters[1]
	}
	m, err := f.cluster.Migrate(f.cluster.Slot(key), to)
	if err == nil {
		err = m.Move()
	}
	if err == nil && between != nil {
		between()
	}
	if err == nil {
		err = m.Finish()
	}
	if err != nil {
		f.stop(err)
	}
}

func TestAWaiterHearsOfAGrantAfterItsSlotMoved(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.instance(), f.instance()
	for _, name := range names(3) {
		for range 2 { // there, and on to another or back
			held := f.acquire(a, name)
			got := make(chan *redislock.Lock)
			go func() { got <- f.acquire(b, name) }()
			f.queued(a, name, 1)
			f.move(name, nil)
			f.eventually("the channel is subscribed where the slot is now", func() bool {
				here := f.cluster.Serving("redislock:{" + name + "}").Connect()
				return len(here.PubSubShardChannels(t.Context(), "*{"+name+"}").Val()) > 0
			})
			start := time.Now()
			f.release(held)
			next := <-got
			if took := time.Since(start); took > time.Second {
				t.Errorf("%s was handed over after %v: by a check, not by a message", name, took)
			}
			f.release(next)
		}
	}
}

func TestAWaiterIsNotPassedOverWhileItsSlotMoves(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b, c := f.instance(), f.instance(), f.instance()
	for _, name := range names(3) {
		held := f.acquire(a, name)
		order := make(chan string, 2)
		locks := make(chan *redislock.Lock, 2)
		for i, each := range []*redislock.Client{b, c} {
			go func() {
				l := f.acquire(each, name)
				order <- fmt.Sprint("waiter ", i)
				locks <- l
			}()
			f.queued(a, name, i+1)
		}
		f.move(name, func() { f.release(held) }) // nobody who waits is subscribed where this is executed
		for i := range 2 {
			if got, want := <-order, fmt.Sprint("waiter ", i); got != want {
				t.Errorf("%s went to %s, not to %s: I5", name, got, want)
			}
			f.release(<-locks)
		}
	}
}
