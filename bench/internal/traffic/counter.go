// Package traffic counts the requests that clients send, and reads their cost from the server. The server's own counts
// do not distinguish a request from a command inside a script, so requests are counted at the sockets of the clients.
package traffic

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
)

// Counter counts the requests on all connections that it wraps. The zero Counter is ready for use.
type Counter struct {
	mu     sync.Mutex
	counts map[string]*atomic.Int64
}

// Wrap makes the Counter count the requests that are written to a connection. A TCP connection keeps its further
// methods, for libraries that need more than a net.Conn.
func (c *Counter) Wrap(conn net.Conn) net.Conn {
	s := scanner{count: c.count, known: map[string]*atomic.Int64{}}
	if tcp, ok := conn.(*net.TCPConn); ok {
		return &tcpConn{tcp, s}
	}
	return &plainConn{conn, s}
}

// Sent returns how many requests of each command were sent until now. Names are in lower case, without a subcommand.
func (c *Counter) Sent() Sent {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Sent{}
	for name, n := range c.counts {
		s[name] = n.Load()
	}
	return s
}

// Sent is a number of requests for each command.
type Sent map[string]int64

// Since returns what was sent after the given state.
func (s Sent) Since(before Sent) Sent {
	d := Sent{}
	for name, n := range s {
		d[name] = n - before[name]
	}
	return d
}

// Total is the number of all requests.
func (s Sent) Total() (n int64) {
	for _, one := range s {
		n += one
	}
	return n
}

func (c *Counter) count(name string) *atomic.Int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.counts[name]
	if n == nil {
		if c.counts == nil {
			c.counts = map[string]*atomic.Int64{}
		}
		n = new(atomic.Int64)
		c.counts[name] = n
	}
	return n
}

type tcpConn struct {
	*net.TCPConn

	scanner scanner
}

func (c *tcpConn) Write(p []byte) (int, error) {
	c.scanner.scan(p)
	return c.TCPConn.Write(p)
}

type plainConn struct {
	net.Conn

	scanner scanner
}

func (c *plainConn) Write(p []byte) (int, error) {
	c.scanner.scan(p)
	return c.Conn.Write(p)
}

// scanner finds the requests in the data that a client writes, however it is split into writes: arrays of bulk
// strings, as "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n". It reads headers and names, and skips everything else.
type scanner struct {
	count func(name string) *atomic.Int64
	known map[string]*atomic.Int64 // by the name as it was written

	kind   byte   // of the header that is being read, '*' or '$'; 0 between headers
	number int    // in it, so far
	left   int    // bytes of an argument, its line end included, that are still to come
	first  bool   // that argument is the command
	name   []byte // of it, so far
}

func (s *scanner) scan(p []byte) {
	for len(p) > 0 {
		if s.left > 0 {
			n := min(s.left, len(p))
			if s.first {
				s.name = append(s.name, p[:n]...)
			}
			p = p[n:]
			if s.left -= n; s.left == 0 && s.first {
				s.request()
			}
			continue
		}
		b := p[0]
		p = p[1:]
		switch {
		case s.kind == 0:
			s.kind, s.number = b, 0
		case b >= '0' && b <= '9':
			s.number = 10*s.number + int(b-'0')
		case b == '\n':
			if s.kind == '*' {
				s.first = true
			} else {
				s.left = s.number + len("\r\n")
			}
			s.kind = 0
		}
	}
}

// request counts the request whose name has been read.
func (s *scanner) request() {
	n := s.known[string(s.name)]
	if n == nil {
		n = s.count(string(bytes.ToLower(bytes.TrimSuffix(s.name, []byte("\r\n")))))
		s.known[string(s.name)] = n
	}
	n.Add(1)
	s.first, s.name = false, s.name[:0]
}
