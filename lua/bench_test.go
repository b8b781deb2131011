package lua_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/servertest"
	"example.com/redislock/lua"
)

// The budgets of the server's time, as ratios within one run. `make measure` prints them.

// pair is an acquire and its release, each by a script.
type pair struct {
	name             string
	acquire, release string
	args             func(token string) []any
}

var against = flag.String("against", "", "a directory with another version of lua/, to be measured beside this one")

// BenchmarkServerTimeIdlePair measures the server's time for an uncontended acquire and release, pipelined, beside the
// cheapest lock there is, which has neither fence nor queue.
func BenchmarkServerTimeIdlePair(b *testing.B) {
	unfenced := pair{
		name:    "unfenced",
		acquire: "return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])",
		release: "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0",
		args:    func(token string) []any { return []any{token, 30000} },
	}
	request := benchRequest(protocol.Countable, strings.Repeat("c", 22), "")
	ours := pair{
		name:    "redislock",
		acquire: lua.Acquire.Text, release: lua.Release.Text,
		args: func(token string) []any { return []any{token, request} },
	}
	pairs := []pair{unfenced, ours}
	if *against != "" {
		old := pair{name: "other", args: ours.args}
		for text, name := range map[*string]string{&old.acquire: "acquire", &old.release: "release"} {
			*text = lua.LoadFrom(os.DirFS(filepath.Join(*against, "lua")), name).Text
		}
		pairs = append(pairs, old)
	}
	rdb := servertest.Start(b).Connect()
	for b.Loop() {
		for _, fresh := range []bool{false, true} {
			micros := map[string][]float64{}
			for range 9 { // interleaved, so that a drift of the machine meets both
				for _, p := range pairs {
					micros[p.name] = append(micros[p.name], p.measure(b, rdb, 20000, fresh))
				}
			}
			what := "names-in-use"
			if fresh {
				what = "fresh-names"
			}
			base, own := median(micros["unfenced"]), median(micros["redislock"])
			b.ReportMetric(base, "µs-unfenced-"+what)
			b.ReportMetric(own, "µs-redislock-"+what)
			b.ReportMetric(own/base, "x-unfenced-"+what)
			if *against != "" {
				b.ReportMetric(own/median(micros["other"]), "x-other-"+what)
			}
		}
	}
	b.ReportMetric(0, "ns/op")
}

// benchRequest is as long as those of a Client.
func benchRequest(wait, client, mode string) string {
	r := protocol.Request{
		Lease: 30 * time.Second, Keep: 4600 * time.Second, Nonce: strings.Repeat("n", 16), Wait: wait, Channel: "redislock:c:" + client, Mode: mode,
	}
	return string(r.AppendTo(nil)) + "api\nnode-3.example\n12345\n"
}

// measure returns the server's µs per pair.
func (p pair) measure(b *testing.B, rdb *redis.Client, n int, fresh bool) float64 {
	ctx := context.Background()
	rdb.FlushAll(ctx)
	const names = 1000
	acquire, release := rdb.ScriptLoad(ctx, p.acquire).Val(), rdb.ScriptLoad(ctx, p.release).Val()
	run := func(from, to int) {
		for i := from; i < to; i += 100 {
			for _, sha := range []string{acquire, release} {
				pipe := rdb.Pipeline()
				for j := i; j < i+100; j++ {
					name := j % names
					if fresh {
						name = j
					}
					args := []any{fmt.Sprintf("token-%016d", j)}
					if sha == acquire {
						args = p.args(fmt.Sprintf("token-%016d", j))
					}
					pipe.EvalSha(ctx, sha, []string{fmt.Sprintf("redislock:{%d}", name)}, args...)
				}
				if _, err := pipe.Exec(ctx); err != nil {
					b.Fatal(p.name, err)
				}
			}
		}
	}
	run(0, 2000)
	rdb.ConfigResetStat(ctx)
	run(2000, 2000+n)
	return scriptTime(b, rdb) / float64(n)
}

