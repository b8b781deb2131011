package lua_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"example.com/redislock/internal/model"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/lua"
)

// Random requests of several Clients, dead and alive, with a clock that steps: after each one the hash must be sound.
func TestTheHashStaysSoundUnderRandomRequests(t *testing.T) {
	t.Parallel()
	for seed := range unlessShort(24, 4) {
		b := embeddedBench(t)
		b.subscribe("live0")
		b.subscribe("live1")
		h := &model.History{
			Random: rand.New(rand.NewPCG(uint64(seed), 2)), Now: model.Micros(b.now.UnixMicro()),
			Kinds: map[string]int{
				"acquire": 50, "release": 30, "check": 20, "renew": 7, "keep": 4, "break": 10, "convert": 10, "resume": 10, "confirm": 10, "watch": 1, "inspect": 10, "limit": 4,
			},
			Waits: map[string]string{
				"live0": protocol.Countable, "live1": protocol.Countable,
				"dead0": protocol.Countable, "dead1": protocol.Uncountable, "dead2": protocol.Countable,
			},
			Subscribed: func(channel string) bool { return strings.HasPrefix(channel, "live") },
			Modes:      someModes(seed),
		}
		last := ""
		for step := range 250 {
			name, args := model.Words(h.Next())
			b.set(time.UnixMicro(int64(h.Now)))
			b.eval(loaded(name, args), boxed(args)...)
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
				t.Fatalf("seed %d, step %d: after %s %q: %s\n%q", seed, step, name, args, fault, state)
			}
		}
		b.mini.Close()
	}
}

// unsound returns what is wrong with a lock's hash, by the rules of lua/layout.lua.
func unsound(state map[string]string) string {
	places := map[string]int{}
	var held []model.Mode
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
			if beside := len(state) - 2; beside > 1 || beside > 0 && state["e"] == "" && state["l"] == "" {
				if beside > 2 || state["e"] == "" || state["l"] == "" {
					return "a hold in the short form beside others"
				}
			}
			return ""
		case len(field) == 23 && field[0] == 'h':
			holds++
			mode, weight := protocol.ParseMode(count(value[101:], 1))
			held = append(held, model.Mode{Mode: mode, Weight: weight})
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
	if !model.Together(held) {
		return fmt.Sprintf("I1: %v beside each other", held)
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

// unsummed returns where the summary differs from the holds and places. Behind its lines it may name the hold before which all
// are being stolen or kept.
func unsummed(summary string, counts, weights map[string]int) string {
	if summary == "" {
		if len(counts) > 0 {
			return fmt.Sprintf("no summary of %v", counts)
		}
		return ""
	}
	n := 0
	lines := summary[86 : strings.LastIndexByte(summary, '\n')+1]
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

// someModes are the modes in the histories of a seed. Even seeds have only the exclusive mode, others up to all.
func someModes(seed int) []model.Mode {
	if seed%2 == 0 {
		return nil
	}
	all := append([]model.Mode{
		in(read, 1), in(read, 1), in(read, 1), in(write, 1), in(exclusive, 0), in(semaphore(3), 1), in(semaphore(4), 3),
		own("IS", anyOf("IS", "IX", "S")...), own("IX", anyOf("IS", "IX")...), own("S", anyOf("IS", "S")...),
		own("few", append(anyOf("S"), protocol.Rule{Modes: []string{"few"}, Most: 2}, protocol.Rule{Modes: []string{"IS"}, Most: 1})...),
	}[:4+seed%8], markedModes...)
	if seed%4 == 1 {
		return markedModes
	}
	return all
}

func in(m protocol.Mode, weight int) model.Mode { return model.Mode{Mode: m, Weight: weight} }

// own makes a mode of that name with these rules.
func own(name string, rules ...protocol.Rule) model.Mode {
	return in(protocol.Mode{Name: name, Rules: protocol.EncodeRules(rules)}, 1)
}

// anyOf are rules for any number of each of these.
func anyOf(modes ...string) (rules []protocol.Rule) {
	for _, mode := range modes {
		rules = append(rules, protocol.Rule{Modes: []string{mode}, Most: protocol.AnyNumber})
	}
	return rules
}

// markedModes have rules that are not about a single mode: sums, one-sided rules, and rules that were added to a mode.
var markedModes = func() []model.Mode {
	both := protocol.Rule{Modes: []string{"large", "small"}, Most: 1}
	begins := protocol.Rule{Modes: []string{"web"}, Most: 1, AtGrant: true}
	beside := protocol.Rule{Modes: []string{"web"}, Most: protocol.AnyNumber, Added: true}
	fewer := protocol.Rule{Modes: []string{"read", "web"}, Most: 2, Added: true}
	small, large := own("small", append(anyOf("small", "web"), both)...), own("large", both, protocol.Rule{Modes: []string{"large"}, Most: 1})
	large.Weight = 2
	job, reader, semaphores := own("job", begins, both), in(read, 1), in(semaphore(3), 1)
	reader.Rules = protocol.EncodeRules(append(anyOf("read"), beside, fewer))
	semaphores.Rules = protocol.EncodeRules(append(anyOf("semaphore"), beside))
	return []model.Mode{small, large, job, own("web", anyOf("web", "job", "read", "semaphore", "small")...), own("web", append(anyOf("web", "job", "read", "small"), protocol.Rule{Modes: []string{"semaphore"}, Most: 2})...), reader, semaphores, in(read, 1), small}
}()

// A Client of an earlier version reads the key of a marked rule as the name of a mode that nobody holds. Even if such Clients use the
// lock too, its holds are compatible by all rules.
func TestScriptsThatDoNotKnowMarkedRulesGrantNothingAgainstThem(t *testing.T) {
	t.Parallel()
	earlier := func(s *lua.Script) *lua.Script {
		before := *s
		before.Text = strings.Replace(before.Text, `if find(key, '^[~^+]') then`, `if false then`, 1)
		before.Text = strings.Replace(before.Text, `and named_by(other.rules) ~= named_by(own.rules) then`, `then`, 1)
		if len(before.Text) > len(s.Text)-60 {
			t.Fatal("the script does not look for marks, or not in this way")
		}
		return &before
	}
	granted := 0
	for seed := range unlessShort(8, 2) {
		b := embeddedBench(t)
		b.subscribe("live")
		h := &model.History{
			Random: rand.New(rand.NewPCG(uint64(seed), 4)), Now: model.Micros(b.now.UnixMicro()),
			Kinds:      map[string]int{"acquire": 50, "release": 30, "check": 20, "renew": 7},
			Waits:      map[string]string{"live": protocol.Countable, "dead": protocol.Uncountable},
			Subscribed: func(channel string) bool { return channel == "live" },
			Modes:      markedModes,
		}
		for range 200 {
			name, args := model.Words(h.Next())
			b.set(time.UnixMicro(int64(h.Now)))
			script := loaded(name, args)
			if h.Random.IntN(2) == 0 {
				script = earlier(script)
			}
			b.eval(script, boxed(args)...)
			state := b.dump()
			if fault := unsound(state); fault != "" {
				t.Fatalf("seed %d: after %s %q: %s\n%q", seed, name, args, fault, state)
			}
			granted += len(strings.Fields(b.owners())) / 2
		}
		b.mini.Close()
	}
	if granted == 0 {
		t.Error("nobody held the lock beside another")
	}
}
