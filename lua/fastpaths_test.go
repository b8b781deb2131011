package lua_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/lua"
)

// fastPaths are the files of lua/ that shorten the rules for what is nearly always so, each with the script that has it.
// Whatever they do, the rules would have done.
var fastPaths = map[string]string{
	"fast_acquire":   "acquire",
	"fast_join":      "acquire",
	"fast_hand_over": "release",
	"fast_renew":     "renew",
}

// rules is how the rules begin, behind the fast paths.
const rules = "local sub, format, "

// twin is two locks with one history. On one of them the fast paths are closed.
type twin struct {
	*bench
	random *rand.Rand
	steps  []string
	tokens []string
	serial int
	taken  map[string]int // how often each fast path was taken
}

// both has a script run on both locks, at the same time by the server's clock.
func (w *twin) both(name string, args ...any) {
	w.Helper()
	w.compare(lua.Load(name), args...)
}

// compare has a script with some of its fast paths run on the one lock, and without any on the other.
func (w *twin) compare(script *lua.Script, args ...any) {
	w.Helper()
	name, quick := script.Name, *script
	slow := lua.Load(name, slices.Collect(maps.Keys(fastPaths))...)
	quick.Text = strings.Replace(quick.Text, rules, "redis.call('INCR', 'ruled')\n"+rules, 1)
	w.steps = append(w.steps, fmt.Sprintf("%v %s %q", w.now.Format("05.000000"), name, args))
	w.key = "quick:{k}"
	before, _ := w.mini.Get("ruled")
	a := w.eval(&quick, args...)
	if after, _ := w.mini.Get("ruled"); after == before {
		if fence, ok := a.(string); ok && name == "acquire" { // granted at that very time, said in one word
			name = "acquire of a free lock"
			a = []any{"granted", fence, fence, fence, args[1].(string)[:8]}
		}
		w.taken[name]++
	}
	w.key = "slow:{k}"
	b := w.eval(slow, args...)
	if !reflect.DeepEqual(a, b) {
		w.fail("the answers are\n%q\n%q", a, b)
	}
	w.key = "quick:{k}"
	x := w.dump()
	w.key = "slow:{k}"
	y := w.dump()
	if !maps.Equal(x, y) {
		for field := range y {
			if x[field] == y[field] {
				delete(x, field)
				delete(y, field)
			}
		}
		w.fail("the hashes differ:\n%q\n%q", x, y)
	}
	// Within the same 100 s the fast paths leave the expiry as it is, and some round it to seconds.
	if p, q := w.mini.TTL("quick:{k}"), w.mini.TTL("slow:{k}"); p > q+time.Second || p < q-100*time.Second {
		w.fail("the keys expire in %v and %v", p, q)
	}
}

func (w *twin) fail(format string, args ...any) {
	w.Helper()
	w.Fatalf("%s\nafter\n%s", fmt.Sprintf(format, args...), strings.Join(w.steps, "\n"))
}

func (w *twin) token() string {
	w.serial++
	t := pad(fmt.Sprint("t", w.serial))
	w.tokens = append(w.tokens, t)
	return t
}

// some is a token that was used, more likely one of the last.
func (w *twin) some() string {
	if len(w.tokens) == 0 {
		return pad("nobody")
	}
	return w.tokens[max(0, len(w.tokens)-1-w.random.IntN(6)-w.random.IntN(6))]
}

