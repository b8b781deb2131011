package simulation_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	seed  = flag.Uint64("seed", 0, "show the run of this seed alone")
	count = flag.Int("seeds", 0, "how many seeds are run; 0: 2000, or 100 with -short")
	base  = flag.Uint64("base", 0, "the first of them; 0: one that changes with the commit, and without -seeds the same each time")
	times = flag.Int("times", 2, "how often each is run, and has to have one hash")
	full  = flag.Int("findings", 3, "how many findings end the search")
)

// built is the test binary that simulates.
func built(t *testing.T) string {
	path, err := build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSimulation runs seeds, each twice. Nothing must be found, and both runs must be equal in everything that
// happens.
func TestSimulation(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		return
	}
	if *seed != 0 {
		showSeed(t)
		return
	}
	n, first := *count, *base
	if n == 0 { // the same seeds each time, so that a change is judged by itself; make simulate searches others
		n, first = 2000, cmp.Or(first, sameSeeds)
		if testing.Short() {
			n = 40
		}
	}
	if first == 0 {
		first = ofCommit()
	}
	s := search(built(t), order{Times: *times}, first, n, *full, func(o outcome, err error) {
		switch {
		case err != nil:
			t.Error(err)
		case o.Again != "" && o.Result.Hash != o.Again:
			t.Errorf("seed %d: runs differ: %s and %s\n%s", o.Seed, o.Result.Hash, o.Again, o.Text)
			return
		}
		if len(o.Result.Findings) > 0 {
			t.Errorf("seed %d: %s\nmade smaller in %d runs:\n%s\n%s\nmake simulate SEED=%d shows it", o.Seed, strings.Join(o.Result.Findings, "\n"), o.Runs, o.Small, o.Text, o.Seed)
		}
	})
	t.Log(s)
	if *record {
		keep(t, searchFile, s)
	}
}

func showSeed(t *testing.T) {
	c := &child{binary: built(t)}
	defer c.stop()
	o, err := c.follow(order{Seed: *seed, Show: true})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("%s\n%s\n%s\n", o.Small, o.Text, o.Result)
	for _, f := range o.Result.Findings {
		t.Errorf("seed %d: %s", o.Seed, f)
	}
}

// summary is the result of a search.
type summary struct {
	First                               uint64
	Seeds, Runs                         int
	Ops, Faults, Calls, Packets, Models int
	Virtual, Took                       time.Duration
	Findings                            int
	Seen                                map[string]int
}

func (s summary) String() string {
	return fmt.Sprintf("seeds %d to %d, each %d times: %d operations, %d faults, %d calls (%d answered by the model, too), %d packets, %.1f virtual hours in %v, %.0f h per hour; %d seeds with findings",
		s.First, s.First+uint64(s.Seeds)-1, *times, s.Ops, s.Faults, s.Calls, s.Models, s.Packets, s.Virtual.Hours(), s.Took.Round(time.Second), float64(*times)*s.Virtual.Hours()/max(s.Took.Hours(), 1e-9), s.Findings)
}

// search runs seeds in as many processes as there are processors, until there are that many findings. It calls tell
// for each.
func search(binary string, like order, first uint64, n, enough int, tell func(outcome, error)) summary {
	return searchEach(binary, like, first, n, 1, enough, tell)
}

// searchEach is search with only every n-th seed, as the others are of other worlds.
func searchEach(binary string, like order, first uint64, n int, step uint64, enough int, tell func(outcome, error)) (s summary) {
	s.First = first
	began := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := first
	for range runtime.NumCPU() {
		wg.Go(func() {
			c := &child{binary: binary}
			defer c.stop()
			for {
				mu.Lock()
				seed := next
				next += step
				over := seed >= first+uint64(n)*step || s.Findings >= enough
				mu.Unlock()
				if over {
					return
				}
				one := like
				one.Seed = seed
				o, err := c.follow(one)
				mu.Lock()
				s.add(o)
				if err != nil || o.found() {
					s.Findings++
				}
				tell(o, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	s.Took = time.Since(began)
	return s
}

func (s *summary) add(o outcome) {
	r := o.Result
	s.Seeds++
	s.Runs += 2 + o.Runs
	s.Ops += r.Ops
	s.Faults += r.Faults
	s.Calls += r.Calls
	s.Packets += r.Packets
	s.Models += r.Accepted
	s.Virtual += r.Virtual
	for what, n := range r.Seen {
		if s.Seen == nil {
			s.Seen = map[string]int{}
		}
		s.Seen[what] += n
	}
}

// sameSeeds is the first seed if it is to be the same each time.
const sameSeeds = 1_000_000

// ofCommit is a first seed that depends on the commit, so that each commit tries others. Without git it is always the
// same.
func ofCommit() uint64 {
	out, err := exec.Command("git", "rev-parse", "--short=10", "HEAD").Output()
	if err != nil {
		return sameSeeds
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(out)), 16, 64)
	if err != nil {
		return sameSeeds
	}
	return n
}

// String is the plan for a person.
func (p plan) String() string {
	lines := []string{fmt.Sprintf("%d processes", p.Clients)}
	if p.quorum() {
		lines[0] += fmt.Sprintf(", %d nodes, whose clocks are ahead by %v; the longest lease is %v", p.Nodes, p.Skews, p.Longest)
	}
	for _, op := range p.Ops {
		lines = append(lines, fmt.Sprintf("%12.6f  %c: %d, %s %s", op.At.Seconds(), 'A'+op.Client, op.Number, op.Kind, op.Name))
	}
	for _, f := range p.Faults {
		line := fmt.Sprintf("%12.6f  %c: fault %s for %v", f.At.Seconds(), 'A'+f.Client, f.Kind, f.For)
		if f.After != "" {
			line += ", soon after the next that is: " + f.After
		}
		if p.quorum() {
			line += fmt.Sprintf(", at node %d", f.Node+1)
		}
		lines = append(lines, line)
	}
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n")
}
