package doctor

import (
	"fmt"
	"net"
	"strings"
)

// role checks whether the server accepts writes at all.
func role(f *facts) []Finding {
	const check = "role"
	is := f.info["role"]
	if is == "" {
		is = f.hello["role"] // HELLO needs no permission
	}
	switch is {
	case "":
		return f.unasked(check, "role")
	case "master":
		if state := f.info["master_failover_state"]; state != "" && state != "no-failover" {
			return []Finding{{
				Check: check, Level: Warning, Found: "primary, and handing over to a replica: " + state,
				Why: "until the failover has ended it takes no writes: locks wait, and leases run.",
				Fix: "wait, or FAILOVER ABORT",
			}}
		}
		return well(check, "primary")
	case "slave", "replica":
	default:
		return []Finding{{
			Check: check, Level: Danger, Found: is + ": no primary that alone decides",
			Why: "where several servers take writes, the last write wins, and a lock has two owners.",
			Fix: "use one primary with replicas that are read-only, Sentinel, or a cluster",
		}}
	}
	primary := net.JoinHostPort(f.info["master_host"], f.info["master_port"])
	found := Finding{
		Check: check, Level: Danger, Found: "a replica",
		Why: "it refuses every write (READONLY): no lock is ever granted here.",
		Fix: "name its primary in the URL, or let go-redis find it: redis.NewFailoverClient with Sentinel, redis.NewClusterClient in a cluster",
	}
	if f.info["master_host"] != "" {
		found.Found += " of " + primary
		found.Fix = "use its primary, redis://" + primary + ", or let go-redis find it: redis.NewFailoverClient with Sentinel, redis.NewClusterClient in a cluster"
	}
	if f.info["slave_read_only"] == "0" {
		found.Found += " that takes writes (replica-read-only no)"
		found.Why = "its primary never hears of what is written here, and overwrites it: locks vanish, and those who ask the primary are granted them too."
		found.Fix = set("replica-read-only", "yes") + "; and " + found.Fix
	}
	return []Finding{found}
}

// manyBehind is how many bytes a replica may lag without a warning.
const manyBehind = 1 << 20

// replicas checks which replica could take over.
func replicas(f *facts) []Finding {
	const check = "replicas"
	if f.info["role"] != "master" {
		if f.infoErr != nil {
			return f.unasked(check)
		}
		return nil
	}
	n, _ := number(f.info, "connected_slaves")
	if n < int64(f.settings.replicas) {
		return []Finding{{
			Check: check, Level: Danger, Found: fmt.Sprintf("%s, and applications wait for %d (WithReplicas)", count(n, "replica"), f.settings.replicas),
			Why: "an acquire that does not reach that many replicas in time is given back (ErrNotReplicated): nobody gets a lock.",
			Fix: "bring the replicas back: on each, REPLICAOF and the address of this server; or lower WithReplicas",
		}}
	}
	if n == 0 && f.clustered() {
		return []Finding{{
			Check: check, Level: Warning, Found: "none for the slots of this master",
			Why: "while it is down nobody gets or keeps a lock whose name falls to it.",
			Fix: "redis-cli --cluster add-node NEW " + f.addr + " --cluster-slave",
		}}
	}
	if n == 0 {
		return well(check, "none: while this server is down, nobody gets or keeps a lock")
	}
	var late []string
	end, _ := number(f.info, "master_repl_offset")
	for i := range n {
		r := f.replica(i)
		at := net.JoinHostPort(r["ip"], r["port"])
		offset, _ := number(r, "offset")
		lag, _ := number(r, "lag")
		switch {
		case r["state"] != "online":
			late = append(late, fmt.Sprintf("%s is not in sync yet (%s)", at, r["state"]))
		case lag > 10:
			late = append(late, fmt.Sprintf("%s was last heard of %d s ago", at, lag))
		case end-offset > manyBehind:
			late = append(late, fmt.Sprintf("%s is %s behind", at, size(end-offset)))
		}
	}
	if len(late) > 0 {
		return []Finding{{
			Check: check, Level: Warning, Found: fmt.Sprintf("of %s: %s", count(n, "replica"), strings.Join(late, ", ")),
			Why: "after a failover to a replica that lags, locks that were granted last are unknown and granted to a second owner.",
			Fix: "see the replica's log, its network and disk; INFO replication shows how far it is",
		}}
	}
	return well(check, "%s in sync", count(n, "replica"))
}

