package redislock

// fail fails whatever waits, for the first of the causes that are given.
func (c *Client) fail(cause error) {
	c.failing.Do(func() {
		c.cause = cause
		close(c.closing)
	})
}

// failed is why whatever waits fails, nil if it does not.
func (c *Client) failed() error {
	select {
	case <-c.closing:
		return c.cause
	default:
		return nil
	}
}
