package redislock

import (
	"context"
	"testing"
	"time"

	"example.com/redislock/internal/servertest"
)

func TestAChannelThatNobodyWaitsForIsForgotten(t *testing.T) {
	t.Parallel()
	cluster := servertest.StartCluster(t, 3)
	ctx := t.Context()
	c, err := New(cluster.Connect())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	c.start()
	subscribed := func() (n int) {
		for _, m := range cluster.Masters {
			n += len(m.Connect().PubSubShardChannels(ctx, "*").Val())
		}
		return n
	}
	rest := func(names ...string) { // nobody has used them for a while
		c.shards.mu.Lock()
		defer c.shards.mu.Unlock()
		for _, name := range names {
			c.shards.topics[name].used = time.Now().Add(-2 * topicRest)
		}
	}
	for range 2 { // forgotten, it can be subscribed again
		for _, name := range []string{"a", "b", "c", "d"} {
			if alone, err := c.listen(ctx, name); alone || err != nil {
				t.Fatal(alone, err)
			}
		}
		w := c.addWait("c", c.random.token(), 0)
		rest("b", "c", "d")
		c.shards.sweep()
		for until := time.Now().Add(10 * time.Second); subscribed() != 2; time.Sleep(time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("%d channels are subscribed; one was used just now, and one is waited for", subscribed())
			}
		}
		if mode, _ := c.hears("a").state(); mode != sharded {
			t.Errorf("the channel that was used just now: %q", mode)
		}
		if mode, _ := c.hears("b").state(); mode != "" {
			t.Errorf("the forgotten channel: %q", mode)
		}
		c.removeWait(w)
	}
}
