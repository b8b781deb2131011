package simulation_test

import "time"

// lossOf is what a server forgets, of one name or, if that is "", of all. One that forgets when it restarts gives nobody a vote of a quorum for a
// while (Q8); one that runs on does.
type lossOf struct {
	server  int
	name    string
	running bool
}

// lost notes that a server has forgotten what it had answered about a name: A1 and A2 of docs/guarantees.md.
func (c *checks) lost(s *server, name string, running bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.losses[lossOf{s.number, name, running}] = time.Now()
	c.forgot, c.gone = true, true
}

// expired notes that a server takes everything for over: its clock was stepped forward.
func (c *checks) expired(s *server) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.losses[lossOf{s.number, "", true}] = time.Now()
	c.forgot = true
}

// excused reports whether that has happened to a lock since somebody asked for it. The caller holds c.mu.
func (c *checks) excused(s *server, name string, since time.Time) bool {
	return c.lostRunning(s, name, since) || c.lostSince(lossOf{s.number, name, false}, since)
}

// lostRunning reports whether it has happened while the server ran on.
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
