package main

import (
	"os"
	"strings"
	"testing"

	"example.com/redislock/internal/servertest"
)

func TestRunShowAndLsOverAQuorum(t *testing.T) {
	f := setUp(t)
	var urls []string
	var servers []*servertest.Server
	for range 3 {
		s := servertest.Start(t, "--appendonly", "yes", "--appendfsync", "always") // such a server counts at once
		servers, urls = append(servers, s), append(urls, "redis://"+s.Addr())
	}
	all := strings.Join(urls, ",")
	f.start("run", "--quorum", all, "x", "--", "sh", "-c", `test "$REDISLOCK_FENCE" -gt 0 && exit 7`).ends(7)
	f.start("show", "--quorum", all, "x").ends(0)
	if said := f.start("doctor", "--quorum", all).ends(0); !strings.Contains(said, "are on one host, 127.0.0.1") {
		t.Error(said)
	}
	held := f.start("run", "--quorum", all, "x", "--", "sh", "-c", "echo in; until test -e "+f.path("done")+"; do sleep 0.05; done")
	held.line()
	if said := f.start("ls", "--quorum", all).ends(0); strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "x\t") || strings.Contains(said, "x\t-") {
		t.Errorf("%q", said)
	}
	if said := f.start("ls", "--quorum", all, "--output", "json").ends(0); !strings.Contains(said, `"held":true`) || strings.Count(said, `"address"`) != 3 {
		t.Errorf("%q", said)
	}
	if err := os.WriteFile(f.path("done"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	held.ends(0)
	if said := f.start("ls", "--quorum", all).ends(0); said != "" {
		t.Errorf("%q", said)
	}
	servers[1].Kill()
	f.start("ls", "--quorum", all).ends(0, servers[1].Addr()+" is left out")
	f.start("run", "--quorum", all, "x", "--", "true").ends(0)
	f.start("run", "--quorum", all, "--no-wait", "x", "--", "sh", "-c", "exit 3").ends(3)
	servers[2].Kill()
	f.start("run", "--quorum", all, "--wait", "1s", "x", "--", "true").ends(69, "no majority of 3 nodes", servers[1].Addr())
	f.start("ls", "--quorum", all).ends(69, "no majority of 3 masters")
}

func TestAQuorumOnTheCommandLineThatCannotWork(t *testing.T) {
	f := setUp(t)
	f.start("run", "--quorum", "redis://a:1,redis://b:1", "x", "--", "true").ends(64, "odd number")
	f.start("run", "--quorum", "redis://a:1,redis://b:1,redis://a:1", "x", "--", "true").ends(64, "one server")
	f.start("run", "--quorum", "redis://a:1,redis://b:1,redis://c:1", "--once", "x", "--", "true").ends(64, "contradict")
	f.start("run", "--quorum", "redis://a:1,redis://b:1,redis://c:1", "--redis", "redis://a:1", "x", "--", "true").ends(64, "contradict")
	f.start("run", "--quorum", "redis://a:1,redis://b:1,redis://c:1", "--lease", "2m", "x", "--", "true").ends(64, "WithLongestLease")
	f.start("run", "--longest-lease", "2m", "x", "--", "true").ends(64, "--longest-lease needs --quorum")
	f.start("ls", "--quorum", "redis://a:1,redis://b:1,redis://c:1", "--redis", "redis://a:1").ends(64, "contradict")
}
