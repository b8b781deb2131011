package doctor_test

import (
	"strings"
	"testing"
	"time"

	"example.com/redislock/internal/servertest"
	"example.com/redislock/ui/doctor"
)

func TestReplicas(t *testing.T) {
	t.Parallel()
	servers := servertest.StartReplicated(t, 1, shipped(t)...)
	primary := servers.Primary
	// The replica knows before its primary that it has all data.
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		text, err := primary.Admin().Info(t.Context(), "replication").Result()
		if err == nil && strings.Contains(text, "state=online") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the replica is not online: %s, %v", text, err)
		}
	}

	r := examine(t, primary.Connect())
	calm(t, r)
	expect(t, r, "replicas", doctor.OK, "1 replica in sync")
	expect(t, r, "WithReplicas", doctor.OK)
	f := expect(t, r, "min-replicas-to-write", doctor.Warning, "two owners")
	mend(t, primary.Admin(), f.Fix)
	expect(t, examine(t, primary.Connect()), "min-replicas-to-write", doctor.OK)
	do(t, primary.Admin(), "config", "set", "min-replicas-max-lag", 0)
	f = expect(t, examine(t, primary.Connect()), "min-replicas-to-write", doctor.Warning, "in vain")
	mend(t, primary.Admin(), f.Fix)
	expect(t, examine(t, primary.Connect()), "min-replicas-to-write", doctor.OK)
	expect(t, examine(t, primary.Connect(), doctor.ForReplicas(2)), "replicas", doctor.Danger, "1 replica, and applications wait for 2")
	expect(t, examine(t, primary.Connect(), doctor.ForReplicas(1)), "replicas", doctor.OK)

	replica := servers.Replicas[0]
	r = examine(t, replica.Connect())
	f = expect(t, r, "role", doctor.Danger, "a replica of "+primary.Addr(), "redis://"+primary.Addr(), "READONLY")
	if found(r, "lock").Check != "" {
		t.Error("a lock was tried on a replica")
	}
	do(t, replica.Admin(), "config", "set", "replica-read-only", "no")
	f = expect(t, examine(t, replica.Connect()), "role", doctor.Danger, "takes writes")
	mend(t, replica.Admin(), f.Fix)
	if f = expect(t, examine(t, replica.Connect()), "role", doctor.Danger); strings.Contains(f.Found, "takes writes") {
		t.Errorf("%+v", f)
	}

	primary.CutReplicas()
	r = examine(t, primary.Connect())
	expect(t, r, "min-replicas-to-write", doctor.Danger, "NOREPLICAS")
	expect(t, r, "lock", doctor.Danger, "NOREPLICAS")
}

func TestAPrimaryWithoutPersistenceEmptiesItsReplicas(t *testing.T) {
	t.Parallel()
	servers := servertest.StartReplicated(t, 1)
	expect(t, examine(t, servers.Primary.Connect()), "persistence", doctor.Danger, "copy the empty server")
}

func TestEachMasterOfAClusterIsExamined(t *testing.T) {
	t.Parallel()
	c := servertest.StartCluster(t, 3, func(c *servertest.ClusterConfig) { c.Args, c.NodeTimeout = shipped(t), 2*time.Second })
	all := func(r doctor.Report, check string, level doctor.Level) (nodes []string) {
		for _, f := range r.Findings {
			if f.Check == check && f.Level == level {
				nodes = append(nodes, f.Node)
			}
		}
		return nodes
	}
	r := examine(t, c.Connect())
	calm(t, r)
	for _, check := range []string{"cluster", "role", "version", "latency", "failover time", "sharded channels"} {
		if nodes := all(r, check, doctor.OK); len(nodes) != 3 || nodes[0] == "" || nodes[0] == nodes[1] {
			t.Errorf("%s is well on %q", check, nodes)
		}
	}
	expect(t, r, "clocks of the masters", doctor.OK, "apart")
	if nodes := all(r, "replicas", doctor.Warning); len(nodes) != 3 {
		t.Errorf("without replicas: %q", nodes)
	}
	if len(all(r, "lock", doctor.OK)) != 1 || len(all(r, "channels", doctor.OK)) != 1 {
		t.Errorf("not one lock was tried: %+v", r)
	}

	one := c.Masters[1]
	for _, wrong := range []struct{ check, setting, value, says string }{
		{"cluster coverage", "cluster-require-full-coverage", "yes", "not only its own"},
		{"failover time", "cluster-node-timeout", "60000", "60 s"},
		{"sharded channels", "cluster-allow-pubsubshard-when-down", "no", "every 2 s"},
		{"eviction policy", "maxmemory-policy", "volatile-lfu", "volatile-lfu"},
	} {
		do(t, one.Admin(), "config", "set", wrong.setting, wrong.value)
		level := doctor.Warning
		if wrong.check == "eviction policy" {
			level = doctor.Danger
		}
		for _, f := range examine(t, c.Connect()).Findings {
			if f.Check == wrong.check && f.Node == one.Addr() {
				if f.Level != level || !strings.Contains(f.Found+f.Why, wrong.says) {
					t.Errorf("%+v", f)
				}
				mend(t, one.Admin(), f.Fix)
			}
		}
		for _, f := range examine(t, c.Connect()).Findings {
			if f.Check == wrong.check && f.Node == one.Addr() && f.Level != doctor.OK {
				t.Errorf("it is still there: %+v", f)
			}
		}
	}

	expect(t, examine(t, one.Connect()), "cluster", doctor.Danger, "NewClusterClient")

	one.Kill()
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		r := examine(t, c.Connect())
		dead, state := found(r, "reachability"), found(r, "cluster")
		if dead.Level == doctor.Danger && dead.Node == one.Addr() && state.Level == doctor.Danger && strings.Contains(state.Found, "failing") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a dead master: %+v, %+v", dead, state)
		}
	}
}
