package doctor

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

func TestMain(m *testing.M) {
	logging.Disable() // errors of servers that the test has ended
	os.Exit(m.Run())
}

// one is the only finding of a check, or the zero one.
func one(t *testing.T, found []Finding) Finding {
	t.Helper()
	if len(found) > 1 {
		t.Fatalf("several: %+v", found)
	}
	if len(found) == 0 {
		return Finding{}
	}
	return found[0]
}

// States that a real server cannot be put into at will.
func TestTroubleThatServersTell(t *testing.T) {
	told := func(text string) map[string]string { return fields(strings.ReplaceAll(text, " ", "\n")) }
	for _, c := range []struct {
		name  string
		check func(*facts) []Finding
		f     facts
		level Level
		says  string
	}{
		{"loading", failures, facts{info: told("loading:1 loading_eta_seconds:7")}, Danger, "about 7 s more"},
		{"failed snapshot", failures, facts{info: told("rdb_last_bgsave_status:err"), config: map[string]string{"save": "60 1", "stop-writes-on-bgsave-error": "yes"}}, Danger, "MISCONF"},
		{"failed snapshot that stops nothing", failures, facts{info: told("rdb_last_bgsave_status:err"), config: map[string]string{"save": "60 1", "stop-writes-on-bgsave-error": "no"}}, Warning, "forgotten"},
		{"failed append", failures, facts{info: told("rdb_last_bgsave_status:ok aof_last_write_status:err")}, Danger, "append-only"},
		{"failed rewrite", failures, facts{info: told("rdb_last_bgsave_status:ok aof_last_bgrewrite_status:err")}, Warning, "rewrite"},
		{"a replica that lags by time", replicas, facts{info: told("role:master connected_slaves:1 master_repl_offset:100 slave0:ip=10.0.0.2,port=6379,state=online,offset=100,lag=30")}, Warning, "10.0.0.2:6379 was last heard of 30 s ago"},
		{"a replica that lags by bytes", replicas, facts{info: told("role:master connected_slaves:1 master_repl_offset:90000000 slave0:ip=10.0.0.2,port=6379,state=online,offset=100,lag=0")}, Warning, "85 MB behind"},
		{"a replica that copies", replicas, facts{info: told("role:master connected_slaves:1 master_repl_offset:100 slave0:ip=::1,port=6379,state=wait_bgsave,offset=0,lag=0")}, Warning, "[::1]:6379 is not in sync"},
		{"a failover", role, facts{info: told("role:master master_failover_state:failover-in-progress")}, Warning, "FAILOVER ABORT"},
		{"several primaries", role, facts{info: told("role:active-replica")}, Danger, "two owners"},
		{"role without INFO", role, facts{infoErr: errors.New("x"), hello: map[string]string{"role": "master"}}, OK, "primary"},
		{"replica without INFO", role, facts{infoErr: errors.New("x"), hello: map[string]string{"role": "replica"}}, Danger, "a replica"},
		{"slow", latency, facts{roundTrips: slices.Repeat([]time.Duration{80 * time.Millisecond}, 9)}, Warning, "80ms in the median"},
		{"a long round trip", latency, facts{roundTrips: []time.Duration{1, 1, 1, 2 * time.Second}}, Warning, "2s at most"},
		{"very slow", latency, facts{roundTrips: slices.Repeat([]time.Duration{2 * time.Second}, 9)}, Danger, "5 s to confirm"},
		{"memory of the machine", headroom, facts{info: told("used_memory:900 maxmemory:0 total_system_memory:1000")}, Warning, "no maxmemory"},
		{"a good part of maxmemory", headroom, facts{info: told("used_memory:850 maxmemory:1000")}, Warning, "OOM"},
		{"full", headroom, facts{info: told("used_memory:1001 maxmemory:1000 maxmemory_policy:noeviction")}, Danger, "full, most acquires are refused: 1001 bytes"},
		{"full, with buffers that do not count", headroom, facts{info: told("used_memory:1001 mem_not_counted_for_evict:2 maxmemory:1000")}, Danger, "nearly full, 1001 bytes"},
		{"full of what it may drop", headroom, facts{info: told("used_memory:1001 maxmemory:1000 maxmemory_policy:allkeys-lru")}, Danger, "drops keys to make room"},
		{"one replica", minReplicas, facts{info: told("role:master connected_slaves:1 slave0:ip=a,port=1,state=online"), config: told("min-replicas-to-write:0 min-replicas-max-lag:10")}, Warning, "bring up a second replica, and then CONFIG SET min-replicas-to-write 1"},
		{"one replica, what it costs", minReplicas, facts{info: told("role:master connected_slaves:1 slave0:ip=a,port=1,state=online"), config: told("min-replicas-to-write:0 min-replicas-max-lag:10")}, Warning, "after a failover until the old primary is back"},
		{"two replicas, of which one is online", minReplicas, facts{info: told("role:master connected_slaves:2 slave0:ip=a,port=1,state=online slave1:ip=b,port=1,state=wait_bgsave"), config: told("min-replicas-to-write:0 min-replicas-max-lag:10")}, Warning, "1 replica online"},
		{"no replica less", minReplicas, facts{info: told("role:master connected_slaves:1 slave0:ip=a,port=1,state=online min_slaves_good_slaves:1"), config: told("min-replicas-to-write:1 min-replicas-max-lag:10")}, OK, "one replica less"},
		{"min-replicas that would stop all", minReplicas, facts{info: told("role:master connected_slaves:1 slave0:ip=a,port=1,state=wait_bgsave"), config: told("min-replicas-to-write:1 min-replicas-max-lag:0")}, Warning, "bring the replicas back first"},
		{"eviction on a full server", eviction, facts{info: told("maxmemory_policy:allkeys-lru used_memory:850 maxmemory:1000")}, Danger, "make room or move the locks to a server of their own first"},
		{"a slot in doubt", clusterState, facts{info: told("cluster_enabled:1"), node: "a:1", cluster: told("cluster_state:ok cluster_slots_assigned:16384 cluster_slots_pfail:5")}, Warning, "5 slots"},
		{"a pause of writes in a migration", migrationPause, facts{info: told("cluster_enabled:1"), config: told("cluster-slot-migration-write-pause-timeout:10000")}, Warning, "10 s"},
		{"a short pause in a migration", migrationPause, facts{info: told("cluster_enabled:1"), config: told("cluster-slot-migration-write-pause-timeout:1000")}, OK, "1 s"},
		{"a pause of Valkey's", migrationPause, facts{info: told("cluster_enabled:1"), config: told("cluster-manual-failover-timeout:5000")}, OK, "5 s"},
		{"snapshots that are not told", persistence, facts{info: told("aof_enabled:0"), configErr: errors.New("ERR unknown command 'config'")}, Unknown, "no append-only file"},
		{"often enough", persistence, facts{info: told("aof_enabled:1"), configErr: errors.New("ERR unknown command 'config'")}, OK, "append-only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := one(t, c.check(&c.f))
			if f.Level != c.level || !strings.Contains(f.Found+f.Why+f.Fix, c.says) {
				t.Errorf("%+v", f)
			}
			if f.Level >= Warning && (f.Why == "" || f.Fix == "") {
				t.Errorf("no why or no fix: %+v", f)
			}
		})
	}
}

