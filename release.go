package redislock

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

const (
	// giveUpPatience is how long an acquire that failed waits for its own traces to be gone before it returns. After that
	// time the Client removes them in the background.
	giveUpPatience = 250 * time.Millisecond
	// endedPatience is the same if the caller's time is over: a round trip nearby.
	endedPatience = 10 * time.Millisecond
	// briefHold bounds a hold that is so short that hardly anybody can have begun to wait for it, on a lock that was free.
	// Its release first tries the command with which the script begins. If somebody waits after all, the command finds
	// nothing, and the script follows. The command spares a busy server a fifth of the cost of a pair (docs/protocol.md). A
	// longer hold does not try it, because a waiter would pay one more round trip. Neither does a hold of a name for which
	// the command has found nothing a short while ago: that name is waited for often.
	briefHold = 5 * time.Millisecond
	// scriptsAfterMiss is how many releases of such a name leave as the script before the command is tried again.
	scriptsAfterMiss = 16
)

// waitedFor is how many of the next brief holds are given back by the script at once, by the hash of their names. Names that share
// a hash share the number: either way of a release is right for every hold, so this costs at most some time of the server.
type waitedFor [256]atomic.Uint32

// of is the number of a name. The hash is FNV-1a: the same in every run, so that simulations repeat.
func (w *waitedFor) of(name string) *atomic.Uint32 {
	hash := uint32(2166136261)
	for i := range len(name) {
		hash = (hash ^ uint32(name[i])) * 16777619
	}
	return &w[hash%uint32(len(w))]
}

// unlikely reports whether the plain command is worth a try for this hold.
func (w *waitedFor) unlikely(name string) bool {
	left := w.of(name)
	n := left.Load()
	if n == 0 {
		return true
	}
	left.CompareAndSwap(n, n-1)
	return false
}

// found notes that the plain command has found nothing.
func (w *waitedFor) found(name string) { w.of(name).Store(scriptsAfterMiss) }

// release gives up a hold, with one request and its resends. The first result is what became of the hold, or nil if this
// request ended it. The second result is why there was no answer.
func (c *Client) release(ctx context.Context, h *hold, now time.Time) (outcome, err error) {
	e, unanswered := &h.lease, false
	carried := e.Carried()
	if h.isAlone() && carried == "" && !e.Unanswered() && clock.Between(e.Granted(), now) < briefHold && c.waitedFor.unlikely(h.name) {
		one := &transport.Call{}
		one.Init(lua.Release, e.BoxedKey())
		one.Form, one.Args = transport.Head, append(one.Args, e.BoxedToken())
		a := c.transport.Promptly(ctx, one)
		switch {
		case a.Err != nil || a.Value == int64(1):
			return nil, a.Err
		case a.Value != int64(0):
			return nil, protocol.Unexpected(a.Value)
		}
		unanswered = a.Unanswered
		c.waitedFor.found(h.name)
	}
	one := &transport.Call{}
	one.Init(lua.Release, e.BoxedKey())
	one.Args = append(one.Args, e.BoxedToken())
	switch {
	case carried != "":
		one.Args = protocol.ReleaseArgs(e.Token(), e.Unanswered(), carried)
	case e.Unanswered():
		one.Args = append(one.Args, "tombstone")
	}
	a := c.transport.Promptly(ctx, one)
	if a.Err != nil {
		return nil, a.Err
	}
	what, more, found, err := protocol.ParseRelease(a.Value)
	if more {
		c.giveUp(e.Key(), e.Token(), false)
	}
	if err == nil && what != "hold" {
		outcome = h.concluded(found, a.Unanswered || unanswered)
	}
	return outcome, err
}

// giveUp releases the hold or the place of a token on the server, in the background. It is for a wait that was cancelled, a hold
// that was lost, and a grant that came late. With tombstone it leaves a tombstone against late copies.
func (c *Client) giveUp(key, token string, tombstone bool) <-chan struct{} {
	return c.dismiss(key, protocol.ReleaseArgs(token, tombstone, ""))
}

// dismiss sends a release in the background.
func (c *Client) dismiss(key string, args []any) <-chan struct{} {
	return c.transport.Insist(lua.Release, key, args, func(value any) bool {
		_, more, _, _ := protocol.ParseRelease(value)
		return more
	})
}

