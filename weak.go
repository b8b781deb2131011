package redislock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/lifetime"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/random"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

// The weak kind is for work that is only wasteful when it runs twice. It is one SET NX PX on a key of its own, without fence,
// queue and renewal. It shares neither keys nor types with the strong kind, and no option turns one into the other (I10).

// WeakLock is a held weak lock. It must not guard anything that breaks under two holders: it has no fence, and a holder that is
// paused past its lease is not alone any more.
type WeakLock struct {
	client   *Client
	name     string
	token    string
	failOpen bool
	valid    clock.Bound
	ctx      context.Context
	end      context.CancelCauseFunc
	timer    *time.Timer
	ties     lifetime.Ties

	once     sync.Once
	released error
}

// weakPause is the longest pause between two tries of a waiting AcquireWeak.
const weakPause = 100 * time.Millisecond

// AcquireWeak takes the weak lock of that name with a single SET NX PX. The lock is not renewed: it ends after [WithLease].
// Without [WithWait] AcquireWeak tries until ctx ends. The pauses between its tries are random, and not longer than the key's
// remaining life. With WithWait(0) it returns [ErrHeld] at once. With [WithFailOpen] it succeeds when Redis cannot be
// reached.
//
// WithLease, WithWait and WithFailOpen are its options, and of the Client's defaults the first two count. Other options in
// the call are [ErrInvalid]. After an error nothing is left behind that outlives its lease.
func (c *Client) AcquireWeak(ctx context.Context, name string, opts ...Option) (*WeakLock, error) {
	w, err := c.acquireWeak(ctx, name, opts)
	return w, wrapOp("acquire weak", name, err)
}

func (c *Client) acquireWeak(ctx context.Context, name string, opts []Option) (*WeakLock, error) {
	s, err := c.weakSettings(ctx, name, opts)
	if err != nil {
		return nil, err
	}
	bounded := ctx
	if s.waitSet && s.wait > 0 {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeout(ctx, s.wait)
		defer cancel()
	}
	w := &WeakLock{client: c, name: name, token: protocol.NewToken()}
	held := false                 // Redis has said that the lock is held
	doubt := make([]time.Time, 1) // a copy may take the key at any later try
	for {
		took, _, sent, err := c.setNX(bounded, []string{c.keys.Weak(name)}, []string{w.token}, doubt, s.lease)
		if err != nil && ctx.Err() == nil && bounded.Err() == nil && s.failOpen && unreachable(err) {
			c.observe(Event{Kind: EventFailOpen, Name: name, Err: err})
			took, sent, w.failOpen, err = []bool{true}, time.Now(), true, nil
		}
		if err != nil && bounded.Err() != nil {
			if held {
				return nil, &HeldError{cause: transport.During(ctx.Err(), err)}
			}
			if ctx.Err() == nil {
				return nil, unanswered(s.wait, err)
			}
		}
		if err != nil {
			return nil, err
		}
		held = true
		if took[0] {
			w.valid = clock.Within(sent, s.lease, c.margin)
			w.ctx, w.end = context.WithCancelCause(context.WithoutCancel(ctx))
			w.timer = time.AfterFunc(w.valid.Left(), func() {
				w.end(fmt.Errorf("%w: its lease of %v ran out", ErrLost, s.lease))
			})
			return w, nil
		}
		if s.waitSet && s.wait == 0 {
			return nil, &HeldError{}
		}
		if !c.pauseWeak(bounded, name) {
			if err := c.failed(); err != nil {
				return nil, err
			}
			return nil, &HeldError{cause: ctx.Err()}
		}
	}
}

// pauseWeak waits before the next try: between half of weakPause and all of it, or the key's remaining life if that is
// shorter.
func (c *Client) pauseWeak(ctx context.Context, name string) bool {
	if c.enter() != nil {
		return false
	}
	defer c.leave()
	pause := weakPause/2 + random.Below(weakPause/2)
	cmd := transport.NewCommand(ctx, 1, "pttl", c.keys.Weak(name))
	if left, err := c.plain(ctx, cmd).Int64(); err == nil && left > 0 {
		pause = max(min(pause, time.Duration(left)*time.Millisecond), time.Millisecond)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-c.closing:
	}
	return false
}

