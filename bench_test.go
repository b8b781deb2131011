package redislock

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/servertest"
)

// The budgets of the server's time, measured as ratios within one run: `make measure` prints them.

// pair is an acquire and its release as a script each.
type pair struct {
	name             string
	acquire, release string
	args             func(token string) []any
}

// BenchmarkServerTimeIdlePair measures the server's time for an uncontended acquire and release, pipelined, beside the
// cheapest lock there is, which has neither fence nor queue.
func BenchmarkServerTimeIdlePair(b *testing.B) {
	unfenced := pair{
		name:    "unfenced",
		acquire: "return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])",
		release: "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0",
		args:    func(token string) []any { return []any{token, 30000} },
	}
	request := fmt.Sprintf("%8d%8d%s%s%s\n\n%s", 30000, 4600, strings.Repeat("n", 16), countable,
		DefaultPrefix+":c:"+strings.Repeat("c", 22), Owner{Client: "api", Host: "node-3.example", PID: 12345}.info())
	ours := pair{
		name:    "redislock",
		acquire: scriptAcquire.text, release: scriptRelease.text,
		args: func(token string) []any { return []any{token, request} },
	}
	rdb := servertest.Start(b).Connect()
	for b.Loop() {
		for _, fresh := range []bool{false, true} {
			micros := map[string][]float64{}
			for range 9 { // interleaved, so that a drift of the machine meets both
				for _, p := range []pair{unfenced, ours} {
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
		}
	}
	b.ReportMetric(0, "ns/op")
}

// measure is the server's µs per pair.
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
					pipe.EvalSha(ctx, sha, []string{fmt.Sprintf("%s:{%d}", DefaultPrefix, name)}, args...)
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

// BenchmarkServerTimeAmongWaiters measures single scripts on a lock with 10, 100, 1,000 and 10,000 waiters, and the
// hand-over past 10,000 that are dead.
func BenchmarkServerTimeAmongWaiters(b *testing.B) {
	rdb := servertest.Start(b).Connect()
	ctx := context.Background()
	key := DefaultPrefix + ":{k}"
	token := func(i int) string { return fmt.Sprintf("token-%016d", i) }
	channel := func(i int) string { return fmt.Sprintf("%s:c:%022d", DefaultPrefix, i) }
	request := func(mode string, i int) string {
		return fmt.Sprintf("%8d%8d%s%s%s\n\n%s", 30000, 4600, strings.Repeat("n", 16), mode, channel(i), Owner{Client: "api", Host: "node-3.example", PID: 12345}.info())
	}
	// each is the server's mean and largest µs of n calls.
	each := func(s *script, n int, args func(i int) []any) (mean, largest float64) {
		sha := rdb.ScriptLoad(ctx, s.text).Val()
		rdb.ConfigSet(ctx, "slowlog-log-slower-than", "50")
		rdb.ConfigSet(ctx, "slowlog-max-len", "10000")
		rdb.Do(ctx, "slowlog", "reset")
		rdb.ConfigResetStat(ctx)
		for i := 0; i < n; i += 100 {
			pipe := rdb.Pipeline()
			for j := i; j < min(i+100, n); j++ {
				pipe.EvalSha(ctx, sha, []string{key}, args(j)...)
			}
			if _, err := pipe.Exec(ctx); err != nil {
				b.Fatal(err)
			}
		}
		mean = scriptTime(b, rdb) / float64(n)
		slow, err := rdb.SlowLogGet(ctx, 10000).Result()
		if err != nil {
			b.Fatal(err)
		}
		for _, entry := range slow {
			if entry.Args[0] == "evalsha" {
				largest = max(largest, float64(entry.Duration.Microseconds()))
			}
		}
		return mean, largest
	}
	for b.Loop() {
		for _, waiters := range []int{10, 100, 1000, 10000} {
			rdb.FlushAll(ctx)
			rdb.EvalSha(ctx, rdb.ScriptLoad(ctx, scriptAcquire.text).Val(), []string{key}, token(1e9), request(noWait, 0))
			var means [3]float64
			for i := 0; i < waiters; i += 10 { // the queue at its length, less ten
				each(scriptAcquire, 10, func(j int) []any { return []any{token(i + j), request(uncountable, (i+j)%100)} })
			}
			const rounds = 1000
			for what := range means {
				s, args := scriptAcquire, func(j int) []any { return []any{token(waiters + j), request(uncountable, j%100)} }
				switch what {
				case 1: // they leave, from the middle of what joined last
					s, args = scriptRelease, func(j int) []any { return []any{token(waiters + (j+rounds/2)%rounds)} }
				case 2:
					previous := int(1e9)
					s, args = scriptRelease, func(j int) []any {
						was := previous
						previous = j
						return []any{token(was)}
					}
				}
				n := rounds
				if what == 2 {
					n = min(waiters, rounds)
				}
				means[what], _ = each(s, n, args)
			}
			for what, name := range []string{"join", "leave", "hand-over"} {
				b.ReportMetric(means[what], fmt.Sprintf("µs-%s-at-%d", name, waiters))
			}
		}
		for _, clients := range []int{4, 10000} {
			rdb.FlushAll(ctx)
			each(scriptAcquire, 1, func(int) []any { return []any{token(1e9), request(noWait, 0)} })
			each(scriptAcquire, 10000, func(j int) []any { return []any{token(j), request(countable, j%clients)} })
			mean, largest := each(scriptRelease, 10000/32+2, func(int) []any { return []any{token(1e9)} })
			b.ReportMetric(mean, fmt.Sprintf("µs-past-the-dead-of-%d-clients", clients))
			b.ReportMetric(largest, fmt.Sprintf("µs-largest-past-the-dead-of-%d-clients", clients))
			if left := rdb.HLen(ctx, key).Val(); left != 1 {
				b.Fatalf("%d fields are left", left)
			}
		}
	}
	b.ReportMetric(0, "ns/op")
}

// scriptTime is the server's µs in scripts since the last reset.
func scriptTime(b *testing.B, rdb *redis.Client) float64 {
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

// BenchmarkUncontended is the latency of an uncontended acquire and release, beside two scripts that do nothing.
func BenchmarkUncontended(b *testing.B) {
	rdb := servertest.Start(b).Connect()
	ctx := context.Background()
	b.Run("redislock", func(b *testing.B) {
		c, err := New(rdb)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			l, err := c.Acquire(ctx, "x")
			if err == nil {
				err = l.Release(ctx)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		closing, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := c.Close(closing); err != nil {
			b.Error(err)
		}
	})
	b.Run("floor", func(b *testing.B) {
		sha := rdb.ScriptLoad(ctx, "return 1").Val()
		b.ReportAllocs()
		for b.Loop() {
			for range 2 {
				if err := rdb.EvalSha(ctx, sha, []string{"x"}, "token").Err(); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
