package servertest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/servertest"
)

func TestAKilledServerWithAppendOnlyFileKeepsWhatItWrote(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, when := range []string{"always", "everysec"} {
		s := servertest.Start(t, "--appendonly", "yes", "--appendfsync", when)
		rdb := s.Connect()
		for i := range 100 {
			rdb.Set(ctx, fmt.Sprint("k", i), "v", 0)
		}
		s.Kill() // only the process ends: data that it gave to the system is not lost
		s.Restart()
		if n, err := s.Connect().DBSize(ctx).Result(); n != 100 || err != nil {
			t.Errorf("%s: %d keys, %v", when, n, err)
		}
	}
}

func TestAServerBehindTLSGrantsItsUserExactlyItsRules(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := servertest.StartTLS(t, "-@all +hello +ping +set +get ~mine:* resetchannels")
	for _, protocol := range []int{2, 3} {
		rdb := s.Connect(func(o *redis.Options) { o.Protocol = protocol })
		if err := rdb.Set(ctx, "mine:k", "v", 0).Err(); err != nil {
			t.Errorf("RESP%d: SET: %v", protocol, err)
		}
		if err := rdb.Del(ctx, "mine:k").Err(); !redis.HasErrorPrefix(err, "NOPERM") {
			t.Errorf("RESP%d: DEL: %v", protocol, err)
		}
		if err := rdb.Get(ctx, "yours:k").Err(); !redis.HasErrorPrefix(err, "NOPERM") {
			t.Errorf("RESP%d: GET of another's key: %v", protocol, err)
		}
	}
	if got := s.Admin().Get(ctx, "mine:k").Val(); got != "v" {
		t.Errorf("the operator sees %q", got)
	}
	if err := s.Connect(func(o *redis.Options) { o.Username, o.Password = "", "" }).Ping(ctx).Err(); err == nil {
		t.Error("the default user is let in")
	}
	if err := s.Connect(func(o *redis.Options) { o.TLSConfig = nil }).Ping(ctx).Err(); err == nil {
		t.Error("it answers without TLS")
	}
	if err := s.Connect(func(o *redis.Options) { o.TLSConfig.RootCAs = nil }).Ping(ctx).Err(); err == nil {
		t.Error("its certificate is accepted without its authority")
	}
	s.Restart()
	if err := s.Connect().Ping(ctx).Err(); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

func TestAUserThatIsAddedHasExactlyItsRules(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := servertest.Start(t)
	rdb := s.Connect(s.AddUser("app", "+get ~mine:*"))
	if err := rdb.Get(ctx, "mine:k").Err(); err != redis.Nil {
		t.Errorf("GET: %v", err)
	}
	if err := rdb.Set(ctx, "mine:k", "v", 0).Err(); !redis.HasErrorPrefix(err, "NOPERM") {
		t.Errorf("SET: %v", err)
	}
}

func TestTheClockOfAServerIsSetWhileItRuns(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := servertest.StartWithClock(t)
	rdb := s.Connect()
	// ahead fails unless the server's clock is this far ahead of ours, give or take the time of the request.
	ahead := func(want time.Duration) {
		t.Helper()
		before := time.Now()
		now, err := rdb.Time(ctx).Result()
		after := time.Now()
		if err != nil {
			t.Fatal(err)
		}
		if now.Before(before.Add(want).Truncate(time.Microsecond)) || now.After(after.Add(want)) {
			t.Errorf("it is ahead by %v to %v, want %v", now.Sub(after), now.Sub(before), want)
		}
		script, err := rdb.Eval(ctx, "return redis.call('TIME')[1]", nil).Int64()
		if at := time.Unix(script, 0); err != nil || at.Before(before.Add(want-time.Second)) || at.After(time.Now().Add(want)) {
			t.Errorf("in a script it is %v, %v", at, err)
		}
	}
	ahead(0)
	rdb.Set(ctx, "k", "v", 30*time.Minute)
	for _, step := range []time.Duration{-time.Hour, 0, -1500 * time.Millisecond, time.Hour} {
		s.SetClock(step)
		ahead(step)
	}
	eventually(t, "what expires by the clock has expired", func() bool { return rdb.Exists(ctx, "k").Val() == 0 })

	s.Restart()
	ahead(time.Hour)
}
