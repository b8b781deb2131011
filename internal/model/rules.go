package model

// Rules are the numbers of the protocol, and the rules that a test has taken away.
type Rules struct {
	Claim     Micros // how long a hold that was granted by message waits for its owner
	Checked   Micros // one check, and what it may be late: within that a waiter that lives is heard of
	Unseen    Micros // a Client that is silent for longer has lost its places
	Tombstone Micros // how long a tombstone stands
	Keep      Micros // how long a key outlives what it was touched for, unless a request asks for more
	Skew      Micros // how far ahead of the clock a caller's floor may be
	WishAge   Micros // how far behind the clock a fence that a quorum would like may be

	HandOver int // places tried by one script, a grant counting twice
	Scan     int // holds revoked by one script
	Trim     int // leftovers cleared away in passing
	Walk     int // places at each end of the queue that a returning waiter looks at

	Without Rule
}

// Protocol are the rules as lua/ has them.
var Protocol = Rules{
	Claim: 5 * Second, Checked: 2500 * Millisecond, Unseen: 7 * Second, Tombstone: Minute, Keep: 4600 * Second, Skew: 86400 * Second, WishAge: Second,
	HandOver: 32, Scan: 32, Trim: 8, Walk: 64,
}

// Rule names rules of the server that a test may take away, to see what breaks.
type Rule uint32

// The rules of the server. Those of the Clients are in the world that the tests search (client_test.go).
const (
	// SameAnswer: a request that comes again finds what the first one left (I3).
	SameAnswer Rule = 1 << iota
	// NamedFence: a renewal says which grant it means.
	NamedFence
	// Tombstones: a late copy of an acquire that was given up is refused.
	Tombstones
	// CheckNeverJoins: a check grants only to waits that have a place.
	CheckNeverJoins
	// CheckConfirms: a check that finds its token granted makes the claim a full lease.
	CheckConfirms
	// CountFirst: receivers are counted before anything is sent.
	CountFirst
	// SeenPerClient: a Client that is silent has lost all its places, not one after the other.
	SeenPerClient
	// BoundedHandOver: a hand-over tries so many places, and no more.
	BoundedHandOver
	// AcknowledgedSteal: a stolen hold stays until its owner gives it up, or its deadline.
	AcknowledgedSteal
	// FreesFirst: release, cancel and renewal begin with a write that is never refused for want of memory.
	FreesFirst
	// TicketsByTime: a ticket is a time, not a counter, and a place is known by its token, not by its ticket.
	TicketsByTime
	// FencesByTime: a fence is not less than the clock, so it goes on after a loss of data.
	FencesByTime
	// Anchored: a hold that begins in the future was granted before the clock went back, and begins now.
	Anchored
	// RetentionRaised: the end of the key is never brought nearer.
	RetentionRaised
	// QueueFirst: a newcomer does not pass a queue.
	QueueFirst
	// LastCheck: a waiter without a receiver is gone only when its check is overdue.
	LastCheck

	allRules = iota // how many there are
)

func (r *Rules) has(rule Rule) bool { return r.Without&rule == 0 }
