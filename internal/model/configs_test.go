package model

import (
	"fmt"

	"example.com/redislock/internal/protocol"
)

// The worlds that are searched. Each is small, and is about one thing. Together they have every fault for which there is a
// rule.

var (
	read  = Mode{protocol.Mode{Name: "read", Rules: "read=*"}, 1}
	write = Mode{protocol.Mode{Name: "write", Rules: "-"}, 1}
)

func units(n int) Mode {
	return Mode{protocol.Mode{Name: "semaphore", Rules: "semaphore=*", Capacity: 3}, n}
}

// plain is a want of the exclusive lock, with a lease that outlives the search.
func plain(then byte) want {
	return want{lease: 30 * Second, keep: 100 * Second, then: then}
}

func in(m Mode, then byte) want {
	w := plain(then)
	w.mode = m
	return w
}

func leased(lease Micros, then byte) want {
	w := plain(then)
	w.lease = lease
	return w
}

func clients(all ...[]want) (c []setting) {
	for _, wants := range all {
		c = append(c, setting{wants: wants})
	}
	return c
}

// place executes a request before the search begins, for a Client that is not part of the search.
func (w *world) place(token string, wait byte) {
	r := Request{Lease: 30 * Second, Keep: 100 * Second, Wait: wait, Channel: token[:1]}
	w.lock, _, _ = Execute(&w.lock, Acquire{Token: token, Request: r}, w.instant())
	w.greatest = w.lock.Fence
}

// atOnce lets a Client ask and get the answer before the search begins.
func (w *world) atOnce(i int) {
	w.begin(i)
	w.run(0, 0, 0)
}

func (w *world) pass(d Micros) {
	w.now += d
	w.elapsed += d
}

// races is about requests that overtake each other, missing answers, late copies, and callers that are gone.
var races = config{
	name:    "races",
	clients: clients([]want{plain('r'), plain('r')}, []want{plain('r')}),
	left:    budget{timeouts: 1, late: 1, cancels: 1, checks: 1},
}

// three is about the order of three.
var three = config{
	name:    "three",
	clients: clients([]want{plain('r')}, []want{plain('r')}, []want{plain('r')}),
	left:    budget{timeouts: 1, lost: 1, checks: 1},
}

// repeats is about Clients that want the lock again and again.
var repeats = config{
	name:    "repeats",
	clients: clients([]want{plain('r'), plain('r'), plain('r')}, []want{plain('r'), plain('r'), plain('r')}),
	left:    budget{timeouts: 1, lost: 1},
}

// turns is about three that want it twice.
var turns = config{
	name:    "turns",
	clients: clients([]want{plain('r'), plain('r')}, []want{plain('r'), plain('r')}, []want{plain('r'), plain('r')}),
	left:    budget{lost: 1},
}

// cancelled is about three, one of which gives up.
var cancelled = config{
	name:    "cancelled",
	clients: clients([]want{plain('r'), plain('r')}, []want{plain('r')}, []want{plain('r')}),
	left:    budget{timeouts: 1, cancels: 1},
}

// tries is about callers that do not wait.
var tries = config{
	name:    "tries",
	clients: clients([]want{plain('r')}, []want{plain('r')}, []want{{lease: 30 * Second, keep: 100 * Second, then: 'r', try: true}}),
	left:    budget{late: 1, cancels: 1},
}

// crowded is about a queue that is full, while answers and messages are late or lost.
var crowded = config{
	name:    "crowded",
	clients: clients([]want{few}, []want{few}, []want{few}),
	left:    budget{late: 1, lost: 1, checks: 1},
	done: func(w *world) string {
		if n := len(w.lock.Queue); n > few.most {
			return fmt.Sprintf("%d wait, and %d may", n, few.most)
		}
		return ""
	},
}

// few is a lock for which a caller waits only if nobody else does.
var few = want{lease: 30 * Second, keep: 100 * Second, then: 'r', most: 1}

// bounds is about leases that end, while answers and messages are late.
var bounds = config{
	name:    "bounds",
	clients: clients([]want{leased(2*Second, 'r')}, []want{leased(2*Second, 'r')}),
	left:    budget{ticks: 3, late: 1, slow: 1},
}

// steals is about a hold that is older than another caller tolerates.
var steals = config{
	name:    "steals",
	clients: clients([]want{plain('r')}, []want{{lease: 30 * Second, keep: 100 * Second, then: 'r', steal: Second}}),
	left:    budget{ticks: 2, lost: 1, slow: 1, checks: 2, renewals: 1},
}

