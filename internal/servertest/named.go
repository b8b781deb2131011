package servertest

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// NameVariable is the environment variable that names the server which tests are run on, such as "valkey 9.1". Without it
// that is the redis-server of the machine.
const NameVariable = "REDISLOCK_TEST_SERVER"

// CacheVariable is the environment variable that names the folder which fetched servers are kept in. Without it that is
// .cache/servers in the repository, which git ignores. Clones that name the same one fetch each server once.
const CacheVariable = "REDISLOCK_SERVERS"

// Off is the value of [CacheVariable] where no server is fetched. Tests that name one are left out then; without it they fail
// where theirs cannot be fetched. The Makefile sets it, and says so, on a machine that is no Debian.
const Off = "off"

// Known is a server that people run, and where Debian has it.
type Known struct {
	Name   string   // product and version, "redis 8.0"
	suites []string // the last has it, the others have the libraries it needs
	pkg    string   // the package that has the program
}

// AllKnown are the servers that can be started by name, the oldest of each product first. "redis newest" and "valkey newest"
// are the last of each.
var AllKnown = []Known{
	{"redis 6.0", []string{"bullseye"}, "redis-tools"},
	{"redis 7.0", []string{"bookworm"}, "redis-tools"},
	{"redis 8.0", []string{"trixie"}, "redis-tools"},
	{"redis 8.6", []string{"sid", "experimental"}, "redis-tools"},
	{"valkey 8.0", []string{"bookworm", "bookworm-backports"}, "valkey-tools"},
	{"valkey 8.1", []string{"trixie"}, "valkey-tools"},
	{"valkey 9.1", []string{"sid"}, "valkey-tools"},
}

// named is a test whose Redis servers are of one kind.
type named struct {
	testing.TB
	name string
}

// Named stands for a test when servers are started: they are the one of that name, "" being the redis-server of the machine,
// whatever [NameVariable] says. One that is not there yet is fetched ([Fetch]), or the test fails, unless that is [Off].
func Named(t testing.TB, name string) testing.TB {
	t.Helper()
	if name != "" {
		naming(t)
	}
	return &named{t, cmp.Or(name, machines)}
}

// machines is the name of the server that the machine has.
const machines = "machine"

// nameOf is the name of the servers that a test wants.
func nameOf(t testing.TB) string {
	for {
		switch outer := t.(type) {
		case *named:
			return outer.name
		case *lasting:
			t = outer.TB
		default:
			return cmp.Or(os.Getenv(NameVariable), machines)
		}
	}
}

// product is what a known server is, and version which.
func (k Known) product() string {
	name, _, _ := strings.Cut(k.Name, " ")
	return name
}

func (k Known) version() string {
	_, version, _ := strings.Cut(k.Name, " ")
	return version
}

// find is the known server of that name. floats is true for a "newest" one, whose version is the one that Debian has now.
func find(name string) (k Known, floats bool, err error) {
	for _, k := range slices.Backward(AllKnown) {
		if name == k.product()+" newest" {
			return k, true, nil
		}
		if name == k.Name {
			return k, false, nil
		}
	}
	var names []string
	for _, k := range AllKnown {
		names = append(names, k.Name)
	}
	return k, false, fmt.Errorf("servertest: %s=%q: there is no such server; there are %s", NameVariable, name, strings.Join(names, ", "))
}

// Cache is the folder of the fetched servers.
func Cache() (string, error) {
	switch dir := os.Getenv(CacheVariable); dir {
	case "":
	case Off:
		return "", fmt.Errorf("servertest: %s=%s: no server is fetched", CacheVariable, Off)
	default:
		return filepath.Abs(dir)
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "internal", "servertest")); err == nil {
			return filepath.Join(dir, ".cache", "servers"), nil
		}
	}
	return "", fmt.Errorf("servertest: this is not the repository, so %s must name the folder of the servers", CacheVariable)
}

// in is where a known server is, in a cache: its program, its libraries and their loader, and nothing else.
func (k Known) in(cache string) string {
	return filepath.Join(cache, strings.ReplaceAll(k.Name, " ", "-"))
}

// program is how a server in a folder is started: by the loader of the Debian that it is from.
func (k Known) program(dir string) ([]string, error) {
	loaders, err := filepath.Glob(filepath.Join(dir, "ld-linux*"))
	if err != nil {
		return nil, err
	}
	binary := filepath.Join(dir, k.product()+"-server")
	if len(loaders) != 1 {
		return nil, fmt.Errorf("%s: it has %d loaders", dir, len(loaders))
	}
	if _, err := os.Stat(binary); err != nil {
		return nil, err
	}
	return []string{loaders[0], "--library-path", dir, binary}, nil
}

// olderThan reports whether the servers that a test wants are older than a version of Redis. Valkey's versions go on from Redis 7.2.
func olderThan(t testing.TB, major, minor int) bool {
	t.Helper()
	_, version, _ := strings.Cut(Version(t), " ")
	var got [2]int
	if _, err := fmt.Sscanf(version, "%d.%d", &got[0], &got[1]); err != nil {
		t.Fatalf("servertest: the version %q cannot be read", version)
	}
	return got[0] < major || got[0] == major && got[1] < minor
}

// Version is what the servers are that a test wants, by their own word: "redis 7.0.15", "valkey 9.1.2".
func Version(t testing.TB) string {
	t.Helper()
	program := server(t)
	version, err := says(program)
	if err != nil {
		t.Fatal(err)
	}
	product := "redis"
	if strings.HasPrefix(filepath.Base(program[len(program)-1]), "valkey") {
		product = "valkey"
	}
	return product + " " + version
}

// versions are those that are known, by how a server is started: they do not change while a process runs.
var versions sync.Map

// says is the version that a server of that kind prints: "v=9.1.2".
func says(program []string) (string, error) {
	key := strings.Join(program, " ")
	if known, ok := versions.Load(key); ok {
		return known.(string), nil
	}
	out, err := exec.Command(program[0], append(program[1:], "--version")...).Output()
	if err != nil {
		return "", err
	}
	for _, word := range strings.Fields(string(out)) {
		if version, ok := strings.CutPrefix(word, "v="); ok {
			versions.Store(key, version)
			return version, nil
		}
	}
	return "", fmt.Errorf("it says %q of itself", out)
}
