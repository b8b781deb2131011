package redislock

import (
	"context"
	"fmt"
	"time"

	"example.com/redislock/internal/lifetime"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/lua"
)

// Upgrade changes a lock in [Read] to [Write]. If the holder is the only reader, that happens at once. Otherwise Upgrade waits
// until the other readers have given their locks back, or until ctx ends. It goes before all waiters of the lock, because they
// wait for this reader too. It is a new grant: [Lock.Fence] rises. On a lock in Write it does nothing.
//
// Upgrade returns [ErrConflict] at once if another reader waits for an upgrade already: each would wait for the other to give its
// lock back, so one has to. It returns [ErrHeld] with the context's own error if ctx ended first, and [ErrNotHeld] if the lock is
// lost or released. It returns [ErrNotReplicated] if the lock was acquired [WithReplicas] and the replicas do not have the change
// in time. It returns [ErrInvalid] in any other mode. Other errors are those of Redis and the network. After an error the lock is
// held in Read as before, unless it is lost. An upgrade of a nested handle upgrades the hold.
func (l *Lock) Upgrade(ctx context.Context) error {
	return wrapOp("upgrade", l.Name(), l.upgrade(ctx))
}

func (l *Lock) upgrade(ctx context.Context) error {
	if !l.made() {
		return errNoHandle
	}
	h := l.hold
	if err := l.beginChange(ctx); err != nil {
		return err
	}
	defer h.endChange()
	h.mu.Lock()
	done := *h.mode == Write
	if done {
		l.became(Write)
	}
	h.mu.Unlock()
	if done {
		return nil
	}

	s := h.client.defaults
	s.lease, s.metadata, s.mode, s.weight = h.lease.Length(), h.metadata, Write, 1
	s.waitSet, s.steal, s.stealSet, s.turn, s.linger = false, 0, false, 0, 0
	s.floor, s.replicas, s.replicaTime = 0, h.replicas, h.replicaTime
	bounded, untie := lifetime.Ending(ctx, l.Context())
	defer untie()
	q := &acquisition{client: h.client, name: h.name, key: h.lease.Key(), settings: s, changes: &modeChange{Lock: l}, parent: bounded, asked: time.Now()}
	if h.client.observer != nil {
		h.client.observe(q.event(EventAsked))
	}
	_, err := q.pursue()
	if err == nil {
		h.mu.Lock()
		l.became(Write)
		h.mu.Unlock()
	}
	if h.client.observer != nil {
		h.client.observe(q.outcome(l, err))
	}
	if err != nil {
		if loss := l.Err(); loss != nil {
			return fmt.Errorf("%w: %w", ErrNotHeld, loss)
		}
		h.lease.Soon(0) // if the hold is gone, that tells why
	}
	return err
}

// Downgrade changes a lock in [Write] to [Read] without a gap. Nobody has it in Write in between, and the readers at the head
// of the queue come in. The fence stays. On a lock in Read it does nothing. It sends one request.
//
// The hold stays in Write as long as another handle needs that: one that this handle is nested in. While a handle that is
// nested in this one is not released, Downgrade returns [ErrOrder].
//
// Downgrade returns [ErrNotHeld] if the lock is lost or released, and [ErrInvalid] in any other mode. Otherwise it returns the
// error of Redis or the network. Then the lock counts as Read, and Redis is told in the background.
func (l *Lock) Downgrade(ctx context.Context) error {
	return wrapOp("downgrade", l.Name(), l.downgrade(ctx))
}

func (l *Lock) downgrade(ctx context.Context) error {
	if !l.made() {
		return errNoHandle
	}
	changed, err := l.toRead(ctx)
	if changed {
		l.hold.observe(EventChanged, nil)
	}
	return err
}

