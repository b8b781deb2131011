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

	"example.com/redislock/internal/model"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/lua"
)

// fastPaths are the files of lua/ that shorten the rules for the most frequent cases, each with the script that has it.
// Their effect must be that of the rules.
var fastPaths = map[string]string{
	"fast_acquire":        "acquire",
	"fast_join":           "acquire",
	"fast_join_mode":      "acquire",
	"fast_hand_over":      "release",
	"fast_hand_over_mode": "release",
	"fast_renew":          "renew",
}

// rules is the beginning of the rules, after the fast paths.
const rules = "local sub, format, "

// twin is two locks with one history. On one of them the fast paths are closed.
type twin struct {
	*bench
	history *model.History
	steps   []string
	taken   map[string]int // how often each fast path was taken
}

// compare runs a script on one lock with some of its fast paths, and on the other lock with none.
func (w *twin) compare(script *lua.Script, args ...any) {
	w.Helper()
	name, quick := script.Name, *script
	slow := lua.Load(name, slices.Collect(maps.Keys(fastPaths))...)
	quick.Text = strings.Replace(quick.Text, rules, "redis.call('INCR', 'ruled')\n"+rules, 1)
	w.listener.Know(name, quick.Text)
	w.listener.Know(name, slow.Text)
	w.steps = append(w.steps, fmt.Sprintf("%v %s %q", w.now.Format("05.000000"), name, args))
	w.key = "quick:{k}"
	before, _ := w.mini.Get("ruled")
	modes := w.mini.HGet(w.key, "m") != ""
	a := w.eval(&quick, args...)
	if after, _ := w.mini.Get("ruled"); after == before {
		if fence, ok := a.(string); ok && name == "acquire" { // granted at the time of its fence, which the answer gives in one word
			name = "acquire of a free lock"
			at := fence[len(fence)-protocol.FenceLength:]
			if at != fence {
				name = "acquire with a quorum's fence"
			}
			a = []any{"granted", at, fence[:protocol.FenceLength], at, args[1].(string)[:8]}
		}
		if modes {
			name += " among modes"
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

// step is a random action of a Client, most often a frequent one.
func (w *twin) step() {
	name, args := model.Words(w.history.Next())
	w.set(time.UnixMicro(int64(w.history.Now)))
	w.compare(loaded(name, args), boxed(args)...)
}

// loaded is the script as a Client would send it.
func loaded(name string, args []string) *lua.Script {
	if name == "acquire" && !strings.HasPrefix(args[1][8:], "    4600") {
		return lua.AcquireOwn
	}
	return lua.Load(name)
}

func boxed(args []string) (all []any) {
	for _, arg := range args {
		all = append(all, arg)
	}
	return all
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
	lead(t, 25, map[string]int{"acquire": 40, "release": 36, "renew": 16, "check": 6, "break": 1, "watch": 1},
		[][]model.Mode{{{Mode: read, Weight: 1}, {Mode: write, Weight: 1}}}, "acquire of a free lock", "acquire with a quorum's fence", "acquire", "release", "renew")
}

func TestTheFastPathsLeadWhereTheRulesLeadAmongModes(t *testing.T) {
	t.Parallel()
	few := protocol.Mode{Name: "few", Rules: "few=2,read=*"}
	lead(t, 25, map[string]int{"acquire": 50, "release": 40, "renew": 6, "check": 4, "convert": 1, "keep": 1, "resume": 1, "limit": 1},
		[][]model.Mode{ // one set for each seed, in turn
			{in(read, 1), in(read, 1), in(write, 1)},
			{in(semaphore(3), 1), in(semaphore(3), 1), in(semaphore(3), 2)},
			{in(semaphore(6), 1), in(semaphore(6), 2), in(semaphore(6), 3), in(semaphore(5), 2), {}},
			{in(read, 1), in(few, 1), in(write, 1), in(protocol.Mode{Name: "few", Rules: "few=2"}, 1), {}},
			markedModes,
		}, "acquire among modes", "release among modes")
}

// It does not matter which of the holds is given back, and so which neighbours it has in the list.
func TestTheFastReleaseAmongModesTakesAnyHoldOutOfTheList(t *testing.T) {
	t.Parallel()
	const holders = 4
	for first := range holders {
		for second := range holders {
			w := &twin{bench: embeddedBench(t), taken: map[string]int{}}
			ask := func(token string) {
				w.pass(time.Millisecond)
				w.compare(lua.Acquire, pad(token), w.requestIn(semaphore(holders), 1, time.Minute, 4600, protocol.Uncountable, "here"))
			}
			for i := range holders {
				ask(fmt.Sprint("h", i))
			}
			for i := range 3 {
				ask(fmt.Sprint("w", i))
			}
			for _, i := range []int{first, second} {
				w.pass(time.Millisecond)
				w.compare(lua.Release, pad(fmt.Sprint("h", i)))
			}
			want := 2
			if first == second { // the second release finds no hold
				want = 1
			}
			if n := w.taken["release among modes"]; n != want {
				t.Errorf("%d and %d: the fast path was taken %d times", first, second, n)
			}
		}
	}
}

// lead drives twins through histories, and fails unless each of the fast paths was taken.
func lead(t *testing.T, seeds int, kinds map[string]int, modes [][]model.Mode, paths ...string) {
	taken, news := map[string]int{}, 0
	for seed := range unlessShort(seeds, seeds*4/5) {
		b := embeddedBench(t)
		w := &twin{bench: b, taken: taken, history: &model.History{
			Random: rand.New(rand.NewPCG(uint64(seed), 1)), Now: model.Micros(b.now.UnixMicro()), Usual: true,
			Kinds: kinds,
			Waits: map[string]string{
				"here": protocol.Countable, "here too": protocol.Countable, "there": protocol.Countable,
				"uncounted": protocol.Uncountable, "dead": protocol.Countable, "shard": protocol.Sharded,
			},
			Subscribed: func(channel string) bool { return channel != "dead" },
			Modes:      modes[seed%len(modes)], Mixed: kinds["convert"] > 0,
		}}
		ctx := context.Background()
		channels := []string{"here", "here too", "there", "uncounted", "quick:n:{k}", "slow:n:{k}"}
		heard := b.rdb.Subscribe(ctx, channels...)
		messages := heard.Channel()
		for len(b.mini.PubSubChannels("*")) < len(channels) { // all must be subscribed before anything is counted
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
			if message == "quick:n:{k}v" {
				news += times
			}
			if times%2 != 0 {
				w.fail("told %d times, which is not once for each: %q", times, message)
			}
		}
		_ = heard.Close()
	}
	if news == 0 && kinds["watch"] > 0 {
		t.Error("no change of a watched lock was told")
	}
	for _, name := range paths {
		if taken[name] < unlessShort(10, 5) {
			t.Errorf("%s took its fast path %d times", name, taken[name])
		}
	}
	t.Log(taken)
}
