package redislock_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

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
	var checks atomic.Int64
	rdb := f.cluster.Connect()
	rdb.AddHook(&tap{before: func(text string) error {
		if strings.Contains(text, digest("check")) {
			checks.Add(1)
		}
		return nil
	}})
	a, b := f.instance(), f.over(rdb)
	// moved has the slot move while b waits, and reports whether b had the lock without asking for it.
	moved := func(name string) bool {
		held := f.acquire(a, name)
		got := make(chan *redislock.Lock)
		go func() { got <- f.acquire(b, name) }()
		f.queued(a, name, 1)
		f.move(name, nil)
		f.eventually("the channel is subscribed where the slot is now", func() bool {
			here := f.cluster.Serving("redislock:{" + name + "}").Connect()
			return len(here.PubSubShardChannels(t.Context(), "*{"+name+"}").Val()) > 0
		})
		before := checks.Load()
		f.release(held)
		next := <-got
		asked := checks.Load() > before
		f.release(next)
		return !asked
	}
	for _, name := range names(3) {
		for range 2 { // there, and on to another or back
			tries := 1
			for !moved(name) { // a check may have been due just then
				if tries++; tries > 10 {
					t.Fatalf("%s is always handed over by a check, never by a message", name)
				}
			}
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
