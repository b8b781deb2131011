package model

import (
	"bytes"
	"strings"
)

// execute lets the server execute a request, and checks what that does to the lock.
func (w *world) execute(p packet) (Answer, []Message) {
	before, at := w.lock, w.instant()
	after, answer, messages := Execute(&before, p.script, at)
	w.lock = after
	w.twice(&after, p, answer, at)
	if answer.Status != "over" && answer.Status != "refused" { // those change nothing
		w.lockHolds(&before, &after)
	}
	w.order(&before, &after, p)
	w.kept(&before, &after, p)
	if answer.Status == "refused" {
		if _, release := p.script.(Release); release {
			w.violated("a release is refused for want of memory")
		}
	}
	if s, is := p.script.(Renew); is && answer.Status == "renewed" {
		if h := after.hold(s.Token); h != nil && h.Fence < s.Fence {
			w.violated("I2: a renewal of fence %d moves the hold of fence %d", s.Fence, h.Fence)
		}
	}
	if s, is := p.script.(Acquire); is && answer.Status == "granted" {
		if h := before.hold(s.Token); h != nil && h.Fence != answer.Fence && h.Deadline() > w.now {
			w.violated("I2: a copy of an acquire has fence %d, and not %d", answer.Fence, h.Fence)
		}
	}
	return answer, messages
}

// twice is I3: the same request, executed twice, leaves the state of one.
func (w *world) twice(after *Lock, p packet, answer Answer, at Instant) {
	if answer.More || answer.Status == "more" {
		return // it must be sent again, and then goes on
	}
	again, second, _ := Execute(after, p.script, at)
	if !bytes.Equal(after.Append(nil), again.Append(nil)) {
		w.violated("I3: executed twice, %s leaves\n%s", p.id, &again)
	}
	switch p.script.(type) {
	case Release, Break: // their answer says that the work was done
	default:
		if answer.Status == "gone" {
			second.Fence = answer.Fence // the fence of the name, which goes on
		}
		if answer.String() != second.String() {
			w.violated("I3: executed twice, %s answers %s", p.id, second)
		}
	}
}

// lockHolds checks what must be true of the server's state.
func (w *world) lockHolds(before, after *Lock) {
	var modes []Mode
	seen := map[string]bool{}
	for i := range after.Holds {
		h := &after.Holds[i]
		modes = append(modes, h.Request.Mode)
		switch {
		case h.Deadline() > w.now+h.Lease:
			w.violated("I4: hold %s lasts for longer than its lease", h.Token)
		case h.Deadline() > after.Expires:
			w.violated("I4: hold %s outlives its key", h.Token)
		case seen[h.Token]:
			w.violated("I3: %s has two holds", h.Token)
		}
		seen[h.Token] = true
		if was := before.hold(h.Token); was == nil || was.Fence != h.Fence {
			if h.Fence <= w.greatest && !w.forgetful() {
				w.violated("I2: %s is granted with fence %d, after %d", h.Token, h.Fence, w.greatest)
			}
			w.greatest = h.Fence
			w.entered(after, h)
		}
	}
	if !Together(modes) {
		w.violated("I1: holds that do not go together")
	}
	ticket := Micros(0)
	for i := range after.Queue {
		q := &after.Queue[i]
		if seen[q.Token] {
			w.violated("I3: %s has a place beside another place or hold", q.Token)
		}
		seen[q.Token] = true
		if q.Ticket < ticket {
			w.violated("I5: the tickets are out of order")
		}
		ticket = q.Ticket
	}
	if after.Exists() && after.Expires <= w.now {
		w.violated("I4: the key has no end")
	}
	if before.Exists() && after.Expires < before.Expires {
		w.violated("I4: the memory of fences is shortened, from %d to %d", before.Expires, after.Expires)
	}
	removed := len(before.Queue) - len(after.Queue)
	if most := w.config.rules.HandOver + 2*w.config.rules.Trim; removed > most {
		w.violated("one script cleared away %d places", removed)
	}
}

// entered checks I1 for the rules of a mode about its own grant: all earlier holds that still exist keep them.
func (w *world) entered(l *Lock, h *Hold) {
	modes := []Mode{h.Request.Mode}
	for i := range l.Holds {
		if l.Holds[i].Fence < h.Fence {
			modes = append(modes, l.Holds[i].Request.Mode)
		}
	}
	if held, ok := weights(modes); !ok || len(modes) > 1 && !modes[0].Heeds(held, true) {
		w.violated("I1: %s is granted beside what it does not tolerate at its grant", h.Token)
	}
}

// forgetful reports whether the data was lost and the clock is not ahead of the last grant. Then fences rise only because the
// Clients remember (Confirm).
func (w *world) forgetful() bool {
	return w.left.losses < w.config.left.losses && w.now <= w.greatest
}

