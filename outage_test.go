package redislock_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
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

// manyHeld takes that many locks at about the same time, and returns them with their contexts.
func (e *env) manyHeld(c *redislock.Client, n int, lease time.Duration) (locks []*redislock.Lock) {
	e.Helper()
	for i := range n {
		l := e.acquire(c, fmt.Sprintf("held/%05d", i), redislock.WithLease(lease))
		_ = l.Context()
		locks = append(locks, l)
	}
	return locks
}

// lossWatcher is an Observer that looks, at the first loss that it is told of, whether the contexts of all locks have ended.
type lossWatcher struct {
	locks  atomic.Pointer[[]*redislock.Lock]
	losses atomic.Int32
	late   atomic.Int32
}

func (w *lossWatcher) Observe(e redislock.Event) {
	if e.Kind != redislock.EventLost || w.losses.Add(1) > 1 {
		return
	}
	for _, l := range *w.locks.Load() {
		select {
		case <-l.Context().Done():
		default:
			w.late.Add(1)
		}
	}
}

// I7: where the network is cut and many locks run out at the same instant, all of their contexts end before anything else is done about
// any of them: before it is told, and before it is given back. No goroutine is any lock's own, what waits for its turn is bounded, and when the network
// is back they are given back together while the locks that live are renewed.
func TestManyLocksThatAreLostTogetherEndFirstAndAreGivenBackLater(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		n := unlessShort(20_000, 3000)
		own := &fakenet.Network{Dial: e.mini.Dial}
		var w lossWatcher
		var pipelines, givenBack, single, early atomic.Int32
		release := digest("release")
		count := func(cmds ...redis.Cmder) (found int32) {
			for _, cmd := range cmds {
				if args := cmd.Args(); len(args) > 1 && (args[1] == release || args[0] == "eval" && strings.Contains(fmt.Sprint(args[1]), "fast_hand_over")) {
					found++
				}
			}
			return found
		}
		rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", Protocol: 2, DisableIdentity: true, Dialer: own.Dialer, PoolSize: 10})
		e.Cleanup(func() { _ = rdb.Close() })
		rdb.AddHook(seeing{func(cmds []redis.Cmder) {
			found := count(cmds...)
			if found > 0 && w.locks.Load() != nil && w.losses.Load() == 0 {
				for _, l := range *w.locks.Load() {
					if l.Context().Err() == nil {
						early.Add(1)
						break
					}
				}
			}
			givenBack.Add(found)
			if len(cmds) == 1 {
				single.Add(found)
			} else if found > 0 {
				pipelines.Add(1)
			}
		}})
		c := e.over(rdb, redislock.WithObserver(&w))
		locks := e.manyHeld(c, n, 10*time.Second)
		w.locks.Store(&locks)
		living := e.acquire(c, "living", redislock.WithLease(time.Hour))
		before := ours()
		own.Cut()
		time.Sleep(9 * time.Second)
		for _, l := range locks {
			if err := l.Err(); err != nil {
				e.Fatalf("%q is lost too early: %v", l.Name(), err)
			}
		}
		most := 0
		for range 20 {
			time.Sleep(100 * time.Millisecond)
			most = max(most, ours()-before)
		}
		for _, l := range locks {
			if l.Context().Err() == nil || !errors.Is(l.Err(), redislock.ErrLost) {
				e.Fatalf("%q: its context has not ended: %v", l.Name(), l.Err())
			}
		}
		if late, told := w.late.Load(), w.losses.Load(); late > 0 || told == 0 {
			e.Errorf("I7: %d contexts had not ended when the first of %d losses was told", late, told)
		}
		if early.Load() > 0 {
			e.Error("I7: a lock was given back before all contexts had ended")
		}
		if most > 100 { // pipelines that wait for their answers
			e.Errorf("%d goroutines more, for %d locks", most, n)
		}
		pipelines.Store(0)
		givenBack.Store(0)
		single.Store(0)
		own.Mend()
		time.Sleep(20 * time.Second)
		if err := living.Err(); err != nil {
			e.Errorf("the one with a long lease: %v", err)
		}
		if all, alone := givenBack.Load(), single.Load(); all < int32(n)/2 || alone > all/20+10 {
			e.Errorf("%d were given back, %d of them by a request of their own", all, alone)
		}
		if p, few := pipelines.Load(), givenBack.Load()/256*3+20; p > few {
			e.Errorf("%d pipelines for %d locks", p, givenBack.Load())
		}
		e.release(living)
		time.Sleep(time.Minute)
		if more := ours() - before; more > 20 {
			e.Errorf("%d goroutines are left", more)
		}
	})
}

