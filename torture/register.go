package torture

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"sync"
	"testing"

	"example.com/redislock/fence"
)

// Register is the guarded resource: it takes a write only from a holder whose fence is not lower than the greatest it
// has seen for that name, and remembers every attempt.
type Register struct {
	listener net.Listener
	loops    sync.WaitGroup

	mu       sync.Mutex
	fences   fence.Memory
	attempts []Attempt
	conns    map[net.Conn]struct{}
	closed   bool
}

// Attempt is a write that reached the register, in order.
type Attempt struct {
	At       int64  `json:"-"`
	Worker   int    `json:"w"`
	Op       int64  `json:"op"`
	Name     string `json:"name"`
	Fence    int64  `json:"fence"`
	Accepted bool   `json:"-"`
}

// newRegister opens a Register on loopback. It ends with the test.
func newRegister(t testing.TB) *Register {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Register{listener: listener, conns: map[net.Conn]struct{}{}}
	r.loops.Go(r.accept)
	t.Cleanup(r.close)
	return r
}

func (r *Register) addr() string { return r.listener.Addr().String() }

func (r *Register) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		if r.closed {
			_ = conn.Close()
		} else {
			r.conns[conn] = struct{}{}
			r.loops.Go(func() { r.serve(conn) })
		}
		r.mu.Unlock()
	}
}

func (r *Register) serve(conn net.Conn) {
	defer func() {
		_ = conn.Close()
		r.mu.Lock()
		delete(r.conns, conn)
		r.mu.Unlock()
	}()
	in := json.NewDecoder(bufio.NewReader(conn))
	for {
		var a Attempt
		if in.Decode(&a) != nil {
			return // the worker is gone
		}
		answer := "n"
		if r.write(a) {
			answer = "y"
		}
		if _, err := conn.Write([]byte(answer)); err != nil {
			return
		}
	}
}

// write decides and records in one step, so that the attempts are in the order of the decisions.
func (r *Register) write(a Attempt) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.At = now()
	a.Accepted = r.fences.Accept(context.Background(), a.Name, a.Fence) == nil
	r.attempts = append(r.attempts, a)
	return a.Accepted
}

// log is every attempt so far.
func (r *Register) log() []Attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Attempt(nil), r.attempts...)
}

func (r *Register) close() {
	_ = r.listener.Close()
	r.mu.Lock()
	r.closed = true
	for conn := range r.conns {
		_ = conn.Close()
	}
	r.mu.Unlock()
	r.loops.Wait()
}

// errStale is the register's refusal.
var errStale = errors.New("the register refused the write as stale")

// pen is a worker's connection to the register.
type pen struct {
	conn   net.Conn
	worker int
	mu     sync.Mutex
}

// write returns errStale if the register refused.
func (p *pen) write(op int64, name string, fence int64) error {
	line, err := json.Marshal(Attempt{Worker: p.worker, Op: op, Name: name, Fence: fence})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.conn.Write(append(line, '\n')); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := p.conn.Read(answer[:]); err != nil {
		return err
	}
	if answer[0] != 'y' {
		return errStale
	}
	return nil
}
