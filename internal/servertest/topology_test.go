package servertest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/servertest"
)

func TestReplicasFollowLagAndArePromoted(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := servertest.StartReplicated(t, 2)
	rdb := r.Primary.Connect()
	rdb.Set(ctx, "k", "old", 0)
	if n, err := rdb.Wait(ctx, 2, 5*time.Second).Result(); n != 2 || err != nil {
		t.Errorf("WAIT: %d replicas, %v", n, err)
	}

	r.Primary.CutReplicas()
	rdb.Set(ctx, "k", "new", 0)
	if n, err := rdb.Wait(ctx, 1, 50*time.Millisecond).Result(); n != 0 || err != nil {
		t.Errorf("WAIT while cut off: %d replicas, %v", n, err)
	}
	for _, s := range r.Replicas {
		if got := s.Connect().Get(ctx, "k").Val(); got != "old" {
			t.Errorf("k = %q at a replica that was cut off", got)
		}
	}
	r.Replicas[0].Promote()
	if err := r.Replicas[0].Connect().Set(ctx, "mine", "1", 0).Err(); err != nil {
		t.Errorf("a promoted replica: %v", err)
	}

	r.Replicas[0].Follow(r.Primary)
	r.Primary.AdmitReplicas()
	r.InSync()
	for _, s := range r.Replicas {
		if got := s.Connect().MGet(ctx, "k", "mine").Val(); fmt.Sprint(got) != "[new <nil>]" {
			t.Errorf("%v at a replica that is back", got)
		}
	}
}

func TestARestartedReplicaFollowsAgain(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := servertest.StartReplicated(t, 1)
	r.Replicas[0].Kill()
	r.Primary.Connect().Set(ctx, "k", "v", 0)
	r.Replicas[0].Restart()
	r.InSync()
	if got := r.Replicas[0].Connect().Get(ctx, "k").Val(); got != "v" {
		t.Errorf("k = %q", got)
	}
}

func TestSentinelsReplaceAKilledPrimary(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "valkey newest"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replaceAKilledPrimary(t, servertest.StartSentinel(servertest.Named(t, name)))
		})
	}
}

func replaceAKilledPrimary(t *testing.T, w *servertest.Sentinel) {
	ctx := context.Background()
	rdb := w.Connect()
	old := w.Primary()
	if old != w.Servers[0] || len(w.Replicas()) != 2 {
		t.Errorf("the primary is %s", old.Addr())
	}
	if err := rdb.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	w.Whole()
	w.Sentinels[0].Kill() // two are enough
	old.Kill()
	heir := w.Replaced(old)
	eventually(t, "the client follows", func() bool { return rdb.Get(ctx, "k").Val() == "v" })
	if got := heir.Connect().Get(ctx, "k").Val(); got != "v" {
		t.Errorf("k = %q at the new primary", got)
	}

	w.Sentinels[0].Restart()
	old.Restart()
	eventuallyAt(t, time.Minute, "the old primary becomes a replica", func() bool {
		return strings.Contains(old.Admin().Info(ctx, "replication").Val(), "role:slave")
	})
	w.Whole()
	if w.Primary() != heir {
		t.Error("the old primary is back in its place")
	}
}

func eventuallyAt(t *testing.T, most time.Duration, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(most); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not within %v: %s", most, what)
		}
	}
}

func withReplicas(c *servertest.ClusterConfig) { c.Replicas, c.NodeTimeout = 1, 2*time.Second }

func TestAClusterReplacesAKilledMaster(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := servertest.StartCluster(t, 3, withReplicas)
	rdb := c.Connect()
	for i := range 30 {
		if err := rdb.Set(ctx, fmt.Sprint("k", i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	c.Whole()
	old := c.Serving("k0")
	heir := c.KillMaster(old)
	if heir == old || c.Serving("k0") != heir {
		t.Errorf("%s serves in the place of %s", c.Serving("k0").Addr(), old.Addr())
	}
	for i := range 30 {
		key := fmt.Sprint("k", i)
		eventually(t, key+" is there", func() bool {
			// A network error alone does not make the client ask for the map of the slots. It does that once a minute.
			rdb.ReloadState(ctx)
			return rdb.Get(ctx, key).Val() == fmt.Sprint(i)
		})
	}
	old.Restart()
	c.Whole()
	if c.Serving("k0") != heir {
		t.Error("the old master is back in its place")
	}
}

func TestAClusterReplacesAPausedMaster(t *testing.T) {
	t.Parallel()
	c := servertest.StartCluster(t, 3, withReplicas)
	old := c.Serving("k")
	old.Pause()
	heir := c.Replaced(old, "k")
	if heir == old {
		t.Error("nobody took its place")
	}
	old.Resume()
	c.Whole()
	if c.Serving("k") != heir {
		t.Error("the old master is back in its place")
	}
}

func TestASlotMovesUnderLoadAndLosesNothing(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "redis newest", "valkey newest"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := servertest.StartCluster(servertest.Named(t, name), 2, func(c *servertest.ClusterConfig) { c.Replicas = 1 })
			move := c.MigrateSlot
			if name != "" {
				move = c.MigrateAtOnce
			}
			slotMoves(t, c, move)
		})
	}
}

// slotMoves moves a slot to and fro while its keys are counted up.
func slotMoves(t *testing.T, c *servertest.Cluster, move func(slot int, to *servertest.Server) error) {
	ctx := context.Background()
	rdb := c.Connect()
	var stop atomic.Bool
	sum, ended := make([]int64, 200), make(chan error, 1)
	go func() {
		var failed error
		for i := 0; !stop.Load() && failed == nil; i++ {
			n := i % len(sum)
			sum[n]++
			failed = rdb.Incr(ctx, fmt.Sprintf("{tag}%d", n)).Err()
		}
		ended <- failed
	}()
	slot := c.Slot("{tag}")
	for i := range 6 {
		eventually(t, "there are keys", func() bool { return rdb.Exists(ctx, "{tag}10").Val() == 1 })
		from := c.Serving("{tag}")
		to := c.Masters[0]
		if to == from {
			to = c.Masters[1]
		}
		if err := move(slot, to); err != nil {
			t.Fatalf("migration %d: %v", i, err)
		}
		if c.Serving("{tag}") != to {
			t.Fatalf("migration %d did not move the slot", i)
		}
	}
	stop.Store(true)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	c.Whole()
	for n, want := range sum {
		key := fmt.Sprintf("{tag}%d", n)
		if got, err := rdb.Get(ctx, key).Int64(); want > 0 && (got != want || err != nil) {
			t.Errorf("%s = %d, %v, want %d", key, got, err, want)
		}
	}
}

func TestASlotBetweenTwoMastersAnswersWithAsk(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := servertest.StartCluster(t, 2)
	from := c.Serving("k")
	to := c.Masters[0]
	if to == from {
		to = c.Masters[1]
	}
	m, err := c.Migrate(c.Slot("k"), to)
	if err != nil {
		t.Fatal(err)
	}
	if err := from.Connect().Get(ctx, "k").Err(); !redis.HasErrorPrefix(err, "ASK") {
		t.Errorf("GET of a key that is not there: %v", err)
	}
	if err := c.Connect().Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Error(err)
	}
	if err := errors.Join(m.Move(), m.Finish()); err != nil {
		t.Fatal(err)
	}
	if err := from.Connect().Get(ctx, "k").Err(); !redis.HasErrorPrefix(err, "MOVED") {
		t.Errorf("GET at the old master: %v", err)
	}
	if got := to.Connect().Get(ctx, "k").Val(); got != "v" {
		t.Errorf("k = %q", got)
	}
}
