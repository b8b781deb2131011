package quorum

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/protocol"
)

const (
	// MinNodes and MaxNodes bound how many nodes there are. Their number is odd: one more that makes it even adds nothing but a node
	// that may fail.
	MinNodes = 3
	MaxNodes = 9
	// DefaultLongestLease is the longest lease of a [Locker], unless [WithLongestLease] sets it.
	DefaultLongestLease = time.Minute
)

// Option shapes a [Locker]. A value that cannot work makes [New] fail with [redislock.ErrInvalid].
type Option func(*Locker) error

// WithLongestLease sets the longest lease that the Locker gives; an acquire that asks for a longer one is [redislock.ErrInvalid]. All
// Lockers of an application must have the same. A node that comes back without its data does not count for that long. The
// default is [DefaultLongestLease].
func WithLongestLease(d time.Duration) Option {
	return func(q *Locker) error {
		if d < redislock.MinLease || d > redislock.MaxLease {
			return invalid("WithLongestLease(%v): must be from %v to %v", d, redislock.MinLease, redislock.MaxLease)
		}
		q.longest = d
		return nil
	}
}

// WithDurableNodes says that no node ever comes back without what it has acknowledged. Then each node counts at once after a
// restart, and is not asked since when it has been up. So its user does not need INFO. It is for servers that keep every write
// but cannot be asked whether they do, and for tests with an embedded server. If that is not true, two callers can hold the lock
// after a restart.
func WithDurableNodes() Option {
	return func(q *Locker) error {
		q.durable = true
		return nil
	}
}

// Locker takes locks over several nodes. Many goroutines may use it at once.
type Locker struct {
	nodes    []*node
	majority int
	longest  time.Duration
	durable  bool
	id       string // of this Locker, between those that have chosen the same ticket

	mu      sync.Mutex
	ticket  int64            // the last one
	known   bool             // a majority has told its time
	leaving map[string]*hold // the latest of each name that is over, while it is at work on a node
}

// New makes a Locker over the masters of these Clients: an odd number of them, from [MinNodes] to [MaxNodes], each a server of
// its own, with one prefix. Nothing must be replicated between them. All processes must have Lockers over the same nodes; their
// order makes no difference. The Clients belong to the caller, which closes them. New adds a hook to the Redis client of each,
// which counts its connections, and sends nothing.
//
// New returns [redislock.ErrInvalid] for another number of Clients, a nil one, the same one twice, two with one address,
// different prefixes, and a Client over anything but a *redis.Client of one server (a cluster, Sentinels). That two addresses are
// one server is found out when both have said which run of a server they are, as a rule in the first acquire, which returns
// [redislock.ErrInvalid] then; under [WithDurableNodes] nobody asks them.
func New(clients []*redislock.Client, opts ...Option) (*Locker, error) {
	q, err := newLocker(clients, opts)
	if err != nil {
		return nil, fmt.Errorf("redislock: new quorum: %w", err)
	}
	return q, nil
}

func newLocker(clients []*redislock.Client, opts []Option) (*Locker, error) {
	if n := len(clients); n < MinNodes || n > MaxNodes || n%2 == 0 {
		return nil, invalid("%d nodes: there must be an odd number of them, from %d to %d", n, MinNodes, MaxNodes)
	}
	q := &Locker{majority: len(clients)/2 + 1, longest: DefaultLongestLease, id: protocol.NewToken(), leaving: map[string]*hold{}}
	for i, c := range clients {
		rdb, single := root.Redis(c)
		switch {
		case rdb == nil:
			return nil, invalid("node %d has no Client", i+1)
		case single == nil:
			return nil, invalid("node %d is a %T: a node is one server, reached by a *redis.Client", i+1, rdb)
		case single.Options().Addr == "FailoverClient":
			return nil, invalid("node %d is reached by Sentinels: a replica that takes over may not know whom its master gave its vote", i+1)
		case root.Prefix(c) != root.Prefix(clients[0]):
			return nil, invalid("node %d has the prefix %q, and node 1 has %q", i+1, root.Prefix(c), root.Prefix(clients[0]))
		}
		for j, other := range q.nodes {
			if other.client == c || other.addr == single.Options().Addr {
				return nil, invalid("nodes %d and %d are one server, %s", j+1, i+1, other.addr)
			}
		}
		q.nodes = append(q.nodes, &node{client: c, rdb: rdb, addr: single.Options().Addr, pool: single.Options().PoolSize})
	}
	for _, opt := range opts {
		if opt == nil {
			return nil, invalid("a nil Option")
		}
		if err := opt(q); err != nil {
			return nil, err
		}
	}
	for _, n := range q.nodes {
		n.dials = root.Dials(n.client)
	}
	return q, nil
}

