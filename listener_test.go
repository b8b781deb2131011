package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
	"example.com/redislock/internal/servertest"
)

// On a cluster a waiter gets its grant by a channel of the lock's own shard.

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

// handOver lets b wait for a lock that a holds, and returns how long after a's release b got it.
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
				e.Errorf("round %d: in the queue after %v", i, took)
			}
			e.settle()
			start = time.Now()
			e.release(l)
			next := <-got
			if took := time.Since(start); took > 10*time.Millisecond {
				e.Errorf("round %d: handed over after %v", i, took)
			}
			e.release(next)
		}
	})
}

// move gives the slot of a lock to another master, with its keys, step by step as redis-cli does it. between is
// called when the lock's key has moved and the slot has not.
func (f *fleet) move(name string, between func()) {
	f.Helper()
	key := "redislock:{" + name + "}"
	from := f.cluster.Serving(key)
	to := f.cluster.Masters[0]
	if to == from {
		to = f.cluster.Masters[1]
	}
	m, err := f.cluster.Migrate(f.cluster.Slot(key), to)
	if err == nil {
		err = m.Move()
	}
	if err == nil && between != nil {
		between()
	}
	if err == nil {
		err = m.Finish()
	}
	if err != nil {
		f.stop(err)
	}
}

func TestAWaiterHearsOfAGrantAfterItsSlotMoved(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var checks atomic.Int64
	rdb := f.cluster.Connect()
	rdb.AddHook(&tap{before: func(text string) error {
		if strings.Contains(text, digest("check")) {
			checks.Add(1)
		}
		return nil
	}})
	a, b := f.instance(), f.over(rdb)
	// moved has the slot move while b waits, and reports whether b had the lock without asking for it.
	moved := func(name string) bool {
		held := f.acquire(a, name)
		got := make(chan *redislock.Lock)
		go func() { got <- f.acquire(b, name) }()
		f.queued(a, name, 1)
		f.move(name, nil)
		f.eventually("the channel is subscribed where the slot is now", func() bool {
			here := f.cluster.Serving("redislock:{" + name + "}").Connect()
			return len(here.PubSubShardChannels(t.Context(), "*{"+name+"}").Val()) > 0
		})
		before := checks.Load()
		f.release(held)
		next := <-got
		asked := checks.Load() > before
		f.release(next)
		return !asked
	}
	for _, name := range names(3) {
		for range 2 { // there, and on to another or back
			tries := 1
			for !moved(name) { // a check may have been due just then
				if tries++; tries > 10 {
					t.Fatalf("%s is always handed over by a check, never by a message", name)
				}
			}
		}
	}
}

func TestAWaiterIsNotPassedOverWhileItsSlotMoves(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b, c := f.instance(), f.instance(), f.instance()
	for _, name := range names(3) {
		held := f.acquire(a, name)
		order := make(chan string, 2)
		locks := make(chan *redislock.Lock, 2)
		for i, each := range []*redislock.Client{b, c} {
			go func() {
				l := f.acquire(each, name)
				order <- fmt.Sprint("waiter ", i)
				locks <- l
			}()
			f.queued(a, name, i+1)
		}
		f.move(name, func() { f.release(held) }) // no waiter is subscribed on the server that executes this
		for i := range 2 {
			if got, want := <-order, fmt.Sprint("waiter ", i); got != want {
				t.Errorf("%s went to %s, not to %s: I5", name, got, want)
			}
			f.release(<-locks)
		}
	}
}

