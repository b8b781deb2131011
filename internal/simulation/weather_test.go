package simulation_test

import (
	"math/rand/v2"
	"time"
)

// weather has the faults that last for some time.
type weather struct {
	order   int
	slow    map[int]int            // the number of such faults, by server
	until   map[link]time.Time     // when packets of a process get through again; those sent meanwhile come late
	late    map[link]time.Duration // the delay of the next packets of a process to the server
	outrun  map[link]*fault        // the next acquire of a process is overtaken by all later requests
	double  map[link]*fault        // the next script of a process is executed twice
	dropped map[link]bool          // messages to the subscription of a process are lost
	stopped map[int]time.Time      // until when a process is stopped
	aimed   []fault                // faults that wait for an event
}

func newWeather() weather {
	return weather{slow: map[int]int{}, until: map[link]time.Time{}, late: map[link]time.Duration{}, outrun: map[link]*fault{}, double: map[link]*fault{}, dropped: map[link]bool{}, stopped: map[int]time.Time{}}
}

// fate is the time at which a packet arrives.
func (s *weather) fate(w *world, c *conn, toServer bool, data []byte) time.Time {
	delay := w.latency()
	if f := s.outrun[c.link()]; f != nil && toServer {
		delay += w.overtaken(c, f, data)
	}
	if s.slow[c.to.number] > 0 {
		delay += 40 * w.latency()
	}
	when := time.Now().Add(delay)
	if late := s.late[c.link()]; late > 0 && toServer {
		delete(s.late, c.link())
		return when.Add(late)
	}
	if until := s.until[c.link()]; when.Before(until) {
		when = until.Add(delay)
	}
	if !toServer {
		when = latest(when, s.stopped[c.owner.number])
	}
	return when
}

// befall lets a fault happen.
func (w *world) befall(f fault) {
	p, s, server := w.processes[f.Client], &w.weather, w.servers[f.Node]
	way := link{p.number, server.number}
	draw := source(f.Seed, 4)
	if w.plan.Durable && (f.Kind == "restart empty" || f.Kind == "snapshot") {
		f.Kind = "stop"
	}
	w.history.faults++
	w.over = latest(w.over, time.Now().Add(f.For+time.Second))
	w.history.add("FAULT %s, %s%s, %v", f.Kind, p.name, server.called(), f.For)
	switch f.Kind {
	case "stopped":
		w.pause(p, f.For, draw)
	case "forged", "forged by a reader":
		w.forge(server, p, f.Kind == "forged by a reader", draw)
	case "cut":
		if c := w.connOf(way, f.conn, draw); c != nil {
			w.cut(c)
		}
	case "mute", "divided", "flush":
		w.befallQuorum(f, server)
	case "cut all":
		w.cutAll(server)
	case "half-open": // the server still counts it as a receiver
		if c := w.connOf(way, f.conn, draw); c != nil {
			c.dead = true
		}
	case "deaf":
		s.dropped[way] = true
		w.after(f.For, func() { delete(s.dropped, way); w.history.add("%s hears again", p.name) })
	case "late":
		s.late[way] = upTo(draw, 50*time.Millisecond, 60*time.Second)
	case "silent":
		s.until[way] = time.Now().Add(f.For)
	case "slow":
		s.slow[way.server]++
		w.after(f.For, func() { s.slow[way.server]--; w.history.add("fast again") })
	case "overtaken":
		s.outrun[way] = &f
	case "double":
		s.double[way] = &f
	case "kill subscriptions":
		for _, c := range w.conns {
			if c.server.subscribed && c.to == server {
				c.server.cut()
			}
		}
	case "stop":
		w.stop(server, f.For, nil)
	case "restart empty":
		w.stop(server, min(f.For, 5*time.Second), func() {
			server.mini.FlushAll()
			server.forget()
			server.listener.LostAll()
			w.checks.lost(server, "", false)
		})
	case "snapshot":
		then := server.snapshot()
		w.after(f.For, func() {
			w.stop(server, 100*time.Millisecond, func() { then(); w.checks.lost(server, "", false); server.restored = true })
		})
	case "clock":
		step := upTo(draw, 20*time.Millisecond, time.Hour)
		if draw.IntN(2) == 0 {
			step = -step
			w.checks.back, server.back = true, true
		} else {
			w.checks.expired(server)
			w.checks.ahead, server.ahead = true, true
		}
		server.step(step)
		w.history.add("the server's clock is stepped by %v%s", step, server.called())
	case "evict":
		keys := server.mini.Keys()
		if len(keys) > 0 {
			key := keys[draw.IntN(len(keys))]
			if f.key != "" && draw.IntN(4) > 0 {
				key = f.key
			}
			w.evict(server, key)
		}
	case "forget scripts":
		server.forget()
	case "OOM", "MISCONF", "BUSY", "LOADING", "READONLY":
		server.refuse[f.Kind]++
		server.chance[f.Kind] = draw
		w.after(f.For, func() { server.refuse[f.Kind]--; w.history.add("%s is over", f.Kind) })
	case "gone":
		w.kill(p)
	case "observer panics", "observer hangs":
		p.observer.misbehave(f.Kind, f.For)
	}
}

func (w *world) evict(s *server, key string) {
	s.mini.Del(key)
	s.listener.Lost(key)
	w.checks.lost(s, nameOf(key), true)
	w.history.add("evicted%s: %s", s.called(), key)
}

// connOf is a connection of a process to a server, often the one of the event that the fault waited for. It is nil if there
// is none.
func (w *world) connOf(way link, by *conn, draw *rand.Rand) *conn {
	if by != nil && by.link() == way && draw.IntN(4) > 0 {
		return by
	}
	var all []*conn
	for _, c := range w.conns {
		if c.link() == way && !c.server.ended {
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[draw.IntN(len(all))]
}

// cut ends a connection on both sides. Packets under way are lost.
func (w *world) cut(c *conn) {
	c.dead = true
	c.server.end()
	c.deliver(nil, errReset)
}

// kill ends a process: nothing that it does from now on has any effect.
func (w *world) kill(p *process) {
	if p.gone || p.number == 0 { // one process must stay
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

// cutAll ends all connections to a server.
func (w *world) cutAll(s *server) {
	for _, c := range w.conns {
		if c.to == s {
			w.cut(c)
		}
	}
}

// stop stops a server for a while. It comes back as a new run.
func (w *world) stop(s *server, length time.Duration, then func()) {
	s.down++
	w.cutAll(s)
	if then != nil {
		then()
	}
	w.after(length, func() {
		s.down--
		s.run++
		s.began = s.now()
		w.history.add("the server is up%s", s.called())
	})
}

// repeat executes a late copy of a request, if one is due. Its answer goes nowhere.
func (w *world) repeat(by *session, args []string) {
	f := w.weather.double[by.conn.link()]
	if f == nil || !isScript(args) {
		return
	}
	delete(w.weather.double, by.conn.link())
	if len(args) > 4 {
		w.checks.copied[args[4]] = true
	}
	w.after(upTo(source(f.Seed, 5), 50*time.Microsecond, 58*time.Second), func() {
		s := by.server
		if s.down > 0 {
			return
		}
		copied := s.accept(by.conn)
		w.history.add("%s again, late%s: %s", by.conn.owner.name, s.called(), request(args))
		s.execute(copied, args)
		_ = copied.said()
	})
}

// snapshot keeps the state of the server, and returns a function that restores it.
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
