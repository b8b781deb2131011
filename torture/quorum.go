package torture

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
	"example.com/redislock/quorum"
)

// held is a held lock, of one server or of a quorum.
type held interface {
	Name() string
	Context() context.Context
	Err() error
	Fence() int64
	Release(context.Context) error
}

// take takes a lock.
func (w *worker) take(ctx context.Context, ask request, opts []redislock.Option) (held, error) {
	if w.locker != nil {
		acquire := w.locker.Acquire
		if !ask.waits {
			acquire = w.locker.TryAcquire
		}
		l, err := acquire(ctx, ask.name, opts...)
		if err != nil {
			return nil, err
		}
		return l, nil
	}
	acquire := w.client.Acquire
	if !ask.waits {
		acquire = w.client.TryAcquire
	}
	l, err := acquire(ctx, ask.name, opts...)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// longest is the longest lease of a Locker in these rows. A node that came back without data does not count for that
// time.
func (l Load) longest() time.Duration { return 2 * l.Lease }

// overNodes is a Locker over Clients.
func overNodes(clients []*redislock.Client, l Load) (*quorum.Locker, error) {
	return quorum.New(clients, quorum.WithLongestLease(l.longest()))
}

// Quorum is three servers without replication between them, in Site.More. The clock of the last one can be stepped. Each half of the
// processes reaches each server by a front of its own.
type Quorum struct {
	Nodes   []*servertest.Server
	Clocked *servertest.Clocked
	Fronts  [2][]*Front // the fronts of the first half of the workers, and of the second

	holds, kept int // holds that were made over faults, and those that lasted
}

// OverQuorum starts a Quorum.
func OverQuorum(t *testing.T) *Site {
	q := &Quorum{Clocked: servertest.StartWithClock(t)}
	q.Nodes = []*servertest.Server{servertest.Start(t), servertest.Start(t), q.Clocked.Server}
	site := &Site{More: q}
	for _, s := range q.Nodes {
		site.Admins = append(site.Admins, s.Connect())
		for half := range q.Fronts {
			q.Fronts[half] = append(q.Fronts[half], NewFront(t, s.Addr()))
		}
	}
	site.Admin = site.Admins[0]
	site.Nodes = func(worker int) (all []Connect) {
		for _, f := range q.Fronts[q.half(worker)] {
			all = append(all, Connect{Addrs: []string{f.Addr()}, ReadTimeout: 500 * time.Millisecond, DialTimeout: 500 * time.Millisecond})
		}
		return all
	}
	return site
}

func (*Quorum) half(worker int) int { return worker / 4 % 2 }

// clients are the harness's own Clients, one for each server, on connections without faults.
func (x *Run) clients() []*redislock.Client {
	x.Helper()
	first := x.Client()
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.nodes) == 0 {
		x.nodes = []*redislock.Client{first}
		for _, rdb := range x.Admins[min(1, len(x.Admins)):] {
			x.nodes = append(x.nodes, x.open(rdb))
		}
	}
	return x.nodes
}

// admins are connections without faults, to each server.
func (x *Run) admins() []redis.UniversalClient {
	if len(x.Admins) > 0 {
		return x.Admins
	}
	return []redis.UniversalClient{x.Admin}
}

// taker takes a lock for the harness, and gives it back.
func (x *Run) taker() func(ctx context.Context, name string) error {
	x.Helper()
	clients := x.clients()
	if len(clients) == 1 {
		return func(ctx context.Context, name string) error {
			l, err := clients[0].Acquire(ctx, name)
			if err != nil {
				return err
			}
			return l.Release(ctx)
		}
	}
	q, err := overNodes(clients, x.Load)
	if err != nil {
		x.Fatal(err)
	}
	return func(ctx context.Context, name string) error {
		l, err := q.Acquire(ctx, name, redislock.WithLease(x.Load.Lease))
		if err != nil {
			return err
		}
		return l.Release(ctx)
	}
}

// fairness describes how evenly the processes were granted locks, and in what order.
func (h *History) fairness(workers []*Worker) string {
	counts, waits := make([]float64, len(workers)), []time.Duration{}
	for _, hold := range h.Holds {
		if hold.Invoked < h.Since {
			continue
		}
		counts[hold.Worker]++
		waits = append(waits, time.Duration(hold.Returned-hold.Invoked)*time.Microsecond)
	}
	slices.Sort(waits)
	sum, squares := 0.0, 0.0
	for _, n := range counts {
		sum, squares = sum+n, squares+n*n
	}
	return fmt.Sprintf("Jain's index of the grants by process: %.3f; %d of %d grants passed somebody who had asked %v earlier; the median wait was %v, the slowest %v.",
		sum*sum/max(1, squares*float64(len(counts))), h.passed(inversion), len(h.Holds), inversion, rounded(percentile(waits, 50)), rounded(percentile(waits, 100)))
}

func rounded(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// inversion is how much earlier an acquire must have been made for a later one that is granted first to count as passing it. The
// tickets of two processes may differ by less.
const inversion = 50 * time.Millisecond

// passed is how many grants passed an acquire that was made that much earlier.
func (h *History) passed(by time.Duration) (n int) {
	names := map[string][]*Holding{}
	for _, hold := range h.Holds {
		names[hold.Name] = append(names[hold.Name], hold)
	}
	for _, holds := range names {
		slices.SortFunc(holds, func(a, b *Holding) int { return int(a.Invoked - b.Invoked) })
		latest, next := int64(0), 0 // the latest grant of the acquires that were made that much earlier
		for _, hold := range holds {
			for ; holds[next].Invoked+by.Microseconds() < hold.Invoked; next++ {
				latest = max(latest, holds[next].Start)
			}
			if hold.Start < latest {
				n++
			}
		}
	}
	return n
}