func TestAPrimaryWithTwoReplicasIsToldToNeedOne(t *testing.T) {
	f := facts{
		info:   map[string]string{"role": "master", "connected_slaves": "2", "slave0": "ip=a,port=1,state=online", "slave1": "ip=b,port=1,state=online"},
		config: map[string]string{"min-replicas-to-write": "0", "min-replicas-max-lag": "10"},
	}
	if got := one(t, minReplicas(&f)); !strings.HasPrefix(got.Fix, "CONFIG SET min-replicas-to-write 1;") || strings.Contains(got.Fix, "choice") {
		t.Errorf("%+v", got)
	}
}

func TestWhoCanReachTheServer(t *testing.T) {
	open := func(bind, protected, laddr string) *facts {
		return &facts{options: &redis.Options{Addr: "redis.internal:6379"}, laddr: laddr, config: map[string]string{"bind": bind, "protected-mode": protected}}
	}
	for _, c := range []struct {
		f    *facts
		want Level
	}{
		{open("127.0.0.1 -::1", "yes", "127.0.0.1:6379"), OK},
		{open("127.0.0.1 -::1", "no", "127.0.0.1:6379"), OK},
		{open("* -::*", "yes", "127.0.0.1:6379"), OK},
		{open("* -::*", "no", "10.1.2.3:6379"), Warning},
		{open("", "no", "[::1]:6379"), Warning},
		{open("10.1.2.3", "no", "10.1.2.3:6379"), Warning},
		{open("* -::*", "no", "203.0.113.9:6379"), Danger},
		{open("* -::*", "no", "[2001:db8::1]:6379"), Danger},
		{&facts{options: &redis.Options{Addr: "r:1", Password: "x"}, laddr: "203.0.113.9:6379"}, OK},
		{&facts{options: &redis.Options{Addr: "/run/redis.sock"}}, OK},
		{&facts{options: &redis.Options{Addr: "r:1"}, configErr: errors.New("NOPERM")}, Unknown},
	} {
		if f := one(t, exposure(c.f)); f.Level != c.want {
			t.Errorf("%+v: %+v", c.f.config, f)
		}
	}
	for _, c := range []struct {
		o    redis.Options
		want Level
	}{
		{redis.Options{Addr: "redis.internal:6379", Password: "x"}, Warning},
		{redis.Options{Addr: "redis.internal:6379", Password: "x", TLSConfig: &tls.Config{}}, OK},
		{redis.Options{Addr: "localhost:6379", Password: "x"}, OK},
		{redis.Options{Addr: "[::1]:6379", Password: "x"}, OK},
		{redis.Options{Addr: "redis.internal:6379"}, OK},
	} {
		if f := one(t, passwords(&facts{options: &c.o})); f.Level != c.want {
			t.Errorf("%+v: %+v", c.o, f)
		}
	}
}

