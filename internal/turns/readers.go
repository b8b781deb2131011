package turns

import "time"

// The goroutines of a process that read a lock share one hold: one of them was granted it, and the others are let in, until
// another caller waits for the lock. They all have the fence of that hold, as nested handles do. So this file does not deal with
// fences. Only a hold that was granted at once is shared, because nobody waited then. A reader that is not let in asks the
// server, and has a place of its own. All other events are those of any [Turn].

// The actions for readers, beside the others.
const (
	Enter   Action = Nothing + 1 + iota // let it in
	Alone                               // it asks the server for itself alone
	Replace                             // those who read go on by themselves, and this reader begins anew with Successor
)

// ArriveReader is the event that a caller wants to read. left is how long the hold may be relied on, whether it is idle or not.
func (t *Turn) ArriveReader(now time.Time, lease, left time.Duration) Action {
	switch open := !t.waited && left > 0 && now.Sub(t.hold.Since) < Longest; {
	case t.gone:
		return Replace
	case t.phase == none:
		t.phase = seeking
		return Seek
	case t.phase == seeking && t.queued:
		return Alone
	case t.phase == seeking:
		return Wait
	case t.phase == body && !open:
		return Replace
	case open && lease == t.hold.Lease:
		a := Enter
		if t.phase == idle {
			t.phase, a = body, Serve
		}
		t.inside++
		return a
	case t.phase == body:
		return Alone
	}
	t.phase = seeking
	return GiveBack
}

// Queued is the event that the caller that asked is not granted the lock at once: it waits for its own hold. The result is the
// waiting readers, which must do the same. None is waiting afterwards.
func (t *Turn) Queued() []*Waiter {
	t.queued = true
	return t.empty()
}

// Admitted is the event that the caller that asked has the lock. The result is the line, which is empty afterwards: they arrive
// again.
func (t *Turn) Admitted(h Hold) []*Waiter {
	t.Granted(h)
	t.inside = 1
	return t.empty()
}

func (t *Turn) empty() (line []*Waiter) {
	for t.first != nil {
		w := t.first
		t.Leave(w)
		line = append(line, w)
	}
	return line
}

// LeftReader is the event that one of the readers has ended. It reports whether others still read; otherwise [Turn.Ended]
// follows.
func (t *Turn) LeftReader() bool {
	t.inside--
	return t.inside > 0
}

// Reading reports whether there is a reader.
func (t *Turn) Reading() bool { return t.phase == body }

// Successor is a new state of the name, with what t remembers of it. After that t lets no reader in, and no caller asks the
// server for it.
func (t *Turn) Successor() Turn {
	t.waited, t.gone = true, true
	return Turn{recalls: t.recalls, recalled: t.recalled, quiet: t.quiet}
}
