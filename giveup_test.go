package redislock_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// refusing makes the embedded server refuse everything, or nothing.
func (e *env) refusing(answer string) { e.mini.SetError(answer) }

// A release that the server refuses for a while is tried again for a minute: the lock does not stay for its lease.
func TestAReleaseThatIsRefusedForAWhileIsTriedAgainForAMinute(t *testing.T) {
	for _, answer := range []string{
		"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
		"NOAUTH Authentication required.",
		"WRONGPASS invalid username-password pair or user is disabled.",
		"NOPERM User app has no permissions to run the 'evalsha' command",
		"ERR ACL failure in script: User app has no permissions to run the 'hdel' command",
		"OOM command not allowed when used memory > 'maxmemory'.",
		"LOADING Redis is loading the dataset in memory",
		"EXECABORT Transaction discarded because of previous errors.",
		"ERR max number of clients reached",
		"ERR upstream failure",
	} {
		code, _, _ := strings.Cut(strings.TrimPrefix(answer, "ERR "), " ")
		t.Run(code, func(t *testing.T) {
			embedded(t, 0, func(e *env, _ *fakenet.Network) {
				c := e.client()
				for what, end := range map[string]func(*redislock.Lock) error{
					"Release":      func(l *redislock.Lock) error { return l.Release(context.Background()) },
					"ReleaseAfter": func(l *redislock.Lock) error { return l.ReleaseAfter(context.Background(), time.Second) },
				} {
					l := e.acquire(c, "x", redislock.WithLease(24*time.Hour))
					e.refusing(answer)
					if err := end(l); err == nil || !strings.Contains(err.Error(), answer) {
						t.Errorf("%s = %v, want what the server said", what, err)
					}
					time.Sleep(50 * time.Second)
					e.refusing("")
					time.Sleep(5 * time.Second)
					if l, err := c.TryAcquire(context.Background(), "x"); err != nil {
						t.Errorf("5 s after the server works again: %v", err)
					} else {
						e.release(l)
					}
				}
			})
		})
	}
}

// What a server can never do is not asked of it for a minute.
func TestAReleaseThatIsRefusedForGoodIsNotTriedAgain(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		var sent atomic.Int64
		c := e.tapped(&tap{before: func(text string) error {
			if strings.Contains(text, digest("release")) || strings.Contains(text, "hdel") {
				sent.Add(1)
			}
			return nil
		}})
		l := e.acquire(c, "x", redislock.WithLease(time.Minute))
		e.refusing("ERR unknown command 'evalsha', with args beginning with: ")
		if err := l.Release(context.Background()); err == nil {
			t.Error("released")
		}
		time.Sleep(50 * time.Second)
		if n := sent.Load(); n > 2 {
			t.Errorf("%d releases were sent", n)
		}
		e.refusing("")
		time.Sleep(time.Minute)
	})
}
