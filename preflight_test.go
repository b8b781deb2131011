package redislock_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/fence"
	"example.com/redislock/internal/fakenet"
	"example.com/redislock/internal/servertest"
)

// odd are prefixes with characters that have a meaning in a pattern of Redis, each with another prefix that it would
// match as a pattern.
var odd = map[string]string{
	"app":     "apple",
	"team[1]": "team1",
	"a?":      "ab",
	"b*":      "b/other",
	`c\d`:     "cd",
	"e[^x]":   "ey",
	"*":       "all",
	`\`:       `\\`,
	`q"'`:     "q",
}

// belong are a key of each kind and the channels that a Client with this prefix uses.
func belong(prefix string) (keys, channels []string) {
	for _, kind := range []string{"", ":w", ":d", ":r"} {
		keys = append(keys, prefix+kind+":{name}")
	}
	wake := prefix + ":c:" + strings.Repeat("x", 22)
	return append(keys, prefix+":{%}", prefix+":{name}:fence"), []string{prefix + ":n", prefix + ":n:{name}", wake, wake + ":{name}"}
}

// allowed is what the server says of a user: whether it may use a key, or publish on a channel.
func allowed(t *testing.T, admin *redis.Client, user, key, channel string) bool {
	t.Helper()
	args := []any{"acl", "dryrun", user, "get", key}
	if channel != "" {
		args = []any{"acl", "dryrun", user, "publish", channel, "x"}
	}
	said, err := admin.Do(t.Context(), args...).Text()
	if err != nil {
		t.Fatal(err)
	}
	return said == "OK"
}

func TestTheACLGrantsWhatThePrefixHasAndNothingElse(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for prefix, other := range odd {
		s.AddUser("app", redislock.ACL(prefix))
		check := func(of string, want bool) {
			t.Helper()
			keys, channels := belong(of)
			for _, key := range keys {
				if allowed(t, s.Admin(), "app", key, "") != want {
					t.Errorf("ACL(%q): the key %q: granted is %v", prefix, key, !want)
				}
			}
			for _, channel := range channels {
				if allowed(t, s.Admin(), "app", "", channel) != want {
					t.Errorf("ACL(%q): the channel %q: granted is %v", prefix, channel, !want)
				}
			}
		}
		check(prefix, true)
		for _, neighbour := range []string{
			other, prefix + "x", "x" + prefix, prefix + ":sub", prefix + ":c", prefix + ":n", prefix + ":w:sub", prefix + ":",
			prefix + ":c:" + strings.Repeat("x", 20), prefix + ":c:" + strings.Repeat("x", 22),
		} {
			check(neighbour, false)
		}
		// Each pattern is for something.
		rule := redislock.ACL(prefix)
		for _, pattern := range strings.Fields(rule) {
			if !strings.ContainsAny(pattern[:1], "~&") {
				continue
			}
			s.AddUser("less", strings.Replace(rule+" ", " "+pattern+" ", " ", 1))
			keys, channels := belong(prefix)
			refused := 0
			for _, key := range keys {
				if !allowed(t, s.Admin(), "less", key, "") {
					refused++
				}
			}
			for _, channel := range channels {
				if !allowed(t, s.Admin(), "less", "", channel) {
					refused++
				}
			}
			if refused == 0 {
				t.Errorf("ACL(%q): without %s all is granted all the same", prefix, pattern)
			}
		}
	}
}

func TestAnyPrefixWorksUnderItsOwnRule(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	ctx := context.Background()
	for prefix := range odd {
		e := &env{T: t}
		as := s.AddUser("app", redislock.ACL(prefix))
		a, b := e.over(s.Connect(as), redislock.WithPrefix(prefix)), e.over(s.Connect(as), redislock.WithPrefix(prefix))
		held := e.acquire(a, "x")
		waits := make(chan *redislock.Lock)
		go func() { waits <- e.acquire(b, "x") }()
		e.queued(a, "x", 1)
		e.release(held)
		e.release(<-waits)
		if first, err := a.First(ctx, "x", time.Minute); err != nil || !first {
			t.Errorf("%q: First: %v, %v", prefix, first, err)
		}
		weak, err := a.AcquireWeak(ctx, "x")
		if err != nil {
			t.Fatal(err)
		}
		if err := weak.Release(ctx); err != nil {
			t.Errorf("%q: %v", prefix, err)
		}
		if err := a.Once(ctx, "x", func(context.Context) error { return nil }); err != nil {
			t.Errorf("%q: Once: %v", prefix, err)
		}
		register, err := fence.NewRedis(s.Connect(as), fence.WithPrefix(prefix))
		if err == nil {
			err = register.Accept(ctx, "x", 1)
		}
		if err != nil {
			t.Errorf("%q: a register: %v", prefix, err)
		}
		operator := e.over(s.Connect(s.AddUser("operator", redislock.ACL(prefix)+" +scan")), redislock.WithPrefix(prefix))
		if all := e.list(operator, ""); len(all) != 2 { // and that of Once
			t.Errorf("%q: %d locks are listed", prefix, len(all))
		}
	}
}

