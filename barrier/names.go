package barrier

import (
	"fmt"
	"slices"

	"example.com/redislock"
)

// MaxName is the longest name of a [Latch], a [Barrier] or a [Condition], in bytes. The names of their locks are longer, and have at
// most [redislock.MaxName].
const MaxName = redislock.MaxName - len(conditionSignals)

// The name of a lock is one of these and the name of the latch, the barrier or the condition. They have one colon, at their end, so what
// stands before the first colon of a lock's name tells what the lock is for. So no two of them share a lock, whatever their names are.
const (
	latchParts       = "latch:"
	latchCount       = "latch@count:"
	barrierIn        = "barrier:"
	barrierInIs      = "barrier@in-is:"
	barrierOut       = "barrier@out:"
	barrierOutIs     = "barrier@out-is:"
	conditionQueue   = "condition:"
	conditionSignals = "condition@signals:"
	conditionNext    = "condition@next:"
)

// check returns an error unless locks can be called after that name.
func check(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: no name", redislock.ErrInvalid)
	case len(name) > MaxName:
		return fmt.Errorf("%w: a name of %d bytes, at most %d", redislock.ErrInvalid, len(name), MaxName)
	}
	return nil
}

// checkFor also checks for how many a latch or a barrier is.
func checkFor(what, name string, n, most int) error {
	if n < 1 || n > most {
		return fmt.Errorf("%w: %d %s, must be from 1 to %d", redislock.ErrInvalid, n, what, most)
	}
	return check(name)
}

// optionsOf are the options of a lock of the package: those of the caller, such as the lease, after which others go on if the process
// dies, but for those that the package sets itself. Unless more says otherwise, the lock is exclusive. What the package sets counts
// also against the defaults of the Client: a weight, and a bound of the queue, are those of other locks.
func optionsOf(opts []redislock.Option, more ...redislock.Option) []redislock.Option {
	opts = append(slices.Clip(opts), redislock.WithMode(redislock.Exclusive), redislock.WithWeight(1), redislock.NonReentrant(),
		redislock.WithTurn(0), redislock.WithLinger(0), redislock.WithMaxQueue(redislock.MaxUnits))
	return append(opts, more...)
}
