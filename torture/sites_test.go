package torture

import (
	"context"
	"testing"
	"time"

	"example.com/redislock/internal/servertest"
)

// onReplicas makes go-redis read from replicas, in each of its three ways.
func onReplicas(worker int, c *Connect) {
	switch worker % 3 {
	case 0:
		c.ReadOnly = true
	case 1:
		c.RouteByLatency = true
	case 2:
		c.RouteRandomly = true
	}
}

func TestSubscriptionsOnReplicasCostNobodyItsTurn(t *testing.T) {
	Play(t, Row{
		Fault: "cluster: clients that read from replicas (ReadOnly, RouteByLatency, RouteRandomly), subscriptions killed",
		Promise: "A client keeps its locks and its turn, wherever it subscribes and reads. If its subscription cannot be counted, it " +
			"counts as alive. No live waiter is passed over. A waiter that missed a message asks when its subscription is back.",
		Topology: OnCluster(1, 0, onReplicas),
		Short:    8 * time.Second,
		Inject:   cutting(ofCluster, "all subscriptions were killed", "pubsub"),
	})
}

func TestAFailoverClientThatReadsFromReplicasKeepsItsTurn(t *testing.T) {
	Play(t, Row{
		Fault: "Sentinel: clients that read from any server (RouteRandomly), subscriptions killed",
		Promise: "A client keeps its locks and its turn, wherever it subscribes and reads. If its subscription cannot be counted, it " +
			"counts as alive. No live waiter is passed over. A waiter that missed a message asks when its subscription is back.",
		Topology: UnderSentinels(0, nil, func(_ int, c *Connect) { c.RouteRandomly = true }),
		Short:    8 * time.Second,
		Inject:   cutting(ofSentinel, "all subscriptions were killed", "pubsub"),
	})
}

// cutting is an injector that ends all connections of these types on all servers. Then the workers queue in order
// twice; the first round begins while clients still reconnect.
func cutting(servers func(x *Run) []*servertest.Server, what string, types ...string) func(*Run) {
	return func(x *Run) {
		var took []time.Duration
		for x.Every(200 * time.Millisecond) {
			x.Fault(what)
			for _, s := range servers(x) {
				for _, kind := range types {
					if err := s.Admin().ClientKillByFilter(context.Background(), "type", kind, "skipme", "yes").Err(); err != nil {
						x.Error(err)
					}
				}
			}
			x.InOrder("queue", func() {})
			took = append(took, x.InOrder("queue", func() {})...)
		}
		x.byMessage(took)
	}
}

func ofCluster(x *Run) []*servertest.Server  { return x.Cluster().Nodes() }
func ofSentinel(x *Run) []*servertest.Server { return x.Sentinel().Servers }
func alone(x *Run) []*servertest.Server      { return []*servertest.Server{x.Server} }

// everywhere is a row that is played on each topology. The load must have the same result on all of them.
func everywhere(t *testing.T, where string, topology Topology, servers func(x *Run) []*servertest.Server) {
	Play(t, Row{
		Fault: "all connections ended at once: " + where,
		Promise: "Nobody loses a lock, no lock is held twice, and requests without an answer are sent again. Waiters get the lock in " +
			"the order in which they came, by a message.",
		Topology: topology,
		Short:    4 * time.Second,
		Inject:   cutting(servers, "all connections were ended", "normal", "pubsub"),
	})
}

func TestLocksOnOneServerOutliveTheirConnectionsInRESP2(t *testing.T) {
	everywhere(t, "one server, RESP2", speaking(OneServer(), 2), alone)
}

func TestLocksOnOneServerOutliveTheirConnectionsInRESP3(t *testing.T) {
	everywhere(t, "one server, RESP3", speaking(OneServer(), 3), alone)
}

func TestLocksOverTLSNeedNoMoreRightsThanTheACLGrants(t *testing.T) {
	everywhere(t, "TLS, a user with what redislock.ACL grants, RESP2 and RESP3", OverTLS(both), alone)
}

func TestLocksUnderSentinelsOutliveTheirConnections(t *testing.T) {
	everywhere(t, "Sentinel, RESP2 and RESP3", UnderSentinels(0, nil, both), ofSentinel)
}

func TestLocksOnAClusterOutliveTheirConnections(t *testing.T) {
	everywhere(t, "cluster, RESP2 and RESP3", OnCluster(1, 0, both), ofCluster)
}

// both lets half of the workers use RESP2 and half RESP3.
func both(worker int, c *Connect) { c.Protocol = 2 + worker%2 }

// speaking is a topology on which all workers use this version of RESP.
func speaking(topology Topology, protocol int) Topology {
	return func(t *testing.T) *Site {
		site := topology(t)
		connect := site.Connect
		site.Connect = func(worker int) Connect {
			c := connect(worker)
			c.Protocol = protocol
			return c
		}
		return site
	}
}
