package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// A server may forget the scripts at any time; alone or in a pipeline, every request then takes them along.
func TestForgottenScriptsAreSentAgain(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	events := &tally{}
	c, other := x.beside(redislock.WithObserver(events)), x.beside()
	kept := x.alias(" kept")
	long := kept.acquire(c, redislock.WithLease(3*time.Second))

	stop, flushing, flushes := make(chan struct{}), make(chan struct{}), 0
	go func() {
		defer close(flushing)
		for ; ; flushes++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := x.raw.ScriptFlush(context.Background()).Err(); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Millisecond)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var workers sync.WaitGroup
	for i := range 16 {
		workers.Go(func() {
			client, name := []*redislock.Client{c, other}[i%2], x.name // half of them share one lock
			if i >= 8 {
				name = fmt.Sprint(x.name, i)
			}
			for range 25 {
				l, err := client.Acquire(ctx, name)
				if err != nil {
					t.Errorf("worker %d: %v", i, err)
					return
				}
				if err := l.Release(ctx); err != nil {
					t.Errorf("worker %d: %v", i, err)
				}
			}
		})
	}
	workers.Wait()
	x.eventually("renewals", func() bool { return events.count(redislock.EventRenewed) >= 2 })
	close(stop)
	<-flushing
	if n := events.count(redislock.EventRenewalFailed); n > 0 {
		t.Errorf("%d renewals failed", n)
	}
	kept.holds(long)
	kept.release(long)
	if flushes < 20 {
		t.Errorf("only %d flushes", flushes)
	}
	x.untouched()
	kept.untouched()
}

// I2: all data is lost while one holds and two wait. Fences still rise, and the waiters still get the lock.
func TestI2FencesRiseOverTheLossOfAllData(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(x *scene){
		"FLUSHALL": func(x *scene) {
			if err := x.raw.FlushAll(context.Background()).Err(); err != nil {
				x.Fatal(err)
			}
		},
		"kill -9 without persistence": func(x *scene) {
			x.server.Kill()
			x.server.Restart()
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newScene(t, servertest.Start(t))
			c, other := x.beside(), x.beside()
			idle := x.alias(" idle")
			idle.release(idle.acquire(c))

			holder := x.acquire(c, redislock.WithLease(3*time.Second))
			first := x.waiting(other)
			x.queued(1)
			second := x.waiting(other)
			x.queued(2)
			lost := time.Now()
			lose(x)

			idle.release(idle.acquire(c)) // the fence is greater, although the server remembers nothing
			var next *redislock.Lock
			select {
			case <-first.done:
				next = x.got(first)
				x.release(next)
				x.release(x.got(second))
			case <-second.done: // the order of arrival was lost with the data, so either may be first
				x.release(x.got(second))
				x.release(x.got(first))
			case <-time.After(patience):
				t.Fatal("nobody who waited is served")
			}
			if waited := min(first.at.Sub(lost), second.at.Sub(lost)); waited > patience/2 {
				t.Errorf("served %v after the loss", waited)
			}
			x.lost(holder, redislock.ErrLost)
			if err := holder.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) {
				t.Errorf("release of a lock that the server forgot: %v", err)
			}
			x.untouched()
			idle.untouched()
		})
	}
}

