package doctor_test

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/servertest"
	"example.com/redislock/ui/doctor"
)

// only is the one finding of a report.
func only(t *testing.T, r doctor.Report) doctor.Finding {
	t.Helper()
	if len(r.Findings) != 1 {
		t.Fatalf("not one finding: %+v", r.Findings)
	}
	return r.Findings[0]
}

func TestADeadServerIsOneDanger(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	addr := s.Addr()
	s.Kill()
	rdb := redis.NewClient(&redis.Options{Addr: addr, DialerRetries: 1})
	t.Cleanup(func() { _ = rdb.Close() })
	f := only(t, examine(t, rdb))
	if f.Check != "reachability" || f.Level != doctor.Danger || !strings.Contains(f.Found, addr) || !strings.Contains(f.Found, "refused") {
		t.Errorf("%+v", f)
	}
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}, DialerRetries: 1})
	t.Cleanup(func() { _ = cluster.Close() })
	if f := only(t, examine(t, cluster)); f.Check != "reachability" || f.Level != doctor.Danger || !strings.Contains(f.Found, addr) {
		t.Errorf("a cluster: %+v", f)
	}
}

// A connection that opens and then sends nothing, as behind some firewalls or with a stopped process.
func TestASilentServerHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	rdb := redis.NewClient(&redis.Options{Addr: listener.Addr().String(), ReadTimeout: time.Minute})
	t.Cleanup(func() { _ = rdb.Close() })
	began := time.Now()
	if f := only(t, examine(t, rdb)); f.Level != doctor.Danger || f.Check != "reachability" {
		t.Errorf("%+v", f)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if f := only(t, doctor.Examine(ended, rdb, prefix)); f.Level != doctor.Danger {
		t.Errorf("of a context that has ended: %+v", f)
	}
}

// The server stops answering between two requests.
func TestAServerThatFallsSilentInBetween(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	p := servertest.NewProxy(t, s.Addr())
	fault := p.SwallowReply(func(args []string) bool { return strings.EqualFold(args[0], "info") }, 1)
	go func() {
		<-fault.Caught()
		p.Mute()
	}()
	rdb := p.Connect(func(o *redis.Options) { o.ReadTimeout, o.MaxRetries = time.Minute, -1 })
	if f := only(t, examine(t, rdb)); f.Level != doctor.Danger || f.Check != "reachability" || !strings.Contains(f.Found, "no answer in time") {
		t.Errorf("%+v", f)
	}
}

func TestAServerThatWantsAPassword(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "--requirepass", "secret")
	f := only(t, examine(t, s.Connect()))
	if f.Level != doctor.Danger || !strings.Contains(f.Found, "NOAUTH") || !strings.Contains(f.Fix, "password") {
		t.Errorf("%+v", f)
	}
	rdb := s.Connect(func(o *redis.Options) { o.Password = "secret" })
	r := examine(t, rdb)
	expect(t, r, "access", doctor.OK, "with credentials")
	text, err := json.Marshal(r)
	if err != nil || strings.Contains(string(text), "secret") {
		t.Errorf("the report has the password: %s, %v", text, err)
	}
}

// A server that answers neither CONFIG nor most of INFO, like some hosted services.
func TestWhatAServerDoesNotTellIsUnknown(t *testing.T) {
	t.Parallel()
	s := miniredis.RunT(t)
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr()})
	t.Cleanup(func() { _ = rdb.Close() })
	r := examine(t, rdb)
	calm(t, r)
	for _, check := range []string{"eviction policy", "memory", "persistence", "idle timeout", "pub/sub buffers", "tcp-keepalive", "slow commands"} {
		expect(t, r, check, doctor.Unknown)
	}
	expect(t, r, "pub/sub buffers", doctor.Unknown, "CONFIG GET", "console")
	expect(t, r, "lock", doctor.OK)
	expect(t, r, "channels", doctor.OK)
}

func TestAReportIsSortedFromBadToGood(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru", "--tcp-keepalive", "0")
	r := examine(t, s.Connect())
	for i, f := range r.Findings[1:] {
		if f.Level > r.Findings[i].Level {
			t.Fatalf("%v comes after %v", f, r.Findings[i])
		}
	}
	if r.Worst() != doctor.Danger || r.Address != s.Addr() || r.Prefix != prefix {
		t.Errorf("%+v", r)
	}
}
