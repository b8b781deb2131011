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

// childEnv tells a process that it is one that simulates.
const childEnv = "REDISLOCK_SIMULATE"

// environment is what a simulating process has besides: one P, no collection of garbage while a run lasts.
var environment = []string{childEnv + "=1", "GOMAXPROCS=1", "GOGC=off", "GODEBUG=asyncpreemptoff=1", "GOTRACEBACK=all"}

// order is what a simulating process is asked to do.
type order struct {
	Seed  uint64
	Plan  *plan // in the place of the one that is drawn from the seed
	Times int   // how often it is run, and has to have one hash
	Show  bool  // also where nothing is found
}

// outcome is what came of it.
type outcome struct {
	Seed   uint64
	Result result
	Again  string // the hash of the others, or the first that is another
	Small  plan   // if something was found: a smaller plan of which that comes, too
	Runs   int    // how many it took to find that one
	Text   string // and what happens in it
}

// found reports whether there is something to tell.
func (o outcome) found() bool {
	return len(o.Result.Findings) > 0 || o.Again != "" && o.Again != o.Result.Hash
}

// TestChild does what it is asked for on its standard input.
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

// silent is a logger. To write is to leave the bubble, and to let others run meanwhile.
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

// difference is where two texts begin to differ.
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

// follow has an order followed. A process that dies over it, or does not end, is an error, with what it said.
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