// replica is what the server says about one of its replicas.
func (f *facts) replica(i int64) map[string]string {
	return fields(strings.NewReplacer(",", "\n", "=", ":").Replace(f.info[fmt.Sprintf("slave%d", i)]))
}

// minReplicas checks whether a primary that is cut off from its replicas stops granting locks.
func minReplicas(f *facts) []Finding {
	const check = "min-replicas-to-write"
	n, told := number(f.info, "connected_slaves")
	if f.info["role"] != "master" || !told {
		return nil
	}
	if n == 0 && f.configErr != nil {
		return nil // the setting has no effect
	}
	if u := f.unset(check, "min-replicas-to-write", "min-replicas-max-lag"); u != nil {
		return u
	}
	least, _ := number(f.config, "min-replicas-to-write")
	lag, _ := number(f.config, "min-replicas-max-lag")
	good, told := number(f.info, "min_slaves_good_slaves")
	online := int64(0)
	for i := range n {
		if f.replica(i)["state"] == "online" {
			online++
		}
	}
	switch {
	case least > 0 && lag > 0 && told && good < least:
		return []Finding{{
			Check: check, Level: Danger, Found: fmt.Sprintf("%d are needed, and %d are there", least, good),
			Why: "the server refuses every write (NOREPLICAS): no lock is granted or renewed.",
			Fix: "bring the replicas back, or " + set("min-replicas-to-write", fmt.Sprint(good)),
		}}
	case n == 0:
		return nil
	case least == 0 || lag == 0:
		found := Finding{
			Check: check, Level: Warning, Found: fmt.Sprintf("%d, although there are replicas", least),
			Why: "when the network divides, a replica is promoted on one side and the old primary goes on granting on the other: two owners, for as long as that lasts.",
			Fix: set("min-replicas-to-write", "1") + ", on the replicas too: one of them is the next primary",
		}
		if online < 2 {
			found.Found = fmt.Sprintf("%d, with %s online", least, count(online, "replica"))
			found.Fix = "bring up a second replica, and then " + found.Fix +
				". With one replica it is a choice: 1 keeps a primary that is cut off from granting, and costs every lock while either machine is away, also after a failover until the old primary is back as a replica"
		}
		if least > 0 {
			found.Found = "in vain: min-replicas-max-lag is 0, which turns it off"
			found.Fix = set("min-replicas-max-lag", "10")
			if online < least {
				found.Fix = "bring the replicas back first, for every write would be refused without them; then " + found.Fix
			}
		}
		return []Finding{found}
	}
	text := fmt.Sprintf("%d, heard of in the last %d s: a primary that is cut off stops granting", least, lag)
	if told && good == least {
		text += "; so does this one when one replica less is there, also after a failover"
	}
	return well(check, "%s", text)
}

// sentinel says what cannot be checked through a client that asks Sentinels.
func sentinel(f *facts) []Finding {
	if f.options == nil || f.options.Addr != failoverAddr {
		return nil
	}
	return []Finding{{
		Check: "Sentinel", Level: Unknown, Found: "only the primary that Sentinel names was examined; whether the Sentinels have their quorum cannot be seen from it",
		Fix: "ask each of them: redis-cli -h HOST -p 26379 SENTINEL CKQUORUM <name of the master>",
	}}
}

// failoverAddr is the address that go-redis gives for a client that asks Sentinels.
const failoverAddr = "FailoverClient"
