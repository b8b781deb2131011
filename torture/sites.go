package torture

import (
	"context"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// patient is the silence after which a server counts as failed in rows in which none fails: so long that a busy
// machine never reaches it.
const patient = 2 * time.Minute

// applied lets a row change how each worker connects.
func applied(c Connect, worker int, changes []func(int, *Connect)) Connect {
	for _, change := range changes {
		change(worker, &c)
	}
	return c
}

// OnCluster is a cluster of three masters with this many replicas each, which take over after that time of silence (0:
// never, for rows in which no server fails). More is the *[servertest.Cluster].
func OnCluster(replicas int, timeout time.Duration, changes ...func(worker int, c *Connect)) Topology {
	return onCluster("", replicas, timeout, changes...)
}

// named starts the servers of a row: those of a name, or those of the whole run.
func named(t testing.TB, name string) testing.TB {
	if name == "" {
		return t
	}
	return servertest.Named(t, name)
}

// onCluster is [OnCluster] with the servers of that name.
func onCluster(name string, replicas int, timeout time.Duration, changes ...func(worker int, c *Connect)) Topology {
	return func(t *testing.T) *Site {
		logging.Disable() // go-redis tells of every attempt to reach a server that is gone
		if timeout == 0 {
			timeout = patient
		}
		c := servertest.StartCluster(named(t, name), 3, func(config *servertest.ClusterConfig) {
			config.Replicas, config.NodeTimeout = replicas, timeout
		})
		var addrs []string
		for _, s := range c.Nodes() {
			addrs = append(addrs, s.Addr())
		}
		return &Site{
			Connect: func(worker int) Connect { return applied(Connect{Addrs: addrs, Cluster: true}, worker, changes) },
			Admin:   c.Connect(), More: c,
		}
	}
}

// Cluster is the cluster of a site of [OnCluster].
func (x *Run) Cluster() *servertest.Cluster { return x.More.(*servertest.Cluster) }

// tooLong is how long a primary may be silent before the Sentinels of a row replace it: longer than a busy machine is.
const tooLong = 2500 * time.Millisecond

// app and secret are the user and the password of workers that are not the default user.
const app, secret = "app", "not-a-secret"

// UnderSentinels is a primary, two replicas and three Sentinels, which replace the primary after that time of silence (0:
// never). The workers are a user with the rights of redislock.ACL, so that a row may take rights from the default user,
// as which the replicas and the Sentinels connect. More is the *[servertest.Sentinel].
func UnderSentinels(silence time.Duration, args []string, changes ...func(worker int, c *Connect)) Topology {
	return underSentinels("", silence, args, changes...)
}

// underSentinels is [UnderSentinels] with the servers of that name.
func underSentinels(name string, silence time.Duration, args []string, changes ...func(worker int, c *Connect)) Topology {
	return func(t *testing.T) *Site {
		logging.Disable()
		if silence == 0 {
			silence = patient
		}
		user := append([]string{"--user", app, "reset", "on", ">" + secret}, strings.Fields(redislock.ACL(prefix))...)
		w := servertest.StartSentinel(named(t, name), append(user, args...)...)
		var addrs []string
		for _, s := range w.Sentinels {
			addrs = append(addrs, s.Addr())
			err := s.Admin().Do(context.Background(), "sentinel", "set", servertest.MasterName, "down-after-milliseconds", silence.Milliseconds()).Err()
			if err != nil {
				t.Fatal(err)
			}
		}
		return &Site{
			Connect: func(worker int) Connect {
				return applied(Connect{Addrs: addrs, Master: servertest.MasterName, User: app, Password: secret}, worker, changes)
			},
			Admin: w.Connect(), More: w,
		}
	}
}

// Sentinel has the servers of a site of [UnderSentinels].
func (x *Run) Sentinel() *servertest.Sentinel { return x.More.(*servertest.Sentinel) }

// OverTLS is a redis-server that accepts only TLS. The workers are a user with the rights of redislock.ACL and no
// others.
func OverTLS(changes ...func(worker int, c *Connect)) Topology {
	return func(t *testing.T) *Site {
		s := servertest.StartTLS(t, redislock.ACL(prefix))
		trusted, err := os.ReadFile(s.Admin().ConfigGet(context.Background(), "tls-cert-file").Val()["tls-cert-file"])
		if err != nil {
			t.Fatal(err)
		}
		return &Site{
			Connect: func(worker int) Connect {
				return applied(Connect{Addrs: []string{s.Addr()}, User: app, Password: secret, CA: string(trusted)}, worker, changes)
			},
			Admin: s.Admin(), Server: s,
		}
	}
}

// InOrder lets all workers queue, one after the other, for a lock that nobody else uses. It calls between while one
// holds and the others wait, and checks that they get the lock in that order (I5). It returns how long each hand-over
// took in the logs of the workers, from the call of the release to the return of the acquire.
func (x *Run) InOrder(name string, between func()) (took []time.Duration) {
	x.Helper()
	workers := x.Workers()
	x.Hold(workers[0], name, "exclusive")
	left := slices.Clone(workers[1:])
	for i, w := range left {
		w.tell(Command{Do: "hold", Name: name, Mode: "exclusive"})
		x.Eventually("the next one waits", func() bool {
			info, err := x.Client().Inspect(context.Background(), name)
			return err == nil && info.Waiting == i+1
		})
	}
	between()
	holder := workers[0]
	x.Drop(holder, name)
	for len(left) > 0 {
		got := -1
		x.Eventually("the next one has "+name, func() bool {
			got = slices.IndexFunc(left, func(w *Worker) bool { return w.keeps(name) })
			return got >= 0
		})
		if got > 0 {
			x.Errorf("I5: %s: worker %d was granted it before worker %d, which came first", name, left[got].Index, left[0].Index)
		}
		next := left[got]
		var released int64
		x.Eventually("the release is in the log", func() bool { _, released = holder.kept(name); return released > 0 })
		granted, _ := next.kept(name)
		took = append(took, time.Duration(granted-released)*time.Microsecond)
		holder, left = next, slices.Delete(left, got, got+1)
		x.Drop(holder, name)
	}
	return took
}

// kept is when a worker was granted the lock that it was last made to hold, and when it began to release it; 0 if it
// did not.
func (w *Worker) kept(name string) (granted, released int64) {
	var op int64
	for _, e := range w.log() {
		switch {
		case e.Kind == Acquire && e.Kept && e.Name == name:
			op, granted, released = e.Op, 0, 0
		case e.Kind == Acquired && e.Op == op:
			granted = e.At
		case e.Kind == Release && e.Op == op:
			released = e.At
		}
	}
	return granted, released
}

// byMessage checks that waiters got most of their grants by message, and few by a check, which comes every two
// seconds.
func (x *Run) byMessage(took []time.Duration) {
	x.Helper()
	slices.Sort(took)
	half := percentile(took, 50)
	x.Logf("%d hand-overs in order, p50 %v, longest %v", len(took), half, percentile(took, 100))
	if half > time.Second {
		x.Errorf("half of the hand-overs took longer than %v: not by messages", half)
	}
}

// byLatency makes a client that reads from the nearest node. go-redis begins to measure a node before it has finished to
// set it up, which the race detector reports. Here no node is dialled before it is set up.
func byLatency(o *redis.ClusterOptions) *redis.ClusterClient {
	var made sync.Map // chan struct{} by address, closed when the node is set up
	ready := func(addr string) chan struct{} {
		c, _ := made.LoadOrStore(addr, make(chan struct{}))
		return c.(chan struct{})
	}
	var dialer net.Dialer
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		select {
		case <-ready(addr):
			return dialer.DialContext(ctx, network, addr)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	c := redis.NewClusterClient(o)
	var closing sync.Mutex
	c.OnNewNode(func(node *redis.Client) {
		closing.Lock()
		defer closing.Unlock()
		ready := ready(node.Options().Addr)
		select {
		case <-ready:
		default:
			close(ready)
		}
	})
	return c
}
