package simulation_test

import (
	"math/rand/v2"
	"time"
)

// weather is the faults that last.
type weather struct {
	order   int
	slow    int                   // how many are at work
	refuse  map[string]int        // the errors that the server answers, by code
	until   map[int]time.Time     // a process hears and is heard again then: what is sent meanwhile comes late
	late    map[int]time.Duration // how much later the next packets of a process reach the server
	outrun  map[int]*fault        // the next acquire of a process is overtaken by all that follows
	double  map[int]*fault        // the next script of a process is executed twice
	dropped map[int]bool          // what reaches the subscription of a process is lost
	chance  map[string]*rand.Rand // of the errors
	stopped map[int]time.Time     // a process does nothing until then
	aimed   []fault               // that befall after something
}

func newWeather() weather {
	return weather{refuse: map[string]int{}, until: map[int]time.Time{}, late: map[int]time.Duration{}, outrun: map[int]*fault{}, double: map[int]*fault{}, dropped: map[int]bool{}, chance: map[string]*rand.Rand{}, stopped: map[int]time.Time{}}
}

// fate is when a packet arrives.
func (s *weather) fate(w *world, c *conn, toServer bool, data []byte) time.Time {
	delay := w.latency()
	if f := s.outrun[c.owner.number]; f != nil && toServer {
		delay += w.overtaken(c.owner, f, data)
	}
	if s.slow > 0 {
		delay += 40 * w.latency()
	}
	when := time.Now().Add(delay)
	if late := s.late[c.owner.number]; late > 0 && toServer {
		delete(s.late, c.owner.number)
		return when.Add(late)
	}
	if until := s.until[c.owner.number]; when.Before(until) {
		when = until.Add(delay)
	}
	if !toServer {
		when = latest(when, s.stopped[c.owner.number])
	}
	return when
}

// befall has a fault happen.
func (w *world) befall(f fault) {
	p, s := w.processes[f.Client], &w.weather
	draw := source(f.Seed, 4)
	w.history.faults++
	w.over = latest(w.over, time.Now().Add(f.For+time.Second))
	w.history.add("FAULT %s, %s, %v", f.Kind, p.name, f.For)
	switch f.Kind {
	case "stopped":
		w.pause(p, f.For, draw)
	case "forged", "forged by a reader":
		w.forge(p, f.Kind == "forged by a reader", draw)
	case "cut":
		if c := w.connOf(p, f.conn, draw); c != nil {
			w.cut(c)
		}
	case "cut all":
		for _, c := range w.conns {
			w.cut(c)
		}
	case "half-open": // the server goes on counting it as a receiver
		if c := w.connOf(p, f.conn, draw); c != nil {
			c.dead = true
		}
	case "deaf":
		s.dropped[p.number] = true
		w.after(f.For, func() { delete(s.dropped, p.number); w.history.add("%s hears again", p.name) })
	case "late":
		s.late[p.number] = upTo(draw, 50*time.Millisecond, 60*time.Second)
	case "silent":
		s.until[p.number] = time.Now().Add(f.For)
	case "slow":
		s.slow++
		w.after(f.For, func() { s.slow--; w.history.add("fast again") })
	case "overtaken":
		s.outrun[p.number] = &f
	case "double":
		s.double[p.number] = &f
	case "kill subscriptions":
		for _, c := range w.conns {
			if c.server.subscribed {
				c.server.cut()
			}
		}
	case "stop":
		w.stop(f.For, nil)
	case "restart empty":
		w.stop(min(f.For, 5*time.Second), func() {
			w.server.mini.FlushAll()
			w.server.forget()
			w.server.listener.LostAll()
			w.checks.lost("")
		})
	case "snapshot":
		then := w.server.snapshot()
		w.after(f.For, func() {
			w.stop(100*time.Millisecond, func() { then(); w.checks.lost(""); w.checks.restored = true })
		})
	case "clock":
		step := upTo(draw, 20*time.Millisecond, time.Hour)
		if draw.IntN(2) == 0 {
			step = -step
			w.checks.back = true
		} else {
			w.checks.lost("")
			w.checks.ahead = true
		}
		w.server.step(step)
		w.history.add("the server's clock is stepped by %v", step)
	case "evict":
		keys := w.server.mini.Keys()
		if len(keys) > 0 {
			key := keys[draw.IntN(len(keys))]
			if f.key != "" && draw.IntN(4) > 0 {
				key = f.key
			}
			w.evict(key)
		}
	case "forget scripts":
		w.server.forget()
	case "OOM", "MISCONF", "BUSY", "LOADING", "READONLY":
		s.refuse[f.Kind]++
		s.chance[f.Kind] = draw
		w.after(f.For, func() { s.refuse[f.Kind]--; w.history.add("%s is over", f.Kind) })
	case "gone":
		w.kill(p)
	case "observer panics", "observer hangs":
		p.observer.misbehave(f.Kind, f.For)
	}
}

