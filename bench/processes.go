package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/internal/servertest"
)

// roleCompete makes this program one of several processes that want one lock; a peer and an address follow.
const roleCompete = "compete"

// competition is what the processes are told when all are ready; each has so many goroutines.
type competition struct {
	Waiters      int
	Warm, Window time.Duration
}

// outcome is what one process says at the end of it.
type outcome struct {
	Handoffs, Failures int
	Longest            time.Duration // in which none of its goroutines had the lock
	Window             time.Duration
}

// compete is the whole life of such a process.
func compete(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	l, err := opened(args, peer.Options{})
	if err != nil {
		return err
	}
	defer bounded(l.Close)
	if _, err := io.WriteString(out, readyLine); err != nil {
		return err
	}
	var c competition
	if err := json.NewDecoder(in).Decode(&c); err != nil {
		return err
	}
	f := contest{name: "processes", lockers: []peer.Locker{l}, waiters: c.Waiters, warm: c.Warm, window: c.Window}.run(ctx)
	return json.NewEncoder(out).Encode(outcome{f.tally().handoffs, f.failures, f.longestWait(), f.to - f.from})
}

// longestWait is the longest time in the window in which none of the goroutines, one of which waits at all times, was granted the lock.
func (f field) longestWait() (longest time.Duration) {
	var got []time.Duration
	for _, turns := range f.turns {
		for _, t := range turns {
			if t.got >= f.from && t.got < f.to && t.got >= t.asked {
				got = append(got, t.got)
			}
		}
	}
	slices.Sort(got)
	last := f.from
	for _, at := range append(got, f.to) {
		longest = max(longest, at-last)
		last = at
	}
	return longest
}

// processes has four processes with eight goroutines each want one lock, and notes how long one of them waited at the most and
// how evenly they were served.
func (b *bench) processes(s *servertest.Server, p peer.Peer) {
	b.must(s.Admin().FlushAll(b.ctx).Err())
	var all []*child
	for range contestClients {
		c, err := startChild(b.ctx, roleCompete, p.Name, s.Addr())
		b.must(err)
		defer c.kill()
		all = append(all, c)
	}
	for _, c := range all {
		b.must(c.ready())
	}
	order, err := json.Marshal(competition{32 / contestClients, b.lasts(300 * time.Millisecond), b.lasts(700 * time.Millisecond)})
	b.must(err)
	for _, c := range all {
		_, err := fmt.Fprintln(c.in, string(order))
		b.must(err)
	}
	var each []float64
	var longest time.Duration
	rate, failures := 0.0, 0
	for _, c := range all {
		o, err := said(c.out)
		b.must(err)
		each = append(each, float64(o.Handoffs))
		rate += float64(o.Handoffs) / o.Window.Seconds()
		longest, failures = max(longest, o.Longest), failures+o.Failures
	}
	note := func(quantity string, value float64) {
		b.log.Add(measure.Key{Section: "turns", Subject: p.Name, Quantity: quantity, X: processesOf8}, value)
	}
	note("hand-offs per second", rate)
	note("longest wait of a process, ms", float64(longest.Microseconds())/1e3)
	note("Jain's index over processes", measure.Jain(each))
	note(failed, float64(failures))
}

// processesOf8 is the place of four processes in the tables.
const processesOf8 = 8

func said(out *bufio.Reader) (o outcome, err error) {
	line, err := out.ReadString('\n')
	if err == nil {
		err = json.Unmarshal([]byte(line), &o)
	}
	return o, err
}
