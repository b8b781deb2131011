package fleet

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"

	"example.com/redislock/bench/internal/measure"
)

// Trouble is an outage of the servers in a simulation. Its zero value means none.
type Trouble struct {
	At, For float64 // all servers are away from the second At on, for For seconds
	Spread  float64 // all Clients are back within this many seconds after it, and each renews all that it holds
	Doubt   float64 // the renewals take this many seconds more
}

// Result is the result of a simulation.
type Result struct {
	Utilisation   float64 // share of the simulated time that the busiest shard worked
	Renewals      int     // renewals that were answered
	Resent        int     // renewals that were sent once more, as there was no answer
	Lost          int     // locks whose lease ran out before a renewal was answered
	GivenBack     int     // lost locks that their Clients gave back
	Queue         float64 // the most work that waited at a server after the trouble, in seconds
	Calm          float64 // seconds after the trouble after which never more than a hundredth of a second of work waited
	Mean          float64 // latency of a renewal from when it was due, in seconds
	P50, P99, Max float64
}

// Simulate lets a fleet run for a number of seconds. The result counts from the end of the first third of a lease on, by
// when all renewals have begun. Each server has one thread, and serves requests in their order. The same seed gives the same
// result.
func (f Fleet) Simulate(seconds float64, trouble Trouble, seed uint64) Result {
	s := &simulation{
		Fleet: f, trouble: trouble, random: rand.New(rand.NewPCG(seed, 6)),
		free: make([]float64, f.Shards), busy: make([]float64, f.Shards), giving: map[int][]float64{}, begun: f.Lease * renewEvery, end: seconds,
	}
	s.plant()
	for len(s.agenda) > 0 && s.agenda[0].at < s.end {
		j := heap.Pop(&s.agenda).(*job)
		if s.happens(j) {
			heap.Push(&s.agenda, j)
		}
		for _, extra := range s.extra {
			heap.Push(&s.agenda, extra)
		}
		s.extra = s.extra[:0]
	}
	return s.sum()
}

// kind is the kind of a job on the agenda.
type kind uint8

const (
	renewal kind = iota
	again        // a renewal is sent once more: it costs time, and changes no schedule
	pair
	handoff
	back     // the servers are there again
	giveBack // lost locks are given back in one request
)

// job is an entry of the agenda. A renewal has the locks that one Client renews on one shard in one request.
type job struct {
	at     float64
	kind   kind
	shard  int
	client int
	size   int     // the number of locks in a renewal
	due    float64 // when it was to be sent
	valid  float64 // until when its Client relies on them
	own    float64 // the time of this renewal alone; the others are a third of the lease apart
}

type simulation struct {
	Fleet
	trouble    Trouble
	random     *rand.Rand
	agenda     agenda
	extra      []*job            // jobs that were added while a job was done
	free, busy []float64         // for each shard: until when it has work, and how long it has worked since begun
	giving     map[int][]float64 // for each Client: when its give-backs under way are answered
	begun, end float64
	result     Result
	latencies  []float64
}

// plant spreads the locks over the shards, in batches whose first renewals fall anywhere in the first period.
func (s *simulation) plant() {
	period := s.Lease * renewEvery
	left := int(s.Held)
	for shard := 0; left > 0; shard = (shard + 1) % s.Shards {
		size := min(s.batch(), left)
		left -= size
		at := s.random.Float64() * period
		s.agenda = append(s.agenda, &job{at: at, due: at, own: at, valid: at - period + s.Lease, shard: shard, client: s.clientOf(len(s.agenda)), size: size})
	}
	for shard := range s.Shards {
		if s.Pairs > 0 {
			s.agenda = append(s.agenda, &job{kind: pair, shard: shard})
		}
		if s.Handoffs > 0 {
			s.agenda = append(s.agenda, &job{kind: handoff, shard: shard})
		}
	}
	if s.trouble.For > 0 {
		s.agenda = append(s.agenda, &job{at: s.trouble.At + s.trouble.For, kind: back})
	}
	heap.Init(&s.agenda)
}

// clientOf is the Client of the batch of that number.
func (s *simulation) clientOf(batch int) int {
	if s.Each == 0 {
		return 0
	}
	return int(float64(batch*s.batch()) / s.Each)
}

// happens does a job, and reports whether the job is to be done again at another time.
func (s *simulation) happens(j *job) bool {
	switch j.kind {
	case renewal:
		return s.renew(j)
	case again:
		s.serve(j.shard, j.at+s.Trip/2, float64(j.size)*s.PerRenewal())
		return false
	case back:
		s.all(j.at)
		return false
	case giveBack:
		return s.release(j)
	case pair:
		return s.arrive(j, s.Pairs, s.Cost.Pair)
	default:
		return s.arrive(j, s.Handoffs, s.Cost.Handoff)
	}
}

