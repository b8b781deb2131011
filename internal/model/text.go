package model

import (
	"fmt"
	"strconv"
	"strings"

	"example.com/redislock/internal/protocol"
)

// Append writes the whole state, so that two locks are the same if what is written is. It is for hashing.
func (l *Lock) Append(b []byte) []byte {
	number := func(n Micros) { b = append(strconv.AppendInt(b, int64(n), 36), ' ') }
	text := func(t string) { b = append(append(b, t...), ' ') }
	request := func(r *Request) {
		number(r.Lease)
		number(r.Keep)
		b = append(b, r.Wait)
		text(r.Channel)
		text(r.Info)
		if r.Turns {
			b = append(b, protocol.TurnsMark)
		}
		if !r.Mode.Exclusive() {
			text(r.Mode.line(""))
		}
	}
	number(l.Fence)
	number(l.Expires)
	for i := range l.Holds {
		h := &l.Holds[i]
		b = append(b, '\n', byte(h.State))
		text(h.Token)
		text(h.Change)
		number(h.Since)
		number(h.Fence)
		number(h.At)
		number(h.Lease)
		request(&h.Request)
	}
	for i := range l.Queue {
		p := &l.Queue[i]
		b = append(b, '\n', 'q')
		text(p.Token)
		text(p.Of)
		number(p.Ticket)
		request(&p.Request)
	}
	for _, t := range l.Tombstones {
		b = append(b, '\n', 't')
		text(t.Token)
		number(t.Until)
		text(t.Note)
	}
	for _, p := range l.Presences {
		b = append(b, '\n', 'c', p.Wait)
		text(p.Channel)
		number(p.Seen)
	}
	if l.Limit != (Limit{}) {
		b = append(b, '\n', 'l')
		text(l.Limit.Rules)
		number(l.Limit.Until)
		number(l.Limit.Version)
		number(l.Limit.Long)
	}
	if l.Watched {
		b = append(b, 'v')
	}
	return b
}

func (l *Lock) describe(b *strings.Builder) {
	if !l.Exists() {
		b.WriteString("  nothing\n")
		return
	}
	fmt.Fprintf(b, "  fence %d, kept until %d\n", l.Fence, l.Expires)
	for i := range l.Holds {
		h := &l.Holds[i]
		fmt.Fprintf(b, "  hold %s %c since %d fence %d at %d for %d until %d (%s)", h.Token, h.State, h.Since, h.Fence, h.At, h.Lease, h.Deadline(), &h.Request)
		if h.Change != "" {
			fmt.Fprintf(b, " changed by %s", h.Change)
		}
		b.WriteString("\n")
	}
	for i := range l.Queue {
		p := &l.Queue[i]
		fmt.Fprintf(b, "  place %s ticket %d (%s)", p.Token, p.Ticket, &p.Request)
		if p.Of != "" {
			fmt.Fprintf(b, " changes %s", p.Of)
		}
		b.WriteString("\n")
	}
	for _, t := range l.Tombstones {
		fmt.Fprintf(b, "  tombstone %s until %d %q\n", t.Token, t.Until, t.Note)
	}
	for _, p := range l.Presences {
		fmt.Fprintf(b, "  client %s seen %d %c\n", p.Channel, p.Seen, p.Wait)
	}
	if l.Limit != (Limit{}) {
		fmt.Fprintf(b, "  limit %q until %d, version %d\n", l.Limit.Rules, l.Limit.Until, l.Limit.Version)
	}
	if l.Watched {
		b.WriteString("  watched\n")
	}
}

func (r *Request) String() string {
	mode := r.Mode.line("")
	if mode == "" {
		mode = "exclusive"
	}
	if r.Turns {
		mode += " in turns"
	}
	return fmt.Sprintf("%s, lease %d, keep %d, %c %s", mode, r.Lease, r.Keep, r.Wait, r.Channel)
}

// String is the answer, with the fields that are set.
func (a Answer) String() string {
	var b strings.Builder
	b.WriteString(a.Status)
	for _, f := range []struct {
		name  string
		value Micros
	}{{"now", a.Now}, {"fence", a.Fence}, {"at", a.At}, {"lease", a.Lease}, {"ticket", a.Ticket}, {"count", Micros(a.Count)}, {"before", Micros(a.Before)}, {"last", a.Last}} {
		if f.value != 0 {
			fmt.Fprintf(&b, " %s %d", f.name, f.value)
		}
	}
	if a.More {
		b.WriteString(" more")
	}
	if a.Leaving {
		b.WriteString(" leaving")
	}
	if a.Note != "" {
		fmt.Fprintf(&b, " note %q", a.Note)
	}
	if a.Holder != (Holder{}) {
		fmt.Fprintf(&b, " holder %+v", a.Holder)
	}
	for _, f := range a.Found {
		fmt.Fprintf(&b, " [%s]", f)
	}
	for i := range a.Holds {
		h := &a.Holds[i]
		fmt.Fprintf(&b, " hold{%s %c %d %d %d}", h.Token, h.State, h.Since, h.Fence, h.Deadline())
	}
	for i := range a.Places {
		fmt.Fprintf(&b, " place{%s %d}", a.Places[i].Token, a.Places[i].Ticket)
	}
	if a.HoldsOn != "" || a.PlacesOn != "" {
		fmt.Fprintf(&b, " on behind %q and %q", a.HoldsOn, a.PlacesOn)
	}
	return b.String()
}