// claims is about a grant whose message is lost, and so is the answer to the first check. Time passes only when all is quiet.
var claims = config{
	name:    "claims",
	clients: clients([]want{plain('r')}, []want{plain('-')}),
	left:    budget{ticks: 8, lost: 1, answers: 1},
	prompt:  true,
}

// replica is about a Client that hears messages and is not counted.
var replica = config{
	name:    "replica",
	clients: []setting{{wants: []want{plain('r')}}, {wants: []want{plain('r')}, replica: true}, {wants: []want{plain('r')}}},
	left:    budget{ticks: 3},
}

// subscriptions is about a Client that subscribes anew at the time of its grant.
var subscriptions = config{
	name:    "subscriptions",
	clients: clients([]want{plain('r')}, []want{plain('r')}, []want{plain('r')}),
	left:    budget{breaks: 1, ticks: 1},
}

// silent is about a process that is cut off with three places before a live waiter.
var silent = config{
	name:    "silent",
	clients: clients(nil, []want{plain('-')}, nil),
	prompt:  true,
	left:    budget{ticks: 14},
	setup: func(w *world) {
		w.place("Z", 'c')
		for _, token := range []string{"C1", "C2", "C3"} {
			w.place(token, 'c')
		}
		w.clients[2].state = gone // its connections stay, so it counts as a receiver
		w.atOnce(1)
		w.lock, _, _ = Execute(&w.lock, Release{Token: "Z"}, w.instant())
	},
	done: func(w *world) string {
		if w.left.ticks == 0 && w.clients[1].state != holding {
			return "silence costs more than two claims"
		}
		return ""
	},
}

// dead is about many places of a process that has gone.
var dead = config{
	name:    "dead",
	rules:   func() Rules { r := Protocol; r.HandOver, r.Trim = 2, 1; return r }(),
	clients: clients([]want{plain('r')}, nil),
	setup: func(w *world) {
		w.atOnce(0)
		for _, token := range []string{"B1", "B2", "B3", "B4", "B5", "B6"} {
			w.place(token, 'c')
		}
		w.clients[1] = client{state: gone}
		w.pass(8 * Second)
	},
}

// full is about a server that has no memory left.
var full = config{
	name:    "full",
	clients: clients([]want{plain('r')}, []want{plain('r')}),
	left:    budget{full: 1, cancels: 1, renewals: 1},
}

// losses is about the loss of all data, with a waiter whose place is lost, and newcomers.
var losses = config{
	name:    "losses",
	clients: clients([]want{plain('r')}, []want{plain('r')}, []want{plain('r')}),
	left:    budget{losses: 1, checks: 1, ticks: 1},
	setup: func(w *world) {
		w.place("Z", 'c') // its process is gone, and its lease is long
		w.atOnce(0)
	},
}

// clock is about a clock that goes back.
var clock = config{
	name:    "clock",
	clients: clients([]want{plain('-')}, []want{plain('r')}),
	left:    budget{back: 1, ticks: 2, checks: 2, deaths: 1},
}

// retention is about Clients that want fences to be remembered for different times.
var retention = config{
	name: "retention",
	clients: clients([]want{{lease: 30 * Second, keep: 9000 * Second, then: 'r'}},
		[]want{{lease: 5 * Second, keep: 10 * Second, then: 'r'}}),
	left: budget{ticks: 1, cancels: 1},
}

// lanes is about connections that are stuck under a holder.
var lanes = config{
	name:    "lanes",
	clients: clients([]want{leased(8*Second, '-')}, []want{leased(8*Second, '-')}),
	prompt:  true,
	left:    budget{ticks: 12, stuck: 1},
	stuck:   9 * Second,
}

// regrant is about a copy that comes late to a server that has lost its data, and whose clock is behind.
var regrant = config{
	name:    "regrant",
	clients: clients([]want{plain('r')}),
	left:    budget{timeouts: 1, losses: 1, back: 1, renewals: 1},
}

// shared is about readers, one of which becomes the writer.
var shared = config{
	name:    "shared",
	clients: clients([]want{in(read, 'u')}, []want{in(read, 'r')}, []want{in(write, 'd')}),
	left:    budget{slow: 1},
}