// When Redis is out of memory, no new lock is taken, and every hold can go on and be given back.
func TestOutOfMemoryOnlyNewLocksAreRefused(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	x := newScene(t, servertest.Start(t, "--maxmemory-policy", "noeviction"))
	events := &tally{}
	c, other := x.beside(redislock.WithObserver(events)), x.beside()
	refused := func() int64 { // how often the server said OOM
		text := x.raw.Info(ctx, "errorstats").Val()
		_, after, _ := strings.Cut(text, "errorstat_OOM:count=")
		var n int64
		_, _ = fmt.Sscan(after, &n) // 0 if there is no such line
		return n
	}

	held := x.acquire(c, redislock.WithLease(3*time.Second))
	next := x.waiting(other)
	x.queued(1)
	cancelled := x.waiting(other)
	x.queued(2)
	last := x.waiting(other)
	x.queued(3)
	idle := x.alias(" idle") // its hash and the expiry of it exist already
	idleLock := idle.acquire(c)
	idle.release(idleLock)
	lone := x.alias(" lone")
	loneLock := lone.acquire(c, redislock.WithLease(3*time.Second))

	if err := x.raw.Set(ctx, "ballast", strings.Repeat("x", 4<<20), 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := x.raw.ConfigSet(ctx, "maxmemory", "1mb").Err(); err != nil {
		t.Fatal(err)
	}
	if err := x.raw.Set(ctx, "more", "x", 0).Err(); !redis.HasErrorPrefix(err, "OOM") {
		t.Fatalf("the server is not out of memory: %v", err)
	}

	before := refused()
	renewed := events.count(redislock.EventRenewed)
	x.eventually("renewals", func() bool { return events.count(redislock.EventRenewed) >= renewed+3 || held.Err() != nil })
	time.Sleep(2 * time.Second) // a check of the waiters falls into this
	x.holds(held)
	cancelled.cancel()
	x.within("a cancelled acquire returns", cancelled.done)
	x.queued(2)
	x.release(held)
	l := x.got(next) // handed over
	x.queued(1)
	x.release(l)
	x.release(x.got(last))
	x.untouched()
	lone.release(loneLock)
	lone.untouched()
	if n := refused() - before; n != 0 {
		t.Errorf("%d requests of those that hold and wait were refused", n)
	}
	if n := events.count(redislock.EventRenewalFailed); n > 0 {
		t.Errorf("%d renewals failed", n)
	}

	fresh := x.alias(" fresh")
	for _, y := range []*scene{fresh, idle} {
		for what, attempt := range map[string]func() (*redislock.Lock, error){
			"Acquire":    func() (*redislock.Lock, error) { return c.Acquire(ctx, y.name) },
			"TryAcquire": func() (*redislock.Lock, error) { return c.TryAcquire(ctx, y.name) },
		} {
			got, err := attempt()
			if got != nil && y == idle && got.Fence()/100e6 != idleLock.Fence()/100e6 {
				idle.release(got) // 100 s later its expiry is set again, which is never refused, and then nothing is
				continue
			}
			if err == nil || !strings.Contains(err.Error(), "OOM") || got != nil {
				t.Errorf("%s of %q = %v, %v, want the server's OOM", what, y.name, got, err)
			}
			if errors.Is(err, redislock.ErrHeld) || errors.Is(err, redislock.ErrPermission) {
				t.Errorf("%s: %v is something else", what, err)
			}
		}
		if _, err := c.AcquireWeak(ctx, y.name, redislock.WithWait(0)); err == nil || !strings.Contains(err.Error(), "OOM") {
			t.Errorf("AcquireWeak of %q: %v, want the server's OOM", y.name, err)
		}
		y.untouched()
	}
	if n := x.raw.Exists(ctx, fresh.key()).Val(); n != 0 {
		t.Error("a refused acquire of a new name left a key")
	}

	if err := x.raw.ConfigSet(ctx, "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	fresh.release(fresh.acquire(c))
	idle.release(idle.acquire(c))
}

// sufficient are the permissions that docs/servers.md names.
const sufficient = "-@all +evalsha +eval +time +hlen +hget +hmget +hgetall +hset +hdel +expire +expireat +set +get +del " +
	"+pttl +getrange +pubsub|numsub +publish +subscribe +unsubscribe +ping " + elsewhere + " resetkeys " + ownKeys + " resetchannels " + ownChannels

// ownKeys and ownChannels are the part of them for the prefix.
const (
	ownKeys     = "~redislock:{* ~redislock:w:{* ~redislock:d:{* ~redislock:r:{*"
	ownWake     = "&redislock:c:[^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:][^:]"
	ownChannels = "&redislock:n &redislock:n:{* " + ownWake + " " + ownWake + ":{*"
)

// elsewhere is the part of them that only replicas and clusters need.
const elsewhere = "+wait +pubsub|shardnumsub +spublish +ssubscribe +sunsubscribe +cluster|slots +command +asking +readonly +select +client|setname"

// user makes a user with these rules, on a server without scripts, and an instance that is this user.
func (x *scene) user(rules string, protocol int, opts ...redislock.ClientOption) *redislock.Client {
	x.Helper()
	ctx := context.Background()
	args := []any{"acl", "setuser", x.name, "reset", "on", ">secret"}
	for _, rule := range strings.Fields(rules) {
		args = append(args, rule)
	}
	if err := x.raw.Do(ctx, args...).Err(); err != nil {
		x.Fatal(err)
	}
	if err := x.raw.ScriptFlush(ctx).Err(); err != nil {
		x.Fatal(err)
	}
	return x.on(x.server.Connect(func(o *redis.Options) {
		o.Username, o.Password, o.Protocol = x.name, "secret", protocol
	}), opts...)
}

func TestTheACLSuffices(t *testing.T) {
	t.Parallel()
	if got, want := strings.Fields(redislock.ACL("redislock")), strings.Fields(sufficient); !sameRules(got, want) {
		t.Errorf("ACL() = %q, want %q", got, want)
	}
	for _, protocol := range []int{2, 3} {
		t.Run(fmt.Sprintf("RESP%d", protocol), func(t *testing.T) {
			x := newScene(t, servertest.Start(t))
			ctx := context.Background()
			events := &tally{}
			c := x.user(sufficient, protocol, redislock.WithObserver(events))
			other := x.on(x.server.Connect(func(o *redis.Options) {
				o.Username, o.Password, o.Protocol = x.name, "secret", protocol
			}))

			// Acquired, renewed, handed over, inspected.
			l := x.acquire(c, redislock.WithLease(3*time.Second))
			x.eventually("a renewal", func() bool { return events.count(redislock.EventRenewed) > 0 })
			x.holds(l)
			w := x.waiting(other)
			x.queued(1)
			if info, err := c.Inspect(ctx, x.name); err != nil || info.Waiting != 1 {
				t.Errorf("Inspect: %+v, %v", info, err)
			}
			x.release(l)
			l = x.got(w)
			// Stolen.
			thief := x.waiting(c, redislock.WithStealAfter(redislock.MinLease))
			x.lost(l, redislock.ErrStolen)
			l = x.got(thief)
			// Waited for in vain, and broken.
			w = x.waiting(other)
			x.queued(1)
			w.cancel()
			x.within("a cancelled acquire returns", w.done)
			x.queued(0)
			if fence, err := other.Break(ctx, x.name, "a test"); err != nil || fence != l.Fence() {
				t.Errorf("Break = %d, %v", fence, err)
			}
			x.lost(l, redislock.ErrStolen)
			// Weak.
			weak, err := c.AcquireWeak(ctx, x.name)
			if err != nil {
				t.Fatal(err)
			}
			bounded, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			defer cancel()
			if _, err := other.AcquireWeak(bounded, x.name); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("AcquireWeak of a held lock: %v", err)
			}
			if err := weak.Release(ctx); err != nil {
				t.Error(err)
			}
			for _, want := range []bool{true, false} {
				if first, err := c.First(ctx, x.name, day); err != nil || first != want {
					t.Errorf("First = %v, %v, want %v", first, err, want)
				}
			}
			if err := c.Forget(ctx, x.name); err != nil {
				t.Error(err)
			}
			// Once, shared, by the clock, led.
			if err := c.Once(ctx, x.name, idle); err != nil {
				t.Error(err)
			}
			if err := other.OnceReset(ctx, x.name); err != nil {
				t.Error(err)
			}
			if _, err := redislock.Share(ctx, c, x.name, day, func(context.Context) (int, error) { return 1, nil }); err != nil {
				t.Error(err)
			}
			if outcome, err := c.Cron(x.name, redislock.WithAtLeast(time.Millisecond)).Run(ctx, time.Now(), idle); outcome != redislock.OutcomeRan {
				t.Errorf("%v, %v", outcome, err)
			}
			if s, err := other.CronStatus(ctx, x.name); err != nil || s.Outcome != redislock.OutcomeRan {
				t.Errorf("%+v, %v", s, err)
			}
			oh := errors.New("enough")
			if err := c.Elect(ctx, x.name, func(context.Context) error { return oh }); !errors.Is(err, oh) {
				t.Error(err)
			}
			entries, err := x.raw.ACLLog(ctx, 100).Result()
			if err != nil {
				t.Error(err)
			}
			for _, entry := range entries { // what go-redis tells a server about itself does not come from this library
				if !strings.HasPrefix(entry.Object, "client|") {
					t.Errorf("refused: %s %s (%s)", entry.Reason, entry.Object, entry.Context)
				}
			}
			x.untouched()
		})
	}
}

func sameRules(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// A missing permission is named by the first call that needs it, and not found by a lock that fails later.
func TestAMissingPermissionIsNamedByTheFirstCall(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	ctx := context.Background()

	acquire := func(x *scene, c *redislock.Client) error {
		l, err := c.Acquire(ctx, x.name)
		if err == nil {
			x.release(l)
		}
		return err
	}
	wait := func(x *scene, c *redislock.Client) error {
		l := x.acquire(x.look)
		defer x.release(l)
		bounded, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		got, err := c.Acquire(bounded, x.name)
		if err == nil {
			x.release(got)
		}
		return err
	}
	weak := func(x *scene, c *redislock.Client) error {
		l, err := c.AcquireWeak(ctx, x.name, redislock.WithWait(0))
		if err == nil {
			err = l.Release(ctx)
		}
		return err
	}
	first := func(x *scene, c *redislock.Client) error {
		_, err := c.First(ctx, x.name, day)
		return err
	}

	refused := func(t *testing.T, name, rules, named string, calls map[string]func(*scene, *redislock.Client) error) {
		for call, do := range calls {
			t.Run(name+", "+call, func(t *testing.T) {
				x := newScene(t, s)
				start := time.Now()
				err := do(x, x.user(rules, 2))
				if !errors.Is(err, redislock.ErrPermission) {
					t.Fatalf("%v, want ErrPermission", err)
				}
				text := strings.ReplaceAll(err.Error(), x.name, "…")
				if !regexp.MustCompile(`(?i)\b` + named + `\b`).MatchString(text) {
					t.Errorf("%q does not name %q", text, named)
				}
				if errors.Is(err, redislock.ErrHeld) {
					t.Errorf("%v is also ErrHeld", err)
				}
				x.eventually("nothing is left of the preflight", func() bool { return x.raw.Exists(ctx, "redislock:{%}").Val() == 0 })
				if took := time.Since(start); took > patience/2 {
					t.Errorf("it took %v to say so", took)
				}
				x.untouched()
			})
		}
	}
	all := map[string]func(*scene, *redislock.Client) error{"acquire": acquire}
	for _, rule := range strings.Fields(sufficient) {
		command, isCommand := strings.CutPrefix(rule, "+")
		if !isCommand || slices.Contains(strings.Fields(elsewhere), rule) {
			continue
		}
		calls := map[string]func(*scene, *redislock.Client) error{"acquire": acquire}
		switch command {
		case "unsubscribe":
			continue // never sent: a subscription ends with its connection
		case "subscribe":
			calls = map[string]func(*scene, *redislock.Client) error{"waiting acquire": wait}
		case "set":
			calls["weak"], calls["First"] = weak, first
		case "get", "del":
			calls["weak"] = weak
		}
		refused(t, command, strings.Replace(sufficient, rule+" ", "", 1), command, calls)
	}
	refused(t, "keys", strings.Replace(sufficient, ownKeys, "~other:*", 1), "keys?", all)
	refused(t, "weak keys", strings.Replace(sufficient, ownKeys, "~redislock:{* ~redislock:r:{*", 1), "keys?",
		map[string]func(*scene, *redislock.Client) error{"weak": weak, "First": first})
	refused(t, "channels", strings.Replace(sufficient, ownChannels, "&other:*", 1), "channels?",
		map[string]func(*scene, *redislock.Client) error{"acquire": acquire, "waiting acquire": wait})
}

// A half-open subscription loses every message, and nobody notices. The checks find the grant.
func TestI9AWaiterWithAMuteSubscriptionIsServedByItsCheck(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	together(t, []string{"RESP2", "RESP3"}, func(t *testing.T, i int) {
		x := newScene(t, s)
		c := x.behind(2 + i)
		holder := x.acquire(x.look)
		w := x.waiting(c)
		x.queued(1)
		if x.proxy.MuteSubscriptions() != 1 {
			x.Error("the waiter is not subscribed")
		}
		released := time.Now()
		x.release(holder)
		granted := x.inspect().Fence
		l := x.got(w)
		if l.Fence() != granted {
			x.Errorf("fence %d, want %d of the hand-over", l.Fence(), granted)
		}
		if waited := w.at.Sub(released); waited > safetyNet {
			x.Errorf("served %v after the release, want one check", waited)
		}
		x.release(l)
		x.untouched()
	})
}

// I7: a holder that the message does not reach learns of the steal by the refusal of its renewal, and its context
// ends before the next hold begins.
func TestI7AHolderWithAMuteSubscriptionLearnsThatItIsRobbed(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	together(t, []string{"RESP2", "RESP3"}, func(t *testing.T, i int) {
		x := newScene(t, s)
		c := x.behind(2 + i)
		// A grant by message, so that there is a subscription.
		first := x.acquire(x.look)
		w := x.waiting(c, redislock.WithLease(6*time.Second))
		x.queued(1)
		x.release(first)
		l := x.got(w)
		if x.proxy.MuteSubscriptions() != 1 {
			x.Error("the holder is not subscribed")
		}
		asked := time.Now()
		thief := x.waiting(x.look, redislock.WithStealAfter(redislock.MinLease))
		x.within("the thief is served", thief.done)
		if l.Context().Err() == nil {
			x.Error("the lock is another's and the context goes on")
		}
		if waited := thief.at.Sub(asked); waited > 5500*time.Millisecond {
			x.Errorf("served after %v, want a renewal's time and not the lease", waited)
		}
		x.lost(l, redislock.ErrStolen)
		x.release(x.got(thief))
		if err := l.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) {
			x.Errorf("release of a stolen lock: %v", err)
		}
		x.untouched()
	})
}

// Fifty waiters on two instances pass a lock around while their subscriptions break again and again. After a new
// subscription, checks find the grants whose messages were lost.
func TestI5FiftyWaitersAreServedWhileSubscriptionsBreak(t *testing.T) {
	t.Parallel()
	x := newScene(t, servertest.Start(t))
	clients := []*redislock.Client{x.behind(2), x.behind(3)}
	holder := x.acquire(x.look)
	var (
		mu      sync.Mutex
		inside  atomic.Int32
		last    = holder.Fence()
		freed   time.Time
		longest time.Duration
		served  int
	)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			var l *redislock.Lock
			var err error
			for again := true; again; {
				start := time.Now()
				l, err = clients[i%2].Acquire(ctx, x.name)
				again = x.starved(err, start)
			}
			if err != nil {
				x.Errorf("waiter %d: %v", i, err)
				return
			}
			if inside.Add(1) > 1 {
				x.Error("I1: two inside")
			}
			mu.Lock()
			if l.Fence() <= last {
				x.Errorf("I2: fence %d after %d", l.Fence(), last)
			}
			last, served = l.Fence(), served+1
			longest = max(longest, time.Since(freed))
			mu.Unlock()
			time.Sleep(5 * time.Millisecond)
			inside.Add(-1)
			mu.Lock()
			freed = time.Now()
			mu.Unlock()
			x.release(l)
		})
	}
	x.queued(50)
	breaking := make(chan struct{})
	stop := make(chan struct{})
	broken := 0
	go func() {
		defer close(breaking)
		for {
			select {
			case <-stop:
				return
			case <-time.After(25 * time.Millisecond):
				broken += x.proxy.CloseSubscriptions()
			}
		}
	}()
	mu.Lock()
	freed = time.Now()
	mu.Unlock()
	x.release(holder)
	all.Wait()
	close(stop)
	<-breaking
	t.Logf("%d subscriptions broken, the longest hand-over took %v", broken, longest)
	if broken < 10 {
		t.Errorf("only %d subscriptions were broken", broken)
	}
	if served != 50 {
		t.Errorf("%d served, want 50", served)
	}
	if longest > safetyNet {
		t.Errorf("a hand-over took %v: its wake-up was lost, and the check came too late", longest)
	}
	x.untouched()
}

