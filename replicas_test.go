package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// replicated is a scene on a primary, and its replicas.
func replicated(t *testing.T, n int) (*scene, []*servertest.Server) {
	t.Helper()
	primary := servertest.Start(t, "--repl-diskless-sync-delay", "0")
	host, port, err := net.SplitHostPort(primary.Addr())
	if err != nil {
		t.Fatal(err)
	}
	x := newScene(t, primary)
	x.readTimeout = 3 * time.Second
	var replicas []*servertest.Server
	for range n {
		replicas = append(replicas, servertest.Start(t, "--replicaof", host, port))
	}
	x.eventually("the replicas are in step", func() bool { return x.raw.Wait(t.Context(), n, time.Second).Val() == int64(n) })
	return x, replicas
}

const shortly = 300 * time.Millisecond

// unreplicated fails unless an acquire is given up for want of replicas, and leaves nothing.
func (x *scene) unreplicated(err error, says string) {
	x.Helper()
	if !errors.Is(err, redislock.ErrNotReplicated) || !strings.Contains(fmt.Sprint(err), says) {
		x.Errorf("got %v, want ErrNotReplicated with %q", err, says)
	}
}

func TestWithReplicasAnAcquireCountsWhenTheyHaveIt(t *testing.T) {
	t.Parallel()
	x, replicas := replicated(t, 2)
	ctx := context.Background()
	c := x.behind(3, redislock.WithDefaults(redislock.WithReplicas(2, 20*time.Second)))
	copies := func(l *redislock.Lock) {
		t.Helper()
		for _, s := range replicas {
			all := s.Connect().HGetAll(ctx, x.key()).Val()
			if all["f"] != fmt.Sprintf("%016d", l.Fence()) || len(all) < 2 {
				t.Errorf("a replica has %q, the fence is %d", all, l.Fence())
			}
		}
	}
	l := x.acquire(c) // at once
	copies(l)
	w := x.waiting(c)
	x.queued(1)
	x.release(l)
	l = x.got(w) // by message
	copies(l)
	x.server.ResetStats()
	ticket := x.handoff(l)
	l = x.resume(c, ticket)
	copies(l)
	x.release(l)
	l = x.reader(c)
	copies(l)
	x.upgrade(l)
	copies(l)
	x.release(l)
	if n := x.server.Commands(t)["wait"]; n != 3 {
		t.Errorf("%d times wait for three grants", n)
	}
	x.server.ResetStats()
	x.release(x.acquire(x.beside()))
	if n := x.server.Commands(t)["wait"]; n != 0 {
		t.Errorf("%d times wait without the option", n)
	}
	x.untouched()
}

func TestI8AnAcquireThatReplicasDoNotHaveInTimeIsUndone(t *testing.T) {
	t.Parallel()
	x, replicas := replicated(t, 2)
	ctx := context.Background()
	c, other := x.behind(3), x.beside()
	two := redislock.WithReplicas(2, shortly)
	r := x.acquire(c, redislock.WithReplicas(2, 20*time.Second), reading)
	replicas[0].Pause()

	x.unreplicated(r.Upgrade(timeout(t, shortly)), "not replicated")
	if r.Mode() != redislock.Read || r.Err() != nil {
		t.Errorf("an upgrade that was not replicated leaves it in %v, %v", r.Mode(), r.Err())
	}
	x.eventually("another reader comes in", func() bool {
		l, err := other.TryAcquire(ctx, x.name, reading)
		if err == nil {
			x.release(l)
		}
		return err == nil
	})
	x.release(r)
	x.untouched()

	begun := time.Now()
	_, err := c.TryAcquire(ctx, x.name, two)
	x.unreplicated(err, "1 of 2")
	if took := time.Since(begun); took < shortly {
		t.Errorf("given up after %v, want %v", took, shortly)
	}
	x.untouched()

	l := x.acquire(other) // by message
	w := x.waiting(c, two)
	x.queued(1)
	next := x.waiting(other)
	x.queued(2)
	x.release(l)
	x.within("an acquire that is not replicated", w.done)
	x.unreplicated(w.err, "1 of 2")
	x.last = 0
	l = x.got(next)
	ticket := x.handoff(l)
	_, err = c.Resume(ctx, ticket, two)
	x.unreplicated(err, "1 of 2")
	x.untouched()

	one := x.acquire(c, redislock.WithReplicas(1, 20*time.Second))
	x.release(one)
	ran := false
	err = c.Do(ctx, x.name, func(context.Context) error { ran = true; return nil }, two)
	x.unreplicated(err, "1 of 2")
	if ran {
		t.Error("I10: the body ran")
	}
	replicas[0].Resume()
	x.release(x.acquire(c, redislock.WithReplicas(2, 20*time.Second)))
	x.untouched()
}

