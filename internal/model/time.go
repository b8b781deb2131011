package model

// Time is the server's, read once by each script. Nothing happens when a deadline passes: the next script that looks finds it so.

// tidy is the first step of every script: it clears away tombstones whose time is over, some at a time. A tombstone that ends
// later than a new one would was written before the clock went back. Its time begins anew, at the end of the list.
func (s *step) tidy() {
	longest := s.Now + s.Rules.Tombstone
	for range s.Rules.Trim {
		if len(s.Tombstones) == 0 {
			return
		}
		t := s.Tombstones[0]
		switch {
		case t.Until <= s.Now:
			s.Lock.Tombstones = s.Tombstones[1:]
		case t.Until > longest:
			t.Until = longest
			s.Lock.Tombstones = append(s.Tombstones[1:], t)
		default:
			return
		}
	}
}

// expire drops the holds whose deadline has passed. A hold that begins in the future was granted before the clock went back: it
// begins now, or it would live longer by as much.
func (s *step) expire() {
	for i := 0; i < len(s.Holds); i++ {
		h := &s.Holds[i]
		switch {
		case s.Now < h.At && s.Rules.has(Anchored):
			s.pass(h, h.Deadline())
			h.At, h.Since = s.Now, min(h.Since, s.Now)
			s.changed = true
		case h.Deadline() <= s.Now:
			s.drop(h.Token)
			i--
		}
	}
}

// remember has the key live on for so long. The expiry is only raised: no Client shortens the memory of another.
func (s *step) remember(long Micros) {
	end := max(s.Now, s.Fence) + long
	if s.Rules.has(RetentionRaised) {
		end = max(end, s.Expires)
	}
	s.Expires = end
}

// lay lays a tombstone. A note is not overwritten; it replaces an older tombstone without one, and stands for a minute from now.
func (s *step) lay(token, note string) {
	if !s.Rules.has(Tombstones) {
		return
	}
	if t := s.tombstone(token); t != nil {
		if t.Note != "" || note == "" {
			return
		}
		s.bury(token)
	}
	s.Lock.Tombstones = append(s.Tombstones, Tombstone{token, s.Now + s.Rules.Tombstone, note})
	if s.Fence == 0 {
		s.Fence = s.Now
	}
	s.remember(s.Rules.Keep)
}

// Forgotten is the lock after the loss of its data: by an eviction, FLUSHALL, a restart without persistence, or because the key's
// end has come.
func Forgotten() Lock { return Lock{} }
