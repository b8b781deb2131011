package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// order is what the demo asks a process to do; report is what it has to say. Both travel as lines of JSON, on the
// process's standard input and output. Its input ends with the demo, and the process with its input.
type order struct {
	Do         string        // count, hold, write, release, offer
	Lock       string        // count without one does without
	File       string        // what count, write and offer write to
	Times      int           // for count and offer
	Pause      time.Duration // inside a section; between two offers
	Lease      time.Duration
	StealAfter time.Duration
	At         time.Time // not before
}

type report struct {
	Instance int
	What     string // ready, section, counted, held, ended, written, released, offered, failed, gone
	At       time.Time
	Asked    time.Time     // when the lock was asked for that is held since At
	Held     time.Duration // how long it was held when it ended
	Left     time.Time     // when a section ended; it was entered At
	Fence    int64
	Taken    bool   // the register took the write
	Greatest int64  // fence that the register has seen
	Times    int    // counted; jobs that were run
	Lost     string // why the lock is not held any more
	Stolen   bool
	Over     bool // the lock's context has ended
	Err      string
}

// instance is one process of the demo.
type instance struct {
	cmd    *exec.Cmd
	orders io.WriteCloser
	ended  chan struct{}
}

// startInstance starts this same program as an instance. The URL goes by the environment, where other users cannot
// read it.
func startInstance(n int, s server, stderr io.Writer, reports chan<- report) (*instance, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	i := &instance{cmd: exec.Command(self, append([]string{instanceCommand}, s.arguments()...)...), ended: make(chan struct{})}
	i.cmd.Env = append(os.Environ(), "REDIS_URL="+s.url)
	i.cmd.Stderr = stderr
	i.cmd.SysProcAttr = dieWithParent(&syscall.SysProcAttr{})
	if i.orders, err = i.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := i.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := i.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start process %d: %w", n+1, err)
	}
	go func() {
		defer close(i.ended)
		for lines := json.NewDecoder(out); ; {
			var r report
			if lines.Decode(&r) != nil {
				break
			}
			r.Instance = n
			reports <- r
		}
		_ = i.cmd.Wait() // it ends by being killed
		reports <- report{Instance: n, What: "gone"}
	}()
	return i, nil
}

func (i *instance) order(o order) error { return json.NewEncoder(i.orders).Encode(o) }

func (i *instance) signal(sig syscall.Signal) error { return i.cmd.Process.Signal(sig) }

// kill ends the process, also a paused one, and returns when it is gone.
func (i *instance) kill() {
	_ = i.signal(syscall.SIGKILL) // it may have ended
	_ = i.orders.Close()
	<-i.ended
}

func (i *instance) hasEnded() bool {
	select {
	case <-i.ended:
		return true
	default:
		return false
	}
}
