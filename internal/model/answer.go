package model

import "fmt"

// Answer is the answer of a script. Fields that a status does not have are zero.
type Answer struct {
	Status  string // see each script
	Now     Micros
	Fence   Micros // of the hold; or the last one of the name, where the hold is gone
	At      Micros // the hold ends at At + Lease
	Lease   Micros
	Ticket  Micros
	More    bool // candidates remain untried: ask again
	Leaving bool // a hold is revoked, for the caller or before
	Note    string
	Holder  Holder
	Found   []Answer // of a check, for each token: granted, waiting or gone
	Count   int      // how many holds a break has ended, or how many were asked; for inspect, how many hold
	Before  int      // how many holds had been broken before, for the same reason
	Last    Micros   // the greatest of their fences
	Holds   []Hold   // that inspect shows
	Places  []Place

	HoldsOn, PlacesOn string // the tokens behind which inspect goes on, where it has not shown all
}

// Holder says who has the lock. The zero Holder says that nobody has.
type Holder struct {
	Since    Micros // of the oldest hold that is neither revoked nor kept, if there is one
	Deadline Micros // when the first hold ends; where there are several, no later than that
	Info     string
	Limit    string // what the limit is until when, if the first to wait, or the caller, is more than it allows
	Holds    int
	Waiting  int
}

// holder is part of the answer to a caller that does not get the lock at once.
func (s *step) holder() Holder {
	h := Holder{Waiting: len(s.Queue), Holds: len(s.Holds)}
	if s.barred {
		h.Limit = fmt.Sprintf("%016d%s", s.Limit.Until, s.Limit.Rules)
	}
	if len(s.Holds) == 0 {
		return h
	}
	of := s.oldest()
	if of == nil {
		of = &s.Holds[0]
	}
	h.Since, h.Info, h.Deadline = of.Since, of.Request.Info, s.firstEnd()
	return h
}

func granted(now Micros, h *Hold) Answer {
	return Answer{Status: "granted", Now: now, Fence: h.Fence, At: h.At, Lease: h.Lease}
}
