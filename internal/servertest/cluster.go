package servertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const slots = 16384

// Cluster is a Redis cluster. Which nodes are masters changes with failovers; the fields keep how it began.
type Cluster struct {
	Masters  []*Server // with equal shares of the slots
	Replicas []*Server // i is one of Masters[i % len(Masters)]

	t testing.TB
}

// ClusterConfig is how a cluster is made.
type ClusterConfig struct {
	Replicas    int           // of each master; none by default
	NodeTimeout time.Duration // cluster-node-timeout: after how much silence a node counts as failed; 5 s by default
	Args        []string      // further ones of each redis-server
}

// StartCluster runs that many masters, and their replicas, on loopback and returns when each sees the whole cluster and
// the replicas have what their masters have.
func StartCluster(t testing.TB, masters int, opts ...func(*ClusterConfig)) *Cluster {
	t.Helper()
	config := ClusterConfig{NodeTimeout: 5 * time.Second}
	for _, opt := range opts {
		opt(&config)
	}
	args := append([]string{
		"--cluster-enabled", "yes", "--cluster-node-timeout", strconv.FormatInt(config.NodeTimeout.Milliseconds(), 10),
	}, attentive...)
	args = append(args, config.Args...)
	c := &Cluster{t: t}
	ctx := context.Background()
	for i := range masters * (1 + config.Replicas) {
		s := Start(t, args...)
		if i < masters {
			c.Masters = append(c.Masters, s)
			from, to := i*slots/masters, (i+1)*slots/masters-1
			// Epochs of their own spare them the time to settle who is right.
			if err := errors.Join(
				s.admin.Do(ctx, "cluster", "set-config-epoch", i+1).Err(),
				s.serve(ctx, from, to),
			); err != nil {
				t.Fatalf("servertest: slots: %v", err)
			}
		} else {
			c.Replicas = append(c.Replicas, s)
		}
		if err := s.admin.Do(ctx, "cluster", "meet", "127.0.0.1", c.Masters[0].port).Err(); err != nil {
			t.Fatalf("servertest: meet: %v", err)
		}
	}
	c.know(len(c.Masters) + len(c.Replicas))
	for i, s := range c.Replicas {
		if err := s.admin.Do(ctx, "cluster", "replicate", c.Masters[i%masters].id(t)).Err(); err != nil {
			t.Fatalf("servertest: replicate: %v", err)
		}
	}
	c.Whole()
	return c
}

// serve gives slots that nobody has to a master.
func (s *Server) serve(ctx context.Context, from, to int) error {
	args := []any{"cluster", "addslots"} // addslotsrange is of Redis 7
	for slot := from; slot <= to; slot++ {
		args = append(args, slot)
	}
	return s.admin.Do(ctx, args...).Err()
}

// know waits until each node that runs knows that many, itself included, and finds the cluster in order.
func (c *Cluster) know(nodes int) {
	c.t.Helper()
	for _, s := range c.Nodes() {
		if !s.runs() {
			continue
		}
		until(c.t, s.Addr()+" sees the whole cluster", func() error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			info, err := s.admin.ClusterInfo(ctx).Result()
			if err != nil {
				return err
			}
			for _, want := range []string{
				"cluster_state:ok", fmt.Sprintf("cluster_slots_ok:%d", slots), fmt.Sprintf("cluster_known_nodes:%d", nodes),
			} {
				if !strings.Contains(info, want+"\r\n") {
					return fmt.Errorf("no %s in %q", want, info)
				}
			}
			return nil
		})
	}
}