// arrive is one operation of the callers, which come independently of each other.
func (s *simulation) arrive(j *job, rate, cost float64) bool {
	if !s.away(j.at) {
		s.serve(j.shard, j.at+s.Trip/2, cost)
	}
	j.at += s.random.ExpFloat64() / (rate / float64(s.Shards))
	return true
}

func (s *simulation) away(at float64) bool {
	return at >= s.trouble.At && at < s.trouble.At+s.trouble.For
}

// serve lets a shard do a request after all earlier ones, and returns when it is done.
func (s *simulation) serve(shard int, at, cost float64) (done float64) {
	from := max(at, s.free[shard])
	if over := s.trouble.At + s.trouble.For; s.trouble.For > 0 && at >= over {
		s.result.Queue = max(s.result.Queue, from-at)
		if from-at > 0.01 {
			s.result.Calm = from - over
		}
	}
	s.free[shard] = from + cost
	s.busy[shard] += max(0, min(from+cost, s.end)-max(from, s.begun))
	return from + cost
}

// renew sends a renewal. One that could not be sent in time, or is answered too late, loses its locks.
func (s *simulation) renew(j *job) bool {
	if j.at > j.valid {
		return s.lose(j, j.at)
	}
	if s.away(j.at) {
		j.at = s.whenBack()
		return true
	}
	size := float64(j.size)
	sent := j.at
	answered := s.serve(j.shard, sent+s.Trip/2, size*s.Cost.Renewal+s.Cost.Request) + s.Trip/2
	for once := sent + s.Lease*resendPart; once < min(answered, j.valid); once += s.Lease * resendPart {
		s.extra = append(s.extra, &job{at: once, kind: again, shard: j.shard, size: j.size})
		s.result.Resent += j.size
	}
	if answered > j.valid {
		return s.lose(j, j.valid)
	}
	if sent >= s.begun {
		s.result.Renewals += j.size
		s.latencies = append(s.latencies, answered-j.due)
	}
	j.valid = sent + s.Lease
	period := s.Lease * renewEvery
	j.due = j.own + period*(math.Floor((sent-j.own)/period+1e-9)+1)
	j.at = max(j.due, answered)
	return true
}

// whenBack is when a Client reaches the servers again after the trouble.
func (s *simulation) whenBack() float64 {
	return s.trouble.At + s.trouble.For + s.random.Float64()*s.trouble.Spread
}

// lose ends the locks of a renewal, which their Client then gives back.
func (s *simulation) lose(j *job, at float64) bool {
	s.result.Lost += j.size
	if s.Each > 0 {
		s.extra = append(s.extra, &job{at: max(at, j.at), kind: giveBack, shard: j.shard, client: j.client, size: j.size})
	}
	return false
}

// release gives lost locks back, when not too many others of the same Client are under way.
func (s *simulation) release(j *job) bool {
	if s.away(j.at) {
		j.at = s.whenBack()
		return true
	}
	under := slices.DeleteFunc(s.giving[j.client], func(answered float64) bool { return answered <= j.at })
	s.giving[j.client] = under
	if (len(under)+1)*j.size > max(giveBacks, j.size) {
		j.at = slices.Min(under)
		return true
	}
	answered := s.serve(j.shard, j.at+s.Trip/2, s.Cost.Request+float64(j.size)*s.Cost.Release) + s.Trip/2
	s.giving[j.client] = append(under, answered)
	s.result.GivenBack += j.size
	return false
}

// all is the recovery after an outage: every Client subscribes anew, and then renews its locks.
func (s *simulation) all(at float64) {
	for _, j := range s.agenda {
		soon := at + s.random.Float64()*s.trouble.Spread + s.random.Float64()*s.trouble.Doubt
		if j.kind == renewal && j.at > max(soon, at+s.trouble.Spread) {
			j.at, j.due = soon, soon
		}
	}
	heap.Init(&s.agenda)
}

func (s *simulation) sum() Result {
	r := s.result
	for _, b := range s.busy {
		r.Utilisation = max(r.Utilisation, b/(s.end-s.begun))
	}
	for _, l := range s.latencies {
		r.Mean += l / float64(len(s.latencies))
	}
	r.P50, r.P99, r.Max = measure.Quantile(s.latencies, 0.5), measure.Quantile(s.latencies, 0.99), measure.Quantile(s.latencies, 1)
	return r
}

// agenda is a heap of jobs by their time.
type agenda []*job

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at < a[j].at }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)        { *a = append(*a, x.(*job)) }

func (a *agenda) Pop() any {
	old := *a
	last := old[len(old)-1]
	*a = old[:len(old)-1]
	return last
}
