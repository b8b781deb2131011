package redislock_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

// Each server takes the line that is made for it, and locks need no more there.
func TestEachServerTakesTheRuleThatIsForIt(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"redis 6.0", "redis newest", "valkey newest", ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			as := servertest.Named(t, name)
			s := servertest.Start(as)
			rules, err := redislock.ACLFor(servertest.Version(as), "app")
			if err != nil {
				t.Fatal(err)
			}
			e := &env{T: t}
			user := s.AddUser("app", rules)
			a, b := e.over(s.Connect(user), redislock.WithPrefix("app")), e.over(s.Connect(user), redislock.WithPrefix("app"))
			held := e.acquire(a, "x")
			waits := make(chan *redislock.Lock)
			go func() { waits <- e.acquire(b, "x") }()
			e.queued(a, "x", 1)
			e.release(held)
			e.release(<-waits)
			if first, err := a.First(t.Context(), "x", time.Minute); err != nil || !first {
				t.Errorf("First: %v, %v", first, err)
			}
			if err := s.Connect(user).Get(t.Context(), "other").Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
				t.Errorf("another key: %v", err)
			}
			nothing, err := redislock.ACLFor(servertest.Version(as), "a{b")
			if err != nil {
				t.Fatal(err)
			}
			s.AddUser("nobody", nothing)
		})
	}
}

func TestTheRuleSaysForWhichServerItIs(t *testing.T) {
	for server, lacks := range map[string]string{
		"redis 6.0": "& resetchannels spublish ssubscribe sunsubscribe", "redis 6.2.14": "spublish ssubscribe sunsubscribe",
		"redis 7.0.15": "", "redis 8.6": "", "redis 10.0.1": "", "valkey 8.1": "", "valkey 9.1.2": "",
	} {
		rule, err := redislock.ACLFor(server, "app")
		if err != nil || (rule == redislock.ACL("app")) != (lacks == "") {
			t.Errorf("%s: %q, %v", server, rule, err)
		}
		for _, word := range strings.Fields(lacks) {
			if strings.Contains(rule, word) {
				t.Errorf("%s: %q has %s", server, rule, word)
			}
		}
	}
	for server, want := range map[string]error{"redis 5.0.14": redislock.ErrServer, "redis": redislock.ErrInvalid, "7.0": redislock.ErrInvalid, "keydb 6.3": redislock.ErrInvalid} {
		if rule, err := redislock.ACLFor(server, "app"); !errors.Is(err, want) || rule != "" {
			t.Errorf("%q: %q, %v", server, rule, err)
		}
	}
}

// Valkey has Lua in a module from 9.1 on. Where that is missing, each call says so at once, and by name.
func TestAServerWithoutLuaIsAnErrorThatNamesThePackage(t *testing.T) {
	t.Parallel()
	s := servertest.Start(servertest.Named(t, "valkey newest"), "--enable-module-command", "yes")
	if err := s.Admin().Do(t.Context(), "module", "unload", "lua").Err(); err != nil {
		t.Fatal(err)
	}
	c := (&env{T: t}).over(s.Connect())
	start := time.Now()
	for call, do := range map[string]func(context.Context) error{
		"Acquire": func(ctx context.Context) error { return second(c.Acquire(ctx, "x")) },
		"Inspect": func(ctx context.Context) error { return second(c.Inspect(ctx, "x")) },
		"Elect":   func(ctx context.Context) error { return c.Elect(ctx, "x", idle) },
		"the release of a weak lock": func(ctx context.Context) error { // which is taken without a script, as First is
			l, err := c.AcquireWeak(ctx, "x")
			if err != nil {
				return err
			}
			return l.Release(ctx)
		},
	} {
		if err := do(t.Context()); !errors.Is(err, redislock.ErrServer) || !strings.Contains(err.Error(), "libvalkeylua.so") {
			t.Errorf("%s: %v", call, err)
		}
	}
	if took := time.Since(start); took > patience {
		t.Errorf("it took %v to say so", took)
	}
}
