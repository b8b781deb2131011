package model

import "fmt"

// branch is one step that may be taken, and the world after it.
type branch struct {
	what string
	to   *world
}

// branches are all steps that may be taken.
func (w *world) branches() (all []branch) {
	step := func(what string, take func(n *world)) {
		n := w.clone()
		take(n)
		n.believe()
		all = append(all, branch{what, n})
	}
	for i := range w.clients {
		w.own(i, step)
	}
	for j := range w.flight {
		w.travel(j, step)
	}
	w.befalls(step)
	return all
}

// own are the possible steps of one Client.
func (w *world) own(i int, step func(string, func(*world))) {
	c, want, who := &w.clients[i], w.wants(i), channel(i)
	if c.state == gone {
		return
	}
	switch c.state {
	case idle:
		if want != nil && (!want.resume || w.handed.Token != "") {
			step(who+" asks", func(n *world) { n.begin(i) })
		}
	case asking, waiting:
		if w.left.cancels > 0 {
			step(who+" is cancelled", func(n *world) {
				n.left.cancels--
				if c.state == asking {
					n.next(i) // the answer tells what to give back
				} else {
					n.leave(i)
				}
			})
		}
		switch {
		case c.state != waiting:
		case w.elapsed >= c.asked+2*Second && w.config.prompt:
			step(who+" checks", func(n *world) { n.check(i) })
		case w.left.checks > 0 && !w.config.prompt:
			step(who+" checks", func(n *world) { n.left.checks--; n.check(i) })
		}
	case holding:
		w.ownHold(i, step)
	}
	if !c.subscribed {
		step(who+" subscribes", func(n *world) {
			n.clients[i].subscribed = true
			if c.state == waiting {
				n.check(i)
			}
		})
	}
}

func (w *world) ownHold(i int, step func(string, func(*world))) {
	c, want, who := &w.clients[i], w.wants(i), channel(i)
	switch {
	case !w.body(i):
		step(who+" has lost it", func(n *world) {
			if w.config.prompt && !c.robbed {
				n.violated("the hold of %s, which lives, is not renewed", c.token)
			}
			n.leave(i)
		})
		return
	case w.config.prompt && w.elapsed >= c.due:
		step(who+" renews", func(n *world) { n.renew(i) })
	case w.left.renewals > 0 && !w.config.prompt:
		step(who+" renews", func(n *world) { n.left.renewals--; n.renew(i) })
	}
	switch want.then {
	case '-':
	case 'k':
		step(who+" releases after a while", func(n *world) {
			n.clients[i].state = leaving
			n.send(i, Keep{Token: c.token, Fence: c.fence, Tombstone: c.attempts > 0, Lease: 2 * Second, Long: 100 * Second})
		})
	case 'o':
		step(who+" hands off", func(n *world) {
			n.clients[i].state = leaving
			n.send(i, Keep{Token: c.token, Fence: c.fence, Tombstone: true})
		})
	case 'u':
		if c.changes == 0 {
			step(who+" upgrades", func(n *world) { n.convert(i, write, true) })
		} else if c.changing {
			step(who+" gives the upgrade up", func(n *world) { n.convert(i, read, false) })
		}
	case 'd':
		if c.changes == 0 {
			step(who+" downgrades", func(n *world) { n.convert(i, read, false) })
		}
	}
	if want.then == 'r' || want.then == 'u' || want.then == 'd' {
		step(who+" releases", func(n *world) { n.leave(i) })
	}
}

// travel are the possible fates of a packet.
func (w *world) travel(j int, step func(string, func(*world))) {
	p := w.flight[j]
	switch {
	case p.message != nil:
		step(fmt.Sprint("the message arrives: ", p.id), func(n *world) { n.hear(n.take(j)) })
	case p.answer != nil:
		step(fmt.Sprint("the answer arrives: ", p.id), func(n *world) { n.answered(n.take(j)) })
	default:
		w.travelRequest(j, step)
	}
}

func (w *world) travelRequest(j int, step func(string, func(*world))) {
	p := w.flight[j]
	if p.unheard {
		step("it is lost: "+p.id, func(n *world) { n.take(j) })
	} else if w.left.timeouts > 0 {
		step("no answer in time: "+p.id, func(n *world) {
			n.left.timeouts--
			p := n.take(j)
			n.put(packet{from: p.from, want: p.want, script: p.script, unheard: true})
			n.timedOut(p)
		})
	}
	if p.from >= 0 && w.elapsed < w.clients[p.from].stuck {
		if _, renewal := p.script.(Renew); !renewal || !w.config.has(ownLane) {
			return
		}
	}
	// The messages that it may publish are known only afterwards.
	probe := w.clone()
	_, messages := probe.execute(probe.take(j))
	for fate := 0; fate <= 2*len(messages); fate++ {
		if fate > 0 && fate%2 == 1 && w.left.lost == 0 || fate > 0 && fate%2 == 0 && w.left.slow == 0 {
			continue
		}
		for _, late := range []byte{0, 'l', 'x'} {
			if late == 'l' && (w.left.late == 0 || p.unheard) || late == 'x' && (w.left.answers == 0 || p.unheard) {
				continue
			}
			what := "the server executes " + p.id
			if fate > 0 {
				what += fmt.Sprintf(", message %d is %s", (fate-1)/2, []string{"late", "lost"}[fate%2])
			}
			if late != 0 {
				what += map[byte]string{'l': ", the answer is late", 'x': ", the answer is lost"}[late]
			}
			step(what, func(n *world) { n.run(j, fate, late) })
		}
	}
}

