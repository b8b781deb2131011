package redislock_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// resent has the first request that names what fail: before it reaches the server if lost, else after it was executed. meanwhile
// runs before it is sent again.
func resent(t *testing.T, what string, lost bool, meanwhile func()) *tap {
	first := once(t)
	fail := func(text string) error {
		if !strings.Contains(text, what) || !first() {
			return nil
		}
		meanwhile()
		return io.EOF
	}
	if lost {
		return &tap{before: fail}
	}
	return &tap{after: fail}
}

// deafen has the owner of a hold take the message that it is broken for a forged one: it has another nonce.
func (e *env) deafen(name string) {
	e.Helper()
	key := "redislock:{" + name + "}"
	for field, value := range e.raw.HGetAll(context.Background(), key).Val() {
		if len(field) == 22 {
			nonce := 16
			if value[0] == '@' { // it was renewed
				nonce += 25
			}
			e.raw.HSet(context.Background(), key, field, value[:nonce]+strings.Repeat("-", 16)+value[nonce+16:])
		}
	}
}

// What a resent release or Break answers is what became of the lock, or that nobody can tell.
func TestAResentReleaseSaysWhatTheServerCanProve(t *testing.T) {
	const lease = 3 * time.Second
	type world struct {
		*env
		other *redislock.Client
		lock  *redislock.Lock
	}
	takes := func(w *world) { // somebody else, as soon as it is free
		if l, err := w.other.Acquire(context.Background(), "x", redislock.WithWait(0)); err == nil {
			_ = l.ReleaseAfter(context.Background(), time.Minute)
		}
	}
	breaks := func(w *world) {
		if fence, err := w.other.Break(context.Background(), "x", "stuck"); err != nil || fence != w.lock.Fence() {
			w.Errorf("Break = %d, %v", fence, err)
		}
	}
	lapses := func(w *world) { time.Sleep(lease + time.Millisecond) }
	flushes := func(w *world) { w.raw.FlushAll(context.Background()) }
	long := redislock.WithLease(time.Hour)
	nothing := func(*world) {}
	ages := func(w *world) { time.Sleep(2 * time.Minute) }
	both := func(a, b func(*world)) func(*world) { return func(w *world) { a(w); b(w) } }

	for name, c := range map[string]struct {
		opts   []redislock.Option
		lost   bool          // the message, not the reply
		before func(*world)  // since the grant
		then   func(*world)  // before it is sent again
		after  time.Duration // ReleaseAfter
		want   error
	}{
		"the reply is lost":                                     {then: nothing},
		"the reply is lost, and another has it":                 {then: takes},
		"the message is lost":                                   {lost: true, then: nothing},
		"the message is lost, and the lease runs out":           {lost: true, then: lapses},
		"the message is lost, and another has it":               {lost: true, then: both(lapses, takes)},
		"broken before it":                                      {lost: true, before: breaks, then: nothing, want: redislock.ErrStolen},
		"broken before it, and both replies are late":           {before: breaks, then: takes, want: redislock.ErrStolen},
		"broken after the message was lost":                     {lost: true, then: breaks, want: redislock.ErrNotHeld},
		"broken after it was released":                          {then: func(w *world) { _, _ = w.other.Break(context.Background(), "x", "stuck") }},
		"data is lost":                                          {lost: true, then: flushes, want: redislock.ErrUnknown},
		"a long lease":                                          {opts: []redislock.Option{long}, before: ages, then: nothing},
		"a long lease, broken so long ago that nothing says it": {opts: []redislock.Option{long, redislock.WithoutRenewal()}, lost: true, before: both(breaks, ages), then: nothing, want: redislock.ErrUnknown},
		"a long lease, and another has it":                      {opts: []redislock.Option{long}, before: ages, then: takes, want: redislock.ErrUnknown},

		"later: the reply is lost":                               {after: 2500 * time.Millisecond, then: nothing},
		"later: the reply is lost, and it is over":               {after: time.Second, then: func(*world) { time.Sleep(1100 * time.Millisecond) }},
		"later: the reply is lost, it is over, another has it":   {after: time.Second, then: both(func(*world) { time.Sleep(1100 * time.Millisecond) }, takes)},
		"later: the message is lost":                             {after: 2500 * time.Millisecond, lost: true, then: nothing},
		"later: the message is lost, and the lease runs out":     {after: 10 * time.Second, lost: true, then: lapses, want: redislock.ErrNotHeld},
		"later: it runs out, and another has it":                 {after: 2500 * time.Millisecond, lost: true, then: both(lapses, takes), want: redislock.ErrUnknown},
		"later: it runs out, and nobody else has it":             {after: 2500 * time.Millisecond, lost: true, then: lapses},
		"later: broken before it":                                {after: 10 * time.Millisecond, lost: true, before: breaks, then: func(*world) { time.Sleep(20 * time.Millisecond) }, want: redislock.ErrStolen},
		"later: data is lost":                                    {after: 10 * time.Millisecond, lost: true, then: both(flushes, func(*world) { time.Sleep(20 * time.Millisecond) }), want: redislock.ErrUnknown},
		"later: the reply is lost, it is over, and data is lost": {after: 10 * time.Millisecond, then: both(flushes, func(*world) { time.Sleep(20 * time.Millisecond) }), want: redislock.ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
				ctx := context.Background()
				w := &world{env: e, other: e.client()}
				script := "release"
				if c.after > 0 {
					script = "keep"
				}
				armed := false
				h := resent(t, digest(script), c.lost, func() { c.then(w) })
				arm := func(fail func(string) error) func(string) error {
					return func(text string) error {
						if fail == nil || !armed || c.after > 0 && !strings.Contains(text, "    4603") && !strings.Contains(text, "    4600") {
							return nil
						}
						return fail(text)
					}
				}
				h = &tap{before: arm(h.before), after: arm(h.after)}
				holder := e.tapped(h)
				for _, after := range []time.Duration{0, time.Millisecond} { // the server knows the scripts from here on
					known := e.acquire(holder, "y")
					time.Sleep(10 * time.Millisecond)
					if err := known.ReleaseAfter(ctx, after); err != nil {
						t.Fatal(err)
					}
				}
				w.lock = e.acquire(holder, "x", append([]redislock.Option{redislock.WithLease(lease)}, c.opts...)...)
				e.deafen("x")
				if c.before != nil {
					c.before(w)
				} else {
					time.Sleep(10 * time.Millisecond) // past the time in which a plain command is tried first
				}
				armed = true
				err := w.lock.ReleaseAfter(ctx, c.after)
				if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
					t.Errorf("the answer is %v, want %v", err, c.want)
				}
			})
		})
	}
}

