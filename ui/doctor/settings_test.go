package doctor_test

import (
	"fmt"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
	"example.com/redislock/ui/doctor"
)

func TestWhatIsSetWrongIsFoundAndItsFixMendsIt(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, shipped(t)...)
	admin := s.Admin()
	for _, c := range []struct {
		check string
		wrong string // settings, one after the other
		level doctor.Level
		says  string
	}{
		{"eviction policy", "maxmemory-policy allkeys-lru", doctor.Danger, "allkeys-lru, with maxmemory at 256 MB"},
		{"eviction policy", "maxmemory-policy volatile-ttl", doctor.Danger, "for all their keys have an expiry"},
		{"eviction policy", "maxmemory-policy volatile-lru maxmemory 0", doctor.Warning, "there is no maxmemory"},
		{"memory", "maxmemory 900000", doctor.Danger, "OOM"},
		{"persistence", "appendonly no", doctor.Danger, "until their next renewal"},
		{"persistence", "appendonly no save 3600_1", doctor.Warning, "snapshots (save 3600 1)"},
		{"persistence", "appendfsync no", doctor.Warning, "appendfsync no"},
		{"min-replicas-to-write", "min-replicas-to-write 1", doctor.Danger, "NOREPLICAS"},
		{"idle timeout", "timeout 10", doctor.Warning, "10 seconds"},
		{"tcp-keepalive", "tcp-keepalive 0", doctor.Warning, "off"},
		{"pub/sub buffers", "client-output-buffer-limit pubsub_0_0_0", doctor.Warning, "no limit"},
		{"pub/sub buffers", "client-output-buffer-limit pubsub_4096_0_0", doctor.Warning, "4096 bytes"},
		{"pub/sub buffers", "client-output-buffer-limit pubsub_0_4096_60", doctor.Warning, "beyond 4096 bytes for 60 s"},
		{"busy scripts", "lua-time-limit 0", doctor.Warning, "never be killed"},
		{"busy scripts", "lua-time-limit 60000", doctor.Warning, "after 60 s"},
	} {
		t.Run(c.check+"/"+c.wrong, func(t *testing.T) {
			command := []any{"config", "set"}
			for _, word := range strings.Fields(c.wrong) {
				command = append(command, strings.ReplaceAll(word, "_", " "))
			}
			do(t, admin, command...)
			f := expect(t, examine(t, s.Connect()), c.check, c.level, c.says)
			fix := f.Fix
			if f.Command != "" { // without the quoting for the shell
				_, fix, _ = strings.Cut(f.Command, "CONFIG SET")
				fix = "CONFIG SET" + fix
				if alone := doctor.Memory(t.Context(), s.Connect()); len(alone.Findings) != 1 || alone.Findings[0].Command != f.Command || alone.Findings[0].Level != f.Level {
					t.Errorf("asked for the memory alone: %+v, want %+v", alone.Findings, f)
				}
			}
			mend(t, admin, fix)
			if left := found(examine(t, s.Connect()), c.check); left.Level != doctor.OK {
				t.Errorf("after %q it is still there: %+v", f.Fix, left)
			}
			do(t, admin, "config", "set", "maxmemory-policy", "noeviction", "maxmemory", "256mb", "save", "")
			calm(t, examine(t, s.Connect()))
		})
	}
}

func TestALockThatIsRefusedForLackOfMemoryIsAFindingBesideTheMemory(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "--maxmemory", "1", "--maxmemory-policy", "noeviction")
	r := examine(t, s.Connect())
	memory := expect(t, r, "memory", doctor.Danger, "full, most acquires are refused")
	lock := expect(t, r, "lock", doctor.Danger, "refused: OOM", "see memory")
	if memory.Stops != doctor.NoMemory || lock.Stops != doctor.NoMemory {
		t.Errorf("%+v, %+v", memory, lock)
	}
}

func TestTheShippedConfigurationIsNoDanger(t *testing.T) {
	t.Parallel()
	r := examine(t, servertest.Start(t, shipped(t)...).Connect())
	calm(t, r)
	expect(t, r, "persistence", doctor.OK, "everysec")
	for _, f := range r.Findings {
		if f.Level != doctor.OK && f.Check != "known faults" { // known faults depend on the Redis of the machine
			t.Errorf("%+v", f)
		}
	}
}

