package lua_test

import (
	"context"
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/lua"
)

// Random requests of several Clients, dead and alive, with a clock that steps: after each one the hash must be sound.
func TestTheHashStaysSoundUnderRandomRequests(t *testing.T) {
	for seed := range 24 {
		b := embeddedBench(t)
		r := rand.New(rand.NewSource(int64(seed)))
		b.subscribe("live0")
		b.subscribe("live1")
		channels := []string{"live0", "live1", "dead0", "dead1", "dead2"}
		choose := func(from ...string) string { return from[r.Intn(len(from))] }
		var tokens, tickets []string
		last := ""
		for step := range 250 {
			if r.Intn(2) == 0 {
				b.pass(time.Duration(r.Intn(3_000_000)) * time.Microsecond)
			}
			if r.Intn(60) == 0 {
				b.set(b.now.Add(-time.Duration(r.Intn(20)) * time.Second))
			}
			token := "none"
			if len(tokens) > 0 && r.Intn(10) > 0 {
				token = tokens[max(0, len(tokens)-1-r.Intn(12))]
			}
			var s *lua.Script
			var args []any
			switch op := r.Intn(15); {
			case op == 12:
				request := b.request(time.Minute, 4600, choose("-", "c", "u"), choose(channels...))
				to := choose(read.Line(1, ""), write.Line(1, pad(token)))
				request = strings.Replace(request, "\n\n", "\n"+to+"\n", 1)
				number := fmt.Sprintf("%010dv", max(1, step-r.Intn(20)))
				s, args = lua.Convert, []any{pad(token), request, pad(number)}
				tokens = append(tokens, number)
			case op == 14:
				above := func() string {
					base := max(last, fmt.Sprintf("%016d", b.now.UnixMicro()))
					n, _ := protocol.ParseMicros(base)
					return choose("", "", base, fmt.Sprintf("%016d", int64(n)+r.Int63n(40_000_000_000)), "9999999999999999")
				}
				s, args = lua.Confirm, []any{pad(token), above(), above()}
			case op == 13:
				s, args = lua.Resume, []any{pad(fmt.Sprint("r", step)), b.request(time.Minute, 4600, "-", choose(channels...)), pad(token), b.dump()["f"]}
				tokens = append(tokens, fmt.Sprint("r", step))
			case op < 5:
				if r.Intn(3) > 0 {
					token = fmt.Sprint("t", step)
					tokens = append(tokens, token)
				}
				ticket := ""
				if r.Intn(5) == 0 && len(tickets) > 0 {
					ticket = tickets[r.Intn(len(tickets))]
				}
				keep := 4600
				s = lua.Acquire
				if r.Intn(3) == 0 {
					s, keep = lua.AcquireOwn, []int{500, 4600, 90000}[r.Intn(3)]
				}
				lease := time.Duration(100+r.Intn(20000)) * time.Millisecond
				m, weight := someMode(r, seed)
				args = []any{pad(token), b.requestIn(m, weight, lease, keep, choose("-", "c", "u"), choose(channels...)), choose("", "", "1000000"), ticket}
			case op < 8:
				s, args = lua.Release, []any{pad(token)}
				if r.Intn(3) == 0 {
					args = append(args, "tombstone")
				}
			case op < 10:
				s, args = lua.Check, []any{choose(channels...), choose("c", "u"), choose("", "2000000"), pad(token), pad("none")}
			case op < 11:
				s, args = lua.Renew, []any{pad(token), b.dump()["f"]}
				if r.Intn(3) == 0 {
					s, args = lua.Keep, append(args, choose("", "    2000    4600", "   90000     700"))
				}
				if s == lua.Keep && (args[2] == "" || r.Intn(2) == 0) {
					args = append(args, "tombstone")
				}
			default:
				s, args = lua.Break, []any{"why", pad(token), b.dump()["f"]}
			}
			value, err := b.rdb.Eval(context.Background(), s.Text, []string{b.key}, args...).Result()
			if err != nil {
				t.Fatalf("seed %d, step %d: %s %q: %v", seed, step, s.Name, args, err)
			}
			if reply, err := protocol.ParseReply(value); err == nil && reply.Status == "waiting" {
				tickets = append(tickets, reply.Ticket)
			}
			state := b.dump()
			if len(state) == 0 {
				continue
			}
			fault := unsound(state)
			if state["f"] < last {
				fault = "I2: the fence went back"
			}
			last = state["f"]
			if ttl := b.rdb.TTL(context.Background(), b.key).Val(); ttl <= 0 {
				fault = fmt.Sprintf("I4: it expires in %v", ttl)
			}
			if fault != "" {
				t.Fatalf("seed %d, step %d: after %s %q: %s\n%q", seed, step, s.Name, args, fault, state)
			}
		}
		b.mini.Close()
	}
}

