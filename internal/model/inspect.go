package model

import "slices"

// Inspect shows a lock, and changes nothing: a hold that has lapsed is not shown, and not removed.
type Inspect struct {
	Most          int    // holds and places that are shown
	Holds, Places string // the tokens behind which they begin; '' from the first, '-' none
}

func (i Inspect) execute(s *step) Answer {
	s.undone = true
	return s.show(i.Most, i.Holds, i.Places)
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
	return seen.show(w.Most, "", "")
}

func (s *step) show(most int, behindHold, behindPlace string) Answer {
	a := Answer{Status: "shown", Now: s.Now, Fence: s.Fence, Count: len(s.Holds), Holder: Holder{Waiting: len(s.Queue)}}
	holds, holdsOn := page(s.Holds, most, behindHold, func(h Hold) string { return h.Token })
	places, placesOn := page(s.Queue, most, behindPlace, func(p Place) string { return p.Token })
	a.HoldsOn, a.PlacesOn = holdsOn, placesOn
	if l := s.Limit.anew(s.Now); l.Until > s.Now {
		a.At, a.Note = l.Until, l.Rules
	}
	for _, h := range holds {
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
	a.Places = append(a.Places, places...)
	return a
}

// page is the first of a list that come behind a token, or the first of all where that is gone. on is the token of the last of them,
// if others come behind it.
func page[T any](all []T, most int, behind string, token func(T) string) (shown []T, on string) {
	if behind == "-" {
		return nil, ""
	}
	from := slices.IndexFunc(all, func(one T) bool { return token(one) == behind }) + 1
	shown = all[from:min(from+most, len(all))]
	if n := len(shown); n > 0 && from+n < len(all) {
		on = token(shown[n-1])
	}
	return shown, on
}

// Ask tells the holders that a caller wants the lock. It takes nothing, and changes nothing.
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
