package lease

import (
	"fmt"
	"sync"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/scheduler"
	"example.com/redislock/internal/transport"
	"example.com/redislock/lua"
)

// Owner is the owner of a lease: a hold. Its methods are called on the Client's own goroutines, and must not block.
type Owner interface {
	RunOut(cause error)      // the lease has run out; cause is an ErrLost. The scheduler calls it: what may wait is left for later
	Lost(cause error)        // the server no longer knows the hold; cause is an ErrLost
	Revoked(note string)     // the hold was broken, for the reason in note, or stolen if note is empty
	Renewed(protocol.Micros) // a renewal has succeeded, when the server's clock said that
	RenewalFailed(err error) // a renewal has failed, and is tried again
	Config() *Config         // the configuration of all leases of the Client
	Present() *Keeper        // the keeper of this lease by now: another one where the lease has gone on within the process
}

// Config is the configuration of the leases of a Client.
type Config struct {
	Transport *transport.Transport
	Scheduler *scheduler.Scheduler
	Margin    time.Duration // for clocks that differ (I6)
	Began     time.Time     // from when the times are counted to which renewals are gathered: of each Client another
}

// Grant has the data with which a lease begins.
type Grant struct {
	Key, Token any // strings, as arguments of requests
	Nonce      string
	Fence      string
	Length     time.Duration // the lease that was asked for
	MaxHold    time.Duration // 0: for as long as it is renewed
	Final      bool          // WithoutRenewal
	Unanswered bool          // an acquire of this token had no answer, so Redis may still execute a copy of it (I8)
	Valid      clock.Bound
	Granted    time.Time
}

// Keeper keeps a lease. It renews the lease when that is due, and tells the owner when the lease has ended.
type Keeper struct {
	owner      Owner
	key, token any
	nonce      string

	mu    sync.Mutex
	lease Lease
	task  scheduler.Task
}

// Init makes it the keeper of the lease of a grant. Nothing is planned before Start.
func (k *Keeper) Init(owner Owner, g Grant) {
	k.owner, k.key, k.token, k.nonce = owner, g.Key, g.Token, g.Nonce
	k.lease = Lease{length: g.Length, final: g.Final, unanswered: g.Unanswered, fence: g.Fence, granted: g.Granted, valid: g.Valid}
	if g.MaxHold > 0 {
		k.lease.total = &clock.Bound{From: g.Granted, Span: g.MaxHold}
	}
	k.task.Job = k
}

// Start begins to keep the lease, unless it has ended before it was used. claimed says that the grant is only a claim.
func (k *Keeper) Start(claimed bool, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lease.ended != nil {
		return
	}
	if k.lease.begin(claimed, now); !claimed { // a claim is renewed when a quarter is over, and often ends before
		k.gather(now)
	}
	k.plan(now)
}

// plan puts the lease into the scheduler at its next event. The caller has locked k.mu.
func (k *Keeper) plan(now time.Time) {
	k.owner.Config().Scheduler.Set(&k.task, k.lease.next(now))
}

// gather has the renewal leave with others. The caller has locked k.mu.
func (k *Keeper) gather(now time.Time) { k.lease.gather(k.owner.Config().Began, now) }

// Key and Token are the names of the hold on the server. BoxedKey and BoxedToken are the same as arguments.
func (k *Keeper) Key() string     { return k.key.(string) }
func (k *Keeper) Token() string   { return k.token.(string) }
func (k *Keeper) BoxedKey() any   { return k.key }
func (k *Keeper) BoxedToken() any { return k.token }

// Nonce is what a message that takes the hold away must contain.
func (k *Keeper) Nonce() string { return k.nonce }

// Unanswered reports whether Redis may still execute a copy of the acquire.
func (k *Keeper) Unanswered() bool { return k.lease.unanswered }

// Length is the lease that was asked for. Final reports that it is not renewed.
func (k *Keeper) Length() time.Duration { return k.lease.length }
func (k *Keeper) Final() bool           { return k.lease.final }

// Granted is when the grant was asked for, or when its message came. Held is the time since then.
func (k *Keeper) Granted() time.Time  { return k.lease.granted }
func (k *Keeper) Held() time.Duration { return clock.Elapsed(k.lease.granted) }

// Fence is the fence of the hold as a number. FenceText is the fence as it is sent.
func (k *Keeper) Fence() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lease.fenceNow()
}

func (k *Keeper) FenceText() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lease.fence
}

// Raise notes a greater fence: the hold has changed its mode.
func (k *Keeper) Raise(fence string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lease.raise(fence)
}

// Valid is the bound until which the hold may be relied on.
func (k *Keeper) Valid() clock.Bound {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lease.valid
}

// Deadline is until when the hold may be relied on unless it is renewed: the bound, or the end of its longest time.
func (k *Keeper) Deadline() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	end := k.lease.valid.From.Add(k.lease.valid.Span)
	if total := k.lease.total; total != nil && total.From.Add(total.Span).Before(end) {
		end = total.From.Add(total.Span)
	}
	return end
}

// Expired says why the lease has ended or has run out. It is nil if neither is so.
func (k *Keeper) Expired(now time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lease.expired(now, k.owner.Config().Transport.IsOrphaned())
}

