package quorum_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
	"example.com/redislock/quorum"
)

var lasts = flag.Duration("faults", time.Second, "for how long each fault on real servers is played")

// way is how one process reaches one server.
type way struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (w *way) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		return nil, errors.New("the network is divided")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err == nil {
		w.conns = append(w.conns, conn)
	}
	return conn, err
}

func (w *way) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut = cut; cut {
		for _, conn := range w.conns {
			_ = conn.Close()
		}
		w.conns = nil
	}
}

// field is three real servers and what eight processes would have: eight Lockers with connections of their own.
type field struct {
	servers []*servertest.Server
	clocked *servertest.Clocked // the last of them
	ways    [8][3]*way
}

// Each fault is played again and again, while eight Lockers fight for 20 names: one holder, and fences that rise, whatever happens.
func TestFaultsOnRealServersBreakNoPromise(t *testing.T) {
	for _, row := range []struct {
		fault string
		once  func(f *field)
	}{
		{"nothing", func(*field) { time.Sleep(time.Second) }},
		{"one of three killed, and restarted with nothing", killed(1, 3*time.Second)},
		{"two of three killed, and restarted with nothing", killed(2, 4*time.Second)},
		{"one stopped for less than a lease", stopped(700*time.Millisecond, 300*time.Millisecond)},
		{"one stopped for more than a lease", stopped(3*time.Second, time.Second)},
		{"one clock stepped by an hour, and back", func(f *field) {
			f.clocked.SetClock(time.Hour)
			time.Sleep(1500 * time.Millisecond)
			f.clocked.SetClock(0)
			time.Sleep(3 * time.Second)
		}},
		{"the network divided: half of the processes reach two, and half reach one", func(f *field) {
			f.divide(true)
			time.Sleep(1500 * time.Millisecond)
			f.divide(false)
			time.Sleep(time.Second)
		}},
		{"the subscriptions of one node cut", func(f *field) {
			_ = f.servers[0].Admin().Do(context.Background(), "CLIENT", "KILL", "TYPE", "pubsub").Err()
			time.Sleep(50 * time.Millisecond)
		}},
	} {
		t.Run(row.fault, func(t *testing.T) {
			t.Parallel()
			f := &field{clocked: servertest.StartWithClock(t)}
			f.servers = []*servertest.Server{servertest.Start(t), servertest.Start(t), f.clocked.Server}
			f.play(t, row.once)
		})
	}
}

// killed kills so many servers for half a second, and leaves them alone for a while then.
func killed(n int, after time.Duration) func(*field) {
	return func(f *field) {
		for _, s := range f.servers[:n] {
			s.Kill()
		}
		time.Sleep(500 * time.Millisecond)
		for _, s := range f.servers[:n] {
			s.Restart()
		}
		time.Sleep(after)
	}
}

// stopped stops one server for a while, and leaves it alone for another one then.
func stopped(during, after time.Duration) func(*field) {
	return func(f *field) {
		f.servers[1].Pause()
		time.Sleep(during)
		f.servers[1].Resume()
		time.Sleep(after)
	}
}

// divide cuts half of the processes from the last node, and the others from the rest.
func (f *field) divide(cut bool) {
	for i := range f.ways {
		for k, w := range f.ways[i] {
			if (i < 4) == (k == 2) {
				w.set(cut)
			}
		}
	}
}

func (f *field) play(t *testing.T, fault func(*field)) {
	var lockers []*quorum.Locker
	for i := range f.ways {
		var all []*redislock.Client
		for k, s := range f.servers {
			w := &way{}
			f.ways[i][k] = w
			c, err := redislock.New(s.Connect(func(o *redis.Options) {
				o.Dialer, o.ReadTimeout, o.DialTimeout, o.DialerRetries = w.dial, 500*time.Millisecond, 500*time.Millisecond, 1
			}))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				_ = c.Close(ctx)
			})
			all = append(all, c)
		}
		q, err := quorum.New(all, quorum.WithLongestLease(2*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		lockers = append(lockers, q)
	}
	names := make([]inside, 20)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var group sync.WaitGroup
	var mu sync.Mutex
	var slowest time.Duration
	granted, grants := 0, make(chan time.Time)
	for _, q := range lockers {
		for range 4 {
			group.Go(func() {
				for ctx.Err() == nil {
					n := rand.IntN(len(names))
					begun := time.Now()
					within, done := context.WithTimeout(ctx, 15*time.Second)
					l, err := q.Acquire(within, fmt.Sprint("name", n), redislock.WithLease(2*time.Second))
					done()
					if err != nil {
						time.Sleep(20 * time.Millisecond)
						continue
					}
					if err := names[n].enter(l); err != nil {
						t.Errorf("name%d: %v", n, err)
					}
					mu.Lock()
					slowest, granted = max(slowest, time.Since(begun)), granted+1
					mu.Unlock()
					select {
					case grants <- time.Now():
					default:
					}
					select {
					case <-l.Context().Done():
					case <-time.After(time.Duration(rand.IntN(5000)) * time.Microsecond):
					}
					_ = l.Release(context.Background())
				}
			})
		}
	}
	grantAfter := func(then time.Time) error {
		limit := time.After(30 * time.Second)
		for {
			select {
			case at := <-grants:
				if at.After(then) {
					return nil
				}
			case <-limit:
				return errors.New("no grant in 30 s")
			}
		}
	}
	before := grantAfter(time.Now()) // until then no majority counts
	for until := time.Now().Add(*lasts); time.Now().Before(until); {
		fault(f)
	}
	after := grantAfter(time.Now())
	cancel()
	group.Wait()
	t.Logf("%d grants, the slowest after %v", granted, slowest.Round(time.Millisecond))
	if before != nil || after != nil {
		t.Errorf("before the fault: %v; since it was mended: %v; %d grants in all", before, after, granted)
	}
}