// leave is the last renewal, with another length: the hold stays that long although its owner is gone. If there is no answer,
// leave goes on in the background. Its results are those of release.
func (h *hold) leave(ctx context.Context, length time.Duration) (outcome, err error) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), transport.ResendTime)
	defer cancel()
	begun := time.Now()
	length = max(length, time.Millisecond)
	keep, _ := h.client.keep(length)
	args := h.keepArgs(string(protocol.AppendLength(nil, length, keep)))
	a := h.client.transport.Ask(bounded, nil, lua.Keep, h.lease.Key(), args...)
	if a.Err != nil {
		h.client.transport.Insist(lua.Keep, h.lease.Key(), args, func(value any) bool {
			_, _ = h.parted(value)
			return false
		})
		return nil, a.Err
	}
	r, err := h.parted(a.Value)
	switch {
	case err != nil || r.Status == "":
	case r.Status == "revoked" && r.Note == "": // a hold that is kept is never stolen, so no attempt has kept it
		outcome = fmt.Errorf("%w: %w", ErrNotHeld, errStale)
	default:
		outcome = h.keptUntil(protocol.Remains{Note: r.Note, Fence: r.Fence}, a.Unanswered, begun, length)
	}
	return outcome, err
}

// keepArgs are the arguments of the request that leaves the hold for that length, as lua/keep.lua describes them.
func (h *hold) keepArgs(length string) []any {
	args := []any{h.lease.Token(), h.lease.FenceText(), length}
	if h.lease.Unanswered() { // I8: nobody will release this token
		args = append(args, "tombstone")
	}
	return args
}

// parted reads the answer of the last renewal. A hold that was revoked is given up instead. So is a hold that is gone while
// Redis may still execute a copy of its acquire (I8).
func (h *hold) parted(value any) (protocol.Reply, error) {
	r, err := protocol.ParseReply(value)
	if r.Status == "revoked" || r.Status == "gone" && h.lease.Unanswered() {
		h.client.giveUp(h.lease.Key(), h.lease.Token(), h.lease.Unanswered())
	}
	return r, err
}

// A request that had no answer is sent again. The second attempt may find nothing of the hold: an earlier attempt has ended
// the hold, or it had ended by itself. The first attempt leaves no mark, for that would cost every release. So the Client
// concludes what ended the hold from what else can end one, and what that leaves behind:
//
//   - Break leaves a tombstone with its reason for a minute, and raises the last fence.
//   - The deadline is later than the bound of the handle.
//   - A loss of data takes the last fence away, or sets it back. That is not seen if others were granted the lock since (A1).
//
// If this excludes everything but the earlier attempt, that attempt ended the hold. Otherwise the answer is ErrUnknown.

// brokenKnown is for how long after the hold was known to exist its tombstone must still stand if the hold was broken since.
// It is the minute of lua/state.lua (TOMBSTONE_LIFE), less the claim, by which the message of a grant may be late.
const brokenKnown = 55 * time.Second

// concluded is the answer of a release that found nothing of its hold. It is nil if the hold was this handle's until an
// earlier attempt of the release ended it, or its deadline did after the release was asked for. unanswered says that there
// was such an attempt.
func (h *hold) concluded(r protocol.Remains, unanswered bool) error {
	last := cmp.Or(h.lease.Carried(), h.lease.FenceText())
	switch {
	case r.Note != "":
		return fmt.Errorf("%w: %w", ErrNotHeld, revokedError(r.Note))
	case !unanswered:
		return ErrNotHeld
	case r.Fence < last:
		return fmt.Errorf("%w: the server has lost data", ErrUnknown)
	case r.Fence == last: // nobody was granted the lock since, and nobody broke it
		return nil
	case clock.Elapsed(h.lease.Valid().From) >= brokenKnown:
		return fmt.Errorf("%w: it may have been broken before", ErrUnknown)
	}
	return nil
}

// keptUntil is concluded for a last renewal, which was asked for at begun and was to keep the hold for that length.
func (h *hold) keptUntil(r protocol.Remains, unanswered bool, begun time.Time, length time.Duration) error {
	switch err := h.concluded(r, unanswered); {
	case err != nil:
		return err
	case clock.Elapsed(begun) < length: // a hold that was kept would still be there
		return ErrNotHeld
	}
	if h.lease.Valid().Left() > 0 || r.Fence == h.lease.FenceText() { // its former lease is not over, or nobody else has had the lock until now
		return nil
	}
	return fmt.Errorf("%w: its former lease may have run out before", ErrUnknown)
}