// watched has two locks of instances that are about to be cut off. Err of the one is called over and over, and the
// test waits for the end of the other's context.
type watched struct {
	*scene
	asked, waited   *redislock.Lock
	renewed         *tally
	margin          time.Duration // of the instance whose context is waited for
	askedUntil      time.Time     // until when Err said nil: the last time before a call of it that did
	endedAt         time.Time     // when the context had ended
	askedC, waitedC *scene        // the same, for their names
}

const cutLease = 1500 * time.Millisecond

// newWatched takes the locks. On a busy machine the end of a context is seen late, so that instance has a wide clock
// margin. Err is exact to the microsecond, and is tested so.
func newWatched(t *testing.T, s *servertest.Server, connect func(x *scene) redis.UniversalClient) *watched {
	w := &watched{renewed: &tally{}, margin: 500 * time.Millisecond}
	w.scene = newScene(t, s)
	w.askedC, w.waitedC = w.alias(" asked"), w.alias(" waited")
	rdb := connect(w.scene)
	w.asked = w.askedC.acquire(w.on(rdb, redislock.WithObserver(w.renewed)), redislock.WithLease(cutLease))
	w.waited = w.waitedC.acquire(w.on(rdb, redislock.WithObserver(w.renewed), redislock.WithClockMargin(w.margin)),
		redislock.WithLease(cutLease))
	return w
}

