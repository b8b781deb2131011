package simulation_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// conn is the client's end of a connection. The world takes up what is written to it at the next quiet moment, and delivers what
// can be read. Only a read blocks.
type conn struct {
	world  *world
	number int // in the order in which all connections were dialled
	owner  *process
	to     *server
	server *session // the other end

	mu       sync.Mutex
	written  [][]byte // what is to be sent
	inbox    []byte
	eof      error // the error of a read when the inbox is empty
	closed   bool
	fin      bool          // the close was sent
	arrived  chan struct{} // closed and made anew when there is something to read
	deadline deadline

	// Used by the world's goroutine only.
	toServer, toClient time.Time // when the last packet each way arrives: they stay in order
	dead               bool      // the connection is half-open: nothing arrives any more
	granted            []grant   // grants in the next packet to the client
}

// link is the way from a process to a server.
type link struct{ process, server int }

func (c *conn) link() link { return link{c.owner.number, c.to.number} }

var errReset = errors.New("connection reset by peer")

func (c *conn) Read(b []byte) (int, error) {
	for {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return 0, net.ErrClosed
		}
		if len(c.inbox) > 0 {
			n := copy(b, c.inbox)
			c.inbox = c.inbox[n:]
			c.mu.Unlock()
			return n, nil
		}
		if c.eof != nil {
			c.mu.Unlock()
			return 0, c.eof
		}
		arrived, over := c.arrived, c.deadline.over()
		c.mu.Unlock()
		select { // if both are ready: the data is looked at first, above
		case <-arrived:
		case <-over:
			c.mu.Lock()
			empty := len(c.inbox) == 0 && c.eof == nil && !c.closed
			c.mu.Unlock()
			if empty {
				return 0, os.ErrDeadlineExceeded
			}
		}
	}
}

func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	if c.eof != nil && c.eof != io.EOF {
		return 0, c.eof
	}
	c.written = append(c.written, append([]byte(nil), b...))
	c.world.notice()
	return len(b), nil
}

func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		c.deadline.stop()
		c.wake()
		c.world.notice()
	}
	return nil
}

// wake wakes a reader. The caller holds c.mu.
func (c *conn) wake() {
	close(c.arrived)
	c.arrived = make(chan struct{})
}

// deliver gives data to the reader, or the end of the connection. It returns false if nobody reads any more.
func (c *conn) deliver(data []byte, end error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.eof != nil {
		return false
	}
	c.inbox = append(c.inbox, data...)
	c.eof = end
	c.wake()
	return !c.closed
}

func (c *conn) SetDeadline(t time.Time) error     { return c.SetReadDeadline(t) }
func (c *conn) SetWriteDeadline(time.Time) error  { return nil }
func (c *conn) SetReadDeadline(t time.Time) error { c.setDeadline(t); return nil }
func (c *conn) LocalAddr() net.Addr               { return addr("client") }
func (c *conn) RemoteAddr() net.Addr              { return addr("server") }
func (c *conn) setDeadline(t time.Time)           { c.mu.Lock(); defer c.mu.Unlock(); c.deadline.set(t) }

type addr string

func (a addr) Network() string { return "simulated" }
func (a addr) String() string  { return string(a) }

// deadline is a channel that is closed when the deadline of reads has passed.
type deadline struct {
	timer  *time.Timer
	passed chan struct{}
}

func (d *deadline) over() <-chan struct{} { return d.passed }

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func (d *deadline) set(t time.Time) {
	d.stop()
	d.passed = make(chan struct{})
	if t.IsZero() {
		return
	}
	passed := d.passed
	if left := time.Until(t); left > 0 {
		d.timer = time.AfterFunc(left, func() { close(passed) })
	} else {
		close(passed)
	}
}

// dial connects a process, which takes the time of a packet.
func (p *process) dial(ctx context.Context, _, to string) (net.Conn, error) {
	w := p.world
	asked := &dialing{owner: p, to: w.servers[slices.IndexFunc(w.servers, func(s *server) bool { return s.addr() == to })], done: make(chan struct{})}
	w.mu.Lock()
	w.dials = append(w.dials, asked)
	w.mu.Unlock()
	w.notice()
	select {
	case <-asked.done:
		return asked.result()
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: "simulated", Err: ctx.Err()}
	}
}

// dialing is a dial under way.
type dialing struct {
	owner *process
	to    *server
	done  chan struct{}
	conn  *conn
	err   error
}

func (d *dialing) result() (net.Conn, error) {
	if d.err != nil {
		return nil, &net.OpError{Op: "dial", Net: "simulated", Err: d.err}
	}
	return d.conn, nil
}