// A prefix that New refuses has no keys, and could inject anything into a rule.
func TestTheRuleOfAPrefixThatCannotBeGrantsNothing(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for _, prefix := range []string{"", "x ~* +@all", "x\t&*", "a{b", "app:w", strings.Repeat("x", 129)} {
		if c, err := redislock.New(s.Connect(), redislock.WithPrefix(prefix)); err == nil {
			t.Errorf("New takes the prefix %q", prefix)
			_ = c.Close(t.Context())
		}
		s.AddUser("app", "+@all ~* &* "+redislock.ACL(prefix))
		keys, channels := belong(prefix)
		for _, key := range append(keys, "x", "other") {
			if allowed(t, s.Admin(), "app", key, "") {
				t.Errorf("ACL(%q): the key %q is granted", prefix, key)
			}
		}
		for _, channel := range append(channels, "x") {
			if allowed(t, s.Admin(), "app", "", channel) {
				t.Errorf("ACL(%q): the channel %q is granted", prefix, channel)
			}
		}
	}
}

func preflights(n *atomic.Int64, fail *atomic.Bool) *tap {
	return &tap{before: func(text string) error {
		if !strings.Contains(text, digest("preflight")) && !strings.Contains(text, "local refused") {
			return nil
		}
		if fail.Load() {
			return io.EOF
		}
		n.Add(1)
		return nil
	}}
}

// All callers that take a first lock at the same time share one preflight.
func TestAThousandFirstAcquiresSendOnePreflight(t *testing.T) {
	t.Parallel()
	embedded(t, 5*time.Millisecond, func(e *env, _ *fakenet.Network) {
		var sent atomic.Int64
		var fail atomic.Bool
		warm := e.client() // so that the server knows the scripts
		e.release(e.acquire(warm, "warm"))
		c := e.tapped(preflights(&sent, &fail))
		var all sync.WaitGroup
		for i := range 1000 {
			all.Go(func() { e.release(e.acquire(c, strconv.Itoa(i))) })
		}
		all.Wait()
		if n := sent.Load(); n != 1 {
			e.Errorf("%d preflights", n)
		}
	})
}

// A caller that shares a preflight waits for it only until its context ends. After a failed preflight the next acquire makes
// another.
func TestAPreflightHoldsNobodyLongerThanItsContext(t *testing.T) {
	ctx := context.Background()
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		var sent atomic.Int64
		var fail atomic.Bool
		c := e.tapped(preflights(&sent, &fail))
		n.Cut()
		first := make(chan error, 1)
		go func() { first <- second(c.Acquire(ctx, "a")) }()
		time.Sleep(time.Millisecond)
		bounded, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		begun := time.Now()
		if _, err := c.Acquire(bounded, "b"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 50*time.Millisecond {
			e.Errorf("after %v: %v", time.Since(begun), err)
		}
		begun = time.Now()
		if _, err := c.Acquire(ctx, "b", redislock.WithWait(70*time.Millisecond)); err == nil || time.Since(begun) != 70*time.Millisecond {
			e.Errorf("after %v: %v", time.Since(begun), err)
		}
		fail.Store(true)
		n.Mend()
		if err := <-first; err == nil {
			e.Error("a lock without a preflight")
		}
		if _, err := c.Acquire(ctx, "a"); !errors.Is(err, io.EOF) {
			e.Errorf("the next has %v", err)
		}
		fail.Store(false)
		e.release(e.acquire(c, "a"))
		before := sent.Load()
		e.release(e.acquire(c, "b"))
		if sent.Load() != before {
			e.Error("a preflight that had passed was made again")
		}
	})
}

// A hook of the Redis client may end the goroutine that it is called on. The one caller has an error, the next one a lock.
func TestAPreflightThatIsCutShortBlocksNobody(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		first := once(e.T)
		c := e.tapped(&tap{before: func(text string) error {
			if strings.Contains(text, digest("preflight")) && first() {
				runtime.Goexit()
			}
			return nil
		}})
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := c.Acquire(ctx, "x"); err == nil || ctx.Err() != nil {
			e.Errorf("the first caller: %v", err)
		}
		l, err := c.Acquire(ctx, "x")
		if err != nil {
			e.Fatalf("the next caller: %v", err)
		}
		e.release(l)
	})
}

