package torture

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// onDisk is a server with an append-only file, which it writes at once or within a second. Site.More is its
// directory.
func onDisk(fsync string) Topology {
	return func(t *testing.T) *Site {
		dir := t.TempDir()
		site := OneServer("--dir", dir, "--appendonly", "yes", "--appendfsync", fsync)(t)
		site.More = dir
		return site
	}
}

// journal is the append-only file of such a server.
func (x *Run) journal() string {
	x.Helper()
	found, err := filepath.Glob(filepath.Join(x.More.(string), "appendonlydir", "*.incr.aof"))
	x.done(err)
	if len(found) != 1 {
		x.Fatalf("the server appends to %q, not to one file", found)
	}
	return found[0]
}

// down is how long a server is away, without the time of its start.
func down(i int) time.Duration { return []time.Duration{0, 300 * time.Millisecond}[i%2] }

func TestARestartWithoutDataIsALossThatFencesSurvive(t *testing.T) {
	playLoss(t, Row{
		Fault: "server killed, restarted without persistence",
		Promise: "A server that comes back empty may grant a lock that is still in use, until the holder's next renewal. Fences rise " +
			"all the same, because they follow the clock. The waiters join the queue again by themselves.",
		Physics:     "The server has forgotten the holders.",
		Unreachable: true,
		Inject: func(x *Run) {
			for i := 0; x.Every(500 * time.Millisecond); i++ {
				workers := x.Workers()
				name, w := []string{"a", "b"}[i%2], workers[i%len(workers)]
				x.Hold(w, name, "exclusive")
				x.Loss("the server was killed and came back empty", func() {
					x.Server.Kill()
					time.Sleep(down(i))
					x.Server.Restart()
				})
				x.Eventually("the holder has learnt of it", func() bool { return !w.keeps(name) })
			}
		},
	})
}

func TestAMachineThatLosesTheLastSecondIsALossThatFencesSurvive(t *testing.T) {
	const second = 900 * time.Millisecond
	playLoss(t, Row{
		Fault: "server killed, restarted with AOF everysec less its last second",
		Promise: "With appendfsync everysec the grants and renewals of the last second are lost when a machine dies, and the locks of " +
			"that second may be granted while they are in use. Fences rise above those that were lost. Holds and places that had " +
			"been given up may come back, and end with their leases.",
		Topology:    onDisk("everysec"),
		Load:        Load{Callers: 1, Lease: time.Second},
		Physics:     "The writes of the last second were not on disk.",
		Bound:       15 * time.Second, // each restored place whose wait had ended costs a claim, here of a second
		Unreachable: true,
		Inject: func(x *Run) {
			for i := 0; x.Every(200 * time.Millisecond); i++ {
				workers := x.Workers()
				name, w := []string{"a", "b"}[i%2], workers[i%len(workers)]
				// The kernel keeps what a killed process has written; only the death of a machine loses it. So the test cuts the
				// end of the file off.
				kept, err := os.Stat(x.journal())
				x.done(err)
				sized := time.Now()
				x.Hold(w, name, "exclusive")
				time.Sleep(second - time.Since(sized))
				x.Loss("the server was killed and lost its last second", func() {
					x.Server.Kill()
					x.done(os.Truncate(x.journal(), kept.Size()))
					x.Server.Restart()
				})
				x.Drop(w, name)
			}
		},
	})
}

func TestNothingIsLostOverARestartWithAOFAlways(t *testing.T) {
	type look struct {
		worker int
		name   string
		at     int64
	}
	var missing []look
	x := played(t, Row{
		Fault: "server killed, restarted with AOF always",
		Promise: "With appendfsync always a server comes back with every hold and every place for which it has sent an answer. So no " +
			"lock is granted while it is in use. Requests of the time between are executed once.",
		Topology:    onDisk("always"),
		Load:        Load{Lease: 4 * time.Second},
		Bound:       8 * time.Second,
		Unreachable: true,
		Inject: func(x *Run) {
			for i := 0; x.Every(300 * time.Millisecond); i++ {
				workers := x.Workers()
				name, w := []string{"a", "b"}[i%2], workers[i%len(workers)]
				x.Hold(w, name, "exclusive")
				x.Fault("the server was killed and came back with its data")
				x.Server.Kill()
				time.Sleep(down(i))
				x.Server.Restart()
				if holds := x.Inspect(name).Holds; len(holds) == 0 || holds[0].Owner.Client != fmt.Sprint("worker ", w.Index) {
					missing = append(missing, look{w.Index, name, now()})
				}
				x.Drop(w, name)
			}
		},
	})
	for _, m := range missing {
		for _, h := range x.history().of(m.name) {
			if h.Worker == m.worker && h.Start < m.at && h.Seen > m.at {
				t.Errorf("worker %d held %s when the server that came back did not know it", m.worker, m.name)
			}
		}
	}
}