func timeout(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// A WAIT that is longer than the read timeout of go-redis would look like a lost reply: it is split, on one connection,
// so that a replica that comes late is still one for the first write.
func TestReplicasAreWaitedForLongerThanAReplyMayTake(t *testing.T) {
	t.Parallel()
	x, replicas := replicated(t, 1)
	x.readTimeout = 400 * time.Millisecond
	c := x.behind(2)
	x.release(x.acquire(c))
	replicas[0].Pause()
	x.server.ResetStats()
	confirms := x.confirmations()
	w := x.waiting(c, redislock.WithReplicas(1, 50*time.Second))
	x.eventually("some time passes", func() bool { return x.server.Commands(t)["wait"] >= 4 })
	select {
	case <-w.done:
		t.Errorf("it did not wait: %v", w.err)
	default:
	}
	replicas[0].Resume()
	x.release(x.got(w))
	if n := confirms.Load(); n != 1 {
		t.Errorf("%d writes, want one and several times wait", n)
	}
	x.untouched()
}

func TestI8AnAcquireThatIsCancelledWhileItWaitsForReplicasIsUndone(t *testing.T) {
	t.Parallel()
	x, replicas := replicated(t, 1)
	replicas[0].Pause()
	c := x.behind(3)
	x.server.ResetStats()
	w := x.waiting(c, redislock.WithReplicas(1, time.Minute))
	x.eventually("it waits", func() bool { return len(x.inspect().Holds) == 1 && x.server.Commands(t)["wait"] > 0 })
	w.cancel()
	x.within("a cancelled acquire", w.done)
	x.unreplicated(w.err, "canceled")
	if !errors.Is(w.err, context.Canceled) {
		t.Errorf("cancelled: %v", w.err)
	}
	x.untouched()

	// So is one whose Client is closed, and one whose lease is over.
	closing, err := redislock.New(x.server.Connect())
	if err != nil {
		t.Fatal(err)
	}
	w = x.waiting(closing, redislock.WithReplicas(1, time.Minute))
	x.eventually("it waits", func() bool { return len(x.inspect().Holds) == 1 })
	if err := closing.Close(timeout(t, patience)); err != nil {
		t.Error(err)
	}
	x.within("an acquire of a closed Client", w.done)
	if !errors.Is(w.err, redislock.ErrClosed) {
		t.Errorf("closed: %v", w.err)
	}
	x.untouched()
	_, err = c.Acquire(timeout(t, patience), x.name, redislock.WithReplicas(1, time.Minute), redislock.WithLease(time.Second))
	x.unreplicated(err, "lease")
	x.untouched()
}

// WAIT blocks a connection. However many wait for replicas that do not answer, there are connections for others.
func TestOtherLocksDoNotStandBehindThoseWhoWaitForReplicas(t *testing.T) {
	t.Parallel()
	x, replicas := replicated(t, 1)
	c := x.on(x.server.Connect(func(o *redis.Options) { o.PoolSize = 4 }))
	x.release(x.acquire(c))
	replicas[0].Pause()
	ended := make(chan string, 12)
	for i := range cap(ended) {
		other := x.alias(fmt.Sprint(" ", i))
		w := other.waiting(c, redislock.WithReplicas(1, 15*time.Second))
		go func() {
			<-w.done
			if w.err == nil {
				w.err = w.lock.Release(context.Background())
			}
			ended <- fmt.Sprint(other.name, ": ", w.err)
		}()
	}
	x.eventually("as many wait as may", func() bool {
		return strings.Contains(x.raw.Info(context.Background(), "clients").Val(), "blocked_clients:2\r")
	})
	l := x.acquire(c)
	if err := l.Release(context.Background()); err != nil {
		t.Error(err)
	}
	select {
	case first := <-ended:
		t.Errorf("before the other lock was free again: %s", first)
	default:
	}
	replicas[0].Resume()
	for range cap(ended) {
		if end := <-ended; !strings.HasSuffix(end, ": <nil>") {
			t.Error(end)
		}
	}
	x.untouched()
}

// Whatever reply is lost, the request is sent again on another connection, and counts once.
func TestI3ALostReplyOfAReplicatedAcquireChangesNothing(t *testing.T) {
	t.Parallel()
	x, _ := replicated(t, 1)
	x.readTimeout = 250 * time.Millisecond
	wait := func(args []string) bool { return args[0] == "wait" }
	for i, match := range []func([]string) bool{requests("confirm", x.key()), wait} {
		for _, swallow := range []func(func([]string) bool, int) *servertest.Fault{x.proxy.SwallowReply, x.proxy.SwallowReplyAndClose} {
			c := x.behind(2 + i)
			x.release(x.acquire(c))
			fault := swallow(match, 1)
			l := x.acquire(c, redislock.WithReplicas(1, 15*time.Second))
			x.within("the reply was lost", fault.Executed())
			x.release(l)
			x.untouched()
		}
	}
}

// If the write and the WAIT cannot be sent on one connection, WAIT would count replicas for a write of another
// connection.
func TestWithReplicasIsRefusedWhereItWouldMeanNothing(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	ctx := context.Background()
	pipeliner, err := x.server.Connect().AutoPipeline()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pipeliner.Close() })
	option := redislock.WithReplicas(1, time.Second)
	single := x.server.Connect(func(o *redis.Options) { o.PoolSize = 1 })
	for _, rdb := range []redis.UniversalClient{pipeliner, struct{ *redis.Client }{x.server.Connect()}, single} {
		c := x.on(rdb)
		if l, err := c.Acquire(ctx, x.name, option); !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("%T: %v, %v", rdb, l, err)
		}
		if _, err := redislock.New(rdb, redislock.WithDefaults(option)); !errors.Is(err, redislock.ErrInvalid) {
			t.Errorf("%T, as a default: %v", rdb, err)
		}
		x.release(x.acquire(c))
	}
	if n := x.server.Commands(t)["wait"]; n != 0 {
		t.Errorf("%d times wait", n)
	}
	x.untouched()
}