// Whole waits until each node that runs finds the cluster in order and sees the same roles as the nodes themselves, and
// until the replicas that run have what their masters have.
func (c *Cluster) Whole() {
	c.t.Helper()
	c.know(len(c.Nodes()))
	replicas := map[*Server][]*Server{}
	for _, s := range c.Nodes() {
		if !s.runs() {
			continue
		}
		var self node
		until(c.t, "all see the role of "+s.Addr(), func() error {
			var err error
			if self, err = c.self(s); err != nil {
				return err
			}
			if !self.flagged("master") && c.server(self.master) == nil {
				return fmt.Errorf("a replica of the unknown %s", self.master)
			}
			for _, other := range c.Nodes() {
				if !other.runs() {
					continue
				}
				seen, err := other.view()
				if err != nil {
					return err
				}
				i := slices.IndexFunc(seen, func(n node) bool { return n.id == self.id })
				if i < 0 || seen[i].master != self.master || seen[i].flagged("master") != self.flagged("master") ||
					seen[i].flagged("fail") || seen[i].flagged("fail?") {
					return fmt.Errorf("%s sees it otherwise", other.Addr())
				}
			}
			return nil
		})
		if master := c.server(self.master); master != nil {
			replicas[master] = append(replicas[master], s)
		}
	}
	for master, of := range replicas {
		if master.runs() {
			inSync(c.t, master, of)
		}
	}
}

// Nodes are all, whether they run or not.
func (c *Cluster) Nodes() []*Server { return append(slices.Clone(c.Masters), c.Replicas...) }

// Connect makes a cluster client, which is closed with the test. The options may be changed before it is made.
func (c *Cluster) Connect(opts ...func(*redis.ClusterOptions)) *redis.ClusterClient {
	o := &redis.ClusterOptions{DisableIdentity: true}
	for _, s := range c.Nodes() {
		o.Addrs = append(o.Addrs, s.Addr())
	}
	for _, opt := range opts {
		opt(o)
	}
	rdb := redis.NewClusterClient(o)
	c.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// node is a line of CLUSTER NODES.
type node struct {
	id, addr, master string // master is "-" for one
	flags            []string
	epoch            int64
	slots            []string // "0-5460", "7", and "[7->-…]" for one that is migrated
}

func (n node) flagged(flag string) bool { return slices.Contains(n.flags, flag) }

func (n node) serves(slot int) bool {
	return n.flagged("master") && slices.ContainsFunc(n.slots, func(text string) bool {
		from, to, isRange := strings.Cut(text, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		return errors.Join(err, err2) == nil && first <= slot && slot <= last
	})
}

// view is the cluster as the node sees it.
func (s *Server) view() (nodes []node, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	text, err := s.admin.ClusterNodes(ctx).Result()
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(text) {
		part := strings.Fields(line) // id ip:port@bus flags master ping pong epoch link slot…
		if len(part) < 8 {
			return nil, fmt.Errorf("CLUSTER NODES: %q", line)
		}
		addr, _, _ := strings.Cut(part[1], "@")
		epoch, err := strconv.ParseInt(part[6], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("CLUSTER NODES: %q", line)
		}
		nodes = append(nodes, node{
			id: part[0], addr: addr, flags: strings.Split(part[2], ","), master: part[3], epoch: epoch, slots: part[8:],
		})
	}
	return nodes, nil
}

// self is the node as it sees itself.
func (c *Cluster) self(s *Server) (node, error) {
	nodes, err := s.view()
	if err != nil {
		return node{}, err
	}
	i := slices.IndexFunc(nodes, func(n node) bool { return n.flagged("myself") })
	if i < 0 {
		return node{}, fmt.Errorf("%s does not know itself", s.Addr())
	}
	// It may not have learned its own host yet.
	nodes[i].addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
	return nodes[i], nil
}

// id is the name of the node in the cluster.
func (s *Server) id(t testing.TB) string {
	t.Helper()
	id, err := s.admin.Do(context.Background(), "cluster", "myid").Text()
	if err != nil {
		t.Fatalf("servertest: %v", err)
	}
	return id
}

// server is the node of this name, or nil.
func (c *Cluster) server(id string) *Server {
	if id == "-" {
		return nil
	}
	for _, s := range c.Nodes() {
		if !s.runs() {
			continue
		}
		nodes, err := s.view()
		if err != nil {
			continue
		}
		for _, n := range nodes {
			for _, is := range c.Nodes() {
				if n.id == id && n.addr == is.Addr() {
					return is
				}
			}
		}
	}
	return nil
}