// kept checks the second half of I1: a hold ends only by its deadline, by a break, or by a request that names its
// token.
func (w *world) kept(before, after *Lock, p packet) {
	for i := range before.Holds {
		h := &before.Holds[i]
		if after.hold(h.Token) != nil {
			continue
		}
		if h.Deadline() <= w.now {
			if owner := w.owner(h.Token); w.config.prompt && owner != nil && owner.state == waiting {
				w.violated("I9: a grant of %s lapses unseen", h.Token)
			}
			continue
		}
		named := false
		switch s := p.script.(type) {
		case Release:
			named = s.Token == h.Token
		case Resume:
			named = s.Old == h.Token
		case Break:
			named = true
			if owner := w.owner(h.Token); owner != nil {
				owner.robbed = true
			}
		}
		if !named {
			w.violated("I1: %s drops the hold %s", p.id, h.Token)
		}
	}
}

// owner is the Client whose current wait has that token.
func (w *world) owner(token string) *client {
	i := int(token[0] - 'A')
	if i >= 0 && i < len(w.clients) && w.clients[i].token == token {
		return &w.clients[i]
	}
	return nil
}

// order checks I5: no live waiter is passed over, and none loses its place. A waiter lives if it is subscribed, or if its last check
// is not overdue.
func (w *world) order(before, after *Lock, p packet) {
	_, moved := p.script.(Resume) // to another owner

	for i := range before.Queue {
		q := &before.Queue[i]
		c := w.owner(q.Token)
		if c == nil || c.state != waiting || w.config.clients[q.Token[0]-'A'].replica {
			continue
		}
		lives := w.elapsed-c.asked <= 2*Second || c.subscribed && w.elapsed-c.asked <= 4*Second
		if !lives {
			continue
		}
		if after.place(q.Token) == nil && after.hold(q.Token) == nil {
			w.violated("I5: %s, which lives, loses its place", q.Token)
		}
		for j := range after.Holds {
			h := &after.Holds[j]
			if !moved && before.hold(h.Token) == nil && after.place(q.Token) != nil && (before.place(h.Token) == nil || before.place(h.Token).Ticket > q.Ticket) {
				w.violated("I5: %s passes %s, which lives", h.Token, q.Token)
			}
		}
	}
}

// believe checks what must be true between the Clients and the server.
func (w *world) believe() {
	var modes []Mode
	var who []string
	for i := range w.clients {
		if c := &w.clients[i]; w.body(i) && !c.robbed {
			modes = append(modes, c.mode)
			who = append(who, c.token)
		}
	}
	if !Together(modes) {
		w.violated("I1: the bodies of %s run at once", strings.Join(who, " and "))
	}
	w.leftBehind()
	w.stuck()
	if w.config.done != nil {
		if fault := w.config.done(w); fault != "" {
			w.violated("%s", fault)
		}
	}
}

// leftBehind checks I8: when a Client has finished with a token and no request of it is under way, the server has no hold and no
// place of it. The hold must be gone before its deadline.
func (w *world) leftBehind() {
	if w.left.losses < w.config.left.losses {
		return // the tombstones were lost, too
	}
	for _, token := range w.tokens() {
		i := int(token[0] - 'A')
		if i < 0 || i >= len(w.clients) || w.clients[i].state == gone || w.clients[i].token == token && w.clients[i].state != idle || token == w.handed.Token {
			continue
		}
		underWay := false
		for _, p := range w.flight {
			underWay = underWay || p.from == i && strings.Contains(p.id, token)
		}
		if !underWay {
			w.violated("I8: %s is left behind", token)
		}
	}
}

// stuck names a client that would wait for ever: nothing is under way, nobody holds the lock, and a check does not
// change that.
func (w *world) stuck() {
	if len(w.flight) > 0 || len(w.lock.Holds) > 0 {
		return
	}
	for i := range w.clients {
		c := &w.clients[i]
		if c.state != waiting {
			continue
		}
		after, answer, _ := Execute(&w.lock, Check{Channel: channel(i), Wait: 'c', Tokens: []string{c.token}}, w.instant())
		if answer.Found[0].Status == "waiting" && len(after.Holds) == 0 && !answer.More {
			w.violated("%s waits for ever", c.token)
		}
	}
}

func (w *world) tokens() (tokens []string) {
	for i := range w.lock.Holds {
		if w.lock.Holds[i].State != Kept {
			tokens = append(tokens, w.lock.Holds[i].Token)
		}
	}
	for i := range w.lock.Queue {
		if w.lock.Queue[i].Of == "" {
			tokens = append(tokens, w.lock.Queue[i].Token)
		}
	}
	return tokens
}
