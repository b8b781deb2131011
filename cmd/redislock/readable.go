package main

import (
	"slices"

	"example.com/redislock"
	"example.com/redislock/cmd/redislock/internal/safetext"
)

// readable is a lock as people read it: every text in it that others wrote may go to a terminal. All that prints a lock for
// people takes this, and JSON is made of the [redislock.Info] itself, so nothing is encoded twice, or not at all.
type readable struct {
	redislock.Info
}

// forPeople is the only way to a readable lock.
func forPeople(info redislock.Info) readable {
	r := readable{info}
	r.Name = visible(info.Name)
	r.Holds, r.Places = nil, nil
	for _, h := range info.Holds {
		h.Owner, h.Mode = readableOwner(h.Owner), readableMode(h.Mode)
		r.Holds = append(r.Holds, h)
	}
	for _, p := range info.Places {
		p.Owner, p.Mode = readableOwner(p.Owner), readableMode(p.Mode)
		r.Places = append(r.Places, p)
	}
	return r
}

func readableOwner(o redislock.Owner) redislock.Owner {
	o.Client, o.Host, o.Metadata, o.Trace = visible(o.Client), visible(o.Host), visible(o.Metadata), visible(o.Trace)
	return o
}

// readableMode is the mode itself, or one for show whose name can be read: the name of a mode is whatever is in the key.
func readableMode(m redislock.Mode) redislock.Mode {
	if safetext.Clear(m.String()) {
		return m
	}
	return redislock.NewMode(visible(m.String()))
}

// who is an owner without the metadata.
func who(o redislock.Owner) string {
	o.Metadata = ""
	return o.String()
}

// readableRun is the last run of a job as people read it, as [readable] is of a lock.
type readableRun redislock.CronStatus

func runForPeople(s redislock.CronStatus) readableRun {
	s.Job, s.Node, s.Err = visible(s.Job), readableOwner(s.Node), visible(s.Err)
	s.Earlier = slices.Clone(s.Earlier)
	for i, r := range s.Earlier {
		s.Earlier[i].Node, s.Earlier[i].Err = readableOwner(r.Node), visible(r.Err)
	}
	return readableRun(s)
}