// contendedModes are the modes of the waiters in BenchmarkServerTimeAmongWaiters, and their order.
var contendedModes = []struct {
	name string
	mode func(i int) (protocol.Mode, int)
}{
	{"exclusive", func(int) (protocol.Mode, int) { return exclusive, 1 }},
	{"write", func(int) (protocol.Mode, int) { return write, 1 }},
	{"read and write", func(i int) (protocol.Mode, int) { // four readers, one writer
		if i%5 == 4 {
			return write, 1
		}
		return read, 1
	}},
	{"semaphore(8)", func(i int) (protocol.Mode, int) { return semaphore(8), 1 + i%3 }},
	{"intents", func(i int) (protocol.Mode, int) {
		is := protocol.Mode{Name: "IS", Rules: "IS=*,IX=*,S=*,SIX=*"}
		return []protocol.Mode{is, {Name: "IX", Rules: "IS=*,IX=*"}, is, {Name: "S", Rules: "IS=*,S=*"}, {Name: "X", Rules: "-"}}[i%5], 1
	}},
}

// contended runs the scripts on one lock with many waiters or holders, and measures the server's time.
type contended struct {
	testing.TB
	rdb  *redis.Client
	mode func(i int) (protocol.Mode, int)
}

const benchKey = "redislock:{k}"

func benchToken(i int) string { return fmt.Sprintf("token-%016d", i) }

// acquire has the arguments of waiter i, which belongs to one of a hundred Clients.
func (c *contended) acquire(wait string, i, clients int) []any {
	m, weight := c.mode(i)
	return []any{benchToken(i), benchRequest(wait, fmt.Sprintf("%022d", i%clients), m.Line(weight, ""))}
}

// each returns the server's µs for n calls in all, and the largest of one call.
func (c *contended) each(s *lua.Script, n int, args func(i int) []any) (total, largest float64) {
	ctx := context.Background()
	sha := c.rdb.ScriptLoad(ctx, s.Text).Val()
	c.rdb.ConfigSet(ctx, "slowlog-log-slower-than", "50")
	c.rdb.ConfigSet(ctx, "slowlog-max-len", "10000")
	c.rdb.Do(ctx, "slowlog", "reset")
	c.rdb.ConfigResetStat(ctx)
	for i := 0; i < n; i += 100 {
		pipe := c.rdb.Pipeline()
		for j := i; j < min(i+100, n); j++ {
			pipe.EvalSha(ctx, sha, []string{benchKey}, args(j)...)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			c.Fatal(err)
		}
	}
	total = scriptTime(c.TB, c.rdb)
	slow, err := c.rdb.SlowLogGet(ctx, 10000).Result()
	if err != nil {
		c.Fatal(err)
	}
	for _, entry := range slow {
		if entry.Args[0] == "evalsha" {
			largest = max(largest, float64(entry.Duration.Microseconds()))
		}
	}
	return total, largest
}

// held is a lock with one holder and no waiters.
func (c *contended) held() {
	c.rdb.FlushAll(context.Background())
	args := c.acquire(protocol.NoWait, 1e9, 100)
	args[1] = strings.Replace(args[1].(string), "\n", "\n\n", 1)
	c.each(lua.Acquire, 1, func(int) []any { return args })
}

// waiting measures a lock with that many waiters: the µs to join, to leave from the middle, and to hand over to the
// next.
func (c *contended) waiting(waiters int) [3]float64 {
	const calls = 1000 // of each, at least
	var sums [3]float64
	rounds := max(1, calls/waiters)
	for range rounds {
		c.held()
		c.each(lua.Acquire, waiters, func(i int) []any { return c.acquire(protocol.Uncountable, i, 100) })
		n := calls / rounds
		join, _ := c.each(lua.Acquire, n, func(i int) []any { return c.acquire(protocol.Uncountable, waiters+i, 100) })
		leave, _ := c.each(lua.Release, n, func(i int) []any { return []any{benchToken(waiters + (i+n/2)%n)} })
		c.each(lua.Release, 1, func(int) []any { return []any{benchToken(1e9)} })
		hand, _ := c.each(lua.Release, min(n, waiters)-1, func(i int) []any { return []any{benchToken(i)} })
		for i, total := range []float64{join / float64(n), leave / float64(n), hand / float64(min(n, waiters)-1)} {
			sums[i] += total / float64(rounds)
		}
	}
	return sums
}

// holding measures a lock with that many readers: the µs of one more reader, of its renewal, and of its release.
func (c *contended) holding(readers int) [3]float64 {
	const n = 1000
	c.rdb.FlushAll(context.Background())
	c.each(lua.Acquire, readers, func(i int) []any { return c.acquire(protocol.NoWait, i, 100) })
	acquire, _ := c.each(lua.Acquire, n, func(i int) []any { return c.acquire(protocol.NoWait, readers+i, 100) })
	renew, _ := c.each(lua.Renew, n, func(i int) []any { return []any{benchToken(readers + i), "0000000000000000"} })
	release, _ := c.each(lua.Release, n, func(i int) []any { return []any{benchToken(readers + (i+n/2)%n)} })
	return [3]float64{acquire / n, renew / n, release / n}
}

