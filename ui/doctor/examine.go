package doctor

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// patience bounds each request to a server, whatever timeouts its client has.
	patience = 2 * time.Second
	// wholeTime bounds all requests to one server. Servers are asked at the same time.
	wholeTime = 10 * time.Second
	// pings is how many round trips are measured.
	pings = 30
)

// Option changes what an examination looks for.
type Option func(*settings)

type settings struct {
	prefix   string // of the keys of the locks
	replicas int
	margin   time.Duration
}

// ForReplicas says that the applications use WithReplicas with n: fewer than n replicas are then a danger. 0 unless set.
func ForReplicas(n int) Option { return func(s *settings) { s.replicas = n } }

// ForClockMargin says what WithClockMargin of the applications is, 10 ms unless set: by how much the clocks of masters
// may differ.
func ForClockMargin(d time.Duration) Option { return func(s *settings) { s.margin = d } }

// Examine examines the Redis behind rdb, of a cluster each master by itself, for locks under a prefix. It changes no setting, and
// leaves only keys under the prefix that expire. It takes at most about ten seconds, also if nothing answers. With about fifty
// requests to each server it is cheap enough to be run once a minute.
//
// It returns no error. A question that could not be asked is an [Unknown] finding. A server that does not answer is a [Danger]:
// "reachability".
func Examine(ctx context.Context, rdb redis.UniversalClient, prefix string, opts ...Option) Report {
	s := settings{prefix: prefix, margin: defaultMargin}
	for _, opt := range opts {
		opt(&s)
	}
	ctx, cancel := context.WithTimeout(ctx, wholeTime+patience)
	defer cancel()
	r := Report{Address: address(rdb), Prefix: prefix}
	var subjects []*facts
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		var silent []Finding
		subjects, silent = masters(ctx, cluster, r.Address)
		r.Findings = append(r.Findings, silent...)
	} else {
		f := &facts{rdb: rdb, addr: r.Address}
		if c, ok := rdb.(*redis.Client); ok {
			f.options = c.Options()
		}
		f.gather(ctx)
		subjects = []*facts{f}
	}
	for _, f := range subjects {
		f.settings = s
		r.Findings = append(r.Findings, f.examine()...)
	}
	if slices.ContainsFunc(subjects, func(f *facts) bool { return f.silence == nil }) {
		r.Findings = append(r.Findings, together(subjects, s)...)
		r.Findings = append(r.Findings, permissions(ctx, rdb, prefix, subjects)...)
	}
	r.Findings = oneCause(r.Findings)
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return cmp.Compare(b.Level, a.Level) })
	return r
}

// checks are the checks of each server.
var checks = []func(*facts) []Finding{
	latency, slowCommands, exposure, passwords,
	eviction, headroom,
	persistence, failures,
	role, replicas, minReplicas, sentinel,
	support, faults,
	clock,
	protocol, idleTimeout, keepAlive, connections, buffers, busyScripts,
	clusterState, coverage, nodeTimeout, migrationPause, shardedWhenDown,
}

func (f *facts) examine() (found []Finding) {
	if f.silence != nil {
		return f.mark([]Finding{unreachable(f.addr, f.silence)})
	}
	for _, check := range checks {
		found = append(found, check(f)...)
	}
	return f.mark(found)
}

// mark sets the node of findings, if there are several nodes.
func (f *facts) mark(found []Finding) []Finding {
	for i := range found {
		found[i].Node = f.node
	}
	return found
}

// masters asks every master of a cluster, and returns the answers in the order of their addresses.
func masters(ctx context.Context, cluster *redis.ClusterClient, addr string) ([]*facts, []Finding) {
	var (
		mu       sync.Mutex
		subjects []*facts
	)
	_, err := within(ctx, wholeTime, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			f := &facts{rdb: node, addr: node.Options().Addr, node: node.Options().Addr, options: node.Options()}
			f.gather(ctx)
			mu.Lock()
			defer mu.Unlock()
			subjects = append(subjects, f)
			return nil
		})
	})
	mu.Lock()
	defer mu.Unlock()
	known := slices.Clone(subjects) // it does not wait for a late master
	slices.SortFunc(known, func(a, b *facts) int { return cmp.Compare(a.addr, b.addr) })
	if err != nil {
		return known, []Finding{unreachable(addr, err)}
	}
	return known, nil
}

// together returns the findings about all servers as a whole.
func together(subjects []*facts, s settings) []Finding {
	if len(subjects) < 2 {
		return nil
	}
	return clocksApart(subjects, s.margin)
}

// address is the address that a client connects to.
func address(rdb redis.UniversalClient) string {
	switch c := rdb.(type) {
	case *redis.Client:
		return c.Options().Addr
	case *redis.ClusterClient:
		return strings.Join(c.Options().Addrs, ",")
	default:
		return ""
	}
}

// local reports whether an address is on this host, so that nobody can listen on the way.
func local(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return strings.HasPrefix(addr, "/")
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
