package lua_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/servertest"
	"example.com/redislock/lua"
)

// crowdSize is the number of waiters or holders in the tests of the largest scripts.
const crowdSize = 10000

// crowded is a lock with many waiters or holders, and a script that has much to do there.
type crowded struct {
	name   string
	script *lua.Script
	// wait is how the crowd waits, "" if it holds; clients is how many Clients it has, and mode its mode.
	wait    string
	clients int
	mode    protocol.Mode
	// pass is the time that passes before the calls; gone is how many of the crowd have left from the middle.
	pass time.Duration
	gone int
	size int // of the crowd
	// calls is the number of calls, and args returns the arguments of each.
	calls int
	args  func(c *contended, i int) []any
}

// shown is the number of holders and waiters that Inspect and Watch of a Client ask for.
const shown = 50

func tokensFrom(i, n int, first ...any) []any {
	args := first
	for j := range n {
		args = append(args, benchToken(i*n+j))
	}
	return args
}

// crowds are the cases: each script that looks at more than one hold or place, in the state in which it looks at the
// most.
func crowds(crowdSize int) []crowded {
	holder := func(*contended, int) []any { return []any{benchToken(1e9)} }
	join := func(c *contended, i int) []any { return c.acquire(protocol.Uncountable, 2*crowdSize+i, 100) }
	of := func(n int) func(*contended, int) []any {
		return func(*contended, int) []any { return []any{n} }
	}
	breaking := func(c *contended, i int) []any {
		args := []any{"stuck since 03:10"}
		for j := range 32 {
			token := benchToken(i*32 + j)
			hold := c.rdb.HGet(context.Background(), benchKey, "h"+token).Val()
			args = append(args, token, hold[60:76])
		}
		return args
	}
	channel := func(i int) string { return "redislock:c:" + fmt.Sprintf("%022d", i) }
	all := []crowded{
		{name: "release, waiters of 4 Clients that ended", script: lua.Release, wait: protocol.Countable, clients: 4, pass: 2600 * time.Millisecond, calls: 30, args: holder},
		{name: "release, waiters of 10,000 Clients that ended", script: lua.Release, wait: protocol.Countable, clients: crowdSize, pass: 2600 * time.Millisecond, calls: 30, args: holder},
		{name: "release, waiters of 10,000 Clients that were long silent", script: lua.Release, wait: protocol.Countable, clients: crowdSize, pass: 7100 * time.Millisecond, calls: 30, args: holder},
		{name: "release, to readers", script: lua.Release, wait: protocol.Uncountable, clients: 100, mode: read, calls: 30, args: holder},
		{name: "release, to readers of 10,000 Clients", script: lua.Release, wait: protocol.Uncountable, clients: crowdSize, mode: read, calls: 30, args: holder},
		{name: "release, after 9,999 were cancelled", script: lua.Release, wait: protocol.Uncountable, clients: 100, gone: crowdSize - 1, calls: 1, args: holder},
		{name: "acquire that joins, waiters that live", script: lua.Acquire, wait: protocol.Uncountable, clients: 100, calls: 100, args: join},
		{name: "acquire that joins, waiters of Clients that were long silent", script: lua.Acquire, wait: protocol.Countable, clients: crowdSize, pass: 7100 * time.Millisecond, calls: 30, args: join},
		{name: "acquire of a place that was lost", script: lua.Acquire, wait: protocol.Uncountable, clients: 100, calls: 30, args: func(c *contended, i int) []any {
			middle := c.rdb.HGet(context.Background(), benchKey, "w"+benchToken(crowdSize/2)).Val()
			return append(join(c, i), "", middle[44:60])
		}},
		{name: "acquire beside readers that lapsed", script: lua.Acquire, mode: read, clients: 100, pass: 2600 * time.Millisecond, calls: 30, args: func(c *contended, i int) []any {
			return append(c.acquire(protocol.Uncountable, 2*crowdSize+i, 100), "1")
		}},
		{name: "check of 64, waiters that live", script: lua.Check, wait: protocol.Uncountable, clients: 100, calls: 30, args: func(_ *contended, i int) []any {
			return tokensFrom(i, 64, channel(1), protocol.Uncountable, "")
		}},
		{name: "check of 64, waiters of Clients that were long silent", script: lua.Check, wait: protocol.Countable, clients: crowdSize, pass: 7100 * time.Millisecond, calls: 30, args: func(_ *contended, i int) []any {
			return tokensFrom(i, 64, channel(crowdSize/2), protocol.Uncountable, "")
		}},
		{name: "inspect, waiters", script: lua.Inspect, wait: protocol.Uncountable, clients: 100, calls: 30, args: of(shown)},
		{name: "inspect, readers that hold", script: lua.Inspect, mode: read, clients: 100, calls: 30, args: of(shown)},
		{name: "watch, waiters", script: lua.Watch, wait: protocol.Uncountable, clients: 100, calls: 30, args: of(shown)},
		{name: "ask, readers that hold", script: lua.Ask, mode: read, clients: 100, calls: 30, args: func(*contended, int) []any { return []any{"please"} }},
		{name: "break, readers that hold", script: lua.Break, mode: read, clients: 100, calls: 30, args: breaking},
	}
	for i := range all {
		all[i].size = crowdSize
	}
	return all
}