// conflict is about two readers that both want to become the writer.
var conflict = config{
	name:    "conflict",
	clients: clients([]want{in(read, 'u')}, []want{in(read, 'u')}),
	left:    budget{timeouts: 1, lost: 1},
}

// pool is about weights.
var pool = config{
	name:    "pool",
	clients: clients([]want{in(units(2), 'r')}, []want{in(units(2), 'r')}, []want{in(units(1), 'r')}),
	left:    budget{timeouts: 1, cancels: 1},
}

// sums is about rules of one's own: at most one beside it of two modes taken together, and one that was added to a mode that another has
// without it.
var sums = config{
	name:    "sums",
	clients: clients([]want{in(small, 'r')}, []want{in(large, 'r')}, []want{in(reader, 'r')}, []want{in(read, 'r')}),
	left:    budget{cancels: 1},
}

// limited is about a lock with a limit, which holds more than one unit and less than the callers say. It ends meanwhile.
var limited = config{
	name:    "limited",
	clients: clients([]want{in(units(1), 'r')}, []want{in(units(1), 'r')}, []want{in(units(2), 'r')}),
	left:    budget{cancels: 1, ticks: 2},
	setup: func(w *world) {
		w.lock, _, _ = Execute(&w.lock, SetLimit{Version: w.now, Rules: "+semaphore=2", Long: 2 * Second}, w.instant())
		w.greatest = w.lock.Fence
	},
	done: func(w *world) string {
		held := 0
		for i := range w.lock.Holds {
			held += w.lock.Holds[i].Request.Mode.Weight
		}
		if held > 2 && w.now < w.lock.Limit.Until {
			return "more is held than the limit allows"
		}
		return ""
	},
}

// entry is about a mode that asks at its grant only who holds, and one that comes in beside it later.
var entry = config{
	name:    "entry",
	clients: clients([]want{in(job, 'r')}, []want{in(web, 'r'), in(web, 'r')}, []want{in(web, 'r')}),
	left:    budget{cancels: 1},
}

var (
	both   = []protocol.Rule{{Modes: []string{"large", "small"}, Most: 1}}
	small  = own("small", both...)
	large  = own("large", append(both, protocol.Rule{Modes: []string{"read"}, Most: 1, Added: true})...)
	reader = own("read", protocol.Rule{Modes: []string{"read"}, Most: protocol.AnyNumber}, protocol.Rule{Modes: []string{"large"}, Most: 1, Added: true})
	job    = own("job", protocol.Rule{Modes: []string{"web"}, Most: 0, AtGrant: true})
	web    = own("web", protocol.Rule{Modes: []string{"web"}, Most: protocol.AnyNumber}, protocol.Rule{Modes: []string{"job"}, Most: protocol.AnyNumber})
)

func own(name string, rules ...protocol.Rule) Mode {
	return Mode{protocol.Mode{Name: name, Rules: protocol.EncodeRules(rules)}, 1}
}

// handoff is about a hold that moves to another owner.
var handoff = config{
	name:    "handoff",
	clients: clients([]want{plain('o')}, []want{{lease: 30 * Second, keep: 100 * Second, then: 'r', resume: true}}, []want{plain('r')}),
	left:    budget{timeouts: 1, late: 1},
}

// after is about a hold that is kept for a while after it was given back.
var after = config{
	name:    "after",
	clients: clients([]want{plain('k')}, []want{plain('r')}),
	left:    budget{timeouts: 1, ticks: 2, renewals: 1},
}

// operator is about a break.
var operator = config{
	name:    "operator",
	clients: clients([]want{plain('r'), plain('r')}, []want{plain('r')}),
	left:    budget{operator: 1, lost: 1, checks: 1, renewals: 1},
}

// deaths is about processes that vanish.
var deaths = config{
	name:    "deaths",
	clients: clients([]want{leased(2*Second, 'r')}, []want{leased(2*Second, 'r')}, []want{leased(2*Second, 'r')}),
	left:    budget{deaths: 1, ticks: 2},
}

// smallWorlds have up to 30,000 states, largeWorlds more.
var (
	smallWorlds = []config{
		three, repeats, turns, tries, crowded, bounds, steals, claims, replica, subscriptions, silent, dead, full, losses, clock, retention, regrant,
		shared, conflict, pool, sums, limited, entry, handoff, operator,
	}
	largeWorlds = []config{races, cancelled, lanes, after, deaths}
)
