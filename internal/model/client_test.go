package model

import (
	"fmt"
	"strconv"
)

// client is a process that wants the lock, once or several times in turn.
type client struct {
	state      byte
	want       int    // the number of its present want
	token      string // the token of this wait
	mode       Mode   // the mode in which its body runs
	ticket     Micros // the ticket of its place
	fence      Micros
	until      Micros // the bound, in true time
	asked      Micros // when it last asked or checked
	due        Micros // the next renewal
	attempts   int    // requests of its acquire that had no answer: a copy may be under way
	changes    int
	changing   bool
	subscribed bool
	robbed     bool   // the data was lost, or an operator broke the lock: nothing is promised about this hold
	stuck      Micros // until then nothing gets through its lane
}

// What a client does.
const (
	idle    byte = 'i'
	asking  byte = 'a' // its acquire has no answer yet
	waiting byte = 'w' // it has a place, and knows it
	holding byte = 'h' // its body runs, until the bound
	leaving byte = 'l' // its body is over, and the server must know that before it goes on
	gone    byte = 'd' // the process is dead
)

func (c *client) append(b []byte) []byte {
	b = append(b, '\n', c.state, byte('0'+c.want), byte('0'+c.attempts), byte('0'+c.changes))
	for _, is := range []bool{c.changing, c.subscribed, c.robbed} {
		if is {
			b = append(b, '+')
		} else {
			b = append(b, '-')
		}
	}
	b = append(append(b, c.token...), c.mode.Name...)
	for _, n := range []Micros{c.ticket, c.fence, c.until, c.asked, c.due, c.stuck} {
		b = append(strconv.AppendInt(b, int64(n), 36), ' ')
	}
	return b
}

func channel(i int) string { return string(rune('A' + i)) }

func (w *world) wants(i int) *want {
	c := &w.clients[i]
	if c.want >= len(w.config.clients[i].wants) {
		return nil
	}
	return &w.config.clients[i].wants[c.want]
}

// tokenOf names a wait, and is never used again.
func (w *world) tokenOf(i int) string {
	if !w.config.has(newToken) {
		return channel(i)
	}
	return fmt.Sprintf("%s%d.%d", channel(i), w.clients[i].want, w.clients[i].ticket)
}

func (w *world) request(i int) Request {
	want := w.wants(i)
	r := Request{Lease: want.lease, Keep: want.keep, Wait: 'c', Channel: channel(i), Mode: want.mode}
	if want.try {
		r.Wait = '-'
	}
	return r
}

// begin asks for the lock.
func (w *world) begin(i int) {
	c, want := &w.clients[i], w.wants(i)
	c.token, c.state, c.asked, c.attempts = w.tokenOf(i), asking, w.elapsed, 0
	w.ask(i, want)
}

func (w *world) ask(i int, want *want) {
	c := &w.clients[i]
	if want.resume {
		w.send(i, Resume{Token: c.token, Request: w.request(i), Old: w.handed.Token, Fence: w.handed.Fence})
		return
	}
	w.send(i, Acquire{Token: c.token, Request: w.request(i), Steal: want.steal, Stale: want.steal > 0, Ticket: c.ticket, Back: c.ticket > 0, Most: want.most})
}

// next goes on to its next want.
func (w *world) next(i int) {
	c := &w.clients[i]
	*c = client{state: idle, want: c.want + 1, subscribed: c.subscribed, stuck: c.stuck}
	if !w.config.has(newToken) {
		c.token = ""
	}
}

// leave gives up the hold, or the place, and goes on. I8: with a tombstone where a copy of the acquire may come late.
func (w *world) leave(i int) {
	w.send(i, Release{Token: w.clients[i].token, Tombstone: w.clients[i].attempts > 0})
	w.next(i)
}

func (w *world) check(i int) {
	c, want := &w.clients[i], w.wants(i)
	c.asked = w.elapsed
	w.send(i, Check{Channel: channel(i), Wait: 'c', Steal: want.steal, Stale: want.steal > 0, Tokens: []string{c.token}})
}

func (w *world) renew(i int) {
	c := &w.clients[i]
	c.due = w.elapsed + Second // again, if there is no answer
	w.send(i, Renew{Token: c.token, Fence: c.fence})
}

// body reports whether the guarded body may run.
func (w *world) body(i int) bool {
	c := &w.clients[i]
	return c.state == holding && (w.elapsed < c.until || !w.config.has(ownBound))
}

// granted tells the client of a token that it is granted, by an answer or a message.
func (w *world) granted(i int, fence, until Micros, lease Micros) {
	c := &w.clients[i]
	if until <= w.elapsed && w.config.has(believesLate) {
		if c.state == asking { // that is the answer to its acquire
			c.state = waiting
		}
		w.check(i) // I6: the server knows the bound
		return
	}
	if !w.config.has(believesLate) {
		until = w.elapsed + lease
	}
	c.state, c.fence, c.until, c.due = holding, fence, until, w.elapsed+lease/4
	c.mode = w.wants(i).mode
}

