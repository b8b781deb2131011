package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/internal/servertest"
)

const (
	oursDead      = "redislock, dead: waiters of 4 clients"
	oursDeadEach  = "redislock, dead: waiters of as many clients"
	oursCancelled = "redislock, cancelled"
)

// worst measures how long the longest script keeps the server busy, when a lock has ten thousand waiters that all die or
// are all cancelled. The others have no scripts that depend on the number of waiters.
func (b *bench) worst() {
	const waiters = 10000
	s := servertest.Start(b)
	defer s.Kill()
	w := &worstCase{b, s, b.recordWait(s)}
	all := []struct {
		subject string
		run     func(waiters int)
	}{
		{oursDead, func(n int) { w.die(n, 4) }},
		{oursDeadEach, func(n int) { w.die(n, n) }},
		{oursCancelled, w.cancel},
	}
	for range max(1, int(4*b.scale)) {
		for _, one := range all {
			micros := w.longest(func() { one.run(waiters) })
			b.log.Add(measure.Key{Section: "worst", Subject: one.subject, Quantity: "largest script, µs", X: waiters}, micros)
		}
	}
}

// worstCase brings one lock into the most expensive state. All requests come over one connection, from a client that
// sleeps meanwhile, as a second busy process would delay the server and count as its time.
type worstCase struct {
	*bench
	server *servertest.Server
	wait   recordedWait
}

const worstName = "the-lock-of-many"

// longest takes the lock, lets f make the queue, and gives the lock back. It returns the µs of the longest script from
// then until the queue is empty, without the start of a client and the compilation of scripts.
func (w *worstCase) longest(f func()) (micros float64) {
	rdb := w.server.Admin()
	w.must(rdb.FlushAll(w.ctx).Err())
	l, err := peer.All()[0].Open(w.server.Addr(), peer.Options{})
	w.must(err)
	defer bounded(l.Close)
	release, err := l.Lock(w.ctx, worstName)
	w.must(err)
	w.must(rdb.ConfigSet(w.ctx, "slowlog-log-slower-than", "100").Err())
	w.must(rdb.ConfigSet(w.ctx, "slowlog-max-len", "100000").Err())
	w.must(rdb.Do(w.ctx, "slowlog", "reset").Err())
	f()
	w.must(release(w.ctx))
	for until := time.Now().Add(20 * time.Second); w.fields() > 9; sleep(w.ctx, 5*time.Millisecond) {
		if time.Now().After(until) {
			w.Fatalf("after 20 s %d fields are left", w.fields())
		}
	}
	slow, err := rdb.SlowLogGet(w.ctx, -1).Result()
	w.must(err)
	for _, entry := range slow {
		if strings.EqualFold(entry.Args[0], "evalsha") {
			micros = max(micros, float64(entry.Duration.Nanoseconds())/1e3)
		}
	}
	return micros
}

// fields is the number of fields in the lock's hash: one for each waiter, and a few more.
func (w *worstCase) fields() int64 {
	n, err := w.server.Admin().HLen(w.ctx, strings.ReplaceAll(w.wait.join[3], w.wait.name, worstName)).Result()
	w.must(err)
	return n
}

// send sends a request for each of the waiters, which belong to a number of clients.
func (w *worstCase) send(args []string, waiters, clients int, order func(i int) int) {
	for i := 0; i < waiters; i += 100 {
		pipe := w.server.Admin().Pipeline()
		for j := i; j < min(i+100, waiters); j++ {
			pipe.Do(w.ctx, w.wait.of(args, order(j), order(j)%clients, worstName)...)
		}
		_, err := pipe.Exec(w.ctx)
		w.must(err)
	}
}

func (w *worstCase) queue(waiters, clients int) {
	w.send(w.wait.join, waiters, clients, func(i int) int { return i })
	if n := w.fields(); n < int64(waiters) {
		w.Fatalf("of %d waiters %d fields are in the queue", waiters, n)
	}
}

// overdue is how long after its last check a client without a subscription counts as gone (docs/protocol.md).
const overdue = 2500 * time.Millisecond

// die lets waiters of some clients join that count as gone when their turn comes: their channels have no subscribers, and
// their checks are overdue.
func (w *worstCase) die(waiters, clients int) {
	w.queue(waiters, clients)
	sleep(w.ctx, overdue+100*time.Millisecond)
}

// cancel lets waiters of four clients join, and give up in a scattered order.
func (w *worstCase) cancel(waiters int) {
	w.queue(waiters, 4)
	w.send(w.wait.leave, waiters, 4, func(i int) int { return i * 7919 % waiters }) // a prime number, so that each waiter is reached
	if n := w.fields(); n >= int64(waiters) {
		w.Fatalf("after all have left the queue there are %d fields", n)
	}
}

// recordedWait has the requests by which a waiter joins the queue and leaves it.
type recordedWait struct {
	join, leave          []string
	name, token, channel string // as they stand in the arguments
}

// recordWait waits in vain for a held lock, and records what the server received.
func (b *bench) recordWait(s *servertest.Server) recordedWait {
	holder, err := peer.All()[0].Open(s.Addr(), peer.Options{})
	b.must(err)
	defer bounded(holder.Close)
	waiter, err := peer.All()[0].Open(s.Addr(), peer.Options{})
	b.must(err)
	defer bounded(waiter.Close)
	const name = "name-of-a-lock"
	release, err := holder.Lock(b.ctx, name)
	b.must(err)
	defer func() { b.must(release(b.ctx)) }()
	wait := func() error {
		ctx, cancel := context.WithTimeout(b.ctx, 300*time.Millisecond) // shorter than the time to the first check
		defer cancel()
		if _, err := waiter.Lock(ctx, name); ctx.Err() == nil {
			return fmt.Errorf("it does not wait: %w", err)
		}
		return nil
	}
	b.must(wait()) // a first wait, after which it is subscribed
	all, err := monitored(b.ctx, s.Addr(), wait)
	b.must(err)
	w, err := findWait(about(all, name))
	b.must(err)
	w.name = name
	return w
}

// wakeChannel matches in a request the channel on which a client gets its grants.
var wakeChannel = regexp.MustCompile(`:c:(\S{22})\n`)

// findWait tells the requests of a wait apart: the join has a channel, and both have its token.
func findWait(sent []request) (w recordedWait, err error) {
	for _, r := range sent {
		if len(r.args) < 5 {
			continue
		}
		if channel := wakeChannel.FindStringSubmatch(strings.Join(r.args, "\n")); channel != nil {
			w.join, w.token, w.channel = r.args, r.args[4], channel[1]
		} else if r.args[4] == w.token {
			w.leave = r.args
		}
	}
	if w.leave == nil {
		err = fmt.Errorf("a wait that was cancelled is %v", sent)
	}
	return w, err
}

// of returns a request of the i-th waiter, which belongs to the n-th client.
func (w recordedWait) of(request []string, i, n int, name string) []any {
	other := strings.NewReplacer(w.name, name, w.token, fmt.Sprintf("%022d", i), w.channel, fmt.Sprintf("%022d", n))
	args := make([]any, len(request))
	for k, arg := range request {
		args[k] = other.Replace(arg)
	}
	return args
}