// A Break whose answer was lost tells what it has ended, and not what had ended before.
func TestAResentBreakCountsWhatItHasEnded(t *testing.T) {
	for name, c := range map[string]struct {
		lost bool
		then func(other *redislock.Client, l *redislock.Lock)
		want bool // the fence of the hold
	}{
		"the reply is lost":                       {then: func(*redislock.Client, *redislock.Lock) {}, want: true},
		"the message is lost":                     {lost: true, then: func(*redislock.Client, *redislock.Lock) {}, want: true},
		"the message is lost, and it is released": {lost: true, then: func(_ *redislock.Client, l *redislock.Lock) { _ = l.Release(context.Background()) }},
		"the message is lost, and another breaks it": {lost: true, then: func(other *redislock.Client, _ *redislock.Lock) {
			_, _ = other.Break(context.Background(), "x", "another reason")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
				ctx := context.Background()
				other := e.client()
				_, _ = other.Break(ctx, "x", "the server knows the scripts from here on")
				for _, name := range []string{"break", "inspect"} {
					_, text := redislock.Script(name)
					e.raw.ScriptLoad(ctx, text)
				}
				l := e.acquire(other, "x")
				fence := l.Fence()
				operator := e.tapped(resent(t, digest("break"), c.lost, func() { c.then(other, l) }))
				got, err := operator.Break(ctx, "x", "stuck")
				if want := map[bool]int64{true: fence}[c.want]; got != want || err != nil {
					t.Errorf("Break = %d, %v, want %d", got, err, want)
				}
			})
		})
	}
}

// What is written is written, also for a writer whose answer was lost and whose lease has run out since.
func TestASuccessWhoseAnswerWasLostStaysOne(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		_, text := redislock.Script("record")
		e.raw.ScriptLoad(context.Background(), text)
		c := e.tapped(resent(t, digest("record"), false, func() { time.Sleep(time.Second) }))
		err := c.Once(context.Background(), "x", func(context.Context) error { return nil }, redislock.WithLease(500*time.Millisecond), redislock.WithoutRenewal())
		if err != nil {
			t.Error(err)
		}
	})
}

// A hold that was stolen was not kept, whatever the answers that were lost said.
func TestAResentReleaseAfterOfAStolenHoldSaysThatItWasStolen(t *testing.T) {
	embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		other := e.client()
		stolen := false
		c := e.tapped(resent(t, digest("keep"), true, func() {
			_, err := other.Acquire(ctx, "x", redislock.WithWait(0), redislock.WithStealAfter(500*time.Millisecond))
			stolen = errors.Is(err, redislock.ErrHeld)
		}))
		e.warm(c, other) // the first subscription has the hold looked at, which is no part of this
		e.settle()
		l := e.acquire(c, "x", redislock.WithLease(time.Hour))
		time.Sleep(time.Second)
		err := l.ReleaseAfter(ctx, time.Minute)
		if !stolen || !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrStolen) || errors.Is(err, redislock.ErrUnknown) {
			t.Errorf("stolen %v: %v", stolen, err)
		}
	})
}

// A ticket of what is not held any more is none, also where the lease is final and the handle has not heard.
func TestAHandoffOfABrokenHoldIsRefused(t *testing.T) {
	for _, final := range []bool{false, true} {
		embedded(t, time.Millisecond, func(e *env, _ *fakenet.Network) {
			ctx := context.Background()
			other := e.client()
			c := e.tapped(resent(t, digest("acquire"), false, func() {}))
			opts := []redislock.Option{redislock.WithLease(10 * time.Minute)}
			if final {
				opts = append(opts, redislock.WithoutRenewal())
			}
			l := e.acquire(c, "x", opts...)
			e.settle()
			e.deafen("x")
			if _, err := other.Break(ctx, "x", "stuck"); err != nil {
				t.Fatal(err)
			}
			if ticket, err := l.Handoff(); !errors.Is(err, redislock.ErrNotHeld) || ticket != "" {
				t.Errorf("final %v: a ticket %v, %v", final, ticket != "", err)
			}
		})
	}
}
