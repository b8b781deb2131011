package simulation_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// The Go runtime decides some things by chance, by addresses, or by the wall clock. In the simulation it must not. So the simulation
// runs in a test binary that is built with a runtime in which only these lines are changed. If a version of Go does not have these
// lines, the test says so, and simulates nothing.
var changes = []struct{ file, was, is string }{
	// A goroutine that runs for 10 ms by the wall clock is preempted, on a busy machine at any place.
	{"runtime/proc.go", "const forcePreemptNS = 10 * 1000 * 1000", "const forcePreemptNS = 1 << 60"},
	// Every 61st time the global queue of goroutines comes first.
	{"runtime/proc.go", "if pp.schedtick%61 == 0 && !sched.runq.empty() {", "if false && !sched.runq.empty() {"},
	// A bubble has its own random numbers.
	{"runtime/synctest.go", "	now     int64  // current fake time\n", "	now     int64  // current fake time\n	drawn   uint64\n"},
	{"runtime/synctest.go", "// incActive increments the active-count for the bubble.", `// drawn is a number below n: the bubble's next where there is one.
func drawn(n uint32) uint32 {
	bubble := getg().bubble
	if bubble == nil {
		return cheaprandn(n)
	}
	bubble.drawn += 0x9e3779b97f4a7c15
	x := bubble.drawn
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return uint32(uint64(uint32(x>>32)) * uint64(n) >> 32)
}

// incActive increments the active-count for the bubble.`},
	// The choice of select between ready cases, and the order of timers of one instant.
	{"runtime/select.go", "j := cheaprandn(uint32(norder + 1))", "j := drawn(uint32(norder + 1))"},
	{"runtime/time.go", "t.rand = cheaprand()", "t.rand = drawn(1 << 31)"},
	// The start of an iteration over a map, and the seeds of maps.
	{"runtime/rand.go", "func rand() uint64 {\n", "func rand() uint64 {\n	if getg().bubble != nil {\n		return 0x9e3779b97f4a7c15\n	}\n"},
	// The children of a context are in a map by their addresses. Here they end in the order in which they came.
	{"context/context.go", "	children map[canceler]struct{}", "	children map[canceler]uint64"},
	{"context/context.go", "p.children = make(map[canceler]struct{})", "p.children = make(map[canceler]uint64)"},
	{"context/context.go", "p.children[child] = struct{}{}", "p.children[child] = came.Add(1)"},
	{"context/context.go", "	for child := range c.children {\n", `	for len(c.children) > 0 {
		var child canceler
		for other, at := range c.children {
			if child == nil || at < c.children[child] {
				child = other
			}
		}
		delete(c.children, child)
`},
	{"context/context.go", "// A cancelCtx can be canceled.", "var came atomic.Uint64\n\n// A cancelCtx can be canceled."},
	// A wait for a mutex that is held during a dial, as by go-redis, lets fake time pass.
	{"runtime/runtime2.go", "	waitReasonSyncCondWait:          true,\n", "	waitReasonSyncCondWait:          true,\n	waitReasonSyncMutexLock:         true,\n	waitReasonSyncRWMutexRLock:      true,\n	waitReasonSyncRWMutexLock:       true,\n"},
	// For stopped processes: goroutines and the timers that they set are marked with the number of their process, and the timers of a stopped process wait.
	{"runtime/runtime2.go", "	bubble  *synctestBubble\n", "	bubble  *synctestBubble\n	process uint32\n"},
	{"runtime/time.go", "	isFake bool         // timer is using fake time; immutable; can be read without lock\n", "	isFake bool         // timer is using fake time; immutable; can be read without lock\n	process uint32\n"},
	{"runtime/synctest.go", "	root    *g     // caller of synctest.Run\n", "	root    *g     // caller of synctest.Run\n	stopped [16]int64\n"},
	{"runtime/proc.go", "		newg.bubble = callergp.bubble\n", "		newg.bubble = callergp.bubble\n		newg.process = callergp.process\n"},
	{"runtime/time.go", "		gp.bubble = bubble\n", "		gp.bubble = bubble\n		gp.process = t.process\n"},
	{"runtime/time.go", "		gp.bubble = nil\n", "		gp.bubble = nil\n		gp.process = 0\n"},
	{"runtime/time.go", "		throw(\"timer period must be non-negative\")\n	}\n", `		throw("timer period must be non-negative")
	}
	if gp := getg(); t.isFake && gp.bubble != nil {
		t.process = gp.process
		when = max(when, gp.bubble.stopped[t.process])
	}
`},
	{"runtime/synctest.go", "var bubbleGen atomic.Uint64 // bubble ID counter\n", `var bubbleGen atomic.Uint64 // bubble ID counter

// SimulationProcess has the goroutine, and those that it starts, be of a process, and returns which one it was of.
func SimulationProcess(number uint32) (was uint32) {
	gp := getg()
	was, gp.process = gp.process, number
	return was
}

// SimulationStop has the timers of a process stand still for some time. Those that were due meanwhile are due then, in their order.
func SimulationStop(number uint32, length int64) {
	bubble := getg().bubble
	until := bubble.now + length
	all := make([]timerWhen, 0, 2*len(bubble.timers.heap))
	for _, tw := range bubble.timers.heap {
		if t := tw.timer; t.process == number && t.when > 0 && t.when <= until {
			at := len(all)
			all = append(all, timerWhen{t, t.when})
			for ; at > 0 && all[at].less(all[at-1]); at-- {
				all[at], all[at-1] = all[at-1], all[at]
			}
		}
	}
	for i, tw := range all {
		tw.timer.modify(until+int64(i), tw.timer.period, nil, nil, tw.timer.seq)
		tw.timer.process = number
	}
	bubble.stopped[number] = until + int64(len(all))
}
`},
	// The hashes of strings.
	{"runtime/rand.go", "	globalRand.state.Init(*seed)\n", "	*seed = [32]byte{1}\n	globalRand.state.Init(*seed)\n"},
}

