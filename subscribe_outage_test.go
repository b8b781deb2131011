package redislock_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

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

// A cluster tells of each master once.
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
