// Suites runs the behaviour tests of the root module on each topology, and says how it went: for people on standard output, and
// as a JSON object for each topology in the file that -out names, for torture/report.
//
//	go run ./suites [-servers "valkey 9.1,…"] [-out FILE] [-docs] [topology ...]
//
// Without -servers that is done on the redis-server of the machine, with the race detector. "all" is each server that
// internal/servertest can start, on the topologies that differ between servers. With -docs the tables in docs/servers.md and
// docs/operations.md are written from what is in the file.
//
// A behaviour test is one that calls both, in ../*_test.go: it runs on the embedded server in fake time, and on a real one, which
// REDISLOCK_TEST_TOPOLOGY makes a Sentinel set, a cluster, and so on (topology_test.go there). The exit status is 1 if a
// test failed or was left out.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/redislock/internal/servertest"
)

// all are the topologies, with a remark on each.
var all = []struct{ name, note string }{
	{"server", "one server; the client speaks RESP3, the default of go-redis"},
	{"resp2", "one server"},
	{"autopipeline", "one server, through a *redis.AutoPipeliner; WithReplicas is refused, for it needs one connection for two commands"},
	{"tls", "TLS, as a user with exactly what ACL prints"},
	{"sentinel", "a primary, two replicas, three Sentinels; as that user"},
	{"sentinel/resp2", "likewise"},
	{"cluster", "three masters, three replicas, sharded channels; as that user"},
	{"cluster/resp2", "likewise"},
}

// differing are the topologies on which each of several servers is tried.
var differing = []string{"server", "resp2", "tls", "sentinel", "cluster"}

// suite is the result of the tests on a topology.
type suite struct {
	Server   string  `json:"server"` // as it names itself, such as "valkey 9.1.2"
	Date     string  `json:"date"`
	Topology string  `json:"topology"`
	Tests    int     `json:"tests"`
	Failed   int     `json:"failed"`
	Seconds  float64 `json:"seconds"`
	Note     string  `json:"note"`
}

func main() {
	out := flag.String("out", "", "the file to which results are appended")
	root := flag.String("root", "..", "the folder of the root module")
	servers := flag.String("servers", "", "names of servers, with commas between; all; none, where only -docs is wanted")
	docs := flag.Bool("docs", false, "write the tables of the documentation from the file of -out")
	flag.Parse()
	var err error
	switch *servers {
	case "none":
	case "":
		err = run(*root, *out, "", flag.Args())
	default:
		err = runAll(*root, *out, *servers, flag.Args())
	}
	if *docs {
		err = errors.Join(err, document(*root, *out))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
		os.Exit(1)
	}
}

// runAll calls run for each of several servers.
func runAll(root, out, servers string, wanted []string) (failed error) {
	names := strings.Split(servers, ",")
	if servers == "all" {
		names = nil
		for _, k := range servertest.AllKnown {
			names = append(names, k.Name)
		}
	}
	if len(wanted) == 0 {
		wanted = differing
	}
	for _, name := range names {
		if err := run(root, out, strings.TrimSpace(name), wanted); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", name, err))
		}
	}
	return failed
}

// run runs the suites on a server, "" being that of the machine.
func run(root, out, server string, wanted []string) error {
	tests, err := behaviour(root)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "suites-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var version string
	if err := servertest.Program(func(t testing.TB) { version = servertest.Version(servertest.Named(t, server)) }); err != nil {
		return err
	}
	binary := filepath.Join(dir, "root.test")
	build := []string{"test", "-c", "-o", binary}
	if server == "" {
		build = append(build, "-race") // the race detector is about the Client, so one server is enough for it
	}
	compile := exec.Command("go", append(build, ".")...)
	compile.Dir, compile.Stderr = root, os.Stderr
	if err := compile.Run(); err != nil {
		return fmt.Errorf("the tests do not build: %w", err)
	}
	notes := map[string]string{}
	var names []string
	for _, t := range all {
		notes[t.name] = t.note
		names = append(names, t.name)
	}
	if len(wanted) > 0 {
		names = wanted
	}
	wrong := 0
	for _, name := range names {
		s := suite{Server: version, Date: time.Now().UTC().Format(time.DateOnly), Topology: name, Note: notes[name]}
		if err := s.play(root, binary, server, tests); err != nil {
			return err
		}
		if s.Tests != len(tests) {
			s.Failed += max(len(tests)-s.Tests, 1) // a test that did not run has not passed
		}
		fmt.Printf("%-14s %-15s %d of %d tests passed in %.0f s\n", version, name, s.Tests-min(s.Failed, s.Tests), len(tests), s.Seconds)
		wrong += s.Failed
		if err := s.keep(out); err != nil {
			return err
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d tests failed", wrong)
	}
	return nil
}

// parallel is how many tests run at the same time, as they mostly wait.
const parallel = "4"

var (
	testFunc = regexp.MustCompile(`^func (Test\w+)\(`)
	bothCall = regexp.MustCompile(`^\t+both\(t`)
)

// behaviour is the names of the behaviour tests.
func behaviour(root string) (tests []string, err error) {
	files, err := filepath.Glob(filepath.Join(root, "*_test.go"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		name := ""
		for line := range strings.Lines(string(text)) {
			if m := testFunc.FindStringSubmatch(line); m != nil {
				name = m[1]
			} else if bothCall.MatchString(line) && !slices.Contains(tests, name) {
				tests = append(tests, name)
			}
		}
	}
	if len(tests) == 0 {
		return nil, fmt.Errorf("no behaviour tests in %s", root)
	}
	return tests, nil
}

// play runs the tests of a topology.
func (s *suite) play(root, binary, server string, tests []string) error {
	cmd := exec.Command("go", "tool", "test2json", "-t", binary, "-test.v=test2json", "-test.timeout=8m",
		"-test.parallel", parallel, "-test.run", "^("+strings.Join(tests, "|")+"|TestTheTopologyExists)$/^real$")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "REDISLOCK_TEST_TOPOLOGY="+s.Topology, servertest.NameVariable+"="+server)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	known, err := s.read(events)
	failed := cmd.Wait()
	s.Seconds = time.Since(start).Seconds()
	if err == nil && failed != nil && s.Failed == 0 {
		s.Failed++
		fmt.Println(known)
	}
	return err
}

// read counts the tests, and prints the output of those that failed. The result is the output outside of any test.
func (s *suite) read(events io.Reader) (outside string, err error) {
	said := map[string]*strings.Builder{}
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e struct{ Action, Test, Output string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			outside += lines.Text() + "\n" // the build failed
			continue
		}
		test, sub, _ := strings.Cut(e.Test, "/")
		if said[test] == nil {
			said[test] = &strings.Builder{}
		}
		said[test].WriteString(e.Output)
		switch {
		case test == "" || sub != "" || test == "TestTheTopologyExists":
		case e.Action == "pass":
			s.Tests++
		case e.Action == "fail":
			s.Tests++
			s.Failed++
			fmt.Print(said[test])
		}
	}
	if said[""] != nil {
		outside += said[""].String()
	}
	return outside, lines.Err()
}

// keep appends the result to a file, if there is one.
func (s *suite) keep(path string) error {
	if path == "" {
		return nil
	}
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
