// Report writes docs/reliability.md from what a run of the matrix, of the model and of the topologies left behind, and from
// the bugs that can be brought back. No figure on that page is typed by hand.
//
//	go run ./report -rows FILE [-model FILE] [-topologies FILE] [-bugs DIR] [-out FILE]
//
// The files have a JSON object on each line: of a row (torture.Result), of the model ([modelRun]), of a topology
// ([topologyRun]). If a file is not named, or is empty, the page says that its part is missing. The exit status is 1
// if any run had a violation or a failure. The page is written all the same, and shows it.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/redislock/internal/servertest"
	"example.com/redislock/torture"
)

func main() {
	rows := flag.String("rows", "", "what TORTURE_REPORT named")
	models := flag.String("model", "", "what TORTURE_REPORT_MODEL named")
	topologies := flag.String("topologies", "", "what TORTURE_REPORT_TOPOLOGIES named")
	bugs := flag.String("bugs", "bugs", "the folder of the patches")
	out := flag.String("out", filepath.Join("..", "docs", "reliability.md"), "the page")
	flag.Parse()
	p := &page{versions: versions(), date: time.Now().UTC()}
	p.simulation = simulation(*out)
	err := p.read(*rows, *models, *topologies, *bugs)
	if err == nil {
		err = os.WriteFile(*out, p.text(), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
	if n := p.wrong(); n > 0 {
		fmt.Fprintf(os.Stderr, "report: %d violations or failures\n", n)
		os.Exit(1)
	}
}

// modelRun is one exhaustive search of the model: of a configuration, with all rules or with one of them removed.
type modelRun struct {
	Configuration string  `json:"configuration"`
	RuleRemoved   string  `json:"rule_removed"` // empty: none
	States        int64   `json:"states"`
	Depth         int     `json:"depth"`
	Violated      string  `json:"violated"` // the broken promise, if an error was found
	Errors        int     `json:"errors"`   // without a rule there must be one
	Seconds       float64 `json:"seconds"`
}

// topologyRun is the behaviour suite on one topology.
type topologyRun struct {
	Topology string  `json:"topology"`
	Tests    int     `json:"tests"`
	Failed   int     `json:"failed"`
	Seconds  float64 `json:"seconds"`
	Note     string  `json:"note"` // what cannot hold there, in plain words
}

// bug is a patch that brings a bug back.
type bug struct{ name, what, test string }

// page has the data of the report.
type page struct {
	versions   [][2]string
	date       time.Time
	rows       []torture.Result
	models     []modelRun
	topologies []topologyRun
	bugs       []bug
	simulation string // the section that the simulation writes, unchanged
}

// simulation is the section of the page that internal/simulation writes.
func simulation(path string) string {
	const begins, ends = "<!-- simulation: ", "<!-- end of simulation -->\n"
	text, err := os.ReadFile(path)
	if err != nil {
		return begins + "make simulate RECORD=1 writes this -->\n" + ends
	}
	_, rest, _ := strings.Cut(string(text), begins)
	section, _, _ := strings.Cut(rest, ends)
	return begins + section + ends
}

func (p *page) read(rows, models, topologies, bugs string) error {
	var err error
	if p.rows, err = lines[torture.Result](rows); err != nil {
		return err
	}
	last := map[string]torture.Result{} // the last result of each row, as a row may be played again
	for _, r := range p.rows {
		last[r.Fault] = r
	}
	p.rows = p.rows[:0]
	for _, r := range last {
		p.rows = append(p.rows, r)
	}
	slices.SortFunc(p.rows, func(a, b torture.Result) int { return strings.Compare(a.Fault, b.Fault) })
	if p.models, err = lines[modelRun](models); err != nil {
		return err
	}
	if p.topologies, err = lines[topologyRun](topologies); err != nil {
		return err
	}
	p.bugs, err = readBugs(bugs)
	return err
}

// lines reads a JSON object from each line of a file; none if no file is named.
func lines[T any](path string) (all []T, err error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil // nothing of that kind was run
	}
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(text) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var one T
		if err := json.Unmarshal(line, &one); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, one)
	}
	return all, nil
}

// readBugs reads the heads of the patches: lines "Bug: what it is" and "Test: module test", before the first diff.
func readBugs(dir string) (bugs []bug, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.patch"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		b := bug{name: strings.TrimSuffix(filepath.Base(path), ".patch")}
		for head := bufio.NewScanner(bytes.NewReader(text)); head.Scan() && !strings.HasPrefix(head.Text(), "diff "); {
			if what, ok := strings.CutPrefix(head.Text(), "Bug: "); ok {
				b.what = what
			}
			if test, ok := strings.CutPrefix(head.Text(), "Test: "); ok {
				b.test = test
			}
		}
		if b.what == "" || b.test == "" {
			return nil, fmt.Errorf("%s: no line \"Bug: …\" or \"Test: module test\" before the first diff", path)
		}
		bugs = append(bugs, b)
	}
	return bugs, nil
}

// wrong counts violations, failures, and rules without which no error was found.
func (p *page) wrong() (n int) {
	for _, r := range p.rows {
		n += len(r.Violations)
	}
	for _, m := range p.models {
		if (m.Errors > 0) != (m.RuleRemoved != "") {
			n++
		}
	}
	for _, t := range p.topologies {
		n += t.Failed
	}
	return n
}

// versions are the versions of the programs that were run.
func versions() [][2]string {
	return [][2]string{
		{"redislock", said("git", "describe", "--tags", "--always", "--dirty")},
		{"server", server()},
		{"Go", runtime.Version()},
		{"go-redis", said("go", "list", "-m", "-f", "{{.Version}}", "github.com/redis/go-redis/v9")},
		{"machine", fmt.Sprintf("%d cores, %s/%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)},
	}
}

// server is the server of the rows: that of the machine, or the one that the environment names.
func server() string {
	version := "unknown"
	if err := servertest.Program(func(t testing.TB) { version = servertest.Version(t) }); err != nil {
		return "unknown: " + err.Error()
	}
	return strings.ToUpper(version[:1]) + version[1:]
}

func said(command string, args ...string) string {
	out, err := exec.Command(command, args...).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
