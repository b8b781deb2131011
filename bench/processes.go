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
	"example.com/redislock/bench/internal/traffic"
	"example.com/redislock/internal/servertest"
)

// roleCompete makes this program one of several processes that want one lock. A peer and an address follow.
const roleCompete = "compete"

// competition is what the processes are told when all are ready. Each has this many goroutines.
type competition struct {
	Waiters      int
	Readers      float64       // the share of critical sections that only read; 0: the lock is exclusive
	Work         time.Duration // the time of a critical section
	Warm, Window time.Duration
}

// outcome is the result of one process.
type outcome struct {
	Handoffs, Failures int           // in the window
	Writes             int           // hand-offs to writers
	Longest            time.Duration // the longest time in which none of its goroutines had the lock
	Window             time.Duration
	Grants             int   // all grants, with those outside the window
	Commands           int64 // commands that were sent for the grants, and at the start
}

// compete is the main function of such a process.
func compete(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	var sent traffic.Counter
	l, err := opened(args, peer.Options{Wrap: sent.Wrap})
	if err != nil {
		return err
	}
	defer bounded(l.Close)
	if _, err := io.WriteString(out, readyLine); err != nil {
		return err
	}
	var order competition
	if err := json.NewDecoder(in).Decode(&order); err != nil {
		return err
	}
	c := contest{
		name: "processes", lockers: []peer.Locker{l}, waiters: order.Waiters, work: order.Work, readers: order.Readers,
		warm: order.Warm, window: order.Window,
	}
	if _, ours := l.(*peer.Client); ours && order.Readers > 0 {
		c.lock = readOrWrite(c.name)
	}
	f := c.run(ctx)
	t := f.tally()
	o := outcome{Handoffs: t.handoffs, Writes: t.writes, Failures: f.failures, Longest: f.longestWait(), Window: f.to - f.from, Commands: sent.Sent().Total()}
	for _, turns := range f.turns {
		for _, one := range turns {
			if one.got >= one.asked {
				o.Grants++
			}
		}
	}
	return json.NewEncoder(out).Encode(o)
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

// processes lets four processes with eight goroutines each want one lock. It notes the longest wait of a process and how
// evenly they were served.
func (b *bench) processes(s *servertest.Server, p peer.Peer) {
	all := b.competition(s, p, competition{Warm: b.lasts(300 * time.Millisecond), Window: b.lasts(700 * time.Millisecond)})
	var each []float64
	var longest time.Duration
	for _, o := range all.outcomes {
		each, longest = append(each, float64(o.Handoffs)), max(longest, o.Longest)
	}
	all.note("turns", p.Name, "hand-offs per second", all.perSecond(func(o outcome) int { return o.Handoffs }))
	all.note("turns", p.Name, "longest wait of a process, ms", float64(longest.Microseconds())/1e3)
	all.note("turns", p.Name, "Jain's index over processes", measure.Jain(each))
	all.notes("turns", p.Name, "hand-off")
}

// readersApart has four processes with eight goroutines each, whose critical sections mostly only read.
func (b *bench) readersApart(s *servertest.Server, p peer.Peer, name string) {
	all := b.competition(s, p, competition{
		Readers: readerShare / 100.0, Work: time.Millisecond, Warm: b.lasts(300 * time.Millisecond), Window: b.lasts(700 * time.Millisecond),
	})
	all.note("readers", name, "sections per second", all.perSecond(func(o outcome) int { return o.Handoffs }))
	all.note("readers", name, "readers' sections per second", all.perSecond(func(o outcome) int { return o.Handoffs - o.Writes }))
	all.note("readers", name, "writers' sections per second", all.perSecond(func(o outcome) int { return o.Writes }))
	all.notes("readers", name, "section")
}

// competed is the result of a competition.
type competed struct {
	*bench

	outcomes []outcome
	messages int64 // messages that the server published
}

// competition lets four processes with eight goroutines each compete.
func (b *bench) competition(s *servertest.Server, p peer.Peer, told competition) competed {
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
	told.Waiters = 32 / contestClients
	order, err := json.Marshal(told)
	b.must(err)
	before := b.usage(s)
	for _, c := range all {
		_, err := fmt.Fprintln(c.in, string(order))
		b.must(err)
	}
	came := competed{bench: b}
	for _, c := range all {
		o, err := said(c.out)
		b.must(err)
		came.outcomes = append(came.outcomes, o)
	}
	used := b.usage(s).Since(before)
	came.messages = used["publish"].Calls + used["spublish"].Calls
	return came
}

func (c competed) perSecond(of func(outcome) int) (rate float64) {
	for _, o := range c.outcomes {
		rate += float64(of(o)) / o.Window.Seconds()
	}
	return rate
}

func (c competed) note(section, subject, quantity string, value float64) {
	c.log.Add(measure.Key{Section: section, Subject: subject, Quantity: quantity, X: processesOf8}, value)
}

// notes notes the network traffic of one hand-off or section, and the failures. The published messages are grants, and recalls of the
// lock.
func (c competed) notes(section, subject, of string) {
	var failures, grants int
	var commands int64
	for _, o := range c.outcomes {
		failures, grants, commands = failures+o.Failures, grants+o.Grants, commands+o.Commands
	}
	c.note(section, subject, failed, float64(failures))
	if grants > 0 {
		c.note(section, subject, "commands per "+of, float64(commands)/float64(grants))
		c.note(section, subject, "messages per "+of, float64(c.messages)/float64(grants))
	}
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
