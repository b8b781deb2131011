package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
	"example.com/redislock/internal/servertest"
)

// On a cluster who waits hears of a grant by a channel of the lock's own shard.

// fleet is a cluster and the instances that use it.
type fleet struct {
	*env
	cluster *servertest.Cluster
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{env: &env{T: t}, cluster: servertest.StartCluster(t, 3)}
	return f
}

func (f *fleet) instance(opts ...redislock.ClientOption) *redislock.Client {
	return f.over(f.cluster.Connect(), opts...)
}

// handOver has b wait for what a holds, and says how long after a's release it got it.
func (f *fleet) handOver(a, b *redislock.Client, name string) time.Duration {
	f.Helper()
	held := f.acquire(a, name)
	got := make(chan time.Time)
	var next *redislock.Lock
	go func() {
		next = f.acquire(b, name)
		got <- time.Now()
	}()
	f.queued(a, name, 1)
	start := time.Now()
	f.release(held)
	took := (<-got).Sub(start)
	f.release(next)
	return took
}

// calls is how often all the masters executed a command.
func (f *fleet) calls(command string) int64 {
	f.Helper()
	var n int64
	for _, m := range f.cluster.Masters {
		n += m.Commands(f.T)[command]
	}
	return n
}

// names are locks that lie on all the shards.
func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint("name-", i)
	}
	return all
}

func TestAGrantOnAClusterGoesToItsShardAlone(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.instance(), f.instance()
	f.handOver(a, b, "warm-up") // the probes of the classic channels are over then
	for _, m := range f.cluster.Masters {
		m.ResetStats()
	}
	const locks, rounds = 6, 3
	for _, name := range names(locks) {
		for range rounds {
			if took := f.handOver(a, b, name); took > safetyNet {
				t.Errorf("%s was handed over after %v: by a check, not by a message", name, took)
			}
		}
	}
	if n := f.calls("spublish"); n != locks*rounds {
		t.Errorf("%d sharded messages for %d grants", n, locks*rounds)
	}
	if n := f.calls("publish"); n != 0 {
		t.Errorf("%d messages went to every node", n)
	}
	if n := f.calls("ssubscribe"); n != locks {
		t.Errorf("%d sharded subscriptions for %d locks", n, locks)
	}
}

func TestOneConnectionSubscribesToAllTheChannelsOfAShard(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.instance(redislock.WithName("a")), f.instance()
	var held []*redislock.Lock
	var waiting sync.WaitGroup
	for _, name := range names(30) {
		held = append(held, f.acquire(a, name))
		waiting.Go(func() { f.release(f.acquire(b, name)) })
	}
	for _, name := range names(30) {
		f.queued(a, name, 1)
	}
	sharded := 0
	for _, m := range f.cluster.Masters {
		list, err := m.Connect().Do(t.Context(), "client", "list", "type", "pubsub").Text()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(list) {
			if !strings.Contains(line, " ssub=0 ") {
				sharded++
			}
		}
	}
	for _, l := range held {
		f.release(l)
	}
	waiting.Wait()
	if sharded != len(f.cluster.Masters) {
		t.Errorf("%d connections subscribe to sharded channels, of %d shards", sharded, len(f.cluster.Masters))
	}
}

func TestOnAClusterTheHolderIsToldThatItWasRobbed(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.instance(), f.instance()
	for _, name := range names(6) {
		l := f.acquire(a, name, redislock.WithLease(time.Hour))
		start := time.Now()
		next := f.acquire(b, name, redislock.WithStealAfter(100*time.Millisecond))
		if took := time.Since(start); took > patience || !errors.Is(l.Err(), redislock.ErrStolen) {
			t.Errorf("%s stolen after %v, its holder says %v", name, took, l.Err())
		}
		f.release(next)
		_ = l.Release(t.Context())
	}
}

func TestALostShardConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.instance(), f.instance()
	for round, name := range append(names(6), names(6)...) {
		held := f.acquire(a, name, redislock.WithLease(time.Hour))
		got := make(chan *redislock.Lock)
		go func() { got <- f.acquire(b, name) }()
		f.queued(a, name, 1)
		for _, m := range f.cluster.Masters {
			_ = m.Connect().Do(t.Context(), "client", "kill", "type", "pubsub").Err()
		}
		if round%2 == 0 { // else the message is lost, and a check has to tell
			f.eventually("the channel is subscribed again", func() bool {
				n := 0
				for _, m := range f.cluster.Masters {
					n += len(m.Connect().PubSubShardChannels(t.Context(), "*{"+name+"}").Val())
				}
				return n > 0
			})
		}
		start := time.Now()
		f.release(held)
		next := <-got
		if took := time.Since(start); took > safetyNet {
			t.Errorf("%s was handed over after %v", name, took)
		}
		f.release(next)
	}
}

func TestWithoutTheRightToShardedChannelsTheErrorSaysSo(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	for _, missing := range []string{"ssubscribe", "spublish"} {
		rules := strings.Replace(redislock.ACL("redislock"), " +"+missing, "", 1)
		for _, m := range f.cluster.Masters {
			args := []any{"acl", "setuser", missing, "reset", "on", ">secret"}
			for _, rule := range strings.Fields(rules) {
				args = append(args, rule)
			}
			if err := m.Connect().Do(t.Context(), args...).Err(); err != nil {
				t.Fatal(err)
			}
		}
		rdb := redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: []string{f.cluster.Masters[0].Addr()}, Username: missing, Password: "secret", DisableIdentity: true,
		})
		t.Cleanup(func() { _ = rdb.Close() })
		l := f.acquire(f.instance(), missing)
		_, err := f.over(rdb).Acquire(t.Context(), missing, redislock.WithWait(patience))
		if !errors.Is(err, redislock.ErrPermission) || !strings.Contains(err.Error(), missing) && !strings.Contains(err.Error(), "sharded channel") {
			t.Errorf("without +%s: %v", missing, err)
		}
		f.release(l)
	}
}

func TestAClusterWithoutShardedChannelsUsesClassicOnes(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		clustered := func() redis.UniversalClient { // miniredis does not know SSUBSCRIBE, like a server before 7.0
			rdb := redis.NewClusterClient(&redis.ClusterOptions{
				Protocol: 2, DisableIdentity: true,
				Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) { return n.Dialer(ctx, "", "") },
				ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) {
					return []redis.ClusterSlot{{End: 16383, Nodes: []redis.ClusterNode{{Addr: "127.0.0.1:6379"}}}}, nil
				},
			})
			e.Cleanup(func() { _ = rdb.Close() })
			return rdb
		}
		a, b := e.over(clustered()), e.over(clustered())
		for i := range 3 {
			l := e.acquire(a, "x")
			got := make(chan *redislock.Lock)
			start := time.Now()
			go func() { got <- e.acquire(b, "x") }()
			e.queued(a, "x", 1)
			if took := time.Since(start); took > time.Second {
				t.Errorf("round %d: in the queue after %v", i, took)
			}
			e.settle()
			start = time.Now()
			e.release(l)
			next := <-got
			if took := time.Since(start); took > 10*time.Millisecond {
				t.Errorf("round %d: handed over after %v", i, took)
			}
			e.release(next)
		}
	})
}
