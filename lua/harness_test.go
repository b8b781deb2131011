package lua_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/conformance"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/servertest"
	"example.com/redislock/lua"
)

// bench runs the scripts directly, without a Client and without waits. On the embedded server its clock can be set.
type bench struct {
	*testing.T
	rdb  *redis.Client
	mini *miniredis.Miniredis
	now  time.Time
	key  string

	listener *conformance.Listener // of the embedded one
}

// scripts runs a test of the scripts on the embedded server and on a real one.
func scripts(t *testing.T, test func(b *bench)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { test(embeddedBench(t)) })
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		test(&bench{T: t, rdb: servertest.Start(t).Connect(), key: "redislock:{k}"})
	})
}

func embeddedBench(t *testing.T) *bench {
	m := miniredis.RunT(t)
	b := &bench{T: t, mini: m, rdb: redis.NewClient(&redis.Options{Addr: m.Addr()}), key: "redislock:{k}"}
	b.listener = conformance.Listen(m, func(err error) { t.Error(err) })
	t.Cleanup(func() { _ = b.rdb.Close() })
	b.set(time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC))
	return b
}

// set sets the clock of the embedded server. When it moves forward, keys expire.
func (b *bench) set(now time.Time) {
	if b.mini == nil {
		b.Fatal("the clock of a real server cannot be set")
	}
	if !b.now.IsZero() && now.After(b.now) {
		b.mini.FastForward(now.Sub(b.now))
	}
	b.now = now
	b.mini.SetTime(now)
}

func (b *bench) pass(d time.Duration) {
	if b.mini == nil {
		time.Sleep(d)
		return
	}
	b.set(b.now.Add(d))
}

func (b *bench) eval(s *lua.Script, args ...any) any {
	b.Helper()
	value, err := b.rdb.Eval(context.Background(), s.Text, []string{b.key}, args...).Result()
	if err != nil {
		b.Fatalf("%s %q: %v", s.Name, args, err)
	}
	return value
}

// request is a request of a caller, with the standard retention of 4600 s.
func (b *bench) request(lease time.Duration, keep int, wait, channel string) string {
	return b.requestIn(exclusive, 1, lease, keep, wait, channel)
}

func (b *bench) requestIn(m protocol.Mode, weight int, lease time.Duration, keep int, wait, channel string) string {
	r := protocol.Request{
		Lease: lease, Keep: time.Duration(keep) * time.Second, Nonce: "nonce-nonce-nonc", Wait: wait, Channel: channel, Mode: m.Line(weight, ""),
	}
	return string(r.AppendTo(nil)) + channel + "\n\n0\n"
}

func (b *bench) acquire(token string, lease time.Duration, mode, channel string, more ...any) protocol.Reply {
	b.Helper()
	return b.parse(b.eval(lua.Acquire, append([]any{pad(token), b.request(lease, 4600, mode, channel)}, more...)...))
}

func (b *bench) parse(value any) protocol.Reply {
	b.Helper()
	r, err := protocol.ParseReply(value)
	if err != nil {
		b.Fatal(err)
	}
	if r.Status == "" {
		r.Status = "granted"
	}
	return r
}

func (b *bench) confirm(token, floor, seen string) protocol.Reply {
	b.Helper()
	return b.parse(b.eval(lua.Confirm, pad(token), floor, seen))
}

func (b *bench) release(token string, more ...any) string {
	b.Helper()
	what, _, _, err := protocol.ParseRelease(b.eval(lua.Release, append([]any{pad(token)}, more...)...))
	if err != nil {
		b.Fatal(err)
	}
	return what
}

func (b *bench) check(channel, mode string, tokens ...string) []string {
	b.Helper()
	args := []any{channel, mode, ""}
	for _, token := range tokens {
		args = append(args, pad(token))
	}
	f, err := protocol.FieldsOf(b.eval(lua.Check, args...))
	if err != nil {
		b.Fatal(err)
	}
	var found []string
	for i := range tokens {
		text := f.Text(8 + i)
		if len(text) == 40 {
			text = "granted"
		}
		found = append(found, text)
	}
	return found
}

func (b *bench) dump() map[string]string {
	return b.rdb.HGetAll(context.Background(), b.key).Val()
}

// owner is the token that holds the lock, without its padding, or "".
func (b *bench) owner() string {
	b.Helper()
	f, err := protocol.FieldsOf(b.eval(lua.Inspect, 1))
	if err != nil {
		b.Fatal(err)
	}
	if f.Int(4) == 0 {
		return ""
	}
	return strings.TrimRight(f.Text(8), ".")
}

// subscribe listens on a channel and never answers: a receiver that the server counts.
func (b *bench) subscribe(channel string) *redis.PubSub {
	b.Helper()
	ps := b.rdb.Subscribe(context.Background(), channel)
	if _, err := ps.Receive(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = ps.Close() })
	return ps
}

func pad(token string) string { return token + strings.Repeat(".", 22-len(token)) }

// The common modes, as they are sent to Redis.
var (
	exclusive = protocol.Mode{}
	read      = protocol.Mode{Name: "read", Rules: "read=*"}
	write     = protocol.Mode{Name: "write", Rules: "-"}
)

func semaphore(n int) protocol.Mode {
	return protocol.Mode{Name: "semaphore", Rules: "semaphore=*", Capacity: n}
}

// unlessShort is the first number, or the second with -short, as in `make quick`.
func unlessShort(all, few int) int {
	if testing.Short() {
		return few
	}
	return all
}
