package redislock_test

import (
	"context"
	"strings"
	"testing"

	"example.com/redislock"
)

// Who asks without the context of the hold that it is to nest in is told that it is its own process that holds the lock.
func TestWhoWaitsForItselfIsTold(t *testing.T) {
	both(t, func(e *env) {
		c, other := e.client(redislock.WithName("one")), e.client(redislock.WithName("two"))
		l := e.acquire(c, "x")
		const hint = "that is this process itself"
		if _, err := c.TryAcquire(context.Background(), "x"); err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("its own: %v", err)
		}
		if _, err := other.TryAcquire(context.Background(), "x"); err == nil || strings.Contains(err.Error(), hint) {
			t.Errorf("another's: %v", err)
		}
		nested, err := c.TryAcquire(l.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		e.release(nested)
		e.release(l)
	})
}
