package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// insider may read keys and publish.
type insider struct{ *env }

// place is the token of the only waiter for a lock, and its channel.
func (i insider) place(name string) (token, channel string) {
	i.Helper()
	for field := range i.raw.HGetAll(context.Background(), "redislock:{"+name+"}").Val() {
		switch field[0] {
		case 'w':
			token = field[1:]
		case 'c':
			channel = field[1:]
		}
	}
	if token == "" || channel == "" {
		i.stop(errors.New("nobody waits"))
	}
	return token, channel
}

// hold is the token of the only holder, and its nonce and channel.
func (i insider) hold(name string) (token, nonce, channel string) {
	i.Helper()
	for field, value := range i.raw.HGetAll(context.Background(), "redislock:{"+name+"}").Val() {
		if len(field) == 22 {
			return field, value[16:32], value[33:strings.IndexByte(value, '\n')]
		}
	}
	i.stop(errors.New("nobody holds it"))
	return "", "", ""
}

func (i insider) tell(channel, message string) {
	i.Helper()
	if err := i.raw.Publish(context.Background(), channel, message).Err(); err != nil {
		i.stop(err)
	}
}

// What a forged grant gains is no more than the true one that it pretends to be: a claim, of which the first renewal learns
// the truth.
func TestAForgedGrantIsNoMoreThanAClaim(t *testing.T) {
	for _, c := range []struct {
		name    string
		lease   time.Duration // that is asked for
		within  time.Duration // the longest that it may be believed
		message func(now time.Time) string
	}{
		{"a lease of 27 hours", time.Hour, 5 * time.Second, func(now time.Time) string {
			return fmt.Sprintf("%016d%016d%8d", now.UnixMicro(), now.UnixMicro(), 99999999)
		}},
		{"in the future", time.Hour, 5 * time.Second, func(now time.Time) string {
			later := now.Add(23 * time.Hour).UnixMicro()
			return fmt.Sprintf("%016d%016d%8d", later, later, 99999999)
		}},
		{"more than was asked for", time.Second, time.Second, func(now time.Time) string {
			return fmt.Sprintf("%016d%016d%8d", now.UnixMicro(), now.UnixMicro(), 5000)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				a, b := e.client(), e.client()
				held := e.acquire(a, "x", redislock.WithoutRenewal(), redislock.WithLease(time.Hour))
				got := make(chan *redislock.Lock)
				go func() { got <- e.acquire(b, "x", redislock.WithLease(c.lease), redislock.WithoutRenewal()) }()
				e.queued(a, "x", 1)
				forger := insider{e}
				token, channel := forger.place("x")
				now := time.Now()
				forger.tell(channel, "g"+token+c.message(now))
				lock := <-got
				<-lock.Context().Done()
				if believed := time.Since(now); believed > c.within {
					t.Errorf("believed for %v, want %v at the most", believed, c.within)
				}
				if ahead := time.UnixMicro(lock.Fence()).Sub(now); ahead > 24*time.Hour {
					t.Errorf("its fence is %v ahead", ahead)
				}
				e.release(held)
			})
		})
	}
}

func TestAFenceThatIsADayAheadIsNotBelieved(t *testing.T) {
	for _, fence := range []string{"9999999999999999", fmt.Sprint(time.Date(2000, 1, 2, 0, 1, 0, 0, time.UTC).UnixMicro())} {
		t.Run(fence, func(t *testing.T) {
			embedded(t, 0, func(e *env, _ *fakenet.Network) { // it is the first of January 2000
				fence := fmt.Sprintf("%016s", fence)
				a, b := e.client(), e.client()
				held := e.acquire(a, "x")
				got := make(chan *redislock.Lock, 1)
				go func() { got <- e.acquire(b, "x") }()
				e.queued(a, "x", 1)
				forger := insider{e}
				token, channel := forger.place("x")
				forger.tell(channel, fmt.Sprintf("g%s%s%016d%8d", token, fence, time.Now().UnixMicro(), 5000))
				e.settle()
				select {
				case <-got:
					t.Fatal("it was believed")
				default:
				}
				e.release(held)
				lock := <-got
				if ahead := time.Until(time.UnixMicro(lock.Fence())); ahead > time.Second {
					t.Errorf("the next fence is %v ahead", ahead)
				}
				e.release(lock)
			})
		})
	}
}

// A true message has texts of a certain length at the most.
func TestALongMessageIsIgnored(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.client()
		lock := e.acquire(c, "x")
		e.release(e.acquire(c, "warm"))
		e.settle()
		forger := insider{e}
		token, nonce, channel := forger.hold("x")
		long := strings.Repeat("x", 1<<20)
		forger.tell(channel, "s"+token+nonce+long)
		forger.tell(channel, "a"+token+nonce+"api\nhost\n1\n\x00"+long)
		for _, kind := range []string{"o", "e", "v", ""} {
			forger.tell("redislock:n", kind+long)
			forger.tell("redislock:n", kind)
		}
		e.settle()
		if err := lock.Err(); err != nil {
			t.Errorf("it was believed: %.100v", err)
		}
		select {
		case r := <-lock.Asked():
			t.Errorf("a request of %d bytes", len(r.Why))
		default:
		}
		// What is as long as it may be is heard.
		forger.tell(channel, "a"+token+nonce+strings.Repeat("n", 128)+"\n"+strings.Repeat("h", 255)+"\n4194304\n\x00"+strings.Repeat("w", redislock.MaxReason))
		if r := <-lock.Asked(); len(r.Why) != redislock.MaxReason || r.By.PID != 4194304 {
			t.Errorf("%+v", r)
		}
		e.release(lock)
	})
}
