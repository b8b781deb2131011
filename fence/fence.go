package fence

import (
	"errors"
	"fmt"

	"example.com/redislock"
)

// ErrStale says that a greater fence has been seen: a later holder has the lock, or had it. Nothing was written. Who
// gets it must not try again with the same fence; whatever else it does under that lock is late too.
var ErrStale = errors.New("stale fence")

// StaleError is an [ErrStale] that says what was compared.
type StaleError struct {
	// Resource is what the fence was checked for.
	Resource string
	// Fence is the one that was refused.
	Fence int64
	// Seen is the greatest that the resource has seen; 0 if that is not known.
	Seen int64
}

// Error says which fence was refused and which was seen.
func (e *StaleError) Error() string {
	seen := "a greater one"
	if e.Seen > 0 {
		seen = fmt.Sprint(e.Seen)
	}
	return fmt.Sprintf("redislock: %v %d of %q: %s was seen", ErrStale, e.Fence, e.Resource, seen)
}

// Unwrap makes a StaleError an [ErrStale].
func (e *StaleError) Unwrap() error { return ErrStale }

// check says whether there can be such a resource and such a fence: a resource has 1 to [redislock.MaxName] bytes, as
// the name of a lock.
func check(resource string, fence int64) error {
	switch {
	case resource == "":
		return fmt.Errorf("%w: an empty resource", redislock.ErrInvalid)
	case len(resource) > redislock.MaxName:
		return fmt.Errorf("%w: a resource of %d bytes, at most %d", redislock.ErrInvalid, len(resource), redislock.MaxName)
	case fence <= 0:
		return fmt.Errorf("%w: a fence of %d: fences are greater than 0", redislock.ErrInvalid, fence)
	}
	return nil
}

// wrap names the operation and the resource in front of a cause.
func wrap(op, resource string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("redislock: %s %q: %w", op, resource, err)
}