func pick[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

// fence is the one that the holder of a token would send, or an old one.
func (w *twin) fence() string {
	w.key = "quick:{k}"
	if f := w.dump()["f"]; f != "" && w.random.IntN(5) > 0 {
		return f
	}
	return "0000000000000001"
}

// step is anything that Clients do, mostly the plain things.
func (w *twin) step() {
	r := w.random
	switch n := r.IntN(100); {
	case n < 36:
		mode, weight := exclusive, 1
		if r.IntN(40) == 0 {
			mode = pick(r, read, write)
		}
		lease := pick(r, 30*time.Second, 30*time.Second, 2*time.Second)
		keep := 4600
		if r.IntN(40) == 0 {
			keep = 9000
		}
		channel := pick(r, "here", "here", "there", "uncounted", "dead", "shard")
		wait := map[string]string{"uncounted": protocol.Uncountable, "shard": protocol.Sharded}[channel]
		if wait == "" {
			wait = protocol.Countable
		}
		if r.IntN(8) == 0 {
			wait = protocol.NoWait
		}
		args := []any{w.token(), w.requestIn(mode, weight, lease, keep, wait, channel)}
		if r.IntN(30) == 0 {
			args = append(args, pick(r, "", "1000000"), "")
		}
		script := lua.Acquire
		if keep != 4600 {
			script = lua.AcquireOwn
		}
		w.compare(script, args...)
		if r.IntN(20) == 0 {
			w.compare(script, args...) // a copy
		}
	case n < 70:
		args := []any{w.some()}
		if r.IntN(30) == 0 {
			args = append(args, "tombstone")
		}
		if owner := w.holder(); owner != "" && r.IntN(4) > 0 {
			args[0] = owner
		}
		w.both("release", args...)
	case n < 85:
		token := w.some()
		if owner := w.holder(); owner != "" {
			token = owner
		}
		w.both("renew", token, w.fence())
	case n < 90:
		args := []any{pick(r, "here", "there"), protocol.Countable, ""}
		for _, token := range w.waiting(args[0].(string)) {
			args = append(args, token)
		}
		if len(args) == 3 || r.IntN(5) == 0 {
			args = append(args, w.some())
		}
		w.both("check", args...)
	case n < 91:
		w.both("break", "why", w.some(), w.fence())
	case n < 92:
		w.both("watch", 1000)
	case n < 94:
		w.set(w.now.Add(-time.Duration(r.IntN(3000)) * time.Millisecond)) // the clock goes back
	default:
		w.set(w.now.Add(time.Duration(1 + r.Int64N(int64(pick(r, time.Millisecond, time.Second, 4*time.Second, 20*time.Second, 2*time.Minute))))))
	}
	if r.IntN(3) > 0 {
		w.set(w.now.Add(time.Duration(1+r.IntN(2000)) * time.Microsecond))
	}
}

// waiting are the tokens that wait for a Client, in no order.
func (w *twin) waiting(channel string) (tokens []string) {
	w.key = "slow:{k}"
	for field, value := range w.dump() {
		if field[0] == 'w' && strings.HasPrefix(value[93:], channel+"\n") {
			tokens = append(tokens, field[1:])
		}
	}
	slices.Sort(tokens) // the same for the same seed
	return tokens
}

// holder is the token of the first hold.
func (w *twin) holder() string {
	w.key = "slow:{k}"
	d := w.dump()
	if s := d["s"]; s != "" {
		return s[:22]
	}
	for field := range d {
		if len(field) == 22 {
			return field
		}
	}
	return ""
}

func TestEveryFastPathIsComparedWithTheRules(t *testing.T) {
	files, err := filepath.Glob("fast_*.lua")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".lua")
		script, known := fastPaths[name]
		if !known {
			t.Errorf("%s is not compared", file)
		} else if lua.Load(script).Text == lua.Load(script, name).Text {
			t.Errorf("%s is not in %s", file, script)
		}
	}
	if len(files) != len(fastPaths) {
		t.Errorf("there are %q, and not %d", files, len(fastPaths))
	}
}

func TestTheFastPathsLeadWhereTheRulesLead(t *testing.T) {
	t.Parallel()
	taken, news := map[string]int{}, 0
	for seed := range uint64(25) {
		b := embeddedBench(t)
		w := &twin{bench: b, random: rand.New(rand.NewPCG(seed, 1)), taken: taken}
		ctx := context.Background()
		channels := []string{"here", "there", "uncounted", "quick:n", "slow:n"}
		heard := b.rdb.Subscribe(ctx, channels...)
		messages := heard.Channel()
		for len(b.mini.PubSubChannels("*")) < len(channels) { // before anything is counted
			time.Sleep(time.Millisecond)
		}
		for range 150 {
			w.step()
		}
		// What was published for the one lock was published for the other.
		told := map[string]int{}
		for _, channel := range channels {
			b.rdb.Publish(ctx, channel, "end")
		}
		for ended := 0; ended < len(channels); {
			if m := <-messages; m.Payload != "end" {
				told[strings.Replace(m.Channel, "slow:", "quick:", 1)+m.Payload]++
			} else {
				ended++
			}
		}
		for message, times := range told {
			if message == "quick:nvk" {
				news += times
			}
			if times%2 != 0 {
				w.fail("told %d times, which is not once for each: %q", times, message)
			}
		}
		_ = heard.Close()
	}
	if news == 0 {
		t.Error("no change of a watched lock was told")
	}
	for _, name := range []string{"acquire of a free lock", "acquire", "release", "renew"} {
		if taken[name] < 10 {
			t.Errorf("%s took its fast path %d times", name, taken[name])
		}
	}
	t.Log(taken)
}
