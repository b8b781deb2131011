package certmagiclock

import (
	"context"
	"fmt"
	"time"

	"github.com/caddyserver/certmagic"
)

// Storage is a certmagic.Storage that takes its locks from a Locker.
type Storage struct {
	certmagic.Storage // keeps the bytes
	locker            *Locker
}

var (
	_ certmagic.Storage          = (*Storage)(nil)
	_ certmagic.TryLocker        = (*Storage)(nil)
	_ certmagic.LockLeaseRenewer = (*Storage)(nil)
)

// Beside returns the storage with the locks of the Locker in the place of its own. All instances that share the
// storage must use it in this way: the storage's own locks and those in Redis do not exclude each other.
func Beside(storage certmagic.Storage, locker *Locker) *Storage {
	return &Storage{Storage: storage, locker: locker}
}

// Lock is [Locker.Lock].
func (s *Storage) Lock(ctx context.Context, key string) error { return s.locker.Lock(ctx, key) }

// TryLock is [Locker.TryLock].
func (s *Storage) TryLock(ctx context.Context, key string) (bool, error) {
	return s.locker.TryLock(ctx, key)
}

// Unlock is [Locker.Unlock].
func (s *Storage) Unlock(ctx context.Context, key string) error { return s.locker.Unlock(ctx, key) }

// RenewLockLease is [Locker.RenewLockLease].
func (s *Storage) RenewLockLease(ctx context.Context, key string, leaseDuration time.Duration) error {
	return s.locker.RenewLockLease(ctx, key, leaseDuration)
}

// String is the name in certmagic's logs.
func (s *Storage) String() string { return fmt.Sprintf("%v, locked by redislock", s.Storage) }