// unsound says what is wrong with a lock's hash, by lua/layout.lua.
func unsound(state map[string]string) string {
	places := map[string]int{}
	var held []string // the modes
	holds, waiters, tombstones := 0, 0, 0
	counts, weights := map[string]int{}, map[string]int{}
	count := func(request string, held int) string {
		channel, rest, _ := strings.Cut(request[33:], "\n")
		line, _, _ := strings.Cut(rest, "\n")
		if line != "" {
			m, weight := protocol.ParseMode(line)
			class := strings.SplitN(m.Line(weight, ""), " ", 2)[1]
			counts[class]++
			weights[class] += held * weight
		}
		if held == 0 {
			places[channel]++
		}
		return line
	}
	bound, latest := "9999999999999999", ""
	for field, value := range state {
		switch {
		case len(field) == 22:
			if len(state) > 2 && (len(state) > 3 || state["e"] == "") {
				return "a hold in the short form beside others"
			}
			return ""
		case len(field) == 23 && field[0] == 'h':
			holds++
			held = append(held, count(value[101:], 1))
			at, lease := protocol.Micros(0), 0
			fmt.Sscan(value[76:92], &at)
			fmt.Sscan(value[92:100], &lease)
			bound, latest = min(bound, fmt.Sprintf("%016d", at+protocol.Micros(lease*1000))), max(latest, value[76:92])
		case len(field) == 23 && field[0] == 'w':
			waiters++
			count(value[60:], 0)
		case len(field) == 23 && field[0] == 't':
			tombstones++
		}
	}
	if fault := incompatible(held); fault != "" {
		return "I1: " + fault
	}
	if fault := unsummed(state["m"], counts, weights); fault != "" {
		return fault
	}
	if m := state["m"]; m != "" && holds > 1 && m[48:70] == strings.Repeat("-", 22) && (m[:16] > bound || m[16:32] < latest) {
		return fmt.Sprintf("a summary from %s to %s of holds from %s to %s", m[:16], m[16:32], bound, latest)
	}
	if fault := unlinked(state, "s", "h", holds); fault != "" {
		return fault
	}
	if m := state["m"]; m != "" {
		if fresh := m[strings.LastIndexByte(m, '\n')+1:]; fresh != "" {
			for id := state["s"][:22]; id != fresh; id = state["h"+id][22:44] {
				if hold := state["h"+id]; hold == "" || hold[100] == '-' {
					return fmt.Sprintf("before %q, of which all are revoked or kept, there is %q: %q", fresh, id, hold)
				}
			}
		}
	}
	for channel, n := range places {
		if entry := state["c"+channel]; len(entry) < 18 || entry[17:] != fmt.Sprint(n) {
			return fmt.Sprintf("%s has %d places, and the entry %q", channel, n, entry)
		}
	}
	for field := range state {
		if field[0] == 'c' && places[field[1:]] == 0 {
			return field + " has no places"
		}
	}
	if fault := unlinked(state, "q", "w", waiters); fault != "" {
		return fault
	}
	return unlinked(state, "t", "t", tombstones)
}

// incompatible says which of these modes may not stand beside each other, by their definition and not by the way in
// which the scripts decide it.
func incompatible(lines []string) string {
	if len(lines) < 2 {
		return ""
	}
	total := map[string]int{}
	for _, line := range lines {
		m, weight := protocol.ParseMode(line)
		if m == exclusive {
			return fmt.Sprintf("an exclusive hold among %q", lines)
		}
		total[m.Name] += weight
	}
	for _, line := range lines {
		m, _ := protocol.ParseMode(line)
		limits := m.Limits()
		for name, n := range total {
			others := n
			if name == m.Name {
				others--
			}
			if others > limits[name] || name == m.Name && m.Capacity > 0 && n > m.Capacity {
				return fmt.Sprintf("%q beside %d of %s: %q", line, others, name, lines)
			}
		}
	}
	return ""
}

// unsummed says where the summary differs from what is there. Behind its lines it may name the hold before which all are revoked
// or kept.
func unsummed(summary string, counts, weights map[string]int) string {
	if summary == "" {
		if len(counts) > 0 {
			return fmt.Sprintf("no summary of %v", counts)
		}
		return ""
	}
	n := 0
	lines := summary[70 : strings.LastIndexByte(summary, '\n')+1]
	for line := range strings.Lines(lines) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3)
		n++
		if parts[0] != fmt.Sprint(counts[parts[2]]) || parts[1] != fmt.Sprint(weights[parts[2]]) {
			return fmt.Sprintf("the summary says %q, there are %d with %d held", line, counts[parts[2]], weights[parts[2]])
		}
	}
	if n != len(counts) {
		return fmt.Sprintf("the summary %q is of %v", summary, counts)
	}
	return ""
}

// unlinked walks one of the lists.
func unlinked(state map[string]string, header, node string, want int) string {
	head := state[header]
	if head == "" {
		if want > 0 {
			return fmt.Sprintf("%d nodes %s, and no header", want, node)
		}
		return ""
	}
	ticket, previous, n := "", "", 0
	for id := head[:22]; ; n++ {
		value, ok := state[node+id]
		switch {
		case !ok:
			return "a link to nothing: " + node + id
		case previous != "" && value[:22] != previous:
			return "the way back from " + node + id
		case node == "w" && value[44:60] < ticket:
			return "I5: tickets out of order"
		}
		ticket, previous = value[44:60], id
		if value[22:44] == strings.Repeat("-", 22) {
			break
		}
		id = value[22:44]
	}
	if n+1 != want || head[22:44] != previous || head[44:] != fmt.Sprint(want) {
		return fmt.Sprintf("header %q, %d nodes found of %d", head, n+1, want)
	}
	return ""
}

// someMode is a mode and a weight; even seeds know only the exclusive one, others up to all.
func someMode(r *rand.Rand, seed int) (protocol.Mode, int) {
	intent := []protocol.Mode{
		protocol.Mode{Name: "IS", Rules: "IS=*,IX=*,S=*"}, protocol.Mode{Name: "IX", Rules: "IS=*,IX=*"},
		protocol.Mode{Name: "S", Rules: "IS=*,S=*"}, protocol.Mode{Name: "few", Rules: "IS=1,S=*,few=2"},
	}
	if seed%2 == 0 {
		return exclusive, 1
	}
	switch n := r.Intn(2 + seed%8); {
	case n < 3:
		return read, 1
	case n < 4:
		return write, 1
	case n < 5:
		return exclusive, 1
	case n < 7:
		return semaphore(3 + r.Intn(2)), 1 + r.Intn(3)
	default:
		return intent[r.Intn(len(intent))], 1
	}
}