// refreshEvery is how old the known time of a node's clock may be before the node is asked again.
const refreshEvery = 10 * time.Second

// prepare waits until a majority of the nodes has told its time. The error has the error of each.
func (q *Locker) prepare(ctx context.Context) error {
	q.mu.Lock()
	known := q.known
	q.mu.Unlock()
	if known {
		return nil
	}
	type answer struct {
		i   int
		err error
	}
	answers := make(chan answer, len(q.nodes))
	for i, n := range q.nodes {
		go func() {
			_, err := n.look(context.WithoutCancel(ctx), q.durable)
			answers <- answer{i, err}
		}()
	}
	said, good := make([]error, len(q.nodes)), 0
	for i := range said {
		said[i] = errNoAnswer
	}
	for range q.nodes {
		select {
		case a := <-answers:
			if said[a.i] = a.err; a.err == nil {
				good++
			}
		case <-ctx.Done():
			return q.unreachable(said, ctx.Err())
		}
		if good == q.majority {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.known = true
			return nil
		}
	}
	return q.unreachable(said, nil)
}

var errNoAnswer = errors.New("no answer yet")

// distinct says whether two nodes are one server, by what they have said of themselves.
func (q *Locker) distinct() error {
	for i, n := range q.nodes {
		for _, other := range q.nodes[:i] {
			if run := n.runID(); run != "" && run == other.runID() {
				return invalid("%s and %s are one server, by its run_id", other.addr, n.addr)
			}
		}
	}
	return nil
}

// enter is the ticket of a new acquire: the time of the servers, as this process knows it, and later than any before it. The
// second result is the hold of that name that is still given back, nil if there is none.
func (q *Locker) enter(name string) (ticket int64, before *hold) {
	var of [MaxNodes]int64
	all := of[:0]
	for _, n := range q.nodes {
		micros, age := n.time()
		if age >= 0 {
			all = append(all, micros)
		}
		if age > refreshEvery {
			n.refresh()
		}
	}
	slices.Sort(all) // the one in the middle: one clock that is off makes no difference
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ticket = max(q.ticket+1, all[(len(all)-1)/2])
	return q.ticket, q.leaving[name]
}

// leave is the event that a hold is over, but still at work on a node; left, that it is so no more.
func (q *Locker) leave(h *hold) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.leaving[h.name] = h
}

func (q *Locker) left(h *hold) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.leaving[h.name] == h {
		delete(q.leaving, h.name)
	}
}

// refresh asks for the node's time once more, in the background.
func (n *node) refresh() {
	n.mu.Lock()
	n.sample, n.now = n.sample.Add(time.Second), n.now+time.Second.Microseconds() // the next caller asks in a second, if this has no answer
	n.mu.Unlock()
	go func() { _, _ = n.look(context.Background(), true) }()
}

// ACL is the rule that a Redis user needs on each node: that of [redislock.ACL], and the right to ask since when the server has
// been up and whether it keeps every write. Without the latter, CONFIG GET, no node is known to keep everything. Servers before
// Redis 7 refuse the rule, for it names commands that they do not have: [ACLFor] leaves them out.
func ACL(prefix string) string { return redislock.ACL(prefix) + own }

// ACLFor is [ACL] for a server, named as "redis 6.2" or "valkey 9.1", as [redislock.ACLFor] is; so are its errors.
func ACLFor(server, prefix string) (string, error) {
	rule, err := redislock.ACLFor(server, prefix)
	if err != nil {
		return "", err
	}
	return rule + own, nil
}

const own = " +info +config|get"
