package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/internal/servertest"
)

const (
	floorScripts = "floor: unfenced"
	plainRelease = "redislock, release by plain HDEL"
)

// recorded is a pair that a client has sent once, to be sent again for other names and other holders.
type recorded struct {
	subject          string
	acquire, release []string
	name, token      string // as they are in the arguments
}

// server measures the server's time for an uncontended pair, without that of the network: a hundred pairs at once in a
// pipeline, on names that were used before (0) and on new ones (1). The commands are those that the libraries really
// send.
//
// rueidislock is left out, as the cost of its commands depends on the connection, which tracks the keys.
func (b *bench) server() {
	s := servertest.Start(b)
	defer s.Kill()
	all := b.recordedPairs(s)
	type cell struct {
		recorded
		fresh float64
	}
	var cells []cell
	for _, r := range all {
		cells = append(cells, cell{r, 0}, cell{r, 1})
	}
	rdb := s.Connect()
	pairs := max(200, int(4000*b.scale)/batchOfPairs*batchOfPairs)
	measure.Interleave(11, cells, func(c cell) {
		b.must(rdb.FlushAll(b.ctx).Err())
		warm := namesInUse
		b.replay(rdb, c.recorded, 0, warm, warm)
		b.must(rdb.ConfigResetStat(b.ctx).Err())
		if c.fresh == 1 {
			b.replay(rdb, c.recorded, warm, warm+pairs, warm+pairs)
		} else {
			b.replay(rdb, c.recorded, warm, warm+pairs, warm)
		}
		stats, err := readCommandStats(b.ctx, rdb)
		b.must(err)
		commands := slices.Compact([]string{strings.ToLower(c.acquire[0]), strings.ToLower(c.release[0])})
		b.log.Add(measure.Key{Section: "server", Subject: c.subject, Quantity: "server µs per pair", X: c.fresh}, stats.of(commands).usec/float64(pairs))
	})
}

const (
	batchOfPairs = 100
	namesInUse   = 1000
)

// recordedPairs are the floors' pairs, and those of the libraries as the server receives them.
func (b *bench) recordedPairs(s *servertest.Server) []recorded {
	const name, token = "name-of-a-lock", "token-of-a-holder-22--"
	rdb := s.Admin()
	load := func(script string) string {
		digest, err := rdb.ScriptLoad(b.ctx, script).Result()
		b.must(err)
		return digest
	}
	script := func(text string, args ...string) []string {
		return append([]string{"evalsha", load(text), "1", name, token}, args...)
	}
	all := []recorded{
		{floorNoop, script("return 1"), script("return 1"), name, token},
		{floorScripts, script("return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])", "30000"), script(unfencedRelease), name, token},
	}
	for _, p := range peer.All() {
		if p.Variant || p.Name == "rueidislock" {
			continue
		}
		r := b.record(s.Addr(), p, name)
		all = append(all, r)
		if p.Name == peer.Ours {
			r.subject, r.release = plainRelease, []string{"hdel", r.acquire[3], r.token}
			all = append(all, r)
		}
	}
	return all
}

// record runs a pair of a library, on a name that was used before, and records what the server received.
func (b *bench) record(addr string, p peer.Peer, name string) recorded {
	l, err := p.Open(addr, peer.Options{})
	b.must(err)
	defer bounded(l.Close)
	pair := func() error {
		release, err := l.Lock(b.ctx, name)
		if err != nil {
			return err
		}
		return release(b.ctx)
	}
	b.must(pair()) // requests that a client sends only once, and scripts that the server does not know yet
	all, err := monitored(b.ctx, addr, pair)
	b.must(err)
	r, err := recordedPair(about(all, name))
	if err != nil {
		b.Fatalf("%s: %v", p.Name, err)
	}
	r.subject, r.name = p.Name, name
	return r
}

// recordedPair finds the token of a pair: it is the long argument that both commands have, besides the key.
func recordedPair(sent []request) (r recorded, err error) {
	if len(sent) != 2 {
		return r, fmt.Errorf("a pair is %d commands: %v", len(sent), sent)
	}
	r.acquire, r.release = sent[0].args, sent[1].args
	for _, arg := range r.release[len(r.release)-1:] {
		if len(arg) >= 16 && slices.Contains(r.acquire, arg) {
			r.token = arg
			return r, nil
		}
	}
	return r, fmt.Errorf("no token in %v", sent)
}

// replay sends the pairs from one number to another, a hundred acquires and then their releases, on this many names in
// turn.
func (b *bench) replay(rdb *redis.Client, r recorded, from, to, names int) {
	for i := from; i < to; i += batchOfPairs {
		for _, command := range [][]string{r.acquire, r.release} {
			pipe := rdb.Pipeline()
			for j := i; j < min(i+batchOfPairs, to); j++ {
				pipe.Do(b.ctx, r.of(command, j, j%names)...)
			}
			answers, err := pipe.Exec(b.ctx)
			b.must(err)
			for _, a := range answers {
				if n, ok := a.(*redis.Cmd).Val().(int64); &command[0] == &r.release[0] && (!ok || n != 1) {
					b.Fatalf("%s: a release is answered %v", r.subject, a)
				}
			}
		}
	}
}

// of returns a command of the i-th holder for the n-th name.
func (r recorded) of(command []string, i, n int) []any {
	args := make([]any, len(command))
	other := strings.NewReplacer(r.name, fmt.Sprintf("%0*d", len(r.name), n), r.token, fmt.Sprintf("%0*d", len(r.token), i))
	for k, arg := range command {
		args[k] = other.Replace(arg)
	}
	return args
}
