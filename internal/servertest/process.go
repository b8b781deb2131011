package servertest

import (
	"bufio"
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// process is one run of a server.
type process struct {
	cmd  *exec.Cmd
	gone chan struct{} // closed when the process has ended
	log  *log
}

// run starts a process and returns when it has said that it is ready, by this sign. That it says so itself tells it
// from a stranger on the same port.
func run(cmd *exec.Cmd, ready string) (*process, error) {
	p := &process{
		cmd:  cmd,
		gone: make(chan struct{}),
		log:  &log{sign: []byte(ready), ready: make(chan struct{})},
	}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	endWithParent(p.cmd)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.gone)
		_ = p.cmd.Wait() // killed: that is how it ends
	}()
	timeout := time.NewTimer(startTime)
	defer timeout.Stop()
	name := filepath.Base(cmd.Path)
	select {
	case <-p.log.ready:
		return p, nil
	case <-p.gone:
		return nil, fmt.Errorf("%s ended: %s", name, p.log.tail())
	case <-timeout.C:
		p.kill()
		return nil, fmt.Errorf("%s does not start: %s", name, p.log.tail())
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails if it has ended already
	<-p.gone
}

// log keeps what a server prints.
type log struct {
	sign  []byte // that it is ready
	mu    sync.Mutex
	text  bytes.Buffer
	said  bool
	ready chan struct{}
}

func (l *log) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(text)
	if !l.said && bytes.Contains(l.text.Bytes(), l.sign) {
		l.said = true
		close(l.ready)
	}
	return len(text), nil
}

func (l *log) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var last []string
	for lines := bufio.NewScanner(bytes.NewReader(l.text.Bytes())); lines.Scan(); {
		last = append(last, lines.Text())
		last = last[max(0, len(last)-5):]
	}
	return strings.Join(last, " | ")
}
