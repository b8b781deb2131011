// Suites runs the behaviour tests of the root module on each topology, and says how it went: for people on standard output, and
// as a JSON object for each topology in the file that -out names, for torture/report.
//
//	go run ./suites [-out FILE] [topology ...]
//
// A behaviour test is one that calls both, in ../*_test.go: it runs on the embedded server in fake time, and on a real one, which
// REDISLOCK_TEST_TOPOLOGY makes a Sentinel set, a cluster, and so on (topology_test.go there). The exit status is 1 if a
// test failed or was left out.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// all are the topologies, with what is to be said of them.
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

// suite is how the tests went on a topology.
type suite struct {
	Topology string  `json:"topology"`
	Tests    int     `json:"tests"`
	Failed   int     `json:"failed"`
	Seconds  float64 `json:"seconds"`
	Note     string  `json:"note"`
}

func main() {
	out := flag.String("out", "", "the file to which results are appended")
	root := flag.String("root", "..", "the folder of the root module")
	flag.Parse()
	if err := run(*root, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
		os.Exit(1)
	}
}

func run(root, out string, wanted []string) error {
	tests, err := behaviour(root)
	if err != nil {
		return err
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
		s := suite{Topology: name, Note: notes[name]}
		if err := s.play(root, tests); err != nil {
			return err
		}
		if s.Tests != len(tests) {
			s.Failed += max(len(tests)-s.Tests, 1) // what did not run has not passed
		}
		fmt.Printf("%-15s %d of %d tests passed in %.0f s\n", name, s.Tests-min(s.Failed, s.Tests), len(tests), s.Seconds)
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

// play runs the tests.
func (s *suite) play(root string, tests []string) error {
	cmd := exec.Command("go", "test", "-json", "-race", "-count=1", "-timeout=8m",
		"-run", "^("+strings.Join(tests, "|")+"|TestTheTopologyExists)$/^real$", ".")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "REDISLOCK_TEST_TOPOLOGY="+s.Topology)
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

// read counts the tests, and shows what the failed ones said. The result is what was said outside of any test.
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
