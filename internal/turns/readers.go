package turns

import "time"

// The goroutines of a process read a lock together: under the hold that one of them has been granted, the others are let in, until somebody else
// waits for it. They have the fence of that hold, as handles that are nested in one do, so nothing here is about fences. Only a hold that was
// granted at once is for others, since nobody waited then; whoever finds the door shut asks the server, and has a place of its own. The events that are
// not here are those of any [Turn].

// The actions for readers, beside the others.
const (
	Enter   Action = Nothing + 1 + iota // let it in
	Alone                               // it asks the server for itself alone
	Replace                             // those who read go on by themselves, and this reader begins anew with Successor
)

// ArriveReader is the event that somebody wants to read. left is how long the hold may be relied on, idle or not.
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

// Queued is the event that who asked is not granted the lock at once: it waits for itself alone. The result is the line, which is empty
// afterwards: they do likewise.
func (t *Turn) Queued() []*Waiter {
	t.queued = true
	return t.empty()
}

// Admitted is the event that who asked has the lock. The result is the line, which is empty afterwards: they arrive again.
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

// LeftReader is the event that one of those who read has ended. It reports whether others still read; otherwise [Turn.Ended] follows.
func (t *Turn) LeftReader() bool {
	t.inside--
	return t.inside > 0
}

// Reading reports whether somebody has the lock.
func (t *Turn) Reading() bool { return t.phase == body }

// Successor is what remembers of the name what t does. Nobody is let in by t any more, and nobody asks the server for it.
func (t *Turn) Successor() Turn {
	t.waited, t.gone = true, true
	return Turn{recalls: t.recalls, recalled: t.recalled, quiet: t.quiet}
}