// seeing is a hook that sees requests: one command, or those of a pipeline.
type seeing struct{ see func([]redis.Cmder) }

func (s seeing) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (s seeing) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		s.see([]redis.Cmder{cmd})
		return next(ctx, cmd)
	}
}

func (s seeing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		s.see(cmds)
		return next(ctx, cmds)
	}
}

// Locks that were taken one after the other are renewed together, each no later than after a third of its lease.
func TestRenewalsThatAreDueSoonAfterOneAnotherLeaveTogether(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		const many, lease = 300, 30 * time.Second
		var mu sync.Mutex
		requests, last, longest := 0, map[string]time.Time{}, time.Duration(0)
		renew := digest("renew")
		rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", Protocol: 2, DisableIdentity: true, Dialer: n.Dialer})
		e.Cleanup(func() { _ = rdb.Close() })
		rdb.AddHook(seeing{func(cmds []redis.Cmder) {
			mu.Lock()
			defer mu.Unlock()
			if args := cmds[0].Args(); len(args) < 4 || args[1] != renew {
				return
			}
			requests++
			for _, cmd := range cmds {
				key := cmd.Args()[3].(string)
				longest = max(longest, time.Since(last[key]))
				last[key] = time.Now()
			}
		}})
		c := e.over(rdb)
		var locks []*redislock.Lock
		for i := range many {
			name := fmt.Sprint("held/", i)
			mu.Lock()
			last["redislock:{"+name+"}"] = time.Now()
			mu.Unlock()
			locks = append(locks, e.acquire(c, name, redislock.WithLease(lease)))
			time.Sleep(lease / 3 / many)
		}
		count := func() (int, time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			n := requests
			requests = 0
			return n, longest
		}
		count()
		time.Sleep(3 * lease)
		if n, longest := count(); n < 9*32 || n > 9*32+9 || longest > lease/3+time.Second/100 {
			e.Errorf("%d requests in nine thirds of a lease, the longest time between two renewals of a lock was %v", n, longest)
		}
		for _, l := range locks {
			e.release(l)
		}
	})
}

// What many locks have in doubt after a new subscription is asked one after the other: 64 at once, the others within a sixth of
// their lease.
func TestAfterAResubscriptionRenewalsAreSpread(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		many := unlessShort(3000, 1500)
		var mu sync.Mutex
		var when []time.Time
		renew := digest("renew")
		var conns []net.Conn
		rdb := redis.NewClient(&redis.Options{
			Addr: "127.0.0.1:6379", Protocol: 2, DisableIdentity: true,
			Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := n.Dialer(ctx, network, addr)
				return &spied{Conn: conn, subscribes: func() {
					mu.Lock()
					defer mu.Unlock()
					conns = append(conns, conn)
				}}, err
			},
		})
		e.Cleanup(func() { _ = rdb.Close() })
		rdb.AddHook(seeing{func(cmds []redis.Cmder) {
			mu.Lock()
			defer mu.Unlock()
			for _, cmd := range cmds {
				if args := cmd.Args(); len(args) > 1 && args[1] == renew {
					when = append(when, time.Now())
				}
			}
		}})
		c := e.over(rdb)
		locks := e.manyHeld(c, many, 30*time.Second)
		time.Sleep(12 * time.Second) // all have been renewed, and are not again within the next seven
		mu.Lock()
		when = nil
		mu.Unlock()
		begun := time.Now()
		mu.Lock()
		for _, conn := range conns {
			_ = conn.Close()
		}
		mu.Unlock()
		time.Sleep(7 * time.Second)
		mu.Lock()
		seen := slices.Clone(when)
		mu.Unlock()
		slots := map[int64]int{}
		for _, at := range seen {
			slots[int64(at.Sub(begun)/(250*time.Millisecond))]++
		}
		most := 0
		for _, in := range slots {
			most = max(most, in)
		}
		if len(seen) < many || len(seen) > many+many/10 || most > many/8+200 {
			e.Errorf("%d renewals of %d locks, %d within 250 ms: %v", len(seen), many, most, slots)
		}
		for _, l := range locks {
			e.release(l)
		}
	})
}

// spied is a connection that tells when it subscribes.
type spied struct {
	net.Conn
	subscribes func()
}

func (s *spied) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("$9\r\nsubscribe\r\n")) {
		s.subscribes()
	}
	return s.Conn.Write(b)
}

