package simulation_test

import (
	"math/rand/v2"
	"slices"
	"time"
)

// aim lets a fault happen at its time, or soon after the event that it waits for.
func (w *world) aim(f fault) {
	if f.After == "" {
		w.befall(f)
		return
	}
	w.weather.aimed = append(w.weather.aimed, f)
}

// happened lets the faults happen that wait for the script that was just executed.
func (w *world) happened(on *conn, script, key string, v any) {
	s, by, server := &w.weather, on.owner, on.to
	if time.Now().After(w.ending) {
		return
	}
	to := slices.IndexFunc(server.granted, func(channel string) bool { return server.channels[channel] != nil })
	for i := 0; i < len(s.aimed); i++ {
		f := s.aimed[i]
		switch {
		case f.key != "" && f.key != key:
			continue
		case f.After == "handed over" && to >= 0:
			f.Client = server.channels[server.granted[to]].number
		case f.Client == by.number && (f.After == script || f.After == "granted" && isGrant(script, v)):
		default:
			continue
		}
		s.aimed = slices.Delete(s.aimed, i, i+1)
		i--
		f.key, f.conn = key, on
		draw, delay := source(f.Seed, 6), time.Duration(0)
		if draw.IntN(2) == 0 {
			delay = upTo(draw, 50*time.Microsecond, 3*time.Second)
		}
		if f.Here {
			f.Node = server.number
		}
		w.waiting++
		w.after(delay, func() { w.waiting--; w.befall(f) })
	}
}

// isGrant reports whether a script has granted the lock to its sender.
func isGrant(script string, v any) bool {
	switch v := v.(type) {
	case string:
		return script == "acquire" || script == "acquire_own"
	case []any:
		return len(v) > 0 && v[0] == "granted"
	}
	return false
}

// pause stops a process, as a signal or the suspension of a machine does: its goroutines do nothing, its timers wait, and packets to
// it stay in the network. Its clock goes on. When the process goes on, either its timers or its packets come first.
func (w *world) pause(p *process, length time.Duration, draw *rand.Rand) {
	until := time.Now().Add(length)
	if p.gone || w.weather.stopped[p.number].After(until) {
		return
	}
	w.weather.stopped[p.number] = until
	timers := length
	if draw.IntN(2) == 0 {
		timers += 5 * time.Millisecond
	}
	stopProcess(p.number+1, timers)
	w.at(until, func() { w.history.add("%s goes on", p.name) })
}

// stands reports until when a process is stopped.
func (w *world) stands(p *process) (until time.Time, stands bool) {
	until = w.weather.stopped[p.number]
	return until, time.Now().Before(until)
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// overtaken is how late an acquire arrives. Either its caller gives up meanwhile, and that request is faster. Or the acquire is sent
// again, and that attempt is faster. The server may have forgotten its answer when the late acquire comes.
func (w *world) overtaken(c *conn, f *fault, data []byte) (delay time.Duration) {
	p := c.owner
	args, _, ok := command(data)
	if !ok || len(args) < 4 || scriptOf(args) != "acquire" {
		return 0
	}
	delete(w.weather.outrun, c.link())
	draw := source(f.Seed, 8)
	if draw.IntN(2) == 0 {
		if draw.IntN(4) > 0 {
			w.aim(fault{Kind: "evict", After: "granted", Client: p.number, Node: c.to.number, Seed: draw.Uint64(), key: args[3]})
		}
		return upTo(draw, 4*time.Second, 58*time.Second)
	}
	delay = upTo(draw, 50*time.Millisecond, 2900*time.Millisecond)
	w.after(delay/4, func() {
		for _, number := range sortedNumbers(w.doing) {
			if d := w.doing[number]; d.process == p && !d.entered {
				w.history.add("%d is cancelled", number)
				d.cancel()
			}
		}
	})
	if draw.IntN(3) > 0 {
		w.after(delay*9/10, func() { w.evict(c.to, args[3]) })
	}
	return delay
}