// These functions exist only in the changed runtime. Without it, nothing is simulated.
var (
	inProcess   = func(number int) (was int) { panic("on an unchanged runtime") }
	stopProcess = func(number int, length time.Duration) { panic("on an unchanged runtime") }
)

// stopping is a file that this package has when it is built with the changed runtime.
const stopping = `package simulation_test

import (
	"runtime"
	"time"
)

func init() {
	inProcess = func(number int) int { return int(runtime.SimulationProcess(uint32(number))) }
	stopProcess = func(number int, length time.Duration) { runtime.SimulationStop(uint32(number), int64(length)) }
}
`

// build builds the test binary of this package with the changed runtime, in a folder of its own, and returns its path. The given bugs
// are brought back in it.
func build(folder string, back ...bug) (string, error) {
	// The overlay has the same path each time, so that the compiled packages are found in the build cache.
	home := filepath.Join(os.TempDir(), fmt.Sprintf("redislock-simulation-%s-%d", runtime.Version(), os.Getuid()))
	if err := os.MkdirAll(home, 0o700); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	sources := filepath.Join(strings.TrimSpace(string(out)), "src")
	texts, replace := map[string]string{}, map[string]string{}
	for _, c := range changes {
		if _, ok := texts[c.file]; !ok {
			text, err := os.ReadFile(filepath.Join(sources, c.file))
			if err != nil {
				return "", err
			}
			texts[c.file] = string(text)
		}
		if strings.Count(texts[c.file], c.was) != 1 {
			return "", fmt.Errorf("%s: %s has not one line %q: see changes in runtime_test.go", runtime.Version(), c.file, c.was)
		}
		texts[c.file] = strings.Replace(texts[c.file], c.was, c.is, 1)
	}
	for file, text := range texts {
		changed := filepath.Join(home, filepath.Base(file))
		if err := write(changed, []byte(text)); err != nil {
			return "", err
		}
		replace[filepath.Join(sources, file)] = changed
	}
	if here, err := filepath.Abs("stopping_changed_test.go"); err != nil {
		return "", err
	} else if err := write(filepath.Join(home, "stopping_changed_test.go"), []byte(stopping)); err == nil {
		replace[here] = filepath.Join(home, "stopping_changed_test.go")
	}
	for i, b := range back {
		file, text, err := b.overlay()
		if err != nil {
			return "", err
		}
		replace[file] = filepath.Join(folder, fmt.Sprintf("bug%d%s", i, filepath.Ext(file)))
		if err := write(replace[file], []byte(text)); err != nil {
			return "", err
		}
	}
	overlay, _ := json.Marshal(map[string]any{"Replace": replace})
	if err := write(filepath.Join(folder, "overlay.json"), overlay); err != nil {
		return "", err
	}
	binary := filepath.Join(folder, "simulation.test")
	compile := exec.Command("go", "test", "-c", "-overlay", filepath.Join(folder, "overlay.json"), "-o", binary, ".")
	if said, err := compile.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w\n%s", compile.Args, err, said)
	}
	return binary, nil
}

// write is os.WriteFile, but atomic.
func write(name string, data []byte) error {
	if was, err := os.ReadFile(name); err == nil && string(was) == string(data) {
		return nil
	}
	file, err := os.CreateTemp(filepath.Dir(name), "new")
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err := file.Close(); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), name)
}
