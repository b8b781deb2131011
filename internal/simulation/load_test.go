package simulation_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

var busy = flag.Int("load", 20, "run so many seeds alone, then again beside loops that keep each processor busy, and compare their hashes")

// loops is how many busy loops run for each processor.
const loops = 3

// loaded is the result of a run under load.
type loaded struct {
	First             uint64
	Seeds, Differ     int
	Processors, Loops int
	Quiet, Loaded     time.Duration // how long it took
}

func TestASeedHasOneHashOnABusyMachine(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		return
	}
	first := *base
	if first == 0 {
		first = ofCommit()
	}
	l := loaded{First: first, Seeds: *busy, Processors: runtime.NumCPU(), Loops: loops * runtime.NumCPU()}
	binary := built(t)
	hashes := func() (map[uint64]string, time.Duration) {
		all, begun := map[uint64]string{}, time.Now()
		search(binary, order{Times: 1}, first, *busy, *busy, func(o outcome, err error) {
			if err != nil {
				t.Fatal(err)
			}
			all[o.Seed] = o.Result.Hash
		})
		return all, time.Since(begun)
	}
	quiet, took := hashes()
	l.Quiet = took
	var over atomic.Bool
	for range l.Loops {
		go func() {
			for !over.Load() { // it is busy
			}
		}()
	}
	again, took := hashes()
	over.Store(true)
	l.Loaded = took
	for seed, hash := range quiet {
		if again[seed] != hash {
			l.Differ++
			t.Errorf("seed %d has the hash %s, and %s on a busy machine", seed, hash, again[seed])
		}
	}
	t.Log(l)
	if *record {
		keep(t, loadFile, l)
	}
}

func (l loaded) String() string {
	return fmt.Sprintf("seeds %d to %d: %d of %d have one hash; %v alone, %v beside %d busy loops on %d processors",
		l.First, l.First+uint64(l.Seeds)-1, l.Seeds-l.Differ, l.Seeds, l.Quiet.Round(time.Second), l.Loaded.Round(time.Second), l.Loops, l.Processors)
}
