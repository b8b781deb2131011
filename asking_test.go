package redislock_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// heard is the request that a holder hears of, within a second.
func (e *env) heard(l *redislock.Lock) redislock.Request {
	e.Helper()
	select {
	case r := <-l.Asked():
		return r
	case <-time.After(time.Second):
		e.stop(errors.New("the holder does not hear of it"))
	}
	panic("unreachable")
}

// subscribed waits until that many Clients hear what they are told.
func (e *env) subscribed(n int) {
	e.Helper()
	e.eventually("the Clients are subscribed", func() bool {
		clients := map[string]bool{}
		for _, c := range e.channels() {
			if !c.sharded {
				clients[c.name] = true
			}
		}
		return len(clients) == n
	})
}

func TestAskTellsTheHolderAndTakesNothing(t *testing.T) {
	both(t, func(e *env) {
		ctx := context.Background()
		var told recorder
		holder, other := e.client(redislock.WithObserver(&told)), e.client(redislock.WithName("other"))
		if n, err := other.Ask(ctx, "x", "why"); n != 0 || err != nil {
			t.Errorf("nobody holds it: %d, %v", n, err)
		}
		l := e.acquire(holder, "x", redislock.WithMetadata("import"))
		e.subscribed(1)
		nested, err := holder.Acquire(l.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := other.Ask(ctx, "x", "a deploy\nis due"); n != 1 || err != nil {
			t.Errorf("asked %d, %v", n, err)
		}
		r := e.heard(l)
		if r.Why != "a deploy\nis due" || r.By.Client != "other" || r.By.PID == 0 || r.By.Metadata != "" {
			t.Errorf("heard %+v", r)
		}
		e.eventually("the observer is told", func() bool { return told.count(redislock.EventRequested) == 1 })
		if l.Err() != nil {
			t.Errorf("the lock: %v", l.Err())
		}
		for _, why := range []string{"one", "two", "three"} { // the latest that nobody has read
			if _, err := other.Ask(ctx, "x", why); err != nil {
				t.Fatal(err)
			}
		}
		e.eventually("all were told", func() bool { return told.count(redislock.EventRequested) == 4 })
		if r := e.heard(nested); r.Why != "three" {
			t.Errorf("the latest is %+v", r)
		}
		select {
		case r := <-l.Asked():
			t.Errorf("one request comes twice: %+v", r)
		default:
		}
		e.release(nested)
		e.release(l)
		e.untouched("x")
	})
}

func TestAskReachesEveryHolderAndNoWaiter(t *testing.T) {
	both(t, func(e *env) {
		one, two := e.client(), e.client()
		a := e.acquire(one, "x", redislock.WithMode(redislock.Read))
		b := e.acquire(two, "x", redislock.WithMode(redislock.Read))
		writer := make(chan *redislock.Lock)
		go func() { writer <- e.acquire(one, "x", redislock.WithMode(redislock.Write)) }()
		e.queued(one, "x", 1)
		e.subscribed(2)
		if n, err := one.Ask(context.Background(), "x", "why"); n != 2 || err != nil {
			t.Errorf("asked %d, %v", n, err)
		}
		e.heard(a)
		e.heard(b)
		e.release(a)
		e.release(b)
		w := <-writer
		e.settle()
		select {
		case r := <-w.Asked():
			t.Errorf("who waited was asked: %+v", r)
		default:
		}
		e.release(w)
		e.untouched("x")
	})
}

func TestAForgedRequestIsIgnored(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		var told recorder
		c := e.client(redislock.WithObserver(&told))
		l := e.acquire(c, "x")
		var token string
		for field := range e.raw.HGetAll(ctx, "redislock:{x}").Val() {
			if len(field) == 22 {
				token = field
			}
		}
		for _, channel := range e.channels() {
			for _, forged := range []string{"a", "a" + token, "a" + token + strings.Repeat("n", 16) + "why", "a" + strings.Repeat("t", 38)} {
				e.raw.Publish(ctx, channel.name, forged)
			}
		}
		time.Sleep(time.Second)
		if n := told.count(redislock.EventRequested); n != 0 || len(l.Asked()) != 0 {
			t.Errorf("%d forged requests were believed", n)
		}
		e.release(l)
	})
}

func TestAskRefusesWhatCannotWork(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		var none context.Context
		ctx := context.Background()
		c := e.client()
		for what, ask := range map[string]func() (int, error){
			"no name":     func() (int, error) { return c.Ask(ctx, "", "why") },
			"no reason":   func() (int, error) { return c.Ask(ctx, "x", "") },
			"long reason": func() (int, error) { return c.Ask(ctx, "x", strings.Repeat("w", redislock.MaxReason+1)) },
			"no context":  func() (int, error) { return c.Ask(none, "x", "why") },
		} {
			if _, err := ask(); !errors.Is(err, redislock.ErrInvalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := c.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Ask(ctx, "x", "why"); !errors.Is(err, redislock.ErrClosed) {
			t.Errorf("a closed Client: %v", err)
		}
	})
}
