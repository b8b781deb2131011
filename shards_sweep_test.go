package redislock

import (
	"context"
	"slices"
	"testing"
	"time"

	"example.com/redislock/internal/protocol"
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
		c.hub.shards.mu.Lock()
		defer c.hub.shards.mu.Unlock()
		for _, name := range names {
			c.hub.shards.topics[name].used = time.Now().Add(-2 * topicRest)
		}
	}
	for range 2 { // forgotten, it can be subscribed again
		for _, name := range []string{"a", "b", "c", "d"} {
			if alone, err := c.hub.listen(ctx, name); alone || err != nil {
				t.Fatal(alone, err)
			}
		}
		w := &wait{}
		c.expect(w, protocol.NewToken(), 0, 0)
		c.joined(w, "c", protocol.Reply{}, sample{})
		rest("b", "c", "d")
		c.hub.shards.sweep()
		for until := time.Now().Add(10 * time.Second); subscribed() != 2; time.Sleep(time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("%d channels are subscribed; one was used just now, and one is waited for", subscribed())
			}
		}
		if mode, _ := c.hub.hears("a").state(); mode != protocol.Sharded {
			t.Errorf("the channel that was used just now: %q", mode)
		}
		if mode, _ := c.hub.hears("b").state(); mode != "" {
			t.Errorf("the forgotten channel: %q", mode)
		}
		c.removeWait(w)
	}
}

func TestASlotThatNobodyServesDoesNotDisturbTheOthers(t *testing.T) {
	t.Parallel()
	cluster := servertest.StartCluster(t, 2, func(o *servertest.ClusterConfig) {
		o.Args = []string{"--cluster-require-full-coverage", "no"}
	})
	c, err := New(cluster.Connect())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	c.start()
	var names []string
	for i := 0; len(names) < 10; i++ {
		if name := string(rune('a' + i)); cluster.Serving("{"+name+"}") == cluster.Masters[0] {
			names = append(names, name)
		}
	}
	listen := func(name string, within time.Duration) (bool, error) {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		return c.hub.listen(ctx, name)
	}
	epochs := func() (all []uint64) {
		for _, name := range names[1:] {
			_, epoch := c.hub.hears(name).state()
			all = append(all, epoch)
		}
		return all
	}
	for _, name := range names[1:] {
		if alone, err := listen(name, 10*time.Second); alone || err != nil {
			t.Fatal(alone, err)
		}
	}
	before := epochs()
	for _, m := range cluster.Masters {
		if err := m.Connect().Do(t.Context(), "cluster", "delslots", cluster.Slot("{"+names[0]+"}")).Err(); err != nil {
			t.Fatal(err)
		}
	}
	c.hub.shards.cluster.ReloadState(t.Context())
	for range 3 { // each takes the time of a check, in which it is tried again and again
		if alone, err := listen(names[0], 10*time.Second); !alone || err != nil {
			t.Errorf("the channel in the slot that nobody serves: %v, %v", alone, err)
		}
	}
	if after := epochs(); !slices.Equal(before, after) {
		t.Errorf("the other channels were subscribed again: %v, then %v times", before, after)
	}
}