func TestVersionsAndTheirFaults(t *testing.T) {
	for _, c := range []struct {
		info  string
		level Level  // of the version
		fault string // "" for none, else a text of known faults
		not   string // a fault that it does not have
	}{
		{"redis_version:5.0.7", Danger, "CVE-2025-49844", ""},
		{"redis_version:6.0.16", Warning, "CVE-2025-49844", ""},
		{"redis_version:6.2.6", OK, "not heeded by scripts", ""},
		{"redis_version:6.2.6\ncluster_enabled:1", Warning, "", ""},
		{"redis_version:6.2.24", OK, "", "CVE"},
		{"redis_version:7.0.2", OK, "NOREPLICAS", "SPUBLISH"},
		{"redis_version:7.0.8\ncluster_enabled:1", OK, "SPUBLISH", "NOREPLICAS"},
		{"redis_version:7.0.15", OK, "CVE-2025-49844", "SPUBLISH"},
		{"redis_version:7.2.4", OK, "numbers", "NOREPLICAS"},
		{"redis_version:7.2.5", OK, "CVE-2025-49844", "numbers"},
		{"redis_version:7.2.12", OK, "forge", "CVE-2025-49844"},
		{"redis_version:7.2.16", OK, "", ""},
		{"redis_version:7.4.11", OK, "", ""},
		{"redis_version:8.8.1", OK, "", ""},
		{"redis_version:8.10.0", OK, "", ""},
		{"redis_version:8.4.0", OK, "forge", "CVE-2025-49844"},
		{"redis_version:8.0.4", OK, "forge", "CVE-2025-49844"},
		{"redis_version:6.2.20", OK, "RESTORE", "CVE-2025-49844"},
		{"redis_version:7.2.4\nvalkey_version:8.1.3", OK, "CVE-2025-49844", "numbers"},
		{"redis_version:7.2.4\nvalkey_version:8.0.9", OK, "", ""},
		{"redis_version:7.2.4\nvalkey_version:9.1.1", OK, "", ""},
		{"redis_version:7.4.0\ndragonfly_version:df-v1.24.0", Warning, "", "CVE"},
		{"redis_version:6.3.4\nrole:active-replica", Warning, "", "CVE"},
		{"redis_version:nonsense", Unknown, "", "CVE"},
		{"", Unknown, "", "CVE"},
	} {
		f := &facts{info: fields(c.info), config: map[string]string{"min-replicas-to-write": "1"}, options: &redis.Options{}}
		if got := one(t, support(f)); got.Level != c.level {
			t.Errorf("%q: %+v", c.info, got)
		}
		got := one(t, faults(f))
		if (got.Level == Warning) != (c.fault != "") && c.info != "redis_version:6.2.6\ncluster_enabled:1" || !strings.Contains(got.Found, c.fault) {
			t.Errorf("%q: %+v", c.info, got)
		}
		if c.not != "" && strings.Contains(got.Found, c.not) {
			t.Errorf("%q has no such fault: %+v", c.info, got)
		}
	}
}

