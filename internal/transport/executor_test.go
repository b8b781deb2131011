package transport

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/backend"
	"example.com/redislock/internal/tracker"
	"example.com/redislock/lua"
)

// gate is a hook of a Redis client that answers requests only when it is told to. Nothing reaches a server.
type gate struct {
	mu    sync.Mutex
	under []underGate
}

// underGate is a request that was sent: one command or a pipeline.
type underGate struct {
	calls int
	open  chan struct{}
}

func (g *gate) DialHook(next redis.DialHook) redis.DialHook { return next }

func (g *gate) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		g.pass(1)
		cmd.(Command).SetVal("OK")
		return nil
	}
}

func (g *gate) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(_ context.Context, cmds []redis.Cmder) error {
		g.pass(len(cmds))
		for _, cmd := range cmds {
			cmd.(Command).SetVal("OK")
		}
		return nil
	}
}

func (g *gate) pass(calls int) {
	open := make(chan struct{})
	g.mu.Lock()
	g.under = append(g.under, underGate{calls, open})
	g.mu.Unlock()
	<-open
}

// left is the number of calls in each request that is under way.
func (g *gate) left() (calls []int) {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.under {
		calls = append(calls, r.calls)
	}
	return calls
}

// answer answers the oldest n requests.
func (g *gate) answer(n int) {
	g.mu.Lock()
	for _, r := range g.under[:n] {
		close(r.open)
	}
	g.under = g.under[n:]
	g.mu.Unlock()
	synctest.Wait()
}

func TestFewCallsLeaveAloneAndManyTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		rdb := redis.NewClient(&redis.Options{Addr: "192.0.2.1:6379"})
		defer rdb.Close()
		rdb.AddHook(g)
		transport := New(rdb, backend.Backend{Single: rdb}, &tracker.Tracker{}, nil, nil, func(error) {})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var all sync.WaitGroup
		call := func(n int) {
			for range n {
				all.Go(func() {
					if a := transport.Ask(ctx, nil, lua.Check, "key"); a.Err != nil {
						t.Error(a.Err)
					}
				})
				synctest.Wait()
			}
		}
		want := func(calls ...int) {
			t.Helper()
			if left := g.left(); !slices.Equal(left, calls) {
				t.Errorf("under way are requests of %v calls, want %v", left, calls)
			}
		}
		call(20)
		want(1, 1, 1, 1)
		g.answer(2)
		want(1, 1)
		g.answer(1)
		want(1, 16)
		g.answer(2)
		for range 3 { // the last requests had many calls each
			call(4)
			want(1, 1)
			g.answer(1)
			want(1, 2)
			g.answer(2)
		}
		call(5) // this one has few
		want(1, 1, 1, 1)
		time.Sleep(batchAge) // a request that is stuck holds up nothing
		want(1, 1, 1, 1, 1)
		g.answer(5)
		all.Wait()
	})
}