// hear handles a message.
func (w *world) hear(p packet) {
	i, m := p.from, p.message
	c := &w.clients[i]
	if c.token != m.Token && !(c.changing && m.Kind == 'g' && m.Token == Changed(c.changes, c.token)) || c.state == gone {
		return // I9: it names no wait and no hold of this process
	}
	switch {
	case m.Kind == 'g' && c.changing && c.state == holding && m.Token != c.token:
		c.changing, c.fence, c.mode = false, m.Fence, write
	case m.Kind == 'g' && (c.state == waiting || c.state == asking):
		if c.state == asking {
			c.attempts++ // the answer is still under way
		}
		w.granted(i, m.Fence, p.until, m.Lease)
	case m.Kind == 's' && c.state == holding:
		w.leave(i)
	case m.Kind == 'd' && c.state == waiting:
		w.check(i)
	}
}

// answered handles the answer to a request.
func (w *world) answered(p packet) {
	i, a := p.from, *p.answer
	c := &w.clients[i]
	if c.state == gone {
		return
	}
	current := c.want == p.want
	switch s := p.script.(type) {
	case Acquire:
		current = current && c.token == s.Token && c.state == asking
		w.answeredAcquire(p, s.Token, current)
	case Resume:
		current = current && c.token == s.Token && c.state == asking
		w.answeredAcquire(p, s.Token, current)
	case Check:
		if !current || c.token != s.Tokens[0] || c.state != waiting {
			return
		}
		switch found := a.Found[0]; found.Status {
		case "granted":
			if p.until > w.elapsed || !w.config.has(believesLate) {
				w.granted(i, found.Fence, p.until, found.Lease)
			}
		case "gone": // with the old ticket, and a new token
			c.token, c.state, c.attempts = w.tokenOf(i), asking, 0
			w.ask(i, w.wants(i))
		}
	case Renew:
		if !current || c.token != s.Token || c.state != holding && c.state != leaving {
			return
		}
		switch {
		case a.Status != "renewed":
			w.leave(i)
		case p.until > c.until:
			c.until, c.due = p.until, w.elapsed+w.wants(i).lease/4
		}
	case Keep:
		if !current || c.token != s.Token || c.state != leaving {
			return
		}
		switch {
		case a.Status != "kept":
			w.leave(i)
		case s.Lease == 0: // it is handed off now
			w.handed = Grant{s.Token, s.Fence}
			w.next(i)
		default:
			w.next(i)
		}
	case Convert:
		w.answeredConvert(i, s, a, current && c.token == s.Token && c.state == holding)
	}
}

func (w *world) answeredAcquire(p packet, token string, current bool) {
	i, a := p.from, p.answer
	c := &w.clients[i]
	if !current {
		// Its caller has gone. Who holds or waits by that token already has another attempt's answer.
		if known := c.token == token && (c.state == holding || c.state == waiting); !known && (a.Status == "granted" || a.Status == "waiting") && w.config.has(giveBack) {
			w.send(i, Release{Token: token, Tombstone: p.copies > 0})
		}
		return
	}
	switch a.Status {
	case "granted":
		w.granted(i, a.Fence, p.until, a.Lease)
	case "waiting":
		c.state, c.ticket = waiting, a.Ticket
	case "more":
		w.ask(i, w.wants(i))
	default:
		w.next(i)
	}
}

func (w *world) convert(i int, to Mode, grants bool) {
	c := &w.clients[i]
	c.changes++
	r := w.request(i)
	r.Mode = to
	if !grants {
		c.mode = to // whatever the result, it counts as a reader from now on
	}
	c.changing = grants
	w.send(i, Convert{Token: c.token, Request: r, Grants: grants, Change: Changed(c.changes, c.token)})
}

func (w *world) answeredConvert(i int, s Convert, a Answer, current bool) {
	c := &w.clients[i]
	if !current || s.Change != Changed(c.changes, c.token) || !c.changing {
		return
	}
	switch a.Status {
	case "granted":
		c.changing, c.fence, c.mode = false, a.Fence, s.Request.Mode
	case "waiting":
	default:
		c.changing = false
	}
}

// timedOut handles a request whose answer did not come in time: the connection is closed.
func (w *world) timedOut(p packet) {
	i := p.from
	c := &w.clients[i]
	if c.state == gone {
		return
	}
	current := c.want == p.want
	switch s := p.script.(type) {
	case Acquire:
		switch {
		case !w.config.has(ownResends): // go-redis sends it again, and nobody is told
			w.put(packet{from: i, want: p.want, script: p.script})
		case current && c.token == s.Token && c.state == asking:
			c.attempts++
			w.put(packet{from: i, want: p.want, script: s, copies: p.copies + 1})
		case current && c.token == s.Token: // it was granted by message meanwhile
			c.attempts++
		default: // its caller has gone
			w.put(packet{from: i, want: p.want, script: Release{Token: s.Token, Tombstone: true}})
		}
	case Check:
		if current && c.token == s.Tokens[0] && c.state == waiting {
			c.asked = w.elapsed + Second // it is known only after that time
		}
	default: // it is sent again
		w.put(packet{from: i, want: p.want, script: p.script})
	}
}
