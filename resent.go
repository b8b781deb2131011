package redislock

import (
	"fmt"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
)

// A request that had no answer is sent again, and the second attempt may find nothing of the hold: an earlier one has ended it, or
// the hold had ended by itself. The first attempt leaves no mark, for that would cost every release; so what ended the hold is
// concluded from what else can end one, and what that leaves behind:
//
//   - Break leaves a tombstone with its reason for a minute, and raises the last fence.
//   - The deadline is later than the bound of the handle.
//   - A loss of data takes the last fence away, or sets it back. It is not seen where others were granted the lock since (A1).
//
// Where this excludes everything but the earlier attempt, that is what it was. Else the answer is ErrUnknown.

// brokenKnown is how long after a hold was known to be there its tombstone must still stand if it was broken since. It is the
// minute of lua/state.lua (TOMBSTONE_LIFE), less the claim by which the news of a grant may be late.
const brokenKnown = 55 * time.Second

// concluded is the answer of a release that found nothing of its hold: nil if the hold was this handle's until an earlier attempt of
// the release, or its deadline after the release was asked for, ended it. unanswered says that there was such an attempt.
func (h *hold) concluded(r protocol.Remains, unanswered bool) error {
	switch {
	case r.Note != "":
		return fmt.Errorf("%w: %w", ErrNotHeld, robbery(r.Note))
	case !unanswered:
		return ErrNotHeld
	case r.Fence < h.lease.FenceText():
		return fmt.Errorf("%w: the server has lost data", ErrUnknown)
	case r.Fence == h.lease.FenceText(): // nobody was granted the lock since, and nobody broke it
		return nil
	case clock.Elapsed(h.lease.Valid().From) >= brokenKnown:
		return fmt.Errorf("%w: it may have been broken before", ErrUnknown)
	}
	return nil
}

// keptUntil is concluded of a last renewal that was asked for at begun, and was to keep the hold for some time.
func (h *hold) keptUntil(r protocol.Remains, unanswered bool, begun time.Time, length time.Duration) error {
	switch err := h.concluded(r, unanswered); {
	case err != nil:
		return err
	case clock.Elapsed(begun) < length: // it would still be there
		return ErrNotHeld
	}
	if h.lease.Valid().Left() > 0 || r.Fence == h.lease.FenceText() { // its former lease is not over; or nobody else has had it until now
		return nil
	}
	return fmt.Errorf("%w: its former lease may have run out before", ErrUnknown)
}
