package model

import (
	"slices"
	"strings"

	"example.com/redislock/internal/protocol"
)

// Micros is a time of the server in µs, and also a length of time.
type Micros = protocol.Micros

// Lengths of time.
const (
	Millisecond Micros = 1000
	Second      Micros = 1000 * Millisecond
	Minute      Micros = 60 * Second
)

// Lock is what the server knows of one name. The zero Lock is a name that it knows nothing of.
type Lock struct {
	// Fence is the last one that was given, 0 before the first.
	Fence Micros
	// Expires is when all of this is forgotten, unless it is raised before. I4: it is later than every deadline.
	Expires Micros
	// Holds are in the order of their grants. I1: each tolerates all others.
	Holds []Hold
	// Queue has the waiters. I5: in the order of their tickets.
	Queue []Place
	// Tombstones are in the order in which they end.
	Tombstones []Tombstone
	// Presences are the Clients that have places in the queue, by channel.
	Presences []Presence
	// Limit is the limit of the holds, which applies whatever the callers' modes say.
	Limit Limit
	// Watched says that the next change is to be told to all Clients.
	Watched bool
}

// Request is the request of a caller. The hold that comes of it carries it on.
type Request struct {
	Lease   Micros
	Keep    Micros // how long the key outlives a grant
	Wait    byte   // 'c' join the queue; 's' likewise, and I hear by the shard's channel; 'u' likewise, and cannot be counted; '-' do not wait
	Channel string // of the Client
	Mode    Mode
	Info    string // who it is, for people
	Turns   bool   // the owner of the hold may grant the lock again by itself, within its lease
}

// A Hold is one owner of the lock. It ends at At + Lease.
type Hold struct {
	Token   string
	Since   Micros // when it began: renewals do not change that
	Fence   Micros
	At      Micros // its grant, or its last renewal
	Lease   Micros // until it is confirmed no longer than a claim
	State   State
	Request Request
	Change  string // the token of the last change of its mode
}

// Deadline is when the hold ends by itself.
func (h *Hold) Deadline() Micros { return h.At + h.Lease }

// State says what may become of a hold.
type State byte

// The states of a hold.
const (
	Held    State = '-'
	Revoked State = 'r' // stolen: its owner is to give it up, and cannot renew it
	Kept    State = 'k' // nobody's any more: it lasts until its deadline
)

// A Place is a waiter in the queue.
type Place struct {
	Token   string
	Ticket  Micros // when it joined first; 0 for a hold that waits to change its mode, which goes first
	Request Request
	Of      string // the token of that hold
}

// A Tombstone says that a token is over: to a late copy of its acquire, and to the owner of a hold that was broken.
type Tombstone struct {
	Token string
	Until Micros
	Note  string // why the hold was broken
}

// Presence is when a Client was last seen, and whether its receivers can be counted.
type Presence struct {
	Channel string
	Seen    Micros
	Wait    byte
}

// Exists reports whether the server has a key for it.
func (l *Lock) Exists() bool { return l.Fence != 0 || l.Watched }

// Clone shares nothing with l.
func (l *Lock) Clone() Lock {
	c := *l
	c.Holds, c.Queue = slices.Clone(l.Holds), slices.Clone(l.Queue)
	c.Tombstones, c.Presences = slices.Clone(l.Tombstones), slices.Clone(l.Presences)
	return c
}

func (l *Lock) hold(token string) *Hold {
	for i := range l.Holds {
		if l.Holds[i].Token == token {
			return &l.Holds[i]
		}
	}
	return nil
}

func (l *Lock) place(token string) *Place {
	for i := range l.Queue {
		if l.Queue[i].Token == token {
			return &l.Queue[i]
		}
	}
	return nil
}

func (l *Lock) tombstone(token string) *Tombstone {
	for i := range l.Tombstones {
		if l.Tombstones[i].Token == token {
			return &l.Tombstones[i]
		}
	}
	return nil
}

func (l *Lock) head() *Place {
	if len(l.Queue) == 0 {
		return nil
	}
	return &l.Queue[0]
}

// firstEnd is when the first hold ends, 0 if nobody holds the lock.
func (l *Lock) firstEnd() (first Micros) {
	for i := range l.Holds {
		if end := l.Holds[i].Deadline(); first == 0 || end < first {
			first = end
		}
	}
	return first
}

// String is the state, for people.
func (l *Lock) String() string {
	var b strings.Builder
	l.describe(&b)
	return b.String()
}
