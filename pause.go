package redislock

import "time"

// pause sleeps, and reports whether the loops of the Client go on: until it is closed, or its Redis client is.
func (c *Client) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.stopped:
		return false
	case <-c.transport.Orphaned():
		return false
	}
}
