package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/internal/servertest"
)

const (
	recoveryRounds = 6
	recoveryTTL    = 2 * time.Second
	recoveryName   = "recovery"
	// recoveryTime is the time after which a recovery counts as failed.
	recoveryTime = 15 * time.Second
	// roleHold makes this program a holder that will be killed. A peer and an address follow.
	roleHold = "hold"
)

// recovery measures how long a lock stays with a holder that is killed: a process of its own, with SIGKILL, so that its
// connections are cut, and nothing is given back or renewed. The time to live is the same for all, and so is the time
// from the acquire to the death, which is spread evenly over the rounds. A library that does not renew then has less of
// its time to live left. So there is also "ms past the end of the lease", which counts from the time at which Redis
// would have forgotten the holder.
//
// The peers of a round are measured at the same time, each on its own server, as for seconds almost nothing happens.
func (b *bench) recovery() {
	var servers []*servertest.Server
	for range peer.All() {
		servers = append(servers, servertest.Start(b))
	}
	rounds := max(1, int(recoveryRounds*b.scale))
	for round := range rounds {
		if b.ctx.Err() != nil {
			return
		}
		death := recoveryTTL/4 + time.Duration((float64(round)+rand.Float64())/float64(rounds)*float64(recoveryTTL/2))
		found := make([]func(), len(servers)) // a Log is not safe for concurrent use
		var running sync.WaitGroup
		for i, p := range peer.All() {
			running.Go(func() {
				r, err := b.outlive(p, servers[i], death)
				found[i] = func() {
					note := func(quantity string, value float64) {
						b.log.Add(measure.Key{Section: "recovery", Subject: p.Name, Quantity: quantity}, value)
					}
					if err != nil {
						b.Logf("recovery: %s: %v", p.Name, err)
						note(failed, 1)
						return
					}
					note("ms from death to acquired", r.total.Seconds()*1e3)
					note("ms past the end of the lease", r.late.Seconds()*1e3)
					note(failed, 0)
				}
			})
		}
		running.Wait()
		for _, add := range found {
			add()
		}
	}
}

// recovered is the time that it took to recover from a death.
type recovered struct {
	total time.Duration // from the death until a waiter had the lock
	late  time.Duration // the part of it after the end of the lease
}

// outlive lets a holder die that long after it took the lock, while a client waits for the lock.
func (b *bench) outlive(p peer.Peer, s *servertest.Server, death time.Duration) (r recovered, err error) {
	ctx, cancel := context.WithTimeout(b.ctx, recoveryTime)
	defer cancel()
	if err := s.Admin().FlushAll(ctx).Err(); err != nil {
		return r, err
	}
	waiter, err := p.Open(s.Addr(), peer.Options{TTL: recoveryTTL})
	if err != nil {
		return r, err
	}
	defer closeAll([]peer.Locker{waiter})
	holder, err := startChild(ctx, roleHold, p.Name, s.Addr())
	if err != nil {
		return r, err
	}
	defer holder.kill()
	if err := holder.ready(); err != nil {
		return r, err
	}

	held := time.Now()
	pause(ctx, rand.N(recoveryTTL/8)) // otherwise a poll would always come at the same time before the end of the lease
	woken := make(chan error, 1)
	var acquired time.Time
	go func() {
		release, err := waiter.Lock(ctx, recoveryName)
		acquired = time.Now()
		if err == nil {
			err = release(ctx)
		}
		woken <- err
	}()
	pause(ctx, death-time.Since(held))
	died := time.Now()
	holder.kill()
	left, err := leaseLeft(ctx, p, waiter, s)
	lapses := time.Now().Add(left)
	if e := <-woken; err == nil { // at the latest when ctx ends
		err = e
	}
	return recovered{acquired.Sub(died), acquired.Sub(lapses)}, err
}

// leaseLeft is how long a lock that is not renewed is still held.
func leaseLeft(ctx context.Context, p peer.Peer, l peer.Locker, s *servertest.Server) (time.Duration, error) {
	if p.Name == peer.Ours { // its keys outlive its holds
		info, err := l.(*peer.Client).Inspect(ctx, recoveryName)
		if err == nil && len(info.Holds) == 0 {
			err = errors.New("nobody holds the lock")
		}
		if err != nil {
			return 0, err
		}
		return info.Holds[0].Deadline.Sub(info.Now), nil
	}
	keys, err := s.Admin().Keys(ctx, "*").Result()
	if err == nil && len(keys) != 1 {
		err = fmt.Errorf("%d keys instead of that of the lock", len(keys))
	}
	if err != nil {
		return 0, err
	}
	return s.Admin().PTTL(ctx, keys[0]).Result()
}

// hold is the main function of a holder: it takes the lock, reports that, and waits to be killed. If in ends first,
// its parent is gone, and it ends by itself.
func hold(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	l, err := opened(args, peer.Options{TTL: recoveryTTL})
	if err != nil {
		return err
	}
	defer l.Close()
	release, err := l.Lock(ctx, recoveryName)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, readyLine); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, in)
	return release(ctx)
}