func (x *scene) alias(suffix string) *scene {
	other := *x
	other.name += suffix
	return &other
}

// deadlines are when the server will drop the holds. The server uses the clock of this machine.
func (w *watched) deadlines() (asked, waited time.Time) {
	w.Helper()
	a, b := w.askedC.inspect(), w.waitedC.inspect()
	if len(a.Holds) != 1 || len(b.Holds) != 1 {
		w.Fatalf("not held: %+v, %+v", a, b)
	}
	return a.Holds[0].Deadline, b.Holds[0].Deadline
}

// watch returns when both locks are lost.
func (w *watched) watch() {
	w.Helper()
	var all sync.WaitGroup
	all.Go(func() {
		<-w.waited.Context().Done()
		w.endedAt = time.Now()
	})
	all.Go(func() {
		for {
			now := time.Now()
			if w.asked.Err() != nil {
				return
			}
			w.askedUntil = now
			time.Sleep(100 * time.Microsecond)
		}
	})
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	w.within("both locks are lost", done)
	w.lost(w.asked, redislock.ErrLost)
	w.lost(w.waited, redislock.ErrLost)
}

// inTime checks that both locks ended before their deadlines on the server. Err looks at the clock, and is exact. A context ends by
// a timer, and on a busy machine late: tests in fake time have it exactly.
func (w *watched) inTime(asked, waited time.Time) {
	w.Helper()
	if !w.askedUntil.Before(asked) {
		w.Errorf("I6: Err said nil %v after the server's deadline", w.askedUntil.Sub(asked))
	}
	if w.endedAt.Sub(waited) > 200*time.Millisecond {
		w.Errorf("I7: the context ended %v after the server's deadline", w.endedAt.Sub(waited))
	}
}

