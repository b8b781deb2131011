package simulation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// childEnv is the variable that makes a process run simulations.
const childEnv = "REDISLOCK_SIMULATE"

// environment is the environment of a simulating process: one P, and no garbage collection during a run.
var environment = []string{childEnv + "=1", "GOMAXPROCS=1", "GOGC=off", "GODEBUG=asyncpreemptoff=1", "GOTRACEBACK=all"}

// order is a task for a simulating process.
type order struct {
	Seed  uint64
	Plan  *plan // used in the place of the plan that is drawn from the seed
	Times int   // how often the plan is run; all runs must have one hash
	Show  bool  // give the text even if nothing is found
}

// outcome is the result of an order.
type outcome struct {
	Seed   uint64
	Result result
	Again  string // the hash of the other runs, or the first different one
	Small  plan   // if something was found: a smaller plan that finds it too
	Runs   int    // how many runs it took to find the smaller plan
	Text   string // the history of the smaller plan
}

// found reports whether there is something to report.
func (o outcome) found() bool {
	return len(o.Result.Findings) > 0 || o.Again != "" && o.Again != o.Result.Hash
}

// TestChild runs the orders on its standard input.
func TestChild(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		t.Skip("it is a process of the other tests")
	}
	redis.SetLogger(silent{})
	asked, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.NewFile(3, "answers"))
	for {
		var one order
		if err := asked.Decode(&one); err != nil {
			return
		}
		if err := answers.Encode(one.follow(t)); err != nil {
			t.Fatal(err)
		}
		tidy()
	}
}

// tidy collects garbage, between two runs.
func tidy() {
	var m runtime.MemStats
	if runtime.ReadMemStats(&m); m.HeapAlloc > 256<<20 {
		debug.FreeOSMemory()
	}
}

// silent is a logger that drops everything, as a write leaves the bubble and lets other goroutines run meanwhile.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func (one order) follow(t *testing.T) outcome {
	p := planOf(one.Seed)
	if one.Plan != nil {
		p = *one.Plan
	}
	o := outcome{Seed: one.Seed, Result: run(t, p), Small: p}
	for range one.Times - 1 {
		again := run(t, p)
		if o.Again = again.Hash; o.Again != o.Result.Hash {
			o.Text = difference(o.Result.text(), again.text())
			return o
		}
		tidy()
	}
	if len(o.Result.Findings) > 0 {
		o.Small, o.Runs = shrink(p, func(p plan) []string {
			runtime.GC()
			return run(t, p).Findings
		}, o.Result.Findings)
	}
	if one.Show || len(o.Result.Findings) > 0 {
		o.Text = run(t, o.Small).text()
	}
	return o
}

// difference is the place where two texts begin to differ.
func difference(a, b string) string {
	one, other := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(one), len(other)) {
		if one[i] != other[i] {
			from := max(0, i-5)
			return fmt.Sprintf("line %d\n%s\n\n%s", i, strings.Join(one[from:min(i+5, len(one))], "\n"), strings.Join(other[from:min(i+5, len(other))], "\n"))
		}
	}
	return "they have one text"
}

// child is a process that simulates.
type child struct {
	binary  string
	cmd     *exec.Cmd
	ask     io.WriteCloser
	answers *json.Decoder
	said    bytes.Buffer
}

func (c *child) start() error {
	c.cmd = exec.Command(c.binary, "-test.run", "^TestChild$", "-test.timeout", "0")
	c.cmd.Env = append(os.Environ(), environment...)
	c.said.Reset()
	c.cmd.Stdout, c.cmd.Stderr = &c.said, &c.said
	read, written, err := os.Pipe()
	if err != nil {
		return err
	}
	defer written.Close()
	c.cmd.ExtraFiles = []*os.File{written}
	c.answers = json.NewDecoder(read)
	if c.ask, err = c.cmd.StdinPipe(); err != nil {
		return err
	}
	return c.cmd.Start()
}

func (c *child) stop() {
	if c.cmd != nil {
		_ = c.ask.Close()
		_ = c.cmd.Wait()
		c.cmd = nil
	}
}

// tooLong is how long one seed may take, with all the runs to make its plan smaller. Most take a fiftieth of a second.
const tooLong = 3 * time.Minute

// follow runs an order in the child. If the process dies or does not end, that is an error with its output.
func (c *child) follow(one order) (o outcome, err error) {
	if c.cmd == nil {
		if err := c.start(); err != nil {
			return o, err
		}
	}
	late := time.AfterFunc(tooLong, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	if err = json.NewEncoder(c.ask).Encode(one); err == nil {
		err = c.answers.Decode(&o)
	}
	if err != nil {
		_ = c.cmd.Wait()
		c.cmd = nil
		said := c.said.Bytes()
		if at := bytes.Index(said, []byte("panic: ")); at > 0 {
			said = said[at:]
		}
		err = fmt.Errorf("seed %d: the process ended over it: %w\n%.6000s", one.Seed, err, said)
	}
	return o, err
}
