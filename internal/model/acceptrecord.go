package model

import (
	"fmt"
	"slices"

	"example.com/redislock/internal/protocol"
)

// released takes a plain HDEL of a token. It finds a hold that is alone, and nothing of any other.
func (a *Acceptor) released(c Call) error {
	key := c.Keys[0]
	if a.unknown[key] {
		a.skipped++
		return nil
	}
	a.accepted++
	if n, ok := c.Reply.(int64); !ok || n == 0 {
		return nil
	}
	d := &Difference{Call: c, Before: a.locks[key]}
	var next []Lock
	for _, l := range a.locks[key] {
		if l.hold(c.Args[0]) == nil || len(l.Holds) > 1 || len(l.Queue) > 0 {
			d.Answers = append(d.Answers, "the server has found a hold that is alone, and the model has not")
			continue
		}
		l.Holds = nil
		next = append(next, l)
	}
	if next == nil {
		return d
	}
	return a.become(key, next)
}

// recorded takes the writing of a record.
func (a *Acceptor) recorded(c Call) error {
	if len(c.Keys) < 2 || len(c.Args) < 4 || len(c.Args[1]) <= protocol.FenceLength {
		return unreadable(c, fmt.Errorf("something is missing"))
	}
	n, ok := c.Reply.(int64)
	if !ok {
		return unreadable(c, protocol.Unexpected(c.Reply))
	}
	w, in := Write{Token: c.Args[0], Value: c.Args[3]}, &words{all: c.Args}
	w.Fence, w.Step = step16(c.Args[1])
	w.Long = in.number(2) * Millisecond
	switch of := in.text(4); of {
	case "":
	case "late":
		w.Late = true
	default:
		w.Of = &Record{}
		w.Of.Fence, w.Of.Step = step16(of)
	}
	if in.err != nil {
		return unreadable(c, in.err)
	}
	if a.unknown[c.Keys[0]] || a.unknown[c.Keys[1]] {
		a.forget(c.Keys[1])
		a.skipped++
		return nil
	}
	d := &Difference{Call: c}
	var locks []Lock
	var records []*Record
	err := a.follow(c, d, func(l *Lock, at Instant) {
		for _, r := range a.record(c.Keys[1], at.Now) {
			if after, held := w.Execute(l, r, at); held == (n == 1) {
				locks, records = append(locks, *l), append(records, after)
			} else {
				d.Answers = append(d.Answers, fmt.Sprintf("the server answered %d, and the model %v, of the record %+v", n, held, r))
			}
		}
	})
	if err != nil {
		return err
	}
	if locks == nil {
		return d
	}
	a.records[c.Keys[1]] = records
	return a.become(c.Keys[0], locks)
}

func step16(text string) (Micros, string) {
	at := min(protocol.FenceLength, len(text))
	return fenceOf(text[:at]), text[at:]
}

// record are the states that a record may be in. When it is forgotten is not known to the µs.
func (a *Acceptor) record(key string, now Micros) (states []*Record) {
	const imprecise = 2 * Millisecond
	for _, r := range a.records[key] {
		if r == nil || now < r.Until+imprecise {
			states = append(states, r)
		}
		if r != nil && now >= r.Until-imprecise {
			states = append(states, nil)
		}
	}
	if states == nil {
		states = []*Record{nil}
	}
	return states
}

// recalled takes the reading of a record.
func (a *Acceptor) recalled(c Call) error {
	key := c.Keys[0]
	if a.unknown[key] {
		a.skipped++
		return nil
	}
	f, err := protocol.FieldsOf(c.Reply)
	if err != nil {
		return unreadable(c, err)
	}
	a.accepted++
	now, text := f.Clock(0), ""
	if len(f.Values) > 2 {
		text = f.Text(2)
	}
	if f.Err != nil {
		return unreadable(c, f.Err)
	}
	d := &Difference{Call: c}
	var next []*Record
	for _, r := range a.record(key, now) {
		is := ""
		if r != nil {
			is = fmt.Sprintf("%016d%s%s", r.Fence, r.Step, r.Value)
		}
		if is == text {
			next = append(next, r)
		} else {
			d.Answers = append(d.Answers, fmt.Sprintf("the record is %q, and in the model %q", text, is))
		}
	}
	if next == nil {
		return d
	}
	a.records[key] = slices.Compact(next)
	return nil
}
