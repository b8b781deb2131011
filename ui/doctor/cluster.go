package doctor

import (
	"fmt"

	"github.com/redis/go-redis/v9"
)

// slots is how many slots a cluster has.
const slots = 16384

// clusterState checks whether the cluster serves requests, as this node sees it.
func clusterState(f *facts) []Finding {
	const check = "cluster"
	if !f.clustered() {
		return nil
	}
	if _, single := f.rdb.(*redis.Client); single && f.node == "" {
		return []Finding{{
			Check: check, Level: Danger, Found: "a node of a cluster, asked by a client for one server",
			Why: "it serves only the locks whose names fall to its slots, and refuses all others (MOVED).",
			Fix: "use redis.NewClusterClient with the addresses of some nodes",
		}}
	}
	if f.clusterErr != nil {
		return []Finding{refusal(check, "CLUSTER INFO", "+cluster|info", f.clusterErr)}
	}
	assigned, _ := number(f.cluster, "cluster_slots_assigned")
	failing, _ := number(f.cluster, "cluster_slots_fail")
	doubted, _ := number(f.cluster, "cluster_slots_pfail")
	state := f.cluster["cluster_state"]
	text := fmt.Sprintf("state %s, %d of %d slots assigned, %d of them failing", state, assigned, slots, failing)
	fix := "redis-cli --cluster check " + f.addr + " names what is wrong, and redis-cli --cluster fix " + f.addr + " mends slots that nobody has"
	switch {
	case state != "ok" || assigned < slots || failing > 0:
		return []Finding{{
			Check: check, Level: Danger, Found: text,
			Why: "locks whose names fall to slots that nobody serves are neither granted nor renewed (CLUSTERDOWN); with cluster-require-full-coverage no lock is.",
			Fix: fix,
		}}
	case doubted > 0:
		return []Finding{{
			Check: check, Level: Warning, Found: fmt.Sprintf("state ok, but a node with %d slots does not answer this one", doubted),
			Why: "a failover may be near: holds that were not replicated yet are lost in it.",
			Fix: fix,
		}}
	}
	return well(check, "state ok, all %d slots are served", slots)
}

// coverage checks what the loss of one master means for the locks of the others.
func coverage(f *facts) []Finding {
	const check = "cluster coverage"
	if !f.clustered() {
		return nil
	}
	if u := f.unset(check, "cluster-require-full-coverage"); u != nil {
		return u
	}
	n, _ := number(f.info, "connected_slaves")
	if f.config["cluster-require-full-coverage"] != "yes" {
		return well(check, "a lost master stops its own locks alone")
	}
	if n > 0 {
		return well(check, "while a slot is not served, no lock is (cluster-require-full-coverage yes)")
	}
	return []Finding{{
		Check: check, Level: Warning, Found: "this master has no replica, and cluster-require-full-coverage is yes",
		Why: "if it goes down, locks on all masters stop, not only its own. A lock has one key, so it needs no other slot.",
		Fix: set("cluster-require-full-coverage", "no") + ", on every node",
	}}
}

// longFailover is a cluster-node-timeout with which a failover takes longer than the default lease of 30 s.
const longFailover = 15000

// nodeTimeout checks how long a failover takes.
func nodeTimeout(f *facts) []Finding {
	const check = "failover time"
	if !f.clustered() {
		return nil
	}
	if u := f.unset(check, "cluster-node-timeout"); u != nil {
		return u
	}
	ms, _ := number(f.config, "cluster-node-timeout")
	if ms <= longFailover {
		return well(check, "begins after %.4g s (cluster-node-timeout)", float64(ms)/1000)
	}
	return []Finding{{
		Check: check, Level: Warning, Found: fmt.Sprintf("begins only after %.4g s (cluster-node-timeout)", float64(ms)/1000),
		Why: "leases run out meanwhile, 30 s unless set: every failover ends all holds of that master.",
		Fix: set("cluster-node-timeout", "5000") + ", on every node",
	}}
}

// claim is how long a lock that was handed over waits for a sign of its new holder, in milliseconds.
const claim = 5000

// migrationPause checks how long a slot that moves accepts no writes. Redis has a setting for that from 8.4 on; Valkey uses
// the setting for manual failovers.
func migrationPause(f *facts) []Finding {
	const check = "slot migrations"
	if !f.clustered() || f.configErr != nil {
		return nil
	}
	for _, setting := range []string{"cluster-slot-migration-write-pause-timeout", "cluster-manual-failover-timeout"} {
		if f.config[setting] == "" { // an older version, which moves slots key by key
			continue
		}
		ms, _ := number(f.config, setting)
		if ms <= claim {
			return well(check, "pause writes for %.4g s at most (%s)", float64(ms)/1000, setting)
		}
		return []Finding{{
			Check: check, Level: Warning, Found: fmt.Sprintf("may pause writes for %.4g s (%s)", float64(ms)/1000, setting),
			Why: "for so long no lock of that master is granted, renewed or given back. A lock that was just handed over waits 5 s for a sign of its new holder, and leases that are shorter than the pause and half as much again may run out: their contexts end, and others are served.",
			Fix: set(setting, "1000") + ", on every node",
		}}
	}
	return nil
}

// shardedWhenDown checks whether wake-ups go on while the cluster accepts no writes.
func shardedWhenDown(f *facts) []Finding {
	const check = "sharded channels"
	if !f.clustered() || f.configErr != nil {
		return nil
	}
	setting, known := f.config["cluster-allow-pubsubshard-when-down"]
	if !known { // before 7.0 there are no sharded channels; the check of the version says so
		return nil
	}
	if setting == "yes" {
		return well(check, "stay while the cluster is down")
	}
	return []Finding{{
		Check: check, Level: Warning, Found: "end while the cluster is down (cluster-allow-pubsubshard-when-down no)",
		Why: "all waiters have to subscribe anew when it is back, and until then learn of a grant only by their checks, every 2 s.",
		Fix: set("cluster-allow-pubsubshard-when-down", "yes") + ", on every node",
	}}
}