// run executes a request, and delivers its results.
func (w *world) run(j, fate int, late byte) {
	p := w.take(j)
	answer, messages := w.execute(p)
	for k, m := range messages {
		to := int(m.Channel[0] - 'A')
		if to >= len(w.clients) || !w.clients[to].subscribed {
			continue
		}
		message := packet{from: to, message: &m, until: w.until(m.At, m.Lease)}
		switch {
		case fate > 0 && k == (fate-1)/2 && fate%2 == 1:
			w.left.lost--
		case fate > 0 && k == (fate-1)/2:
			w.left.slow--
			w.put(message)
		default:
			w.hear(message)
		}
	}
	if p.unheard {
		return
	}
	p.answer, p.until = &answer, w.until(answer.At, answer.Lease)
	if s, ok := p.script.(Check); ok && len(s.Tokens) > 0 {
		p.until = w.until(answer.Found[0].At, answer.Found[0].Lease)
	} else if _, ok := p.script.(Renew); ok {
		p.until = w.elapsed + w.config.clients[p.from].wants[p.want].lease
	}
	switch late {
	case 'l':
		w.left.late--
		w.put(p)
	case 'x':
		w.left.answers--
		p.answer, p.until = nil, 0
		w.timedOut(p)
	default:
		w.answered(p)
	}
}

// until converts a time of the server into true time.
func (w *world) until(at, lease Micros) Micros { return w.elapsed + at + lease - w.now }

// befalls are the faults, and the passing of time.
func (w *world) befalls(step func(string, func(*world))) {
	l := &w.left
	if l.ticks > 0 && (!w.config.prompt || !w.busy()) {
		step("time passes", func(n *world) {
			n.left.ticks--
			n.now += n.config.tick
			n.elapsed += n.config.tick
		})
	}
	if l.back > 0 {
		step("the clock goes back", func(n *world) { n.left.back--; n.now -= 30 * Second })
	}
	if l.losses > 0 && w.lock.Exists() {
		step("all data is lost", func(n *world) { n.left.losses--; n.lose() })
	}
	if l.full > 0 {
		step("the memory is full", func(n *world) { n.left.full--; n.full = true })
	}
	if l.operator > 0 && len(w.lock.Holds) > 0 {
		step("an operator breaks it", func(n *world) {
			n.left.operator--
			b := Break{Reason: "why"}
			for _, h := range n.lock.Holds {
				b.Holds = append(b.Holds, Grant{h.Token, h.Fence})
			}
			n.send(-1, b)
		})
	}
	for i := range w.clients {
		who := channel(i)
		if w.clients[i].state == gone || w.clients[i].state == idle {
			continue
		}
		if l.deaths > 0 {
			step(who+" dies", func(n *world) { n.left.deaths--; n.die(i); n.clients[i].subscribed = false })
		}
		if l.halfOpen > 0 {
			step(who+" is cut off", func(n *world) { n.left.halfOpen--; n.die(i) })
		}
		if l.breaks > 0 && w.clients[i].subscribed {
			step(who+"'s subscription breaks", func(n *world) { n.left.breaks--; n.clients[i].subscribed = false })
		}
		if l.stuck > 0 {
			step(who+"'s lane is stuck", func(n *world) {
				n.left.stuck--
				n.clients[i].stuck = n.elapsed + n.config.stuck
			})
		}
	}
}

func (w *world) die(i int) {
	w.clients[i].state = gone
	flight := w.flight
	w.flight = nil
	for _, p := range flight {
		if p.from == i {
			p.unheard = true
		}
		w.put(p)
	}
}

// lose is a loss of data, against which no protocol helps: the holders hold nothing any more, and nothing is promised
// about them.
func (w *world) lose() {
	w.lock = Forgotten()
	for i := range w.clients {
		w.clients[i].robbed = w.clients[i].robbed || w.clients[i].state == holding
	}
}

// busy reports whether something must happen before time passes.
func (w *world) busy() bool {
	for _, p := range w.flight {
		if !p.unheard && p.message == nil && (p.from < 0 || w.elapsed >= w.clients[p.from].stuck || isRenewal(p.script) && w.config.has(ownLane)) {
			return true
		}
	}
	for i := range w.clients {
		c := &w.clients[i]
		switch {
		case c.state == waiting && w.elapsed >= c.asked+2*Second:
			return true
		case c.state == holding && (!w.body(i) || w.elapsed >= c.due):
			return true
		}
	}
	return false
}

func isRenewal(s Script) bool {
	_, is := s.(Renew)
	return is
}