// Context ends with [ErrLost] when the lease ends, or with [ErrReleased] at the release. It carries the values of the context
// that the lock was acquired with, but not its cancellation.
func (w *WeakLock) Context() context.Context {
	if !w.made() {
		return lifetime.Ended(errNoHandle)
	}
	return w.ctx
}

// With returns ctx, but the result also ends with the lock; [context.Cause] says which of them ended first. For a nil ctx the
// result has ended, with [ErrInvalid].
func (w *WeakLock) With(ctx context.Context) context.Context {
	switch {
	case !w.made():
		return lifetime.Ended(errNoHandle)
	case ctx == nil:
		return lifetime.Ended(errNoContext)
	}
	return w.ties.With(ctx, w.ctx)
}

// Err is nil while the lock is held. Afterwards it is the cause of [WeakLock.Context].
func (w *WeakLock) Err() error {
	if !w.made() {
		return errNoHandle
	}
	if err := context.Cause(w.ctx); err != nil {
		return err
	}
	if w.valid.Left() <= 0 {
		return ErrLost
	}
	return nil
}

// Release deletes the key if the key is still this holder's. Its time is bounded, and it works when ctx has ended. A second
// Release returns the same answer. The answer is nil, or [ErrNotHeld] if the lease had run out, or the network's error; after
// that error the key expires with its lease. A lock that [WithFailOpen] granted without Redis has nothing to release, and the
// answer is nil.
func (w *WeakLock) Release(ctx context.Context) error {
	switch {
	case !w.made():
		return wrapOp("release weak", "", errNoHandle)
	case ctx == nil:
		return wrapOp("release weak", w.name, errNoContext)
	}
	w.once.Do(func() { w.released = wrapOp("release weak", w.name, w.release(ctx)) })
	return w.released
}

func (w *WeakLock) release(ctx context.Context) error {
	w.client.background.Add() // also after Close: it does not wait for weak locks
	defer w.client.background.Done()
	err := w.Err()
	w.timer.Stop()
	w.end(ErrReleased)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNotHeld, err)
	case w.failOpen:
		return nil
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), transport.ResendTime)
	defer cancel()
	a := w.client.transport.Ask(bounded, nil, lua.WeakRelease, w.client.keys.Weak(w.name), w.token)
	if a.Err != nil {
		return a.Err
	}
	switch n, ok := a.Value.(int64); {
	case !ok:
		return protocol.Unexpected(a.Value)
	case n == 0 && !a.Unanswered:
		return ErrNotHeld
	}
	return nil
}

func (c *Client) weakSettings(ctx context.Context, name string, opts []Option) (settings, error) {
	var given settings
	if err := c.called(ctx); err != nil {
		return given, err
	}
	if err := checkName(name); err != nil {
		return given, err
	}
	if err := given.apply(opts); err != nil {
		return given, err
	}
	if err := given.weak(); err != nil {
		return given, err
	}
	if c.isClosed() {
		return given, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return given, err
	}
	return c.settings(opts)
}

