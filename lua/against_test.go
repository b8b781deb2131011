package lua_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/servertest"
	"example.com/redislock/lua"
)

var only = flag.String("only", "", "what BenchmarkServerTimeAgainst measures: scenes with this in their names")

// versus runs the scripts of one version on many locks, and measures the server's time.
type versus struct {
	*testing.B
	rdb    *redis.Client
	script func(name string) *lua.Script
	loaded map[string]string // digests
}

// calls are calls of one script, one for each lock.
type calls struct {
	script string
	args   func(i int) []any
}

const rivals = 500 // locks in each measurement

// run sends the calls to all locks. The arguments of call i do not depend on the lock.
func (v *versus) run(all ...calls) {
	ctx := context.Background()
	for _, c := range all {
		if v.loaded[c.script] == "" {
			v.loaded[c.script] = v.rdb.ScriptLoad(ctx, v.script(c.script).Text).Val()
		}
		for i := 0; i < rivals; i += 100 {
			pipe := v.rdb.Pipeline()
			for j := i; j < i+100; j++ {
				pipe.EvalSha(ctx, v.loaded[c.script], []string{fmt.Sprintf("redislock:{%d}", j)}, c.args(j)...)
			}
			if _, err := pipe.Exec(ctx); err != nil {
				v.Fatal(c.script, err)
			}
		}
	}
}

// asks are acquires of a token on each lock, by a Client of that name.
func asks(token, wait, client, mode string) calls {
	return calls{"acquire", func(int) []any { return []any{pad(token), benchRequest(wait, fmt.Sprintf("%22s", client), mode)} }}
}

func gives(token string) calls { return calls{"release", func(int) []any { return []any{pad(token)} }} }

func renews(token string) calls {
	return calls{"renew", func(int) []any { return []any{pad(token), "0000000000000000"} }}
}

func checks(client, after string, tokens ...string) calls {
	return calls{"check", func(int) []any {
		args := []any{"redislock:c:" + fmt.Sprintf("%22s", client), protocol.Uncountable, after}
		for _, token := range tokens {
			args = append(args, pad(token))
		}
		return args
	}}
}

func converts(token, change, mode string) calls {
	return calls{"convert", func(int) []any {
		return []any{pad(token), benchRequest(protocol.NoWait, fmt.Sprintf("%22s", "a"), mode), pad(change)}
	}}
}

// BenchmarkServerTimeAgainst measures each script beside that of another version, in its most frequent case. It prints
// this version's µs, and their ratio to the other's.
func BenchmarkServerTimeAgainst(b *testing.B) {
	if *against == "" {
		b.Skip("there is no other version: make measure AGAINST=...")
	}
	held := asks("a", protocol.NoWait, "a", "")
	waits := func(n int, mode string) (all []calls) {
		for i := range n {
			all = append(all, asks(fmt.Sprint("w", i), protocol.Uncountable, fmt.Sprint("w", i%3), mode))
		}
		return all
	}
	tokens := func(n int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprint("w", i))
		}
		return all
	}
	readers := func(n int) (all []calls) {
		for i := range n {
			all = append(all, asks(fmt.Sprint("r", i), protocol.NoWait, "r", read.Line(1, "")))
		}
		return all
	}
	writer := asks("a", protocol.NoWait, "a", write.Line(1, ""))
	slot := semaphore(8).Line(1, "")
	var slots []calls
	for i := range 8 {
		slots = append(slots, asks(fmt.Sprint("s", i), protocol.NoWait, "r", slot))
	}
	scenes := []struct {
		name     string
		before   []calls
		measured []calls
	}{
		{"acquire and release", nil, []calls{held, gives("a")}},
		{"acquire, refused", []calls{held}, []calls{asks("b", protocol.NoWait, "b", "")}},
		{"renew, alone", []calls{held}, []calls{renews("a"), renews("a")}},
		{"renew, with a queue", append([]calls{held}, waits(3, "")...), []calls{renews("a")}},
		{"renew, beside readers", readers(20), []calls{renews("r3")}},
		{"join, the first", []calls{held}, waits(1, "")},
		{"join, a queue", append([]calls{held}, waits(3, "")...), waits(6, "")[3:]},
		{"join, of writers", append([]calls{writer}, waits(3, write.Line(1, ""))...), waits(5, write.Line(1, ""))[3:]},
		{"hand over, to the last", append([]calls{held}, waits(1, "")...), []calls{gives("a")}},
		{"hand over, a queue", append([]calls{held}, waits(4, "")...), []calls{gives("a"), gives("w0"), gives("w1")}},
		{"hand over, to readers", append([]calls{writer}, waits(8, read.Line(1, ""))...), []calls{gives("a")}},
		{"hand over, of writers", append([]calls{writer}, waits(4, write.Line(1, ""))...), []calls{gives("a"), gives("w0"), gives("w1")}},
		{"join, of a semaphore", slices.Concat(slots, waits(3, slot)), waits(6, slot)[3:]},
		{"hand over, of a semaphore", slices.Concat(slots, waits(5, slot)), []calls{gives("s1"), gives("s2"), gives("s3")}},
		{"leave the queue", append([]calls{held}, waits(4, "")...), []calls{gives("w1"), gives("w2")}},
		{"check", append([]calls{held}, waits(3, "")...), []calls{checks("w1", "", "w1")}},
		{"check of 64", append([]calls{held}, waits(64, "")...), []calls{checks("w1", "", tokens(64)...)}},
		{"check, with an age", append([]calls{held}, waits(3, "")...), []calls{checks("w1", "9000000", "w1")}},
		{"acquire, a reader more", readers(20), []calls{asks("x", protocol.NoWait, "r", read.Line(1, ""))}},
		{"release, a reader less", readers(20), []calls{gives("r5"), gives("r3")}},
		{"downgrade and upgrade", []calls{writer}, []calls{converts("a", "0000000001c", read.Line(1, "")), converts("a", "0000000002c", write.Line(1, pad("a")))}},
	}
	rdb := servertest.Start(b).Connect()
	old := os.DirFS(filepath.Join(*against, "lua"))
	versions := []*versus{
		{b, rdb, func(name string) *lua.Script { return lua.Load(name) }, map[string]string{}},
		{b, rdb, func(name string) *lua.Script { return lua.LoadFrom(old, name) }, map[string]string{}},
	}
	for b.Loop() {
		fmt.Println()
		for _, s := range scenes {
			if *only != "" && !strings.Contains(s.name, *only) {
				continue
			}
			var own, ratios []float64
			for round := range 16 { // interleaved, each first in turn, so that a drift of the machine meets both
				var took [2]float64
				for i := range versions {
					i = (i + round) % 2
					v := versions[i]
					rdb.FlushAll(context.Background())
					v.run(s.before...)
					rdb.ConfigResetStat(context.Background())
					v.run(s.measured...)
					took[i] = scriptTime(b, rdb) / rivals / float64(len(s.measured))
				}
				own, ratios = append(own, took[0]), append(ratios, took[0]/took[1])
			}
			fmt.Printf("%-24s %6.1f µs  × %.2f\n", s.name, median(own), median(ratios)) // a benchmark's own log is cut off
		}
	}
	b.ReportMetric(0, "ns/op")
}