func TestAFaultIsToldOnceItIsMendedInEachLine(t *testing.T) {
	for _, e := range knownFaults {
		if !slices.IsSortedFunc(e.fixed, func(a, b version) int {
			if a.before(b) {
				return -1
			}
			return 1
		}) {
			t.Errorf("%s: lines out of order: %v", e.name, e.fixed)
		}
		for _, fixed := range e.fixed {
			before := fixed
			before[2]--
			if e.in(fixed) || !e.in(before) {
				t.Errorf("%s: in %v: %v, in %v: %v", e.name, fixed, e.in(fixed), before, e.in(before))
			}
		}
		if strings.HasPrefix(latest(e.fixed[0]), "0.") {
			t.Error(latest(e.fixed[0]))
		}
	}
}

func TestClocksOfMastersAreComparedWithinWhatIsKnown(t *testing.T) {
	at := func(addr string, ahead, half time.Duration) *facts {
		return &facts{addr: addr, time: sample{ahead, half}}
	}
	a, b, dead := at("a:1", 0, time.Millisecond), at("b:1", 30*time.Millisecond, time.Millisecond), &facts{addr: "c:1", silence: errSilent, time: sample{ahead: time.Hour}}
	f := one(t, clocksApart([]*facts{a, b, dead}, defaultMargin))
	if f.Level != Warning || !strings.Contains(f.Found, "a:1 and b:1") || !strings.Contains(f.Fix, "WithClockMargin(40ms)") {
		t.Errorf("%+v", f)
	}
	if f := one(t, clocksApart([]*facts{a, b}, 50*time.Millisecond)); f.Level != OK {
		t.Errorf("within the margin: %+v", f)
	}
	if f := one(t, clocksApart([]*facts{a, at("b:1", 30*time.Millisecond, 25*time.Millisecond)}, defaultMargin)); f.Level != OK {
		t.Errorf("it cannot be known: %+v", f)
	}
}

func TestAServerThatRefusesToBeAskedSaysWhy(t *testing.T) {
	for _, c := range []struct{ err, says string }{
		{"ERR max number of clients reached", "CONFIG SET maxclients"},
		{"NOAUTH Authentication required.", "password"},
		{"WRONGPASS invalid username-password pair or user is disabled.", "password"},
	} {
		if f := unreachable("a:1", answer(c.err)); f.Level != Danger || !strings.Contains(f.Fix, c.says) || !strings.Contains(f.Found, "a:1") {
			t.Errorf("%+v", f)
		}
		if alive(answer(c.err)) {
			t.Errorf("%s: it would be asked more", c.err)
		}
	}
}

// answer is an error that a server sends.
type answer string

func (a answer) Error() string { return string(a) }
func (answer) RedisError()     {}

func TestWhatSentinelsKnowIsNotClaimed(t *testing.T) {
	rdb := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "locks", SentinelAddrs: []string{"127.0.0.1:1"}})
	t.Cleanup(func() { _ = rdb.Close() })
	if f := one(t, sentinel(&facts{options: rdb.Options()})); f.Level != Unknown || !strings.Contains(f.Fix, "SENTINEL CKQUORUM") {
		t.Errorf("%+v", f)
	}
	if found := sentinel(&facts{options: &redis.Options{Addr: "127.0.0.1:6379"}}); found != nil {
		t.Errorf("%+v", found)
	}
}

func TestACauseIsTheServersWordsWithoutTheHashOfTheScript(t *testing.T) {
	refused := errors.New("OOM command not allowed when used memory > 'maxmemory'. script: ba3b9b87, on @user_script:20.")
	for _, err := range []error{refused, fmt.Errorf("redislock: acquire: %w", refused)} {
		if got := cause(err); got != "OOM command not allowed when used memory > 'maxmemory'." {
			t.Errorf("%q", got)
		}
	}
}
