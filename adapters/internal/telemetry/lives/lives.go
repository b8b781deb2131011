// Package lives plays every way in which a lock can be taken and end, on a server in memory and in fake time. It is for the
// tests of observers: whatever the end was, the counts of waiters and holds must return to 0.
package lives

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"example.com/redislock"
	"example.com/redislock/redislocktest"
)

// Run plays each life of [All] with an observer of its own, and then calls check, when nothing is held any more and
// nobody waits.
func Run(t *testing.T, observer func() redislock.Observer, check func(*testing.T, redislock.Observer)) {
	for name, live := range All {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := observer()
				s := redislocktest.New(t, redislock.WithObserver(o))
				live(&Life{T: t, Server: s, Other: s.NewClient()})
				synctest.Wait()
				check(t, o)
			})
		})
	}
}

// Life is the scene of a life. The Client of its Server is observed; Other is another instance, which is not.
type Life struct {
	*testing.T
	*redislocktest.Server
	Other *redislock.Client
}

// All has the lives by name. The name says how a life ends.
var All = map[string]func(*Life){
	"released": func(l *Life) {
		l.must(l.Client.Do(l.Context(), "n", func(context.Context) error { return nil }))
	},
	"nested": func(l *Life) {
		l.must(l.Client.Do(l.Context(), "n", func(ctx context.Context) error {
			return l.Client.Do(ctx, "n", func(context.Context) error { return nil })
		}))
	},
	"shared, upgraded and downgraded": func(l *Life) {
		lock := l.acquire(l.Client, redislock.WithMode(redislock.Read))
		l.must(lock.Upgrade(l.Context()))
		l.must(lock.Downgrade(l.Context()))
		l.must(lock.Release(l.Context()))
	},
	"an upgrade that waited": func(l *Life) {
		reader := l.acquire(l.Other, redislock.WithMode(redislock.Read))
		lock := l.acquire(l.Client, redislock.WithMode(redislock.Read))
		time.AfterFunc(time.Second, func() { l.must(reader.Release(context.Background())) })
		l.must(lock.Upgrade(l.Context()))
		l.must(lock.Release(l.Context()))
	},
	"an upgrade that gave up": func(l *Life) {
		reader := l.acquire(l.Other, redislock.WithMode(redislock.Read))
		lock := l.acquire(l.Client, redislock.WithMode(redislock.Read))
		ctx, cancel := context.WithTimeout(l.Context(), time.Second)
		defer cancel()
		if err := lock.Upgrade(ctx); err == nil {
			l.Error("upgraded beside a reader")
		}
		l.must(lock.Release(l.Context()))
		l.must(reader.Release(l.Context()))
	},
	"granted after a wait": func(l *Life) {
		holder := l.acquire(l.Other)
		time.AfterFunc(3*time.Second, func() { l.must(holder.Release(context.Background())) })
		l.must(l.acquire(l.Client).Release(l.Context()))
	},
	"gave up": func(l *Life) {
		holder := l.acquire(l.Other)
		_, err := l.Client.TryAcquire(l.Context(), "n")
		l.is(err, redislock.ErrHeld)
		_, err = l.Client.Acquire(l.Context(), "n", redislock.WithWait(3*time.Second))
		l.is(err, redislock.ErrHeld)
		ctx, cancel := context.WithTimeout(l.Context(), time.Second)
		defer cancel()
		_, err = l.Client.Acquire(ctx, "n")
		l.is(err, context.DeadlineExceeded)
		l.must(holder.Release(l.Context()))
	},
	"lapsed": func(l *Life) {
		lock := l.acquire(l.Client, redislock.WithoutRenewal(), redislock.WithLease(time.Second))
		time.Sleep(2 * time.Second)
		l.is(lock.Release(l.Context()), redislock.ErrLost)
	},
	"held too long": func(l *Life) {
		lock := l.acquire(l.Client, redislock.WithMaxHold(time.Second))
		<-lock.Context().Done()
		l.is(lock.Release(l.Context()), redislock.ErrLost)
	},
	"stolen": func(l *Life) {
		lock := l.acquire(l.Client)
		thief := l.acquire(l.Other, redislock.WithStealAfter(time.Second))
		l.is(lock.Release(l.Context()), redislock.ErrStolen)
		l.must(thief.Release(l.Context()))
	},
	"broken": func(l *Life) {
		lock := l.acquire(l.Client)
		_, err := l.Other.Break(l.Context(), "n", "it hangs")
		l.must(err)
		<-lock.Context().Done()
		l.is(lock.Release(l.Context()), redislock.ErrStolen)
	},
	"handed off and resumed": func(l *Life) {
		ticket, err := l.acquire(l.Client).Handoff()
		l.must(err)
		lock, err := l.Client.Resume(l.Context(), ticket)
		l.must(err)
		l.must(lock.Release(l.Context()))
		_, err = l.Client.Resume(l.Context(), ticket)
		l.is(err, redislock.ErrNotHeld)
	},
	"closed": func(l *Life) {
		lock := l.acquire(l.Client)
		gaveUp := make(chan error)
		go func() {
			_, err := l.Client.Acquire(context.Background(), "n")
			gaveUp <- err
		}()
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- l.Client.Close(context.Background()) }()
		l.is(<-gaveUp, redislock.ErrClosed)
		l.must(lock.Release(l.Context()))
		l.must(<-closed)
	},
	"released without an answer": func(l *Life) {
		lock := l.acquire(l.Client)
		l.Miniredis.SetError("ERR out of order")
		if err := lock.Release(l.Context()); err == nil {
			l.Error("released by a server that refuses")
		}
		l.Miniredis.SetError("")
		time.Sleep(time.Minute)
	},
	"released when it was lost unnoticed": func(l *Life) {
		lock := l.acquire(l.Client)
		l.Miniredis.FlushAll()
		l.is(lock.Release(l.Context()), redislock.ErrNotHeld)
	},
	"refused": func(l *Life) {
		l.Miniredis.SetError("ERR out of order")
		if _, err := l.Client.TryAcquire(l.Context(), "n"); err == nil {
			l.Error("granted by a server that refuses")
		}
		l.Miniredis.SetError("")
	},
}

func (l *Life) acquire(c *redislock.Client, opts ...redislock.Option) *redislock.Lock {
	l.Helper()
	lock, err := c.Acquire(l.Context(), "n", opts...)
	if err != nil {
		l.Fatal(err)
	}
	return lock
}

func (l *Life) must(err error) {
	l.Helper()
	if err != nil {
		l.Error(err)
	}
}

func (l *Life) is(err, want error) {
	l.Helper()
	if !errors.Is(err, want) {
		l.Errorf("%v, want %v", err, want)
	}
}
