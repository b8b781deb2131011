package redislock_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

// halfDown is a hook that behaves as a cluster of which one master is down: that of the keys with "down" in them.
type halfDown struct{ answer error }

func (h halfDown) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h halfDown) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.Contains(textOf(cmd), "down") {
			return h.answer
		}
		return next(ctx, cmd)
	}
}

func (h halfDown) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		up := slices.DeleteFunc(slices.Clone(cmds), func(cmd redis.Cmder) bool { return strings.Contains(textOf(cmd), "down") })
		if len(up) > 0 {
			_ = next(ctx, up)
		}
		if len(up) == len(cmds) {
			return nil
		}
		for _, cmd := range cmds {
			if !slices.Contains(up, cmd) {
				cmd.SetErr(h.answer)
			}
		}
		return h.answer
	}
}

// I11: while one master of a cluster is down WithFailOpen says yes for its keys alone. What the others said stays.
func TestFailOpenKeepsTheAnswersThatAreKnown(t *testing.T) {
	ctx := context.Background()
	for _, answer := range []error{io.EOF, refusal("CLUSTERDOWN Hash slot not served")} {
		embedded(t, 0, func(e *env, _ *fakenet.Network) {
			told := &recorder{}
			rdb := e.connect()
			c := e.over(rdb, redislock.WithObserver(told))
			if first, err := c.First(ctx, "old", time.Hour); err != nil || !first {
				t.Fatal(first, err)
			}
			rdb.AddHook(halfDown{answer})
			first, err := c.FirstOf(ctx, []string{"old", "down", "new", "old", "down", "new"}, time.Hour, redislock.WithFailOpen())
			if err != nil || !slices.Equal(first, []bool{false, true, true, false, false, false}) {
				t.Errorf("FirstOf = %v, %v", first, err)
			}
			for _, event := range told.events {
				if event.Kind == redislock.EventFailOpen && event.Name != "down" {
					t.Errorf("fail-open of %q, which has an answer", event.Name)
				}
			}
			if n := told.count(redislock.EventFailOpen); n != 2 {
				t.Errorf("%d times fail-open", n)
			}
			first, err = c.FirstOf(ctx, []string{"newer", "down"}, time.Hour)
			if err == nil || first != nil {
				t.Errorf("without WithFailOpen: %v, %v", first, err)
			}
		})
	}
	embedded(t, 0, func(e *env, _ *fakenet.Network) { // a refusal of the client itself is none of it, whatever comes beside it
		rdb := e.connect()
		c := e.over(rdb)
		rdb.AddHook(halfDown{refusal("NOPERM User app has no permissions to run the 'set' command")})
		for _, keys := range [][]string{{"up", "down"}, {"down", "up"}} {
			if first, err := c.FirstOf(ctx, keys, time.Hour, redislock.WithFailOpen()); err == nil || first != nil {
				t.Errorf("FirstOf = %v, %v", first, err)
			}
		}
	})
}
