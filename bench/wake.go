package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/internal/servertest"
)

const floorPublish = "floor: PUBLISH to receive"

const (
	// wakeIdle is how long nothing happens before each sample.
	wakeIdle = 20 * time.Millisecond
	// wakeTime is the time after which a waiter counts as forgotten. It is longer than the time to live of any lock,
	// which some libraries shorten to a deadline.
	wakeTime = 10 * time.Second
	// wakeFailures is how many samples of a subject may fail before it is no longer sampled, as each failure takes
	// wakeTime.
	wakeFailures = 3
)

// sleeper is an idle waiter of a peer, or an idle subscriber, that is woken. It is a process of its own, first because
// a waiter in another process is what is to be measured. Second, the Go runtime rounds timers up to milliseconds in an
// idle process, so in one process the polls and the releases would coincide.
type sleeper struct {
	name string
	// lanes is how many sleep at a time, on different names. It is more than one for waiters that poll: their wake-ups
	// are slow, and others do not disturb them.
	lanes int
	// jitter is the greatest random time that a wait lasts longer than wakeIdle. A waiter that polls has its first poll
	// at a fixed time after its beginning. If the release came at a fixed time too, it would always come at the same
	// point between two polls.
	jitter  time.Duration
	samples int // the number of samples in a round, in each lane
	// take takes the lock of a name, so that its waiter waits. The function that it returns wakes the waiter.
	take  func(ctx context.Context, name string) (peer.Release, error)
	close func()

	process io.Writer
	woken   []chan wakeup // for each lane; closed when the process has ended

	mu     sync.Mutex
	failed int // samples
}

// wakeup is the time at which a waiter had the lock, or the error why it did not get it.
type wakeup struct {
	at  int64 // ns since 1970, by the clock of the machine
	err error
}

// wake measures the time from the call of release to the return of acquire in another process, which was idle while
// it waited.
func (b *bench) wake() {
	s := servertest.Start(b)
	all := b.sleepers(peer.All(), s.Addr())
	publisher := peer.Connect(s.Addr(), peer.Options{})
	all = append(all, &sleeper{
		name: floorPublish, lanes: 1, samples: 25, close: func() { _ = publisher.Close() },
		take: func(context.Context, string) (peer.Release, error) {
			return func(ctx context.Context) error { return publisher.Publish(ctx, floorChannel, "now").Err() }, nil
		},
	})
	b.awaken("wake", 10, all, s.Addr())
}

// sleepers wait for locks of peers.
func (b *bench) sleepers(peers []peer.Peer, addr string) (all []*sleeper) {
	for _, p := range peers {
		l, err := p.Open(addr, peer.Options{})
		b.must(err)
		one := &sleeper{name: p.Name, lanes: 1, samples: 25, take: l.Lock, close: l.Close}
		switch {
		case p.Polls && p.Variant: // it polls every millisecond
			one.jitter, one.samples = 10*time.Millisecond, 15
		case p.Polls: // its polls are at most 250 ms apart
			one.jitter, one.samples, one.lanes = 250*time.Millisecond, 1, 16
		}
		all = append(all, one)
	}
	return all
}

// awaken wakes the sleepers in turns, for this number of rounds, and closes them.
func (b *bench) awaken(section string, rounds int, all []*sleeper, addr string) {
	for _, one := range all {
		c, err := startChild(b.ctx, roleWait, one.name, addr)
		b.must(err)
		defer c.kill()
		b.must(c.ready())
		one.listen(c.in, c.out)
	}
	note := func(one *sleeper, took []float64, failures int) {
		b.log.Add(measure.Key{Section: section, Subject: one.name, Quantity: "µs from release to acquired"}, took...)
		b.log.Add(measure.Key{Section: section, Subject: one.name, Quantity: failed}, float64(failures))
	}
	for _, one := range all { // a first round to warm up, of which only failures count
		_, failures := one.round(b.ctx, 2)
		note(one, nil, failures)
	}
	measure.Interleave(rounds, all, func(one *sleeper) {
		took, failures := one.round(b.ctx, max(1, int(float64(one.samples)*b.scale)))
		note(one, took, failures)
	})
	for _, one := range all {
		one.close()
	}
}

// listen handles the input and the output of a waiting process.
func (s *sleeper) listen(in io.Writer, out *bufio.Reader) {
	s.process = in
	for range s.lanes {
		s.woken = append(s.woken, make(chan wakeup, 1))
	}
	go func() {
		defer func() {
			for _, lane := range s.woken {
				close(lane)
			}
		}()
		for {
			line, err := out.ReadString('\n')
			if err != nil {
				return
			}
			var lane int
			var w wakeup
			if _, err := fmt.Sscan(line, &lane, &w.at); err != nil || lane < 0 || lane >= s.lanes {
				return
			}
			if _, text, wrong := strings.Cut(line, "!"); wrong {
				w.err = errors.New(strings.TrimSpace(text))
			}
			s.woken[lane] <- w
		}
	}()
}

// round takes samples in all lanes, in µs, unless too many have failed.
func (s *sleeper) round(ctx context.Context, samples int) (took []float64, failures int) {
	before := s.failed
	var lanes sync.WaitGroup
	for lane := range s.lanes {
		lanes.Go(func() {
			for range samples {
				if s.lost() || ctx.Err() != nil {
					return
				}
				d, err := s.sample(ctx, lane)
				s.mu.Lock()
				if err == nil {
					took = append(took, float64(d.Nanoseconds())/1e3)
				} else {
					s.failed++
				}
				s.mu.Unlock()
			}
		})
	}
	lanes.Wait()
	return took, s.failed - before
}

// lost reports whether too many samples have failed.
func (s *sleeper) lost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed >= wakeFailures
}

// sample wakes the waiter of one lane.
func (s *sleeper) sample(ctx context.Context, lane int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, wakeTime+time.Second) // the waiter has its own timeout
	defer cancel()
	release, err := s.take(ctx, laneName(s.name, lane))
	if err != nil {
		return 0, err
	}
	_, err = fmt.Fprintln(s.process, lane)
	time.Sleep(wakeIdle + rand.N(s.jitter+1))
	begun := time.Now()
	if e := release(ctx); err == nil {
		err = e
	}
	if err != nil {
		return 0, err
	}
	select {
	case w, alive := <-s.woken[lane]:
		if !alive {
			return 0, errors.New("the waiting process has ended")
		}
		return time.Duration(w.at - begun.UnixNano()), w.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func laneName(subject string, lane int) string { return fmt.Sprintf("wake/%s/%d", subject, lane) }
