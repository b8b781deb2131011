package model

// Inspect shows a lock, and changes nothing: a hold that has lapsed is not shown, and not removed.
type Inspect struct {
	Most int // holds and places that are shown
}

func (i Inspect) execute(s *step) Answer {
	s.undone = true
	return s.show(i.Most)
}

// Watch shows a lock, and has the next change of it told to all Clients, once.
type Watch struct {
	Most int
}

func (w Watch) execute(s *step) Answer {
	if !s.Watched {
		s.Watched = true
		s.remember(s.Rules.Keep)
	}
	seen := *s
	now := s.Clone()
	seen.Lock = &now
	return seen.show(w.Most)
}

func (s *step) show(most int) Answer {
	a := Answer{Status: "shown", Now: s.Now, Fence: s.Fence, Count: len(s.Holds), Holder: Holder{Waiting: len(s.Queue)}}
	for _, h := range s.Holds[:min(most, len(s.Holds))] {
		switch {
		case s.Now < h.At:
			h.At, h.Since = s.Now, min(h.Since, s.Now)
			fallthrough
		case s.Now < h.Deadline():
			a.Holds = append(a.Holds, h)
		default:
			a.Count--
		}
	}
	a.Places = append(a.Places, s.Queue[:min(most, len(s.Queue))]...)
	return a
}

// Ask tells the holders that somebody wants the lock. It takes nothing, and changes nothing.
type Ask struct{}

func (Ask) execute(s *step) Answer {
	const most = 64
	s.undone = true
	a := Answer{Status: "asked"}
	for _, h := range s.Holds[:min(most, len(s.Holds))] {
		if h.State != Kept && (s.Now < h.At || s.Now < h.Deadline()) {
			s.publish(Message{Kind: 'a', Channel: h.Request.Channel, Token: h.Token})
			a.Count++
		}
	}
	return a
}
