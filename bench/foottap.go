package main

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// scriptTap copies the script calls that a client of go-redis sends while it is open, and counts the requests that carry
// them.
type scriptTap struct {
	open     atomic.Bool
	mu       sync.Mutex
	calls    [][]any
	requests int
}

func (t *scriptTap) note(cmds ...redis.Cmder) {
	if !t.open.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	scripts := 0
	for _, cmd := range cmds {
		if args := cmd.Args(); len(args) > 0 && args[0] == "evalsha" {
			t.calls = append(t.calls, args)
			scripts++
		}
	}
	if scripts > 0 {
		t.requests++
	}
}

// reset drops all copies, and opens the tap.
func (t *scriptTap) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls, t.requests = nil, 0
	t.open.Store(true)
}

func (t *scriptTap) seen() (calls [][]any, requests int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calls, t.requests
}

func (t *scriptTap) DialHook(next redis.DialHook) redis.DialHook { return next }

func (t *scriptTap) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		t.note(cmd)
		return next(ctx, cmd)
	}
}

func (t *scriptTap) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		t.note(cmds...)
		return next(ctx, cmds)
	}
}
