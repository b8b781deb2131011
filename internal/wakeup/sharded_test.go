package wakeup

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"example.com/redislock/internal/backend"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/scheduler"
	"example.com/redislock/internal/servertest"
	"example.com/redislock/internal/tracker"
	"example.com/redislock/internal/transport"
)

// waitsFor is a Listener that waits for some locks and takes nothing.
type waitsFor []string

func (waitsFor) Message(string)             {}
func (waitsFor) Broadcast(string)           {}
func (waitsFor) Subscribed()                {}
func (waitsFor) ChannelSubscribed(string)   {}
func (waitsFor) SubscribeFailed(error)      {}
func (w waitsFor) Waiting(name string) bool { return slices.Contains(w, name) }

// start starts the Subscriber of a Client of the cluster, which waits for some locks.
func start(t *testing.T, cluster *servertest.Cluster, waiting ...string) *Subscriber {
	rdb := cluster.Connect()
	behind, err := backend.Of(rdb)
	if err != nil {
		t.Fatal(err)
	}
	background, loops, stopped := &tracker.Tracker{}, &tracker.Tracker{}, make(chan struct{})
	tr := transport.New(rdb, behind, background, make(chan struct{}), stopped, func(error) {})
	sched := scheduler.New(tr.Flush)
	s := New(Config{
		Redis: rdb, Backend: behind, Keys: protocol.Keys("lock"), Transport: tr, Scheduler: sched, Background: background, Loops: loops,
		Closing: make(chan struct{}), Cause: func() error { return errors.New("closed") }, Stopped: stopped, Listener: waitsFor(waiting),
	})
	var running sync.WaitGroup
	running.Go(func() { sched.Run(stopped) })
	s.Start()
	t.Cleanup(func() {
		close(stopped)
		s.Stop()
		running.Wait()
		<-loops.Idle()
		<-background.Idle()
	})
	return s
}

func TestAChannelThatNobodyWaitsForIsForgotten(t *testing.T) {
	t.Parallel()
	cluster := servertest.StartCluster(t, 3)
	ctx := t.Context()
	s := start(t, cluster, "c")
	subscribed := func() (n int) {
		for _, m := range cluster.Masters {
			n += len(m.Connect().PubSubShardChannels(ctx, "*").Val())
		}
		return n
	}
	rest := func(names ...string) { // as if nobody had used them for a while
		s.shards.mu.Lock()
		defer s.shards.mu.Unlock()
		for _, name := range names {
			s.shards.channels[name].used = time.Now().Add(-2 * idleTime)
		}
	}
	for range 2 { // after it was forgotten, it can be subscribed again
		for _, name := range []string{"a", "b", "c", "d"} {
			if without, err := s.Await(ctx, name); without || err != nil {
				t.Fatal(without, err)
			}
		}
		rest("b", "c", "d")
		s.shards.sweep()
		for until := time.Now().Add(10 * time.Second); subscribed() != 2; time.Sleep(time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("%d channels are subscribed; one was used just now, and one is waited for", subscribed())
			}
		}
		if mode, _ := s.State("a"); mode != protocol.Sharded {
			t.Errorf("the channel that was used just now: %q", mode)
		}
		if mode, _ := s.State("b"); mode != "" {
			t.Errorf("the forgotten channel: %q", mode)
		}
	}
}

func TestASlotThatNobodyServesDoesNotDisturbTheOthers(t *testing.T) {
	t.Parallel()
	cluster := servertest.StartCluster(t, 2, func(o *servertest.ClusterConfig) {
		o.Args = []string{"--cluster-require-full-coverage", "no"}
	})
	s := start(t, cluster)
	var names []string
	for i := 0; len(names) < 10; i++ {
		if name := string(rune('a' + i)); cluster.Serving("{"+name+"}") == cluster.Masters[0] {
			names = append(names, name)
		}
	}
	listen := func(name string, within time.Duration) (bool, error) {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		return s.Await(ctx, name)
	}
	epochs := func() (all []uint64) {
		for _, name := range names[1:] {
			_, epoch := s.State(name)
			all = append(all, epoch)
		}
		return all
	}
	for _, name := range names[1:] {
		if without, err := listen(name, 10*time.Second); without || err != nil {
			t.Fatal(without, err)
		}
	}
	before := epochs()
	for _, m := range cluster.Masters {
		if err := m.Connect().Do(t.Context(), "cluster", "delslots", cluster.Slot("{"+names[0]+"}")).Err(); err != nil {
			t.Fatal(err)
		}
	}
	s.shards.cluster.ReloadState(t.Context())
	for range 3 { // each takes the time of a check, in which it is tried again and again
		if without, err := listen(names[0], 10*time.Second); !without || err != nil {
			t.Errorf("the channel in the slot that nobody serves: %v, %v", without, err)
		}
	}
	if after := epochs(); !slices.Equal(before, after) {
		t.Errorf("the other channels were subscribed again: %v, then %v times", before, after)
	}
}