// setNX sends a SET NX PX for each key, in one pipeline, and sends again until all are answered. A nil after an attempt that
// had no answer may be the doing of that attempt itself; a GET settles that. The keys live from some time after sent. With an
// error, open has the numbers of the keys that have no answer; the answers of the others stand. If there are several errors,
// setNX returns the one that no resend helps against.
//
// Where doubt is not zero, an attempt for that key had no answer, in this call or before. Redis may have executed it at any
// time since, or may still execute it.
func (c *Client) setNX(ctx context.Context, keys, tokens []string, doubt []time.Time, life time.Duration) (took []bool, open []int, sent time.Time, err error) {
	if err := c.enter(); err != nil {
		return nil, nil, sent, err
	}
	defer c.leave()
	took = make([]bool, len(keys))
	open = make([]int, len(keys))
	for i := range open {
		open[i] = i
	}
	sent = time.Now()
	var why error // the last error that was not the end of ctx
	for attempt := 1; len(open) > 0; attempt++ {
		tried := time.Now()
		answers := c.each(ctx, open, func(k int) transport.Command {
			return transport.NewCommand(ctx, 1, "set", keys[k], tokens[k], "nx", "px", max(life.Milliseconds(), 1))
		})
		var doubtful, failed []int
		resend := true
		note := func(k int, cmdErr error) {
			if transport.Reason(cmdErr) != nil {
				why = cmdErr
			}
			if resend { // of several errors the one that ends the resends
				err = cmdErr
			}
			failed = append(failed, k)
			resend = resend && transport.Transient(cmdErr)
		}
		err = nil
		for i, k := range open {
			switch cmdErr := answers[i].Done(); {
			case cmdErr == nil:
				took[k] = true
			case !errors.Is(cmdErr, redis.Nil):
				note(k, cmdErr)
				if doubt[k].IsZero() && !transport.Answered(cmdErr) && !transport.Unsent(cmdErr) {
					doubt[k] = tried
				}
			case !doubt[k].IsZero():
				doubtful = append(doubtful, k)
			}
		}
		looked := time.Now()
		answers = c.each(ctx, doubtful, func(k int) transport.Command { return transport.NewCommand(ctx, 1, "get", keys[k]) })
		for i, k := range doubtful {
			value, getErr := answers[i].Text()
			took[k] = getErr == nil && value == tokens[k]
			switch {
			case getErr != nil && !errors.Is(getErr, redis.Nil):
				note(k, getErr)
			case !took[k]:
				doubt[k] = looked // it was not executed until now
			case doubt[k].Before(sent):
				sent = doubt[k]
			}
		}
		open = failed
		if err != nil && (attempt == transport.MaxAttempts || !resend || ctx.Err() != nil) {
			break
		}
		if err != nil {
			pause := time.NewTimer(transport.Backoff(attempt))
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
			pause.Stop()
		}
	}
	if err == nil {
		return took, nil, sent, nil
	}
	if ctx.Err() != nil {
		err = transport.During(ctx.Err(), why)
	}
	if transport.Refused(err) {
		err = fmt.Errorf("%w: %w", ErrPermission, err)
	}
	return took, open, sent, err
}

// each sends a command for each of the keys whose numbers are in ks.
func (c *Client) each(ctx context.Context, ks []int, of func(k int) transport.Command) []transport.Command {
	cmds := make([]transport.Command, len(ks))
	for i, k := range ks {
		cmds[i] = of(k)
	}
	if len(cmds) > 0 {
		c.plainAll(ctx, cmds)
	}
	return cmds
}

// unreachable reports whether Redis did not answer, or cannot serve now. That is the case which WithFailOpen is for.
func unreachable(err error) bool { return transport.Transient(err) && !errors.Is(err, ErrClosed) }

func (c *Client) plain(ctx context.Context, cmd transport.Command) transport.Command {
	c.plainAll(ctx, []transport.Command{cmd})
	return cmd
}

// sendPlain sends a plain command whose first argument is a key, and waits for its answer, which says nothing.
func (c *Client) sendPlain(ctx context.Context, command ...any) error {
	if err := c.enter(); err != nil {
		return err
	}
	defer c.leave()
	err := c.plain(ctx, transport.NewCommand(ctx, 1, command...)).Err()
	if transport.Refused(err) {
		err = fmt.Errorf("%w: %w", ErrPermission, err)
	}
	return err
}

// plainAll sends plain commands. It waits no longer than ctx; a command that is unanswered then has the error of ctx.
func (c *Client) plainAll(ctx context.Context, cmds []transport.Command) {
	send := func(cmds []transport.Command) {
		if len(cmds) == 1 {
			transport.Process(context.WithoutCancel(ctx), c.rdb, cmds[0])
			c.transport.Suspect(cmds[0].Err())
			return
		}
		c.transport.Suspect(transport.Pipelined(context.WithoutCancel(ctx), c.rdb, cmds))
	}
	if ctx.Done() == nil {
		send(cmds)
		return
	}
	// The commands on their way are copies: when ctx ends first, the caller's have its error and nobody races.
	sent := make([]transport.Command, len(cmds))
	for i, cmd := range cmds {
		sent[i] = transport.Command{Cmd: cmd.Cmd.Clone().(*redis.Cmd)}
	}
	done := make(chan struct{})
	c.background.Add()
	go func() {
		defer c.background.Done()
		defer close(done)
		send(sent)
	}()
	select {
	case <-done:
		for i := range cmds {
			cmds[i].SetVal(sent[i].Val())
			cmds[i].SetErr(sent[i].Err())
		}
	case <-ctx.Done():
		for i := range cmds {
			cmds[i].SetErr(ctx.Err())
		}
	}
}
