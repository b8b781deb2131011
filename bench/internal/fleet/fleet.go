// Package fleet is a model of many Clients that hold locks on a number of shards: formulas that say how busy the shards are
// and where their limit is, and a simulation that shows whether renewals are in time there.
package fleet

import "math"

// renewEvery is the part of a lease after which it is renewed. resendPart is the part of a lease after which a
// renewal without an answer is sent once more.
const (
	renewEvery = 1.0 / 3
	resendPart = 1.0 / 6
	// MaxBatch bounds the renewals of one request.
	MaxBatch = 256
	// parts is the number of parts of the time between two renewals. Renewals that are due in one part leave together.
	parts = 32
	// giveBacks bounds the lost locks that a Client gives back to one shard at the same time.
	giveBacks = 512
)

// Together is how many renewals leave in one request of a Client with this many locks, taken at random times, on this many
// shards.
func Together(locks float64, shards int) int {
	return min(max(1, int(locks/float64(shards)/parts)), MaxBatch)
}

// Cost is the time that one of each takes on a server's only thread, in seconds, system calls included.
type Cost struct {
	Request float64 // reading and answering a request with renewals, whatever their number
	Renewal float64 // each renewal in such a request
	Pair    float64 // an acquire and its release
	Handoff float64 // a lock that passes from one caller to the next
	Release float64 // giving back a lost lock, in a large request
}

// Fleet has the locks and the rates of operations. Rates are per second, for all shards together. Names are spread
// evenly over the shards.
type Fleet struct {
	Held     float64 // locks that are held and renewed
	Lease    float64 // the lease of each lock, in seconds
	Shards   int
	Together int     // renewals that a Client sends to a shard in one request
	Each     float64 // locks of one Client; 0: lost locks are not given back
	Pairs    float64 // uncontended acquires, each with its release
	Handoffs float64
	Trip     float64 // seconds to a server and back, without the server's part
	Cost     Cost
}

// PerRenewal is the whole cost of one renewal for the server, in seconds.
func (f Fleet) PerRenewal() float64 {
	return f.Cost.Renewal + f.Cost.Request/float64(f.batch())
}

func (f Fleet) batch() int { return min(max(f.Together, 1), MaxBatch) }

// Renewals is the number of renewals per second, on all shards.
func (f Fleet) Renewals() float64 { return f.Held / (f.Lease * renewEvery) }

// Utilisation is the share of its time that each shard is busy. From 1 on the work is more than the shards can do.
func (f Fleet) Utilisation() float64 {
	return (f.Renewals()*f.PerRenewal() + f.Pairs*f.Cost.Pair + f.Handoffs*f.Cost.Handoff) / float64(f.Shards)
}

// Limit is how many locks can be held with the shards busy for that share of their time, in addition to the pairs and
// hand-offs of the fleet. It is 0 if those alone take as much.
func (f Fleet) Limit(utilisation float64) float64 {
	left := utilisation*float64(f.Shards) - f.Pairs*f.Cost.Pair - f.Handoffs*f.Cost.Handoff
	return max(0, left) * f.Lease * renewEvery / f.PerRenewal()
}

// Needed is the least number of shards that are busy for no more than that share of their time.
func (f Fleet) Needed(utilisation float64) int {
	f.Shards = 1
	return max(1, int(math.Ceil(f.Utilisation()/utilisation-1e-9)))
}

// MeanLatency is the mean latency of a renewal, in seconds: the trip, the work, and the queue before it by the formula of
// Pollaczek and Khinchine, which assumes independent requests. From a utilisation of 1 on it is +Inf.
func (f Fleet) MeanLatency() float64 {
	busy := f.Utilisation()
	if busy >= 1 {
		return math.Inf(1)
	}
	n, b := float64(f.Shards), float64(f.batch())
	request := b * f.PerRenewal()
	squares := f.Renewals()/b/n*request*request + f.Pairs/n*f.Cost.Pair*f.Cost.Pair + f.Handoffs/n*f.Cost.Handoff*f.Cost.Handoff
	return f.Trip + request + squares/(2*(1-busy))
}

// Round is how long a shard takes, in seconds, to renew all its locks at once, in the largest requests, as happens when the
// Clients subscribe anew.
func (f Fleet) Round() float64 {
	f.Together = MaxBatch
	return f.Held / float64(f.Shards) * f.PerRenewal()
}

// Outage is how many seconds a shard may be away without the loss of a lock. A lock that was about to be renewed at the
// beginning of the outage has two thirds of its lease left. When the shard is back all Clients renew at once, within spread
// seconds.
func (f Fleet) Outage(spread float64) float64 {
	return max(0, f.Lease*(1-renewEvery)-spread-f.Round())
}
