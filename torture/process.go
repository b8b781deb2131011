package torture

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Worker is the harness's view of a process of the load.
type Worker struct {
	Index int

	t     testing.TB
	cmd   *exec.Cmd
	stdin io.WriteCloser
	gone  chan struct{} // closed when the process has ended and its log is read
	err   error         // how it ended, once gone is closed

	mu     sync.Mutex
	events []Event
	open   map[int64]*Event // acquires without an answer, by number
	holds  map[int64]*Event // granted acquires whose locks were not given back
	killed int64            // the time of the kill, in µs; 0 if it was not killed
	paused []Span64         // the last one has no end while the process is stopped
}

// Span64 is a range of time in µs; a To of 0 is open.
type Span64 struct{ From, To int64 }

func startWorker(t testing.TB, c Config) *Worker {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	w := &Worker{
		Index: c.Worker, t: t, cmd: exec.Command(os.Args[0]), gone: make(chan struct{}),
		open: map[int64]*Event{}, holds: map[int64]*Event{},
	}
	w.cmd.Env = append(os.Environ(), roleVariable+"="+string(text), "GORACE=atexit_sleep_ms=0") // otherwise the race detector sleeps for a second at the exit
	w.cmd.Stderr = os.Stderr
	w.stdin, err = w.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.gone)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e Event
			if json.Unmarshal(lines.Bytes(), &e) == nil { // the last line of a killed process may be incomplete
				w.note(e)
			}
		}
		w.err = w.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = w.stdin.Close()
		_ = w.cmd.Process.Kill() // fails if it has ended already
		<-w.gone
	})
	return w
}

// note adds an event to the log.
func (w *Worker) note(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
	switch e.Kind {
	case Acquire:
		w.open[e.Op] = &e
	case Acquired:
		if e.Err == "" {
			w.holds[e.Op] = w.open[e.Op]
		}
		delete(w.open, e.Op)
	case Release, Ended:
		delete(w.holds, e.Op)
	}
}

// Holds reports whether the worker holds a lock of that name, as far as it has logged.
func (w *Worker) Holds(name string) bool { return w.has(w.holdsOf, name) }

// Waits reports whether an acquire of that name is under way in the worker.
func (w *Worker) Waits(name string) bool { return w.has(w.opensOf, name) }

func (w *Worker) holdsOf() map[int64]*Event { return w.holds }
func (w *Worker) opensOf() map[int64]*Event { return w.open }

func (w *Worker) has(which func() map[int64]*Event, name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range which() {
		if e != nil && e.Name == name {
			return true
		}
	}
	return false
}

// grantedAfter reports whether an acquire of that name was granted after a time in µs.
func (w *Worker) grantedAfter(name string, after int64) bool {
	names := map[int64]string{}
	for _, e := range w.log() {
		if e.Kind == Acquire {
			names[e.Op] = e.Name
		}
		if e.Kind == Acquired && e.Err == "" && e.At > after && names[e.Op] == name {
			return true
		}
	}
	return false
}

// keeps reports whether the worker holds a lock because of [Run.Hold].
func (w *Worker) keeps(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.holds {
		if e != nil && e.Name == name && e.Kept {
			return true
		}
	}
	return false
}

// said reports whether there was such an event.
func (w *Worker) said(kind EventKind) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.events, func(e Event) bool { return e.Kind == kind })
}

// log is every event so far.
func (w *Worker) log() []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events)
}

func (w *Worker) tell(c Command) {
	w.t.Helper()
	line, err := json.Marshal(c)
	if err == nil {
		_, err = w.stdin.Write(append(line, '\n'))
	}
	if err != nil {
		w.t.Errorf("worker %d cannot be told to %s: %v", w.Index, c.Do, err)
	}
}

func (w *Worker) signal(s syscall.Signal) {
	w.t.Helper()
	if err := w.cmd.Process.Signal(s); err != nil {
		w.t.Fatalf("worker %d: %v: %v", w.Index, s, err)
	}
}

func (w *Worker) kill() {
	w.t.Helper()
	w.mu.Lock()
	w.killed = now()
	w.mu.Unlock()
	_ = w.cmd.Process.Kill()
	<-w.gone
}

func (w *Worker) pause() {
	w.t.Helper()
	w.signal(syscall.SIGSTOP)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paused = append(w.paused, Span64{From: now()})
}

func (w *Worker) resume() {
	w.t.Helper()
	w.mu.Lock()
	if n := len(w.paused); n > 0 && w.paused[n-1].To == 0 {
		w.paused[n-1].To = now()
	}
	w.mu.Unlock()
	w.signal(syscall.SIGCONT)
}

// stopped says whether the process is paused now; alive whether it was not killed.
func (w *Worker) stopped() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.paused) > 0 && w.paused[len(w.paused)-1].To == 0
}

func (w *Worker) alive() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.killed == 0
}

// end waits until a worker that was told to stop has ended. The error says what went wrong.
func (w *Worker) end() error {
	select {
	case <-w.gone:
	case <-time.After(closeTime + 20*time.Second):
		_ = w.cmd.Process.Signal(syscall.SIGQUIT) // it prints the stacks of its goroutines
		<-w.gone
		return fmt.Errorf("worker %d did not end", w.Index)
	}
	if w.err != nil {
		return fmt.Errorf("worker %d: %w", w.Index, w.err)
	}
	if !w.said(Done) {
		return fmt.Errorf("worker %d ended before its end", w.Index)
	}
	for _, e := range w.log() {
		switch {
		case e.Kind == Leaked:
			return fmt.Errorf("worker %d left goroutines: %s", w.Index, e.Text)
		case e.Kind == Closed && e.Err != "":
			return fmt.Errorf("worker %d: %s", w.Index, e.Text)
		}
	}
	return nil
}
