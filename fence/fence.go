package fence

import (
	"errors"
	"fmt"
	"time"

	"example.com/redislock"
)

// ErrStale says that a greater fence has been seen: a later holder has the lock, or had it. Nothing was written. A writer that
// gets it must not try again with the same fence. Everything else that it does under that lock is late too.
var ErrStale = errors.New("stale fence")

// StaleError is an [ErrStale] with the fences that were compared.
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

// check returns an error if there can be no such resource or no such fence.
func check(resource string, fence int64) error {
	if err := checkResource(resource); err != nil {
		return err
	}
	return Validate(fence)
}

// checkResource returns an error unless the resource has 1 to [redislock.MaxName] bytes, as the name of a lock does.
func checkResource(resource string) error {
	switch {
	case resource == "":
		return fmt.Errorf("%w: an empty resource", redislock.ErrInvalid)
	case len(resource) > redislock.MaxName:
		return fmt.Errorf("%w: a resource of %d bytes, at most %d", redislock.ErrInvalid, len(resource), redislock.MaxName)
	}
	return nil
}

const (
	// maxDigits is the greatest number that a lock's fence can be: it has 16 digits.
	maxDigits = 9_999_999_999_999_999
	// maxAhead is how far a lock's fence can be ahead of the time. Clocks that are set to local time in the place of UTC
	// differ by up to 14 h.
	maxAhead = 24 * time.Hour
)

// Validate returns [redislock.ErrInvalid] for a number that cannot be a fence: one that is not above 0, has more than 16 digits,
// or is more than 24 h ahead of this machine's clock. (A fence is about the time of its grant in µs.) Every register refuses such
// a number: it would refuse all rightful holders after it for as long as it is remembered.
func Validate(fence int64) error {
	switch now := time.Now(); {
	case fence <= 0:
		return fmt.Errorf("%w: a fence of %d: fences are greater than 0", redislock.ErrInvalid, fence)
	case fence > maxDigits:
		return fmt.Errorf("%w: a fence of %d: fences have at most 16 digits", redislock.ErrInvalid, fence)
	case fence > now.Add(maxAhead).UnixMicro():
		return fmt.Errorf("%w: a fence of %d, that is of %v: more than %v after this machine's clock, %v", redislock.ErrInvalid, fence,
			time.UnixMicro(fence).UTC().Format(time.RFC3339), maxAhead, now.UTC().Format(time.RFC3339))
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
