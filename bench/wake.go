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
	// wakeTime is when a waiter counts as forgotten. It is longer than any lock's time to live, which some libraries
	// make shorter for a deadline.
	wakeTime = 10 * time.Second
	// wakeFailures is how many samples of a subject may fail before no more are taken of it: each takes wakeTime.
	wakeFailures = 3
)

// sleeper is what is woken: an idle waiter of a peer, or an idle subscriber. It is a process of its own, for one thing
// because that is what it stands for; for another because the Go runtime rounds timers up to milliseconds where a
// process is idle otherwise, and polls and releases of one process would come together.
type sleeper struct {
	name string
	// lanes is how many are asleep at a time, on names of their own: more than one where a wake-up is slow because
	// it waits for the next poll, and so is not disturbed by others.
	lanes int
	// jitter is up to how much longer than wakeIdle the waiter waits. A waiter that polls has its first poll at a
	// fixed time after it began; a release that came at a fixed time too would always meet the same part of the pause.
	jitter  time.Duration
	samples int // in a round, in each lane
	// take makes the waiter of a name wait, once it is asleep: it takes the lock. What it returns wakes the waiter.
	take  func(ctx context.Context, name string) (peer.Release, error)
	close func()

	process io.Writer
	woken   []chan wakeup // of each lane; closed when the process has ended

	mu     sync.Mutex
	failed int // samples
}

// wakeup is when a waiter had the lock, or why it did not get it.
type wakeup struct {
	at  int64 // ns since 1970, by the clock that both processes have
	err error
}

// wake measures from the call of release to the return of acquire in another process, whose goroutine waited and was
// idle.
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
		case p.Polls && p.Variant: // every millisecond
			one.jitter, one.samples = 10*time.Millisecond, 15
		case p.Polls: // at most 250 ms apart
			one.jitter, one.samples, one.lanes = 250*time.Millisecond, 1, 16
		}
		all = append(all, one)
	}
	return all
}

// awaken wakes them in turns, in so many rounds, and closes them.
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
	for _, one := range all { // warm: of that only what fails counts
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

// listen takes over what a waiting process is told and says.
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
	ctx, cancel := context.WithTimeout(ctx, wakeTime+time.Second) // the waiter has its own time
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