// Where SUBSCRIBE is not to be had the Observer is told, once for each outage; a connection that breaks and is made anew is none.
func TestAnOutageOfTheSubscriptionIsToldOnce(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	x := newScene(t, s)
	rules := "on >secret " + redislock.ACL(redislock.DefaultPrefix)
	user := s.AddUser("app", rules+" -subscribe")
	events := &recorder{}
	c := x.on(s.Connect(user), redislock.WithObserver(events))
	refusals := func() int {
		_, after, _ := strings.Cut(x.raw.Info(t.Context(), "errorstats").Val(), "errorstat_NOPERM:count=")
		digits := strings.TrimRight(strings.SplitN(after, "\n", 2)[0], "\r")
		n, _ := strconv.Atoi(digits)
		return n
	}
	told := func(n int) {
		t.Helper()
		x.eventually("the observer is told", func() bool { return events.count(redislock.EventSubscribeFailed) >= n })
		before := refusals()
		x.eventually("it is tried again", func() bool { return refusals() >= before+3 })
		if got := events.count(redislock.EventSubscribeFailed); got != n {
			t.Errorf("told %d times, want %d", got, n)
		}
	}
	listening := func() int64 { return x.raw.PubSubNumSub(t.Context(), "redislock:n").Val()["redislock:n"] }
	allow := func(rule string) {
		t.Helper()
		if err := x.raw.ACLSetUser(t.Context(), "app", rule).Err(); err != nil {
			t.Fatal(err)
		}
	}
	l, err := c.Acquire(t.Context(), x.name) // nobody has to wait for that
	if err != nil {
		t.Fatal(err)
	}
	told(1)
	for _, e := range events.events {
		if e.Kind == redislock.EventSubscribeFailed && (!errors.Is(e.Err, redislock.ErrPermission) || e.Name != "") {
			t.Errorf("%+v", e)
		}
	}

	allow("+subscribe")
	x.eventually("it is subscribed", func() bool { return listening() == 1 })
	kill := func() {
		t.Helper()
		if err := x.raw.ClientKillByFilter(t.Context(), "USER", "app", "TYPE", "pubsub").Err(); err != nil {
			t.Fatal(err)
		}
	}
	x.release(l)
	l = x.acquire(x.look)
	x.eventually("the Client has heard that it is subscribed", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		_, err := c.Acquire(ctx, x.name)
		return !errors.Is(err, redislock.ErrPermission)
	})
	x.release(l)
	for range 3 { // and confirmed: the hand-over by push waits for that
		x.release(x.acquire(c))
		held := x.acquire(x.look)
		next := x.waiting(c)
		x.queued(1)
		x.release(held)
		x.release(x.got(next))
		kill()
		x.eventually("it is subscribed anew", func() bool { return listening() == 1 })
	}
	if n := events.count(redislock.EventSubscribeFailed); n != 1 {
		t.Errorf("told %d times of connections that broke", n-1)
	}

	allow("-subscribe")
	kill()
	told(2)
}

// On a cluster there is one event for each master.
func TestAMasterThatCannotBeSubscribedIsToldOnce(t *testing.T) {
	t.Parallel()
	cluster := servertest.StartCluster(t, 1)
	events := &recorder{}
	rules := "on >secret " + redislock.ACL(redislock.DefaultPrefix) + " -ssubscribe"
	if err := cluster.Masters[0].Admin().ACLSetUser(t.Context(), "app", strings.Fields(rules)...).Err(); err != nil {
		t.Fatal(err)
	}
	e := &env{T: t}
	c := e.over(cluster.Connect(func(o *redis.ClusterOptions) { o.Username, o.Password = "app", "secret" }), redislock.WithObserver(events))
	other := e.over(cluster.Connect())
	for _, name := range []string{"a", "b", "c"} {
		l := e.acquire(other, name)
		if _, err := c.Acquire(t.Context(), name); !errors.Is(err, redislock.ErrPermission) {
			t.Errorf("%s: %v", name, err)
		}
		e.release(l)
	}
	if n := events.count(redislock.EventSubscribeFailed); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// All subscriptions end at once, under a queue of several Clients. A waiter that lives and checks keeps its place and
// its turn.
func TestI5NobodyLosesItsPlaceWhenAllSubscriptionsAreMadeAnew(t *testing.T) {
	t.Parallel()
	const clients, each = 4, 10
	x := newScene(t, servertest.Start(t))
	holder := x.acquire(x.look)
	order := make(chan int, clients*each)
	var instances []*redislock.Client
	for range clients {
		instances = append(instances, x.beside())
	}
	for i := range each {
		for j := range clients {
			number := i*clients + j
			w := x.waiting(instances[j])
			x.queued(number + 1)
			go func() {
				<-w.done
				order <- number
				if w.err != nil || w.lock.Release(context.Background()) != nil {
					t.Errorf("number %d: %v", number, w.err)
				}
			}()
		}
	}
	if err := x.raw.ClientKillByFilter(t.Context(), "type", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	x.release(holder)
	var got []int
	for range clients * each {
		select {
		case number := <-order:
			got = append(got, number)
		case <-time.After(patience):
			t.Fatalf("after %v nobody", got)
		}
	}
	if !slices.IsSorted(got) {
		t.Errorf("served in the order %v", got)
	}
}
