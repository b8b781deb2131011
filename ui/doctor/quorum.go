package doctor

import (
	"context"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// ExamineQuorum examines independent masters of package quorum: each as [Examine] does, and then what may make two of them fail
// together or disagree.
func ExamineQuorum(ctx context.Context, masters []redis.UniversalClient, prefix string, opts ...Option) Report {
	s := settings{margin: defaultMargin}
	for _, opt := range opts {
		opt(&s)
	}
	all, nodes := make([]Report, len(masters)), make([]*quorumNode, len(masters))
	var group sync.WaitGroup
	for i, rdb := range masters {
		group.Go(func() {
			all[i] = Examine(ctx, rdb, prefix, opts...)
			nodes[i] = lookAt(ctx, rdb, all[i].Address)
		})
	}
	group.Wait()
	var r Report
	var addresses []string
	r.Prefix = prefix
	for _, one := range all {
		addresses = append(addresses, one.Address)
		for _, f := range one.Findings {
			f.Node = one.Address
			r.Findings = append(r.Findings, f)
		}
	}
	r.Address = strings.Join(addresses, ", ")
	for i, n := range nodes {
		r.Findings = append(r.Findings, n.alone()...)
		for _, other := range nodes[:i] {
			r.Findings = append(r.Findings, n.beside(other, s.margin)...)
		}
	}
	return r
}

// quorumNode is what a master says about itself.
type quorumNode struct {
	addr, host, port string
	err              error
	run, role        string
	primary          string        // the primary of which it is a replica
	replicas         bool          // it has replicas
	ahead, half      time.Duration // how far it is ahead of this host's clock, and the uncertainty
}

func lookAt(ctx context.Context, rdb redis.UniversalClient, addr string) *quorumNode {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	n := &quorumNode{addr: addr}
	n.host, n.port, _ = net.SplitHostPort(addr)
	if found, err := net.DefaultResolver.LookupHost(ctx, n.host); err == nil && len(found) > 0 {
		n.host = found[0]
	}
	begun := time.Now()
	at, err := rdb.Time(ctx).Result()
	n.half = time.Since(begun) / 2
	n.ahead = at.Sub(begun.Add(n.half))
	var text, replication string
	if err == nil {
		text, err = rdb.Info(ctx, "server").Result()
	}
	if err == nil {
		replication, err = rdb.Info(ctx, "replication").Result()
	}
	n.err = err
	for line := range strings.Lines(text + "\n" + replication) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "run_id":
			n.run = value
		case "role":
			n.role = value
		case "master_host":
			n.primary = value + n.primary
		case "master_port":
			n.primary += ":" + value
		case "connected_slaves":
			n.replicas = value != "0"
		}
	}
	return n
}

// alone returns what is wrong with one master of a quorum.
func (n *quorumNode) alone() []Finding {
	const check = "quorum"
	switch {
	case n.err != nil:
		return []Finding{{
			Check: check, Node: n.addr, Level: Unknown, Found: "it does not say who it is: " + n.err.Error(),
			Why: "package quorum must know since when a master has been up: one that came back without its data does not count at once.", Fix: "ACL SETUSER … +info +config|get",
		}}
	case n.role != "" && n.role != "master":
		return []Finding{{
			Check: check, Node: n.addr, Level: Danger, Found: "it is a replica of " + n.primary,
			Why: "it takes no locks, and the nodes of a quorum must be independent.", Fix: "name a master of its own for it",
		}}
	case n.replicas:
		return []Finding{{
			Check: check, Node: n.addr, Level: Warning, Found: "it has replicas",
			Why: "a replica that is promoted in its place may not know whom it gave its vote, and has been up for long: it would count at once.",
			Fix: "promote none of them under this address, or run the node without",
		}}
	}
	return nil
}

// beside returns what is wrong with two masters together.
func (n *quorumNode) beside(other *quorumNode, margin time.Duration) (all []Finding) {
	both := other.addr + " and " + n.addr
	switch {
	case n.run != "" && n.run == other.run:
		all = append(all, Finding{
			Check: "quorum: independent", Level: Danger, Found: both + " are one server",
			Why: "it would have two votes: a majority of addresses is none of masters. Locks are refused.", Fix: "name another master",
		})
	case n.host == other.host:
		all = append(all, Finding{
			Check: "quorum: independent", Level: Warning, Found: both + " are on one host, " + n.host,
			Why: "they fail together: with the machine a majority may be gone.", Fix: "put each node on a machine of its own, with its own power",
		})
	}
	if n.primary != "" && n.primary == net.JoinHostPort(other.host, other.port) || other.primary != "" && other.primary == net.JoinHostPort(n.host, n.port) {
		all = append(all, Finding{
			Check: "quorum: independent", Level: Danger, Found: both + " have a replication link",
			Why: "what one is told the other repeats: they have one vote.", Fix: "REPLICAOF NO ONE on the replica",
		})
	}
	if apart, sure := max(n.ahead-other.ahead, other.ahead-n.ahead), n.half+other.half; n.err == nil && other.err == nil && apart > max(margin, clockApart)+sure {
		all = append(all, Finding{
			Check: "quorum: clocks", Level: Warning, Found: both + " have clocks that are " + short(apart) + " apart",
			Why: "the order of waiters and the fences follow the clocks of the majority. If one of them is set right in one step, its votes end early or late by as much.",
			Fix: "run NTP on both, slewing and not stepping",
		})
	}
	return all
}
