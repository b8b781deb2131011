package redislock

import (
	"context"
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"
)

// Random requests of several Clients, dead and alive, with a clock that steps: after each one the hash must be sound.
func TestTheHashStaysSoundUnderRandomRequests(t *testing.T) {
	for seed := range 40 {
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
			var s *script
			var args []any
			switch op := r.Intn(12); {
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
				s = scriptAcquire
				if r.Intn(3) == 0 {
					s, keep = scriptAcquireOwn, []int{500, 4600, 90000}[r.Intn(3)]
				}
				lease := time.Duration(100+r.Intn(20000)) * time.Millisecond
				args = []any{pad(token), b.request(lease, keep, choose("-", "c", "u"), choose(channels...)), choose("", "", "1000000"), ticket}
			case op < 8:
				s, args = scriptRelease, []any{pad(token)}
				if r.Intn(3) == 0 {
					args = append(args, "bury")
				}
			case op < 10:
				s, args = scriptCheck, []any{choose(channels...), choose("c", "u"), choose("", "2000000"), pad(token), pad("none")}
			case op < 11:
				s, args = scriptRenew, []any{pad(token), b.dump()["f"]}
			default:
				s, args = scriptBreak, []any{"why", choose("", b.dump()["f"])}
			}
			value, err := b.rdb.Eval(context.Background(), s.text, []string{b.key}, args...).Result()
			if err != nil {
				t.Fatalf("seed %d, step %d: %s %q: %v", seed, step, s.name, args, err)
			}
			if reply, err := parseReply(value); err == nil && reply.status == "waiting" {
				tickets = append(tickets, reply.ticket)
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
				t.Fatalf("seed %d, step %d: after %s %q: %s\n%q", seed, step, s.name, args, fault, state)
			}
		}
		b.mini.Close()
	}
}

// unsound says what is wrong with a lock's hash, by the layout in lua/shared.lua.
func unsound(state map[string]string) string {
	places := map[string]int{}
	holds, waiters, stones := 0, 0, 0
	for field, value := range state {
		switch {
		case field == "h":
			holds++
		case len(field) == 22:
			holds++
			if state["q"] != "" || state["t"] != "" {
				return "a hold in the short form beside a queue"
			}
		case len(field) == 23 && field[0] == 'w':
			waiters++
			channel, _, _ := strings.Cut(value[60+33:], "\n")
			places[channel]++
		case len(field) == 23 && field[0] == 't':
			stones++
		}
	}
	if holds > 1 {
		return fmt.Sprintf("I1: %d holds", holds)
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
	return unlinked(state, "t", "t", stones)
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
