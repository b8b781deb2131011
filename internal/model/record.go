package model

// A Record is the outcome of something that is done once. It has a key of its own, beside the lock.
type Record struct {
	Fence Micros // of the hold that wrote it
	Step  string // a holder that writes twice counts its steps
	Value string
	Until Micros
}

// Write writes the outcome. Only who holds the lock may, while it does: a writer that is late changes nothing, and neither does a
// copy of its request.
type Write struct {
	Token string
	Fence Micros
	Step  string
	Long  Micros // until it is forgotten
	Value string
	Late  bool    // also where the lock is not held any more, if the record is this holder's own
	Of    *Record // what it is to replace: if that has gone, nothing is written
}

// Execute writes the record, if it may. The second result is what the script answers: whether the token holds the lock, or that does
// not matter.
func (w Write) Execute(l *Lock, r *Record, at Instant) (after *Record, ok bool) {
	own := r != nil && r.Fence == w.Fence
	if own && r.Step >= w.Step {
		return r, true // by an attempt whose answer was lost, or by a later step
	}
	now := l.Clone()
	s := &step{Lock: &now, Instant: at}
	s.expire()
	if !s.has(w.Token) && !(own && w.Late) {
		return r, false
	}
	if w.Of != nil && (r == nil || r.Fence != w.Of.Fence || r.Step != w.Of.Step) {
		return r, true
	}
	return &Record{w.Fence, w.Step, w.Value, at.Now + w.Long}, true
}
