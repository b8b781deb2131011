package quorum

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"example.com/redislock"
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", redislock.ErrInvalid, fmt.Sprintf(format, args...))
}

// wrap puts the operation and the name of the lock in front of a cause.
func wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("redislock: quorum: %s %q: %w", op, name, err)
}

// said is the error of each node, as a text. A node that said nothing bad has that word.
func (q *Locker) said(errs []error, good string) string {
	parts := make([]string, len(errs))
	for i, n := range q.nodes {
		parts[i] = n.addr + ": " + good
		if errs[i] != nil {
			parts[i] = n.addr + ": " + strings.TrimPrefix(errs[i].Error(), "redislock: ")
		}
	}
	return strings.Join(parts, "; ")
}

// nodesError says that there was no majority, and has the error of each node.
type nodesError struct {
	text   string
	causes []error
}

func (e *nodesError) Error() string { return e.text }

func (e *nodesError) Unwrap() []error { return e.causes }

// unreachable is the error if no majority can be asked, and no holder of the lock is known.
func (q *Locker) unreachable(said []error, ended error) error {
	e := &nodesError{text: fmt.Sprintf("no majority of %d nodes can be reached: %s", len(q.nodes), q.said(said, "answered"))}
	for _, err := range said {
		if err != nil && !errors.Is(err, redislock.ErrHeld) {
			e.causes = append(e.causes, err)
		}
	}
	if ended != nil {
		e.text = fmt.Sprintf("%v: %s", ended, e.text)
		e.causes = append(e.causes, ended)
	}
	return e
}

// failure is why an acquire failed. ended is the error of the context that ended it, if one did. Where a majority of the nodes has
// answered, the lock is held by another ([redislock.ErrHeld]).
func (h *hold) failure(ended error, waited string) error {
	h.mu.Lock()
	said := make([]error, len(h.votes))
	answered, held := 0, []error{}
	for i := range h.votes {
		v := &h.votes[i]
		switch said[i] = v.why; {
		case v.lock != nil:
			said[i] = v.fresh
			if v.fresh == nil {
				answered++
			}
		case v.why == nil:
			said[i] = cmp.Or(root.Trouble(h.locker.nodes[i].client), errNoAnswer)
		case errors.Is(v.why, redislock.ErrHeld):
			answered++
			held = append(held, v.why)
		}
	}
	h.mu.Unlock()
	if err := h.locker.distinct(); err != nil {
		return err
	}
	if answered < h.locker.majority || len(held) == 0 {
		return h.locker.unreachable(said, ended)
	}
	e := &nodesError{causes: held, text: fmt.Sprintf("held by another: no majority of %d nodes%s: %s", len(said), waited, h.locker.said(said, "has given its vote"))}
	if ended != nil && !errors.Is(e, ended) {
		e.causes = append(e.causes, ended)
	}
	return e
}

// lossError says that the majority is lost, and has the error of each node.
type lossError struct {
	text   string
	causes []error
}

func (e *lossError) Error() string {
	return redislock.ErrLost.Error() + ": no majority has it any more: " + e.text
}

func (e *lossError) Unwrap() []error {
	causes := []error{redislock.ErrLost}
	for _, err := range e.causes {
		if err != nil {
			causes = append(causes, err)
		}
	}
	return causes
}
