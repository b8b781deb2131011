package local

import (
	"net"
	"sync"
	"time"
)

// step is how far the server's clock goes at once. With each step the server looks at all its keys for those that have expired; without
// steps it would do so several times in every command. A lease may be shorter by a step than the real clock says, which
// the clock margin of the Client covers.
const step = time.Millisecond

// clock has the time at which the server's clock was set last.
type clock struct {
	mu   sync.Mutex
	last time.Time
}

// dial opens a connection to the server.
func (s *Server) dial() (net.Conn, error) {
	conn, err := s.server.Dial()
	if err != nil {
		return nil, err
	}
	return &timed{conn, s}, nil
}

// timed is a connection that sets the server's clock before the server has a packet. So the clock is right whenever it is read,
// even if the process was stopped before. While nothing is sent, nothing is done.
type timed struct {
	net.Conn
	server *Server
}

func (c *timed) Write(b []byte) (int, error) {
	c.server.tell(time.Now())
	return c.Conn.Write(b)
}

func (s *Server) tell(now time.Time) {
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	if now.Sub(s.clock.last) >= step {
		s.clock.last = now
		s.server.SetTime(now)
	}
}