// gather makes the crowd.
func (x crowded) gather(c *contended) {
	c.held()
	wait, lease := x.wait, "" // holders have a lease that may expire
	if wait == "" {
		wait = protocol.NoWait
		c.each(lua.Release, 1, func(int) []any { return []any{benchToken(1e9)} })
		if x.pass > 0 {
			lease = "    2000"
		}
	}
	c.each(lua.Acquire, x.size, func(i int) []any {
		args := c.acquire(wait, i, x.clients)
		if lease != "" {
			args[1] = lease + args[1].(string)[8:]
		}
		return args
	})
	if x.gone > 0 {
		c.each(lua.Release, x.gone, func(i int) []any { return []any{benchToken(i)} })
	}
	time.Sleep(x.pass)
}

// BenchmarkServerTimeOfTheLargestScripts measures the server's time of each script that looks at more than one hold or place, on
// a lock with 10,000 of them: none may keep the server from others for longer than half a millisecond.
func BenchmarkServerTimeOfTheLargestScripts(b *testing.B) {
	rdb := servertest.Start(b).Connect()
	for b.Loop() {
		fmt.Printf("\n%-64s %8s %8s %8s   (µs)\n", "", "least", "median", "largest")
		for _, x := range crowds(crowdSize) {
			c := &contended{b, rdb, func(int) (protocol.Mode, int) { return x.mode, 1 }}
			x.gather(c)
			times := x.times(c)
			fmt.Printf("%-64s %8.0f %8.0f %8.0f\n", x.name, times[0], times[len(times)/2], times[len(times)-1])
			b.ReportMetric(times[len(times)/2], "µs-"+strings.NewReplacer(" ", "-", ",", "").Replace(x.name))
		}
	}
	b.ReportMetric(0, "ns/op")
}

// times are the server's µs of each call, sorted.
func (x crowded) times(c *contended) (all []float64) {
	ctx := context.Background()
	sha := c.rdb.ScriptLoad(ctx, x.script.Text).Val()
	for i := range x.calls {
		args := x.args(c, i)
		c.rdb.ConfigResetStat(ctx)
		if err := c.rdb.EvalSha(ctx, sha, []string{benchKey}, args...).Err(); err != nil && err != redis.Nil {
			c.Fatal(x.name, err)
		}
		all = append(all, scriptTime(c.TB, c.rdb))
	}
	slices.Sort(all)
	return all
}

// The same as a test: the number of commands of a script, and the length of its answer, do not depend on the size of the crowd.
// The benchmark above measures the server's time.
func TestNoScriptLooksAtAWholeCrowd(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("some of the crowds must have been silent for seconds")
	}
	const most, longest = 400, 5 + 8*shown + 4*shown + 2
	rdb := servertest.Start(t).Connect()
	ctx := context.Background()
	for _, x := range crowds(1500) {
		if x.pass > 3*time.Second {
			continue
		}
		c := &contended{t, rdb, func(int) (protocol.Mode, int) { return x.mode, 1 }}
		x.gather(c)
		args := x.args(c, 0)
		rdb.ConfigResetStat(ctx)
		answer, err := rdb.Eval(ctx, x.script.Text, []string{benchKey}, args...).Result()
		if err != nil {
			t.Fatal(x.name, err)
		}
		if n := commandsIn(rdb); n > most || n < 3 {
			t.Errorf("%s: %d commands", x.name, n)
		}
		if values, ok := answer.([]any); ok && len(values) > longest {
			t.Errorf("%s: an answer of %d elements", x.name, len(values))
		}
	}
}

// commandsIn is how many commands the server has executed since the last reset, those inside scripts included.
func commandsIn(rdb *redis.Client) (all int) {
	for line := range strings.Lines(rdb.Info(context.Background(), "commandstats").Val()) {
		if stats, ok := strings.CutPrefix(line, "cmdstat_"); ok {
			var n int
			_, calls, _ := strings.Cut(stats, "calls=")
			_, _ = fmt.Sscanf(calls, "%d", &n)
			all += n
		}
	}
	return all
}