// Servers pause writes: in a migration of slots, in a failover by hand. A lock that was handed over just before is not confirmed in
// time: it ends by the clock of its holder, and after the pause it is the next one's. A lease that is longer than the pause is kept.
func TestAPauseOfWritesEndsAClaimBeforeTheNextIsServed(t *testing.T) {
	t.Parallel()
	const pause = 8 * time.Second // longer than a claim
	s := servertest.Start(t)
	e := &env{T: t}
	a, b, c := e.over(s.Connect()), e.over(s.Connect()), e.over(s.Connect())
	long := e.acquire(a, "long", redislock.WithLease(time.Minute))
	first := e.acquire(a, "x")
	second, third := make(chan *redislock.Lock, 1), make(chan *redislock.Lock, 1)
	go func() { second <- e.acquire(b, "x") }()
	e.queued(a, "x", 1)
	go func() { third <- e.acquire(c, "x") }()
	e.queued(a, "x", 2)
	e.release(first)
	claimed := <-second
	if err := s.Admin().Do(t.Context(), "client", "pause", pause.Milliseconds(), "write").Err(); err != nil {
		t.Fatal(err)
	}
	paused := time.Now()
	if left := time.Until(claimed.Deadline()); left > 5*time.Second {
		t.Errorf("the holder believes in its lock for %v, longer than a claim", left)
	}
	select {
	case <-claimed.Context().Done():
	case <-third:
		t.Fatal("two have the lock")
	}
	if took := time.Since(paused); took > pause-time.Second { // on a loaded machine it hears of its end late
		t.Errorf("the holder heard of its end after %v of a pause of %v", took, pause)
	}
	next := <-third
	if took := time.Since(paused); took < pause-time.Second || took > pause+patience {
		t.Errorf("the next is served after %v of a pause of %v", took, pause)
	}
	if next.Fence() <= claimed.Fence() {
		t.Errorf("I2: fence %d after %d", next.Fence(), claimed.Fence())
	}
	if err := long.Err(); err != nil {
		t.Errorf("a lease that is longer than the pause: %v", err)
	}
	_ = claimed.Release(t.Context())
	e.release(next)
	e.release(long)
}

// noticing is a connection to a server that announces its maintenance, as some services do. go-redis then waits for answers for
// RelaxedTimeout, 10 s, instead of its ReadTimeout.
type noticing struct {
	net.Conn
	all *notices

	mu  sync.Mutex
	due bytes.Buffer // what is read before anything of the server's
}

// notices are the connections of a client.
type notices struct {
	mu    sync.Mutex
	conns []*noticing
}

func (n *notices) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &noticing{Conn: conn, all: n}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns = append(n.conns, c)
	return c, nil
}

// tell has every connection announce something before its next answer.
func (n *notices) tell(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.mu.Lock()
		c.due.WriteString(text)
		c.mu.Unlock()
	}
}

func (c *noticing) Write(b []byte) (int, error) {
	if bytes.Contains(bytes.ToLower(b), []byte("maint_notifications")) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.due.WriteString("+OK\r\n")
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *noticing) Read(b []byte) (int, error) {
	c.mu.Lock()
	if c.due.Len() > 0 {
		defer c.mu.Unlock()
		return c.due.Read(b)
	}
	c.mu.Unlock()
	return c.Conn.Read(b)
}

// I7: whatever timeouts a client has in its maintenance, a context ends by the clock, and nobody waits longer than is promised.
func TestI7ARelaxedTimeoutOutlastsNoBound(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	all := &notices{}
	rdb := s.Connect(func(o *redis.Options) { o.Dialer = all.dial })
	c, err := redislock.New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = c.Close(ctx)
	})
	e := &env{T: t}
	const lease = 2 * time.Second
	held, other := e.acquire(c, "held", redislock.WithLease(lease)), e.acquire(c, "other", redislock.WithLease(time.Minute))
	all.tell(">3\r\n$9\r\nMIGRATING\r\n:1\r\n:60\r\n")
	for range 3 { // on each connection that is kept
		e.release(e.acquire(c, "x"))
	}
	if rdb.GetMaintNotificationsManager() == nil {
		t.Fatal("the client knows of no maintenance")
	}
	s.Pause()
	paused := time.Now()
	if left := held.Deadline().Sub(paused); left > lease {
		t.Errorf("the context ends %v after the last answer, with a lease of %v", left, lease)
	}
	released := make(chan time.Duration, 1)
	go func() {
		_ = other.Release(context.Background())
		released <- time.Since(paused)
	}()
	<-held.Context().Done()
	if took := time.Since(paused); took > lease+time.Second { // on a loaded machine it ends late; RelaxedTimeout is 10 s
		t.Errorf("the context ended %v after the last answer, with a lease of %v", took, lease)
	}
	if took := <-released; took > 7*time.Second { // resends for 5 s
		t.Errorf("the release returned after %v", took)
	}
	s.Resume()
}