// Stop ends the lease. If there are several reasons, the first counts. Stop returns that reason, and whether this call gave
// it.
func (k *Keeper) Stop(why error) (reason error, first bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if reason, first = k.lease.end(why); first {
		k.owner.Config().Scheduler.Remove(&k.task)
	}
	return reason, first
}

// Rest is the rest of a lease that its owner passes on within the process.
type Rest struct {
	Key, Token any // strings, as arguments of requests
	Nonce      string
	lease      Lease
}

// Part is Stop for an owner that passes the lease on. If this call ended it, the rest may go on (Continue), or is to be released.
func (k *Keeper) Part(why error) (rest Rest, reason error, first bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	rest = Rest{k.key, k.token, k.nonce, k.lease}
	if reason, first = k.lease.end(why); first {
		k.owner.Config().Scheduler.Remove(&k.task)
	}
	return rest, reason, first
}

// Continue makes it the keeper of the rest of another lease, with a fence of its own. Nothing is planned before Go.
func (k *Keeper) Continue(owner Owner, rest Rest, fence int64, now time.Time) {
	k.owner, k.key, k.token, k.nonce, k.lease = owner, rest.Key, rest.Token, rest.Nonce, rest.lease
	k.lease.continued(fence, now)
	k.task.Job = k
}

// Go goes on to keep the lease, unless it has ended meanwhile.
func (k *Keeper) Go(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lease.ended == nil {
		k.plan(now)
	}
}

// Left is how long the rest of a lease may be relied on.
func (r *Rest) Left(now time.Time) time.Duration { return r.lease.left(now) }

// Carried is the last fence of a grant within the process, which a release carries; empty if there was none.
func (r *Rest) Carried() string { return carried(r.lease.local) }

// Unanswered reports whether Redis may still execute a copy of the acquire.
func (r *Rest) Unanswered() bool { return r.lease.unanswered }

// Carried is likewise for a lease that is kept.
func (k *Keeper) Carried() string { return carried(k.lease.local) } // it never changes

func carried(fence int64) string {
	if fence == 0 {
		return ""
	}
	return fmt.Sprintf("%016d", fence)
}

// GiveUp reports whether the caller is the one to give the hold up on the server.
func (k *Keeper) GiveUp() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lease.giveUp()
}

// Soon renews before that is due, to learn whether the hold still exists: after a part of a sixth of the lease, or of 5 s if that is
// less. So the renewals of many leases that are in doubt together leave one after the other.
func (k *Keeper) Soon(part float64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if k.lease.soon(now, now.Add(time.Duration(part*float64(min(k.lease.length/6, 5*time.Second))))) {
		k.gather(now)
		k.plan(now)
	}
}

// Extend notes a later bound, from the answer to a request that left at sent. It reports whether the lease is still kept.
func (k *Keeper) Extend(fresh clock.Bound, sent time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	extended := k.lease.extend(fresh, sent, now)
	if extended {
		k.gather(now)
		k.plan(now)
	}
	return extended
}

// Run is the lease's turn in the scheduler: the lease has run out, or a renewal is due.
func (k *Keeper) Run() {
	cfg := k.owner.Config()
	orphaned := cfg.Transport.IsOrphaned()
	now := time.Now()
	k.mu.Lock()
	lost := k.lease.expired(now, orphaned)
	if lost == nil {
		if k.lease.due(now, orphaned) && !k.lease.leaves {
			k.lease.leaves = true
			cfg.Transport.Enqueue(k)
		}
		k.plan(now)
	}
	k.mu.Unlock()
	if lost != nil {
		k.owner.RunOut(lost)
	}
}

// Call returns the renewal when it leaves, or nil if the lease has ended meanwhile. It renews for the present owner of the lease in
// this process, as the lock may be passed on in the process before a renewal leaves or is answered.
func (k *Keeper) Call() *transport.Call {
	k.mu.Lock()
	k.lease.leaves = false
	k.mu.Unlock()
	k = k.owner.Present()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lease.ended != nil {
		return nil
	}
	return transport.NewCall(lua.Renew, k.Key(), k.token, k.lease.fence)
}

// Answered handles the answer of a renewal.
func (k *Keeper) Answered(a transport.Answer) {
	k = k.owner.Present()
	r, err := protocol.Reply{}, a.Err
	if err == nil {
		r, err = protocol.ParseReply(a.Value)
	}
	switch {
	case err != nil:
		k.failed(err)
	case r.Status == "gone":
		k.owner.Lost(fmt.Errorf("%w: the server no longer knows the hold", ErrLost))
	case r.Status == "revoked":
		k.owner.Revoked(r.Note)
	case r.Status == "": // a plain time
		if k.Extend(clock.Until(a.Sent, r.Now, r.Now.Add(k.lease.length), k.owner.Config().Margin), a.Sent) {
			k.owner.Renewed(r.Now)
		}
	default:
		k.failed(fmt.Errorf("unexpected answer %q", r.Status))
	}
}

// failed plans to try the renewal again: only the server's word or the deadline ends a hold.
func (k *Keeper) failed(err error) {
	k.mu.Lock()
	now := time.Now()
	kept := k.lease.failed(now)
	if kept {
		k.plan(now)
	}
	k.mu.Unlock()
	if kept {
		k.owner.RenewalFailed(err)
	}
}
