package servertest

import "github.com/redis/go-redis/v9/logging"

// A program that starts servers ends, pauses and cuts them off too, and go-redis writes a line to standard error for every
// attempt to reach one that is gone.
func init() { logging.Disable() }
