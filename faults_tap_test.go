package redislock_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
)

// tap is a hook of a connection: it can wait or fail before a request leaves, and after its answer has come.
type tap struct {
	before, after func(text string) error
}

func (h *tap) DialHook(next redis.DialHook) redis.DialHook { return next }

func textOf(cmds ...redis.Cmder) string {
	var text strings.Builder
	for _, cmd := range cmds {
		fmt.Fprintln(&text, cmd.Args()...)
	}
	return text.String()
}

func (h *tap) run(cmds []redis.Cmder, next func() error) error {
	text := textOf(cmds...)
	if h.before != nil {
		if err := h.before(text); err != nil {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
			return err
		}
	}
	err := next()
	if h.after != nil {
		if failed := h.after(text); failed != nil {
			for _, cmd := range cmds {
				cmd.SetErr(failed)
			}
			return failed
		}
	}
	return err
}

func (h *tap) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return h.run([]redis.Cmder{cmd}, func() error { return next(ctx, cmd) })
	}
}

func (h *tap) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return h.run(cmds, func() error { return next(ctx, cmds) })
	}
}

// tapped is an instance whose requests pass a tap.
func (e *env) tapped(h *tap, opts ...redislock.ClientOption) *redislock.Client {
	rdb := e.connect()
	rdb.AddHook(h)
	return e.over(rdb, opts...)
}

// digest is how a script shows in a request.
func digest(script string) string {
	d, _ := redislock.Script(script)
	return d
}

// first reports true once.
func once(t *testing.T) func() bool {
	var mu sync.Mutex
	done := false
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		was := done
		done = true
		return !was
	}
}

// isLook reports whether a request reads the record of a lock.
func isLook(text, name string) bool {
	return strings.Contains(text, digest("recall")) && strings.Contains(text, ":r:{"+name+"}")
}
