package redislock_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// prefixer is a hook that puts the name of a tenant before each key, in place, which is the only way that hooks have. It can lose
// the answers of the next requests.
type prefixer struct {
	name string

	mu   sync.Mutex
	lose int
	seen []string // the keys that it was given
}

func (h *prefixer) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *prefixer) rewrite(cmd redis.Cmder) {
	args := cmd.Args()
	from, n := 1, 1
	switch args[0] {
	case "evalsha", "eval":
		from = 3
		n, _ = args[2].(int)
	case "hello", "client", "select", "ping", "publish":
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := from; i < from+n; i++ {
		h.seen = append(h.seen, args[i].(string))
		args[i] = h.name + args[i].(string)
	}
}

func (h *prefixer) lost() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lose == 0 {
		return nil
	}
	h.lose--
	return errors.New("the answer was lost")
}

func (h *prefixer) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.rewrite(cmd)
		if err := next(ctx, cmd); err != nil {
			return err
		}
		return h.lost()
	}
}

func (h *prefixer) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			h.rewrite(cmd)
		}
		if err := next(ctx, cmds); err != nil {
			return err
		}
		err := h.lost()
		if err != nil {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
		}
		return err
	}
}

func (e *env) ofTenant(h *prefixer) *redislock.Client {
	rdb := e.connect()
	rdb.AddHook(h)
	return e.over(rdb)
}

// I1: a hook that changes the arguments in place is given what was meant at every attempt: after an answer that was lost, and where
// the server did not know the script. So the lock of a tenant stays one lock.
func TestAHookIsGivenItsArgumentsAnewAtEveryAttempt(t *testing.T) {
	ctx := context.Background()
	run := func(context.Context) error { return nil }
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		h, other := &prefixer{name: "tenant:"}, &prefixer{name: "tenant:"}
		c, rival := e.ofTenant(h), e.ofTenant(other)
		losing := func(n int) {
			h.mu.Lock()
			h.lose = n
			h.mu.Unlock()
		}
		losing(2)
		l := e.acquire(c, "x", redislock.WithLease(10*time.Second)) // of a server without the scripts
		time.Sleep(100 * time.Millisecond)                          // renewals and the subscription's probe are under way
		if _, err := rival.TryAcquire(ctx, "x"); !errors.Is(err, redislock.ErrHeld) {
			t.Errorf("two holders: %v", err)
		}
		losing(1)
		time.Sleep(30 * time.Second) // renewals
		if err := l.Err(); err != nil {
			t.Error(err)
		}
		losing(1)
		e.release(l)
		losing(1)
		if first, err := c.FirstOf(ctx, []string{"a", "b", "c"}, time.Minute); err != nil || slices.Contains(first, false) {
			t.Errorf("FirstOf = %v, %v", first, err)
		}
		losing(1)
		w, err := c.AcquireWeak(ctx, "weak")
		if err != nil {
			t.Fatal(err)
		}
		losing(1)
		if err := w.Release(ctx); err != nil {
			t.Error(err)
		}
		losing(1)
		if err := c.Once(ctx, "job", run); err != nil {
			t.Error(err)
		}
		losing(1)
		if err := c.OnceReset(ctx, "job"); err != nil {
			t.Error(err)
		}
		held := e.acquire(rival, "y") // and what is handed over
		done := make(chan struct{})
		go func() {
			defer close(done)
			e.release(e.acquire(c, "y"))
		}()
		e.queued(c, "y", 1)
		losing(1)
		e.release(held)
		<-done
		for _, key := range e.mini.Keys() {
			if !strings.HasPrefix(key, "tenant:redislock:") {
				t.Errorf("a key is %q", key)
			}
		}
		for _, h := range []*prefixer{h, other} {
			for _, key := range h.seen {
				if !strings.HasPrefix(key, "redislock:") {
					t.Errorf("the hook was given the key %q", key)
				}
			}
		}
	})
}

// A hook may keep the commands that it sees: what it was given stays as it was.
func TestAHookMayKeepTheCommandsThatItSaw(t *testing.T) {
	embedded(t, 0, func(e *env, _ *fakenet.Network) {
		k := &keeper{}
		rdb := e.connect()
		rdb.AddHook(k)
		c := e.over(rdb)
		for i := range 20 {
			e.release(e.acquire(c, "x"+strconv.Itoa(i)))
		}
		for i, cmd := range k.kept {
			if textOf(cmd) != k.text[i] {
				t.Errorf("was %q, is %q", k.text[i], textOf(cmd))
			}
		}
	})
}

type keeper struct {
	mu   sync.Mutex
	kept []redis.Cmder
	text []string
}

func (k *keeper) DialHook(next redis.DialHook) redis.DialHook { return next }

func (k *keeper) keep(cmds ...redis.Cmder) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, cmd := range cmds {
		k.kept, k.text = append(k.kept, cmd), append(k.text, textOf(cmd))
	}
}

func (k *keeper) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		k.keep(cmd)
		return next(ctx, cmd)
	}
}

func (k *keeper) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		k.keep(cmds...)
		return next(ctx, cmds)
	}
}
