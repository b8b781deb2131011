package doctor_test

import (
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
	"example.com/redislock/ui/doctor"
)

// lacks reports whether a report has a finding that an ACL mends.
func lacks(r doctor.Report, level doctor.Level) (doctor.Finding, bool) {
	for _, f := range r.Findings {
		if f.Level >= level && strings.Contains(f.Fix, "ACL SETUSER") {
			return f, true
		}
	}
	return doctor.Finding{}, false
}

func TestWhatThePrintedRuleGrantsIsEnough(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t)
	r := examine(t, s.Connect(s.AddUser("app", redislock.ACL(prefix))))
	calm(t, r)
	expect(t, r, "lock", doctor.OK, `"app"`)
	expect(t, r, "channels", doctor.OK)
	expect(t, r, "version", doctor.OK) // HELLO needs no permission
	expect(t, r, "role", doctor.OK)
	expect(t, r, "listing", doctor.Warning, "+scan", "operators")
	expect(t, r, "eviction policy", doctor.Unknown, "+info")
	expect(t, r, "idle timeout", doctor.Unknown, "+config|get")
	expect(t, r, "slow commands", doctor.Unknown, "+slowlog|get")
}

func TestAMissingPermissionIsNamedAndItsFixGrantsIt(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "redis 6.0", "valkey newest"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			as := servertest.Named(t, name)
			rule, err := redislock.ACLFor(servertest.Version(as), prefix)
			if err != nil {
				t.Fatal(err)
			}
			aMissingPermission(t, servertest.Start(as), rule)
		})
	}
}

// aMissingPermission takes permissions from a user that has those of the ACL.
func aMissingPermission(t *testing.T, s *servertest.Server, rule string) {
	for _, c := range []struct{ taken, says string }{
		{"-hset", "+hset"},
		{"-evalsha", "+evalsha"},
		{"-evalsha -eval -hdel -expire", "+evalsha"},
		{"-time -hgetall -getrange", "+time +hgetall +getrange"},
		{"-publish", "+publish"},
		{"-pubsub", "+pubsub|numsub"},
		{"-pubsub|numsub", "+pubsub|numsub"},
		{"-subscribe", "+subscribe"},
		{"resetkeys", "~" + prefix + ":{* ~" + prefix + ":w:{*"},
		{"resetkeys ~other:*", "~" + prefix + ":{*"},
		{"resetchannels", "&" + prefix + ":n "},
		{"resetchannels &" + prefix + ":c:*", "&" + prefix + ":n "},
		{"-@all", "+evalsha"},
	} {
		if (strings.Contains(c.taken, "resetchannels") || strings.HasPrefix(c.taken, "-pubsub|")) && !strings.Contains(rule, "&") {
			continue // Redis 6.0 has no permissions for channels and for subcommands
		}
		t.Run(c.taken, func(t *testing.T) {
			as := s.AddUser("app", rule+" "+c.taken)
			f, is := lacks(examine(t, s.Connect(as)), doctor.Danger)
			if !is || !strings.Contains(f.Found, c.says) && c.taken != "-@all" {
				t.Fatalf("%q: %+v", c.taken, f)
			}
			// A refusal of the whole script hides further missing permissions, which show one after the other.
			for range 6 {
				mend(t, s.Admin(), f.Fix)
				if f, is = lacks(examine(t, s.Connect(as)), doctor.Danger); !is {
					break
				}
			}
			if is {
				t.Errorf("not mended: %+v", f)
			}
			calm(t, examine(t, s.Connect(as)))
		})
	}
	as := s.AddUser("operator", rule)
	mend(t, s.Admin(), expect(t, examine(t, s.Connect(as)), "listing", doctor.Warning).Fix)
	expect(t, examine(t, s.Connect(as)), "listing", doctor.OK)
}

// Valkey has Lua in a module of its own from 9.1 on.
func TestAServerWithoutLuaIsToldWhatItLacks(t *testing.T) {
	t.Parallel()
	s := servertest.Start(servertest.Named(t, "valkey newest"), append(shipped(t), "--enable-module-command", "yes")...)
	calm(t, examine(t, s.Connect()))
	do(t, s.Admin(), "module", "unload", "lua")
	expect(t, examine(t, s.Connect()), "scripts", doctor.Danger, "libvalkeylua.so", "MODULE LIST")
}

// The doctor finds nothing wrong with the configuration files of docker-compose.yml, on the servers that it starts.
func TestNothingIsWrongWithWhatTheRepositoryStarts(t *testing.T) {
	t.Parallel()
	for _, product := range []string{"valkey", "redis"} {
		t.Run(product, func(t *testing.T) {
			t.Parallel()
			as := servertest.Named(t, product+" newest")
			well := func(r doctor.Report) {
				t.Helper()
				for _, f := range r.Findings {
					if f.Level >= doctor.Warning && f.Check != "known faults" { // these depend on the release that Debian has
						t.Errorf("%+v", f)
					}
				}
			}
			well(examine(t, servertest.Start(as, shipped(t)...).Connect()))
			well(examine(t, servertest.StartSentinel(as, append(shipped(t), "--min-replicas-to-write", "1")...).Primary().Connect()))
			c := servertest.StartCluster(as, 3, func(c *servertest.ClusterConfig) {
				c.Args, c.NodeTimeout, c.Replicas = shippedCluster(t, product), 2*time.Second, 1
			})
			r := examine(t, c.Connect())
			well(r)
			expect(t, r, "slot migrations", doctor.OK)
		})
	}
}

// A prefix is a plain text, but the rules of an ACL are patterns.
func TestAFixGrantsThePrefixAndNotWhatItWouldMatch(t *testing.T) {
	t.Parallel()
	const odd = `team[1]*`
	s := servertest.Start(t)
	for _, taken := range []string{"resetkeys", "resetchannels"} {
		as := s.AddUser("app", redislock.ACL(odd)+" "+taken)
		f, is := lacks(doctor.Examine(t.Context(), s.Connect(as), odd), doctor.Danger)
		if !is {
			t.Fatalf("%s: nothing is missing", taken)
		}
		mend(t, s.Admin(), f.Fix)
		calm(t, doctor.Examine(t.Context(), s.Connect(as), odd))
		for _, other := range [][]any{{"get", "team1:{x}"}, {"get", "team1x:{x}"}, {"get", "team[1]*:sub:{x}"}, {"publish", "team1:n", "x"}, {"publish", "team[1]*:sub:n", "x"}} {
			if said, err := s.Admin().Do(t.Context(), append([]any{"acl", "dryrun", "app"}, other...)...).Text(); err != nil || said == "OK" {
				t.Errorf("%s: %v is granted: %q, %v", taken, other, said, err)
			}
		}
	}
}