// Redis before 6.0 has no setresp in Lua. It is refused before a lock depends on it.
func TestAServerOlderThanRedis6IsRefusedWithWords(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		c := e.tapped(&tap{change: func(args []any) {
			for i, arg := range args {
				if text, ok := arg.(string); ok && strings.Contains(text, "redis.setresp") {
					args[i] = "local redis = {pcall = redis.pcall}\n" + text
				}
			}
		}})
		_, err := c.Acquire(context.Background(), "x")
		if !errors.Is(err, redislock.ErrServer) || !strings.Contains(err.Error(), "older than Redis 6.0") || errors.Is(err, redislock.ErrPermission) {
			e.Errorf("%v", err)
		}
	})
}

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

// Valkey has Lua in a module from 9.1 on. If the module is missing, each call says so at once, and by name.
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

func TestCheckIsContentWithAServerThatServesLocks(t *testing.T) {
	both(t, func(e *env) {
		c := e.client()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		for range 2 {
			if err := c.Check(ctx); err != nil {
				e.Error(err)
			}
		}
		for info, err := range c.List(ctx, "*") {
			if !errors.Is(err, redislock.ErrPermission) { // a topology's user may not scan
				e.Errorf("it left %v behind (%v)", info, err)
			}
		}
		e.release(e.acquire(c, "x"))
	})
}

func TestCheckNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	e := &env{T: t}
	ctx := context.Background()
	for _, missing := range []string{"hset", "publish", "expireat", "subscribe", "evalsha"} {
		as := s.AddUser("app", redislock.ACL(redislock.DefaultPrefix)+" -"+missing)
		err := e.over(s.Connect(as)).Check(ctx)
		if !errors.Is(err, redislock.ErrPermission) || !strings.Contains(err.Error(), missing) {
			t.Errorf("without the right to %s: %v", missing, err)
		}
	}
	c := e.over(s.Connect(s.AddUser("app", redislock.ACL(redislock.DefaultPrefix))))
	if err := c.Check(ctx); err != nil {
		t.Error(err)
	}
	if err := s.Admin().ConfigSet(ctx, "min-replicas-to-write", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := c.Check(ctx); err == nil || !strings.Contains(err.Error(), "NOREPLICAS") {
		t.Errorf("where nothing can be written: %v", err)
	}
}

func TestCheckOfAServerThatIsGoneEndsWithItsContext(t *testing.T) {
	embedded(t, 0, func(e *env, n *fakenet.Network) {
		c := e.client()
		n.Cut()
		defer n.Mend()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		began := time.Now()
		if err := c.Check(ctx); err == nil || errors.Is(err, redislock.ErrPermission) || time.Since(began) > time.Second {
			e.Errorf("%v after %v", err, time.Since(began))
		}
		if err := c.Check(ctx); !errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("under a context that has ended: %v", err)
		}
		var nothing context.Context
		if err := c.Check(nothing); !errors.Is(err, redislock.ErrInvalid) {
			e.Error(err)
		}
	})
}

func TestCheckOfAClientThatTakesNoLocksSaysSo(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		ctx := context.Background()
		c := e.client()
		if err := errors.Join(c.Check(ctx), c.Drain(ctx)); err != nil {
			e.Error(err)
		}
		if err := c.Check(ctx); !errors.Is(err, redislock.ErrDraining) {
			e.Error(err)
		}
		if err := c.Close(ctx); err != nil {
			e.Error(err)
		}
		if err := c.Check(ctx); !errors.Is(err, redislock.ErrClosed) || errors.Is(err, redislock.ErrDraining) {
			e.Error(err)
		}
	})
}

// A refusal by one master of a cluster is found, and the master is named.
func TestCheckAsksEachMasterOfACluster(t *testing.T) {
	t.Parallel()
	cluster := servertest.StartCluster(t, 3)
	e := &env{T: t}
	ctx := context.Background()
	var user redis.Options
	for _, s := range cluster.Masters {
		s.AddUser("app", redislock.ACL(redislock.DefaultPrefix))(&user)
	}
	c := e.over(cluster.Connect(func(o *redis.ClusterOptions) { o.Username, o.Password = user.Username, user.Password }))
	if err := c.Check(ctx); err != nil {
		t.Fatal(err)
	}
	for _, missing := range []string{"hset", "spublish"} {
		one := cluster.Masters[1]
		one.AddUser("app", redislock.ACL(redislock.DefaultPrefix)+" -"+missing)
		err := c.Check(ctx)
		if !errors.Is(err, redislock.ErrPermission) || !strings.Contains(err.Error(), missing) || strings.Count(err.Error(), one.Addr()) != 1 {
			t.Errorf("where one master refuses %s: %v", missing, err)
		}
	}
}