func TestWithoutPermissionToWaitNothingIsLeft(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	c := x.user(sufficient+" -wait", 3)
	_, err := c.Acquire(context.Background(), x.name, redislock.WithReplicas(1, time.Second))
	if !errors.Is(err, redislock.ErrPermission) || !strings.Contains(err.Error(), "wait") {
		t.Errorf("got %v, want ErrPermission about wait", err)
	}
	x.untouched()
}

// As a default, WithReplicas also counts for the locks that the library takes by itself.
func TestReplicasAreADefaultForTheLibrarysOwnLocks(t *testing.T) {
	t.Parallel()
	x, replicas := replicated(t, 1)
	ctx := context.Background()
	c := x.beside(redislock.WithDefaults(redislock.WithReplicas(1, shortly)))
	replicas[0].Pause()
	var ran atomic.Int32
	work := func(context.Context) error { ran.Add(1); return nil }
	x.unreplicated(c.Once(ctx, x.name, work), "0 of 1")
	if ran.Load() != 0 {
		t.Error("I10: it ran")
	}
	replicas[0].Resume()
	x.eventually("it runs", func() bool { return c.Once(ctx, x.name, work) == nil })
	if ran.Load() != 1 {
		t.Errorf("it ran %d times", ran.Load())
	}
}

// On a cluster the WAIT goes to the master of the key, and to its new one while the slot moves.
func TestReplicasOfTheMasterOfTheKeyCountOnACluster(t *testing.T) {
	t.Parallel()
	cluster := servertest.StartCluster(t, 2)
	ctx := context.Background()
	e := &env{T: t}
	rdb := cluster.Connect()
	c := e.over(rdb)
	clean := func(name string) {
		t.Helper()
		if info, err := c.Inspect(ctx, name); err != nil || len(info.Holds) > 0 || info.Waiting > 0 {
			t.Errorf("left behind: %+v, %v", info, err)
		}
	}
	alone := redislock.WithReplicas(1, shortly)
	for i := range 8 {
		name := fmt.Sprint("alone-", i)
		if l, err := c.Acquire(ctx, name, alone); !errors.Is(err, redislock.ErrNotReplicated) || !strings.Contains(err.Error(), "0 of 1") {
			t.Errorf("masters without replicas: %v, %v", l, err)
		}
		clean(name)
	}

	admins := make([]*redis.Client, 2)
	ids := make([]string, 2)
	for i, master := range cluster.Masters {
		admins[i] = master.Connect()
		ids[i] = admins[i].ClusterMyID(ctx).Val()
		host, port, _ := net.SplitHostPort(master.Addr())
		replica := servertest.Start(t, "--cluster-enabled", "yes", "--repl-diskless-sync-delay", "0").Connect()
		replica.ClusterMeet(ctx, host, port)
		e.eventually("a replica follows", func() bool { return replica.ClusterReplicate(ctx, ids[i]).Err() == nil })
		e.eventually("a replica is in step", func() bool {
			return strings.Contains(admins[i].Info(ctx, "replication").Val(), "state=online")
		})
	}
	both := redislock.WithReplicas(1, 20*time.Second)
	for i := range 8 {
		e.release(e.acquire(c, fmt.Sprint("name-", i), both))
	}

	// The slot of a name that nobody uses is on its way: new names are asked for at the target.
	name := "moving"
	slot := int(rdb.ClusterKeySlot(ctx, "redislock:{"+name+"}").Val())
	from := slot / 8192
	to := 1 - from
	admins[to].Do(ctx, "cluster", "setslot", slot, "importing", ids[from])
	admins[from].Do(ctx, "cluster", "setslot", slot, "migrating", ids[to])
	cluster.Masters[to].ResetStats()
	l := e.acquire(c, name, both)
	if n := cluster.Masters[to].Commands(t)["wait"]; n == 0 {
		t.Error("the target was not asked for its replicas")
	}
	e.release(l)
	for _, i := range []int{to, from} {
		admins[i].Do(ctx, "cluster", "setslot", slot, "node", ids[to])
	}
	e.release(e.acquire(c, name, both)) // c may believe that it is where it was
	e.release(e.acquire(e.over(cluster.Connect()), name, both))
	clean(name)
}

func TestAnUpgradeDoesNotProlongAFinalLease(t *testing.T) {
	t.Parallel()
	x, _ := replicated(t, 1)
	const lease = 4 * time.Second
	start := time.Now()
	l := x.acquire(x.beside(), reading, redislock.WithoutRenewal(), redislock.WithLease(lease), redislock.WithReplicas(1, lease/2))
	time.Sleep(lease / 2) // an upgrade later is a confirmation later
	if err := l.Upgrade(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-l.Context().Done():
	case <-time.After(patience):
		t.Fatalf("still held %v after a grant for %v", time.Since(start), lease)
	}
	if took := time.Since(start); took > lease+lease*3/8 { // prolonged, it would be half of it more
		t.Errorf("it ended %v after a grant for %v", took, lease)
	}
	if err := l.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) {
		t.Errorf("Release: %v", err)
	}
}
