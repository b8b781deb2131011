// Package certmagiclock lets the instances of a fleet that share certificates take turns by locks in Redis: of all that
// want a certificate, [certmagic] has one obtain it, and the others find it in the storage.
//
// A [Locker] is certmagic's Locker, TryLocker and LockLeaseRenewer. [Beside] puts one beside any certmagic.Storage,
// which goes on keeping the bytes.
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

// Prefix is in front of certmagic's own names: its lock "issue_cert_example.com" is the lock
// "certmagic/issue_cert_example.com" of the Client, for those who inspect or break it.
const Prefix = "certmagic/"

// Locker gives certmagic the locks of a Client. They are exclusive, granted in the order of arrival, and renewed until
// they are unlocked. Its methods may be called from any goroutine.
type Locker struct {
	client *redislock.Client
	opts   []redislock.Option

	mu   sync.Mutex // not held while anything is sent
	held map[string][]*held
}

// held is what one Lock has got. certmagic names it by the key alone, so those of a key are kept in the order of their
// grants.
type held struct {
	lock *redislock.Lock
	told bool // RenewLockLease has reported the loss
}

var (
	_ certmagic.Locker           = (*Locker)(nil)
	_ certmagic.TryLocker        = (*Locker)(nil)
	_ certmagic.LockLeaseRenewer = (*Locker)(nil)
)

// New makes a Locker of the client's locks; the options are those of every acquire. The mode is always exclusive, as
// certmagic demands. With redislock.WithWait, Lock gives up after it, and certmagic fails the operation.
func New(client *redislock.Client, opts ...redislock.Option) *Locker {
	return &Locker{
		client: client,
		held:   map[string][]*held{},
		// Nested in a hold that its caller's context carries, two operations would hold the lock at once.
		opts: slices.Concat(opts, []redislock.Option{
			redislock.WithMode(redislock.Exclusive), redislock.WithWeight(1), redislock.NonReentrant(),
		}),
	}
}

// Lock takes the lock of that key. It waits in the order of arrival until ctx ends, or until a dead holder's lease
// does. An error leaves nothing behind; it is that of [redislock.Client.Acquire].
func (l *Locker) Lock(ctx context.Context, key string) error {
	lock, err := l.client.Acquire(ctx, Prefix+key, l.opts...)
	if err != nil {
		return err
	}
	l.add(key, lock)
	return nil
}

// TryLock is Lock without waiting: false and no error if another has the lock.
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

// Unlock gives back what Lock or TryLock took; it works when ctx has ended. If the lock was lost before, or none is
// held, the error is a [redislock.ErrNotHeld], which certmagic logs: the certificate may have been obtained twice. If
// Redis does not answer it is the network's; the lock is then given back in the background, or lapses by its lease.
//
// certmagic does not say which operation of this process an Unlock comes from. If several of one key have locked, which
// takes a loss, the first Unlock is told of the loss, and a live hold is given back last.
func (l *Locker) Unlock(ctx context.Context, key string) error {
	lock := l.take(key)
	if lock == nil {
		return notHeld("release", key, nil)
	}
	return lock.Release(ctx)
}

// RenewLockLease tells whether the lock is still held; its lease is renewed without being asked, for however long the
// operation takes, so leaseDuration means nothing here and nothing is sent.
//
// certmagic calls it at the beginning of each attempt to obtain or renew a certificate, before it looks whether that
// is still needed. If the lock was lost, the error is a [redislock.ErrNotHeld], once: that attempt must not go on. The
// next call takes the lock anew if it is free, so that an operation which certmagic retries for a month does not go
// on failing, and says who has it if it is not.
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

// which is what a call that names the key means: one that is known to be lost, so that nobody goes on by another's
// hold, or else the oldest. The caller holds l.mu.
func (l *Locker) which(key string) int {
	all := l.held[key]
	if len(all) == 0 {
		return -1
	}
	return max(0, slices.IndexFunc(all, func(h *held) bool { return h.lock.Err() != nil }))
}

// look finds a hold and why it was lost, if it was; and whether that was told before, which it has been after this.
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