// over releases both locks, too late, and takes them anew.
func (w *watched) over(c *redislock.Client) {
	w.Helper()
	for _, l := range []*redislock.Lock{w.asked, w.waited} {
		if err := l.Release(context.Background()); !errors.Is(err, redislock.ErrNotHeld) || !errors.Is(err, redislock.ErrLost) {
			w.Errorf("release of a lost lock: %v", err)
		}
	}
	for _, x := range []*scene{w.askedC, w.waitedC} {
		x.release(x.acquire(c)) // with a greater fence
		x.untouched()
	}
}

func TestI7ACutOffHolderEndsBeforeItsLease(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	together(t, []string{"RESP2", "RESP3"}, func(t *testing.T, i int) {
		w := newWatched(t, s, func(x *scene) redis.UniversalClient {
			return x.proxy.Connect(func(o *redis.Options) { o.Protocol, o.ReadTimeout = 2+i, readTimeout })
		})
		w.eventually("both were renewed", func() bool { return w.renewed.count(redislock.EventRenewed) >= 2 })
		w.proxy.Mute()
		asked, waited := w.deadlines()
		w.watch()
		w.inTime(asked, waited)
		w.proxy.Unmute()
		w.over(w.behind(2 + i))
	})
}

func TestI7AHolderWhoseServerIsPausedEndsBeforeItsLease(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for try := 1; ; try++ {
		w := newWatched(t, s, func(x *scene) redis.UniversalClient { return s.Connect() })
		w.eventually("both were renewed", func() bool { return w.renewed.count(redislock.EventRenewed) >= 4 })
		renewed := w.renewed.count(redislock.EventRenewed) // the next one is due after a third of the lease
		asked, waited := w.deadlines()
		s.Pause()
		w.watch()
		s.Resume()
		unknown := w.renewed.count(redislock.EventRenewed) > renewed // one was under way: the deadlines are later ones
		if !unknown {
			w.inTime(asked, waited)
		}
		w.over(w.look)
		if !unknown {
			return
		}
		if try == 10 {
			t.Fatal("ten times a renewal came between the look at the deadlines and the pause")
		}
	}
}
