package redislock_test

import (
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// go-redis asks for the map of a cluster's slots once a minute, and when a node redirects it. A node that is dead does not.
func TestLocksOfAMasterThatDiedAreServedByItsReplica(t *testing.T) {
	t.Parallel()
	e := &env{T: t}
	cluster := servertest.StartCluster(t, 3, func(o *servertest.ClusterConfig) { o.Replicas = 1 })
	a, b := e.over(cluster.Connect()), e.over(cluster.Connect())
	held := e.acquire(a, "x", redislock.WithLease(time.Minute))
	got := make(chan *redislock.Lock)
	go func() { got <- e.acquire(b, "x") }()
	e.queued(a, "x", 1)
	cluster.Whole() // the replicas have the hold and the place
	cluster.KillMaster(cluster.Serving("redislock:{x}"))
	start := time.Now()
	e.release(held)
	next := <-got
	if took := time.Since(start); took > patience {
		t.Errorf("handed over %v after the failover", took)
	}
	if next.Fence() <= held.Fence() {
		t.Errorf("I2: fence %d after %d", next.Fence(), held.Fence())
	}
	e.release(next)
}