func TestConnectionsThatRunOut(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	for range 40 {
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	do(t, s.Admin(), "config", "set", "maxclients", 50)
	f := expect(t, examine(t, s.Connect()), "connections", doctor.Warning, " of 50")
	mend(t, s.Admin(), f.Fix)
	expect(t, examine(t, s.Connect()), "connections", doctor.OK)
	do(t, s.Admin(), "config", "set", "maxclients", 30)
	expect(t, examine(t, s.Connect()), "reachability", doctor.Danger, "maxclients") // the server may close the connection before it has sent the error
}

func TestASlowCommandIsNamedWithoutItsArguments(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "--enable-debug-command", "yes")
	do(t, s.Admin(), "debug", "sleep", "0.15")
	f := expect(t, examine(t, s.Connect()), "slow commands", doctor.Warning, "DEBUG", "SLOWLOG GET")
	if strings.Contains(fmt.Sprint(f), "0.15") {
		t.Errorf("the arguments may be secret: %+v", f)
	}
}

func TestAnExaminationChangesNothingButAKeyThatExpires(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	settings := func() map[string]string {
		all, err := s.Admin().ConfigGet(t.Context(), "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := settings()
	for range 3 {
		examine(t, s.Connect())
	}
	if !maps.Equal(before, settings()) {
		t.Error("settings were changed")
	}
	keys, err := s.Admin().Keys(t.Context(), "*").Result()
	if err != nil || len(keys) != 1 || !strings.HasPrefix(keys[0], prefix+":") {
		t.Fatalf("it leaves %q, %v", keys, err)
	}
	if ttl := s.Admin().TTL(t.Context(), keys[0]).Val(); ttl <= 0 || ttl > 2*time.Hour {
		t.Errorf("%s stays for %v", keys[0], ttl)
	}
	client, err := redislock.New(s.Connect(), redislock.WithPrefix(prefix))
	if err != nil {
		t.Fatal(err)
	}
	for info, err := range client.List(t.Context(), "*") {
		if err != nil || info.Holders+info.Waiting > 0 {
			t.Errorf("it leaves a lock that is held: %+v, %v", info, err)
		}
	}
	if err := client.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		channels, err := s.Admin().PubSubChannels(t.Context(), "*").Result()
		if err == nil && len(channels) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("subscriptions stay: %q, %v", channels, err)
		}
	}
}

func TestTheServersClockIsComparedWithThisHosts(t *testing.T) {
	t.Parallel()
	s := servertest.StartWithClock(t)
	expect(t, examine(t, s.Connect()), "clock", doctor.OK)
	s.SetClock(time.Hour)
	expect(t, examine(t, s.Connect()), "clock", doctor.Warning, "1h0m0s ahead", "NTP")
	s.SetClock(-time.Hour)
	expect(t, examine(t, s.Connect()), "clock", doctor.Warning, "1h0m0s behind")
	s.SetClock(25 * time.Hour)
	expect(t, examine(t, s.Connect()), "clock", doctor.Danger, "WithFenceFloor")
}

func TestScriptsThatAreOffAreADanger(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "--rename-command", "EVALSHA", "", "--rename-command", "EVAL", "")
	expect(t, examine(t, s.Connect()), "scripts", doctor.Danger, "rename-command")
}

func TestAServerThatRunsSomebodyElsesScript(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, "--lua-time-limit", "10")
	other := s.Connect(func(o *redis.Options) { o.ReadTimeout = time.Minute })
	ended := make(chan error, 1)
	go func() { ended <- other.Eval(t.Context(), "while true do end", nil).Err() }()
	for deadline := time.Now().Add(10 * time.Second); !redis.HasErrorPrefix(s.Admin().Ping(t.Context()).Err(), "BUSY"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is not busy")
		}
	}
	r := examine(t, s.Connect())
	do(t, s.Admin(), "script", "kill")
	<-ended
	expect(t, r, "lock", doctor.Danger, "BUSY", "SCRIPT KILL")
}
