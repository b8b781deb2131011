package report

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/bench/internal/peer"
)

// Facts are the machine and the programs of a run, as they name themselves.
type Facts struct {
	CPU         string // model
	CPUs        int
	Kernel      string
	Memory      int64 // bytes
	Go          string
	Redis       string
	MaxClients  int // of a redis-server here: its default, or less if the machine allows less
	NodeTimeout int // of a cluster node, in ms: its default
	Backlog     int // of a master for its replicas, in bytes: its default
	GoRedis     string
	Revision    string // of the source, by git; -dirty: with changes
	Peers       []PeerFacts
}

// PeerFacts are those of one library in one setting.
type PeerFacts struct {
	Name, Module, Version, Setting string
	Polls, Variant, Renews         bool
}

// Gather reads the facts; those of Redis from a server.
func Gather(ctx context.Context, rdb redis.UniversalClient) (Facts, error) {
	f := Facts{
		CPU: field("/proc/cpuinfo", "model name"), CPUs: runtime.NumCPU(),
		Kernel: strings.TrimSpace(runtime.GOOS + " " + text("/proc/sys/kernel/osrelease")),
		Go:     runtime.Version() + " " + runtime.GOARCH, GoRedis: peer.Version("github.com/redis/go-redis/v9"),
		Revision: revision(),
	}
	if kib, err := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 10, 64); err == nil {
		f.Memory = kib << 10
	}
	info, err := rdb.Info(ctx, "server").Result()
	if err != nil {
		return f, err
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "redis_version:"); ok {
			f.Redis = v
		}
	}
	for name, to := range map[string]*int{"maxclients": &f.MaxClients, "cluster-node-timeout": &f.NodeTimeout, "repl-backlog-size": &f.Backlog} {
		config, err := rdb.ConfigGet(ctx, name).Result()
		if err != nil {
			return f, err
		}
		if *to, err = strconv.Atoi(config[name]); err != nil {
			return f, err
		}
	}
	for _, p := range peer.Everywhere() {
		version := peer.Version(p.Module)
		if kindOf(p.Name) == ours {
			version = f.Revision
		}
		f.Peers = append(f.Peers, PeerFacts{p.Name, p.Module, version, p.Setting, p.Polls, p.Variant, p.Renews})
	}
	return f, nil
}

func text(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// field is the first "name: value" of a file.
func field(path, name string) string {
	for line := range strings.Lines(text(path)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func revision() string {
	out, err := exec.Command("git", "describe", "--tags", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
