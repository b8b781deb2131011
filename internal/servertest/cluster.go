package servertest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const slots = 16384

// Cluster is a Redis cluster of masters without replicas.
type Cluster struct {
	// Masters are its nodes, with equal shares of the slots.
	Masters []*Server

	t testing.TB
}

// StartCluster runs that many masters on loopback and returns when all of them see the whole cluster.
func StartCluster(t testing.TB, masters int) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	ctx := context.Background()
	for i := range masters {
		s := Start(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "5000")
		c.Masters = append(c.Masters, s)
		from, to := i*slots/masters, (i+1)*slots/masters-1
		if err := s.admin.Do(ctx, "cluster", "addslotsrange", from, to).Err(); err != nil {
			t.Fatalf("servertest: slots: %v", err)
		}
		if err := s.admin.Do(ctx, "cluster", "meet", "127.0.0.1", c.Masters[0].port).Err(); err != nil {
			t.Fatalf("servertest: meet: %v", err)
		}
	}
	whole := fmt.Sprintf("cluster_known_nodes:%d", masters)
	deadline := time.Now().Add(startTime)
	for _, s := range c.Masters {
		for {
			info := s.admin.ClusterInfo(ctx).Val()
			if strings.Contains(info, "cluster_state:ok") && strings.Contains(info, whole) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("servertest: the cluster does not come up: %s", info)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return c
}

// Connect makes a cluster client, which is closed with the test.
func (c *Cluster) Connect() *redis.ClusterClient {
	var addrs []string
	for _, s := range c.Masters {
		addrs = append(addrs, s.Addr())
	}
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, DisableIdentity: true})
	c.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}