func (w *world) evict(key string) {
	w.server.mini.Del(key)
	w.server.listener.Lost(key)
	w.checks.lost(nameOf(key))
	w.history.add("evicted: %s", key)
}

// connOf is a connection of a process, often the one by which came what the fault is about; nil if it has none.
func (w *world) connOf(p *process, by *conn, draw *rand.Rand) *conn {
	if by != nil && by.owner == p && draw.IntN(4) > 0 {
		return by
	}
	var all []*conn
	for _, c := range w.conns {
		if c.owner == p && !c.server.ended {
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[draw.IntN(len(all))]
}

// cut ends a connection on both sides; what is under way is lost.
func (w *world) cut(c *conn) {
	c.dead = true
	c.server.end()
	c.deliver(nil, errReset)
}

// kill ends a process: nothing that it does from now on is seen by anybody.
func (w *world) kill(p *process) {
	if p.gone || p.number == 0 { // one always stays
		return
	}
	p.gone = true
	for _, c := range w.conns {
		if c.owner == p {
			w.cut(c)
		}
	}
	p.end()
}

// stop has the server down for a while.
func (w *world) stop(length time.Duration, then func()) {
	w.server.down++
	for _, c := range w.conns {
		w.cut(c)
	}
	if then != nil {
		then()
	}
	w.after(length, func() { w.server.down--; w.history.add("the server is up") })
}

// repeat has a copy of a request executed late, if one is due: nobody hears the answer.
func (w *world) repeat(by *session, args []string) {
	f := w.weather.double[by.conn.owner.number]
	if f == nil || !isScript(args) {
		return
	}
	delete(w.weather.double, by.conn.owner.number)
	if len(args) > 4 {
		w.checks.copied[args[4]] = true
	}
	w.after(upTo(source(f.Seed, 5), 50*time.Microsecond, 58*time.Second), func() {
		if w.server.down > 0 {
			return
		}
		copied := w.server.accept(by.conn)
		w.history.add("%s again, late: %s", by.conn.owner.name, request(args))
		w.server.execute(copied, args)
		_ = copied.said()
	})
}

// snapshot keeps what the server has, and returns what restores it.
func (s *server) snapshot() (restore func()) {
	type kept struct {
		text   string
		fields map[string]string
		ends   time.Time
	}
	s.tick()
	m, all := s.mini, map[string]kept{}
	for _, key := range m.Keys() {
		k := kept{ends: s.now().Add(m.TTL(key))}
		if m.Type(key) == "hash" {
			k.fields = map[string]string{}
			fields, _ := m.HKeys(key)
			for _, field := range fields {
				k.fields[field] = m.HGet(key, field)
			}
		} else {
			k.text, _ = m.Get(key)
		}
		all[key] = k
	}
	model := s.listener.Save()
	return func() {
		s.tick()
		m.FlushAll()
		for _, key := range sortedKeys(all) {
			k := all[key]
			left := k.ends.Sub(s.now())
			if left <= 0 {
				continue
			}
			if k.fields == nil {
				_ = m.Set(key, k.text)
			}
			for _, field := range sortedKeys(k.fields) {
				m.HSet(key, field, k.fields[field])
			}
			m.SetTTL(key, left)
		}
		s.forget()
		s.listener.Restore(model)
	}
}
