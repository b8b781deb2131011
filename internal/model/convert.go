package model

import "strconv"

// Convert changes the mode of a hold. It changes at once if the holds beside it allow that. If not, it waits until they do,
// before all other waiters, because these wait for this hold too.
//
//	granted, waiting, held, more   as for an acquire
//	conflict  another hold waits to be changed: each would wait for the other
//	gone      the hold is over
//	over      it comes after a later change of the same hold
type Convert struct {
	Token   string // of the hold
	Request Request
	Grants  bool   // to tolerate less is a new grant, with a new fence
	Change  string // token of the change. It begins with 10 digits that rise with every change of the hold
}

// number is how many changes its owner had asked for.
func number(change string) string { return change[:min(10, len(change))] }

func (c Convert) execute(s *step) Answer {
	s.expire()
	if head := s.head(); head != nil && head.Of == c.Token && number(head.Token) < number(c.Change) {
		s.leave(head.Token) // its owner has given that one up
	}
	more := s.handOver()
	h := s.hold(c.Token)
	if h == nil || h.State != Held {
		return Answer{Status: "gone", Now: s.Now}
	}
	other := "" // the hold that the first in the queue waits to change
	first := s.head()
	if first != nil && first.Token != c.Change {
		other = first.Of
	}
	if h.Change != "" && number(c.Change) < number(h.Change) || other == c.Token {
		return Answer{Status: "over", Now: s.Now}
	}
	if h.Change != c.Change && s.fits(c.Request.Mode, c.Token) {
		if s.place(c.Change) != nil {
			s.leave(c.Change)
		}
		s.change(h, c.Request.Mode, c.Change, c.Grants)
		more = s.handOver()
		h = s.hold(c.Token)
	}
	switch {
	case h.Change == c.Change:
		a := granted(s.Now, h)
		a.More = more
		return a
	case more:
		return Answer{Status: "more", Now: s.Now}
	case other != "":
		return Answer{Status: "conflict", Now: s.Now}
	case c.Request.Wait == '-':
		return Answer{Status: "held", Now: s.Now, Holder: s.holder()}
	}
	var told []Message
	if first == nil || first.Token != c.Change {
		told = s.recalls(c.Token)
		of := ""
		if c.Grants {
			of = c.Token
		}
		s.insert(0, Place{Token: c.Change, Request: c.Request, Of: of})
	}
	s.recall(told)
	return Answer{Status: "waiting", Now: s.Now, Holder: s.holder()}
}

// Changed is the token of the n-th change of a hold.
func Changed(n int, hold string) string {
	digits := "0000000000" + strconv.Itoa(n)
	return digits[len(digits)-10:] + hold
}
