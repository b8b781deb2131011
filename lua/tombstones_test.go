package lua_test

import (
	"fmt"
	"testing"
	"time"

	"example.com/redislock/internal/protocol"
)

// A clock that was ahead for a while does not keep a name off the fast paths until it has caught up.
func TestTombstonesThatWereLaidWhileTheClockWasAheadEndAMinuteAfterItWentBack(t *testing.T) {
	const many = 201
	b := embeddedBench(t)
	truth := b.now
	b.set(truth.Add(time.Hour))
	for i := range many {
		b.release(fmt.Sprint("ahead", i), "tombstone")
	}
	b.set(truth.Add(time.Second))
	for i := range 2 * many / 8 { // traffic; now and then somebody gives up
		token := fmt.Sprint("t", i)
		b.acquire(token, time.Minute, protocol.NoWait, "c1")
		if i%5 == 0 {
			b.release(token, "tombstone")
		} else {
			b.release(token)
		}
		for _, over := range []string{"ahead0", fmt.Sprint("ahead", many-1)} {
			if r := b.acquire(over, time.Minute, protocol.NoWait, "c1"); r.Status != "over" {
				t.Fatalf("within the minute a late copy of %s is answered %s", over, r.Status)
			}
		}
	}
	b.pass(61 * time.Second)
	for i := range 2 * many / 8 {
		token := fmt.Sprint("u", i)
		b.acquire(token, time.Minute, protocol.NoWait, "c1")
		b.release(token)
	}
	if state := b.dump(); len(state) != 1 {
		t.Errorf("%d fields are left", len(state))
	}
}