// BenchmarkServerTimeAmongWaiters measures single scripts on a lock with 10, 100, 1,000 and 10,000 waiters, in all
// kinds of modes, and with as many holders; the last column is the ratio of the largest to the smallest of the four.
func BenchmarkServerTimeAmongWaiters(b *testing.B) {
	rdb := servertest.Start(b).Connect()
	sizes := []int{10, 100, 1000, 10000}
	table := func(what string, names [3]string, measure func(size int) [3]float64) {
		var values [3][4][]float64
		for range 5 { // interleaved, so that a drift of the machine meets all
			for i, size := range sizes {
				for j, v := range measure(size) {
					values[j][i] = append(values[j][i], v)
				}
			}
		}
		for j, name := range names {
			line, least, most := fmt.Sprintf("%-16s %-10s", what, name), 1e9, 0.0
			for i := range sizes {
				m := median(values[j][i])
				line += fmt.Sprintf(" %8.1f", m)
				least, most = min(least, m), max(most, m)
			}
			fmt.Printf("%s   × %.2f\n", line, most/least) // a benchmark's own log is cut off
			b.ReportMetric(most/least, strings.NewReplacer(" ", "-", "(", "", ")", "").Replace("x-"+what+"-"+name))
		}
	}
	for b.Loop() {
		fmt.Printf("\n%-16s %-10s %8d %8d %8d %8d   (µs)\n", "", "", sizes[0], sizes[1], sizes[2], sizes[3])
		for _, kind := range contendedModes {
			c := &contended{b, rdb, kind.mode}
			table(kind.name, [3]string{"join", "leave", "hand-over"}, c.waiting)
		}
		c := &contended{b, rdb, func(int) (protocol.Mode, int) { return read, 1 }}
		table("among readers", [3]string{"acquire", "renew", "release"}, c.holding)
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkServerTimePastTheDead measures the hand-over past 10,000 waiters that are dead, and to 10,000 readers that
// are not, a step at a time.
func BenchmarkServerTimePastTheDead(b *testing.B) {
	rdb := servertest.Start(b).Connect()
	for b.Loop() {
		for _, clients := range []int{4, 10000} {
			c := &contended{b, rdb, contendedModes[0].mode}
			c.held()
			c.each(lua.Acquire, 10000, func(i int) []any { return c.acquire(protocol.Countable, i, clients) })
			time.Sleep(2600 * time.Millisecond) // their checks are overdue
			steps := 10000 / 12                 // each dead Client takes two more steps in each script
			total, largest := c.each(lua.Release, steps, func(int) []any { return []any{benchToken(1e9)} })
			b.ReportMetric(total/float64(steps), fmt.Sprintf("µs-past-the-dead-of-%d-clients", clients))
			b.ReportMetric(largest, fmt.Sprintf("µs-largest-past-the-dead-of-%d-clients", clients))
			if left := rdb.HLen(context.Background(), benchKey).Val(); left != 1 {
				b.Fatalf("%d fields are left", left)
			}
		}
		c := &contended{b, rdb, func(int) (protocol.Mode, int) { return read, 1 }}
		c.held()
		c.each(lua.Acquire, 10000, func(i int) []any { return c.acquire(protocol.Uncountable, i, 100) })
		steps := 10000/16 + 1
		total, largest := c.each(lua.Release, steps, func(int) []any { return []any{benchToken(1e9)} })
		b.ReportMetric(total/float64(steps), "µs-to-16-readers")
		b.ReportMetric(largest, "µs-largest-to-16-readers")
		if n := rdb.HLen(context.Background(), benchKey).Val(); n != 10003 { // fence, list, summary
			b.Fatalf("%d fields", n)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// scriptTime is the server's µs in scripts since the last reset.
func scriptTime(b testing.TB, rdb *redis.Client) float64 {
	for line := range strings.Lines(rdb.Info(context.Background(), "commandstats").Val()) {
		if stats, ok := strings.CutPrefix(line, "cmdstat_evalsha:"); ok {
			_, usec, _ := strings.Cut(stats, "usec=")
			usec, _, _ = strings.Cut(usec, ",")
			if n, err := strconv.ParseFloat(usec, 64); err == nil {
				return n
			}
		}
	}
	b.Fatal("no commandstats")
	return 0
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
