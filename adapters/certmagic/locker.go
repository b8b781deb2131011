// Package certmagiclock keeps the locks of [certmagic] in Redis, for the instances of a fleet that share certificates.
// Of all instances that want a certificate one obtains it, and the others find it in the storage.
//
// A [Locker] is a certmagic.Locker, TryLocker and LockLeaseRenewer. [Beside] makes a certmagic.Storage from a Locker
// and any other Storage, which goes on keeping the bytes.
//
// [certmagic]: https://pkg.go.dev/github.com/caddyserver/certmagic
package certmagiclock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"example.com/redislock"
)

// Prefix stands before certmagic's own names: its lock "issue_cert_example.com" is the lock
// "certmagic/issue_cert_example.com" of the Client. Inspect and break it by that name.
const Prefix = "certmagic/"

// Locker gives certmagic the locks of a Client. They are exclusive, granted in the order of arrival, and renewed until
// they are unlocked. Its methods may be called from any goroutine.
type Locker struct {
	client *redislock.Client
	opts   []redislock.Option

	mu   sync.Mutex // not held while anything is sent
	held map[string][]*held
}

// held is a lock that one call of Lock or TryLock took. certmagic names it by the key alone, so the locks of a key are
// kept in the order of their grants.
type held struct {
	lock *redislock.Lock
	told bool // RenewLockLease has reported the loss
}

var (
	_ certmagic.Locker           = (*Locker)(nil)
	_ certmagic.TryLocker        = (*Locker)(nil)
	_ certmagic.LockLeaseRenewer = (*Locker)(nil)
)

// New makes a Locker of the client's locks. The options are for every acquire. The mode is always exclusive, as
// certmagic demands. With redislock.WithWait, Lock gives up after that time, and the operation of certmagic fails.
func New(client *redislock.Client, opts ...redislock.Option) *Locker {
	return &Locker{
		client: client,
		held:   map[string][]*held{},
		// If an acquire could nest in a hold that the caller's context carries, two operations would have the lock at once.
		opts: slices.Concat(opts, []redislock.Option{
			redislock.WithMode(redislock.Exclusive), redislock.WithWeight(1), redislock.NonReentrant(),
		}),
	}
}

// Lock takes the lock of that key. It waits in the order of arrival until it is granted or ctx ends; the lock of a
// dead holder is free when the lease ends. The error is that of [redislock.Client.Acquire]. After an error nothing is
// held.
func (l *Locker) Lock(ctx context.Context, key string) error {
	lock, err := l.client.Acquire(ctx, Prefix+key, l.opts...)
	if err != nil {
		return err
	}
	l.add(key, lock)
	return nil
}

// TryLock is Lock without waiting: it returns false and no error if another holds the lock.
func (l *Locker) TryLock(ctx context.Context, key string) (bool, error) {
	lock, err := l.client.TryAcquire(ctx, Prefix+key, l.opts...)
	switch {
	case err == nil:
		l.add(key, lock)
		return true, nil
	case errors.Is(err, redislock.ErrHeld) && ctx.Err() == nil:
		return false, nil
	default:
		return false, err
	}
}

// Unlock gives back what Lock or TryLock took, also if ctx has ended. If the lock was lost before, or none is held,
// the error is a [redislock.ErrNotHeld], which certmagic logs: the certificate may have been obtained twice. If Redis
// does not answer, the error is the network's; the lock is then given back in the background, or expires with its
// lease.
//
// certmagic does not say which operation of this process an Unlock comes from. Several operations can have locks of one
// key only if one of the locks was lost. Then the first Unlock returns the loss, and a lock that is still held is given
// back last.
func (l *Locker) Unlock(ctx context.Context, key string) error {
	lock := l.take(key)
	if lock == nil {
		return notHeld("release", key, nil)
	}
	return lock.Release(ctx)
}

// RenewLockLease says whether the lock is still held, and sends nothing for that. The lease is renewed in the
// background for as long as the operation takes, so leaseDuration has no effect.
//
// certmagic calls it at the beginning of each attempt to obtain or renew a certificate, before it looks whether that
// is still needed. If the lock was lost, the first call returns a [redislock.ErrNotHeld]: that attempt must not go on.
// The next call takes the lock anew if it is free, so that an operation which certmagic retries for a month does not
// fail each time. If the lock is not free, the error names the holder.
func (l *Locker) RenewLockLease(ctx context.Context, key string, _ time.Duration) error {
	h, lost, told := l.look(key)
	switch {
	case h == nil:
		return notHeld("renew", key, nil)
	case lost == nil:
		return nil
	case !told:
		return notHeld("renew", key, lost)
	}
	lock, err := l.client.TryAcquire(ctx, Prefix+key, l.opts...)
	if err != nil {
		return err
	}
	if !l.replace(key, h, lock) { // it was unlocked meanwhile
		return errors.Join(notHeld("renew", key, lost), lock.Release(ctx))
	}
	return nil
}

func (l *Locker) add(key string, lock *redislock.Lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[key] = append(l.held[key], &held{lock: lock})
}

// which picks the hold that a call with this key is about, and returns its index: one that is known to be lost, so
// that no operation goes on under the hold of another, or else the oldest. It is -1 if there is none. The caller
// holds l.mu.
func (l *Locker) which(key string) int {
	all := l.held[key]
	if len(all) == 0 {
		return -1
	}
	return max(0, slices.IndexFunc(all, func(h *held) bool { return h.lock.Err() != nil }))
}

// look returns a hold, the error if it was lost, and whether that loss was told before. After look it counts as
// told.
func (l *Locker) look(key string) (h *held, lost error, told bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.which(key)
	if i < 0 {
		return nil, nil, false
	}
	h = l.held[key][i]
	lost, told = h.lock.Err(), h.told
	h.told = lost != nil
	return h, lost, told
}

// take removes a hold, which is the caller's to release.
func (l *Locker) take(key string) *redislock.Lock {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.which(key)
	if i < 0 {
		return nil
	}
	lock := l.held[key][i].lock
	if l.held[key] = slices.Delete(l.held[key], i, i+1); len(l.held[key]) == 0 {
		delete(l.held, key)
	}
	return lock
}

// replace puts a new lock in the place of a lost one; it reports false if that place is gone.
func (l *Locker) replace(key string, h *held, lock *redislock.Lock) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.held[key], h) {
		return false
	}
	h.lock, h.told = lock, false
	return true
}

func notHeld(op, key string, cause error) error {
	if cause == nil {
		cause = errors.New("no Lock came before")
	}
	return fmt.Errorf("redislock: %s %q: %w: %w", op, Prefix+key, redislock.ErrNotHeld, cause)
}
