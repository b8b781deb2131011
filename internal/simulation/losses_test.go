package simulation_test

import (
	"strings"
	"time"
)

// lossOf is a loss of data on a server, of one name or, if that is "", of all. A server that loses data by a restart gives no vote of
// a quorum for a while (Q8). A server that runs on does.
type lossOf struct {
	server  int
	name    string
	running bool
}

// lost records that a server has forgotten what it had answered about a name: A1 and A2 of docs/guarantees.md.
func (c *checks) lost(s *server, name string, running bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.losses[lossOf{s.number, name, running}] = time.Now()
	c.forgot, c.gone = true, true
}

// ended records that holds of a name were broken. A condition does so itself with each signal, and that is no loss of data.
func (c *checks) ended(s *server, name string) {
	if !strings.HasPrefix(name, "condition") {
		c.lost(s, name, true)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.losses[lossOf{s.number, name, true}] = time.Now()
}

// expired records that all deadlines on a server have passed, as its clock was stepped forward.
func (c *checks) expired(s *server) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.losses[lossOf{s.number, "", true}] = time.Now()
	c.forgot = true
}

// excused reports whether a lock was lost in one of these ways since it was asked for. The caller holds c.mu.
func (c *checks) excused(s *server, name string, since time.Time) bool {
	return c.lostRunning(s, name, since) || c.lostSince(lossOf{s.number, name, false}, since)
}

// lostRunning reports whether that happened while the server ran on.
func (c *checks) lostRunning(s *server, name string, since time.Time) bool {
	return c.lostSince(lossOf{s.number, name, true}, since)
}

func (c *checks) lostSince(l lossOf, since time.Time) bool {
	for _, l.name = range []string{l.name, ""} {
		if at, ok := c.losses[l]; ok && !at.Before(since) {
			return true
		}
	}
	return false
}