// toRead is downgrade as a registered operation. It reports whether it changed the mode of the hold.
func (l *Lock) toRead(ctx context.Context) (changed bool, err error) {
	h := l.hold
	if err := h.client.enter(); err != nil {
		return false, fmt.Errorf("%w: %w", ErrNotHeld, err)
	}
	defer h.client.leave()
	if err := l.beginChange(ctx); err != nil {
		return false, err
	}
	defer h.endChange()
	h.mu.Lock()
	if *l.mode == Write && l.inner > 0 {
		defer h.mu.Unlock()
		return false, fmt.Errorf("%w: handles nested in this one are not released yet: %d", ErrOrder, l.inner)
	}
	l.became(Read)
	content := *h.mode == Read || h.strong > 0
	if !content {
		h.mode = Read.shared() // from now on no handle in Write is nested in it
	}
	h.mu.Unlock()
	if content {
		return false, nil
	}

	args := h.readArgs(h.changeToken())
	a := h.client.transport.Ask(ctx, nil, lua.Convert, h.lease.Key(), args...)
	r, err := protocol.Reply{}, a.Err
	if err == nil {
		r, err = protocol.ParseReply(a.Value)
	}
	switch {
	case err != nil:
		h.convert(args)
		return false, err
	case r.Status == "granted":
		if r.More {
			h.convert(args)
		}
		return true, nil
	}
	h.lease.Soon(0) // if the hold is gone, that tells why
	return false, fmt.Errorf("%w: the server no longer knows the hold", ErrNotHeld)
}

// beginChange lets one change of a hold's mode go on at a time.
func (l *Lock) beginChange(ctx context.Context) error {
	if ctx == nil {
		return errNoContext
	}
	h := l.hold
	if loss := l.Err(); loss != nil {
		return fmt.Errorf("%w: %w", ErrNotHeld, loss)
	}
	if h.together() {
		return errTogether
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case l.spent:
		return fmt.Errorf("%w: released", ErrNotHeld)
	case *l.mode != Read && *l.mode != Write || *h.mode != Read && *h.mode != Write:
		further := ""
		if h.mode.Name() == Read.Name() && *h.mode != Read {
			further = " with further rules (Beside)"
		}
		return invalid("only Read and Write change into each other, this lock is held in %v%s", h.mode, further)
	case h.converting:
		return fmt.Errorf("%w: by another goroutine", ErrConflict)
	}
	h.converting = true
	h.alone = false
	return nil
}

func (h *hold) endChange() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.converting = false
}

// became notes the mode that the handle needs now. The caller has locked hold.mu.
func (l *Lock) became(m Mode) {
	switch {
	case *l.mode == m || l.spent:
	case m == Read:
		l.hold.strong--
	default:
		l.hold.strong++
	}
	l.mode = m.shared()
}

// changed notes that the hold was granted in another mode, with another fence.
func (h *hold) changed(m Mode, fence string) {
	h.mu.Lock()
	h.mode = m.shared()
	h.mu.Unlock()
	h.lease.Raise(fence)
}

// convert sends a change to Read in the background.
func (h *hold) convert(args []any) <-chan struct{} {
	return h.client.transport.Insist(lua.Convert, h.lease.Key(), args, func(value any) bool {
		r, err := protocol.ParseReply(value)
		return err == nil && r.More
	})
}

// changeToken names a change of the hold's mode. By it the server recognizes a request that comes after a later change and so
// is late: a copy, or the undoing of an upgrade that was given up. Its second part cannot be guessed.
func (h *hold) changeToken() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes++
	return fmt.Sprintf("%010d", h.changes) + protocol.NewToken()[:12]
}

// readArgs are the arguments of a change to Read.
func (h *hold) readArgs(change string) []any {
	request := protocol.Request{
		Nonce: h.lease.Nonce(), Wait: protocol.NoWait, Channel: h.client.subscriber.WakeChannel(), Mode: Read.wire.Line(int(h.weight), ""),
	}
	return []any{h.lease.Token(), string(request.AppendTo(nil)), change}
}
