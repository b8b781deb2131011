package model

import (
	"fmt"
	"time"

	"example.com/redislock/internal/protocol"
)

// parseReply is the reply of a script, as an answer of the model.
func parseReply(script Script, reply any) (Answer, error) {
	switch asked := script.(type) {
	case Release:
		what, more, found, err := protocol.ParseRelease(reply)
		return Answer{Status: what, More: more, Note: found.Note, Fence: fenceOf(found.Fence)}, err
	case Ask:
		n, ok := reply.(int64)
		if !ok {
			return Answer{}, protocol.Unexpected(reply)
		}
		return Answer{Status: "asked", Count: int(n)}, nil
	case Check:
		f, err := protocol.FieldsOf(reply)
		if err != nil {
			return Answer{}, err
		}
		a := Answer{Status: "checked", Now: f.Micros(0), More: f.Int(1) > 0, Holder: holderOf(f.Holder(2))}
		for i := range asked.Tokens {
			a.Found = append(a.Found, found(f, 8+i))
		}
		return a, f.Err
	case Break:
		f, err := protocol.FieldsOf(reply)
		if err != nil {
			return Answer{}, err
		}
		a := Answer{Status: "broken", Count: f.Int(0), More: f.Int(1) > 0, Fence: fenceOf(f.Text(2)), Before: f.Int(3), Last: fenceOf(f.Text(4))}
		return a, f.Err
	case SetLimit:
		f, err := protocol.FieldsOf(reply)
		if err != nil {
			return Answer{}, err
		}
		if f.Text(0) == "over" {
			return Answer{Status: "over"}, f.Err
		}
		a := Answer{Status: "limit", Ticket: f.Micros(0), At: fenceOf(f.Text(1)), Note: f.Text(2), More: f.Int(3) > 0}
		return a, f.Err
	case Inspect, Watch:
		return shown(reply)
	}
	r, err := protocol.ParseReply(reply)
	a := Answer{
		Status: r.Status, Now: r.Now, Fence: fenceOf(r.Fence), At: r.At, Lease: r.Lease, Ticket: fenceOf(r.Ticket),
		Note: r.Note, More: r.More, Leaving: r.Leaving, Holder: holderOf(r.Holder),
	}
	acquire, asked := script.(Acquire)
	switch {
	case r.Status == "" && asked: // granted at that very time, said in one word
		a.Status, a.Lease = "granted", acquire.Request.Lease
	case r.Status == "":
		a = Answer{Status: "renewed", Now: r.Now}
		if _, kept := script.(Keep); kept {
			a.Status = "kept"
		}
	case r.Status == "more" && err == nil:
		a.More = false
	}
	return a, err
}

func found(f *protocol.Fields, i int) Answer {
	text := f.Text(i)
	if len(text) != 2*protocol.FenceLength+8 {
		return Answer{Status: text}
	}
	g, ok := protocol.ParseGrant(text)
	if !ok {
		f.Fail(i)
	}
	return Answer{Status: "granted", Fence: fenceOf(g.Fence), At: g.At, Lease: length(g.Lease)}
}

// shown reads the answer of inspect and watch.
func shown(reply any) (Answer, error) {
	f, err := protocol.FieldsOf(reply)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Status: "shown", Now: f.Micros(0), Fence: fenceOf(f.Text(1)), Count: f.Int(3), Holder: Holder{Waiting: f.Int(2)}}
	i := 5
	for range f.Int(4) {
		h := Hold{Since: f.Micros(i), Fence: f.Micros(i + 2), Token: f.Text(i + 3)}
		h.Lease = Micros(f.Int(i+7)) * 1000
		h.At = f.Micros(i+1) - h.Lease
		if state := f.Text(i + 4); state != "" {
			h.State = State(state[0])
		}
		a.Holds = append(a.Holds, h)
		i += 8
	}
	for ; i+3 < len(f.Values); i += 4 {
		a.Places = append(a.Places, Place{Ticket: f.Micros(i), Token: f.Text(i + 1)})
	}
	if i < len(f.Values) {
		a.HoldsOn, a.PlacesOn = f.Text(i), f.Text(i+1)
	}
	if i+2 < len(f.Values) {
		until, rules, _ := protocol.CutLimit(f.Text(i + 2))
		a.At, a.Note = fenceOf(until), rules
	}
	return a, f.Err
}

// differs says how an answer of the server differs from that of the model; nothing if they are the same.
func differs(server, model Answer) string {
	s, m := server, model
	if s.Holder.Holds > 1 && s.Holder.Deadline <= m.Holder.Deadline {
		s.Holder.Deadline = m.Holder.Deadline // of several holds the server knows a time before which none ends
	}
	if s.Status == "clash" && s.Note != "" && m.Note != "" { // several rules may be in use with the name, and either is told
		s.Note, m.Note = protocol.Mode{Rules: s.Note}.Shape(), protocol.Mode{Rules: m.Note}.Shape()
	}
	for i := range m.Holds {
		h := &m.Holds[i]
		m.Holds[i] = Hold{Since: h.Since, Fence: h.Fence, Token: h.Token, At: h.At, Lease: h.Lease, State: h.State}
	}
	for i := range m.Places {
		p := &m.Places[i]
		m.Places[i] = Place{Ticket: p.Ticket, Token: p.Token}
	}
	if a, b := s.String(), m.String(); a != b {
		return fmt.Sprintf("the server answered\n  %s\nand the model\n  %s", a, b)
	}
	return ""
}

func fenceOf(text string) Micros {
	if text == "" {
		return 0
	}
	return Micros(protocol.ParseFence(text))
}

func holderOf(h protocol.Holder) Holder {
	return Holder{Since: h.Since, Deadline: h.Deadline, Info: h.Info, Limit: h.Limit, Holds: h.Holders, Waiting: h.Waiting}
}

func length(d time.Duration) Micros { return Micros(d / time.Microsecond) }
