package model

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"example.com/redislock/internal/protocol"
)

// History invents requests that Clients, dead ones and live ones, may send for one lock: some of them twice, late, or in vain. It
// has the model execute everything, so it knows who holds and who waits. The same seed makes up the same history.
type History struct {
	Random *rand.Rand
	// Now is the server's clock, which moves between requests and sometimes back.
	Now Micros
	// Lock is the state of the lock so far.
	Lock Lock
	// Kinds is how often each kind of request is sent, in comparison: "acquire", "release", "renew", "keep", "check", "break", "convert",
	// "resume", "confirm", "watch", "inspect", "limit".
	Kinds map[string]int
	// Waits are the channels of the Clients, with how they wait; Subscribed says which of them get messages.
	Waits      map[string]string
	Subscribed func(channel string) bool
	// Modes are asked for, Exclusive where there are none.
	Modes []Mode
	// Usual has most requests be of those who hold or wait, under standard lengths; the others are of anybody, with any.
	Usual bool
	// Mixed has requests that are usual be in one of the modes, too, not only one in forty.
	Mixed bool

	serial  int
	limited SetLimit // the last one
	tokens  []string
	tickets []Micros
	last    Script
}

// Next is the next request; Now is when it is executed.
func (h *History) Next() Script {
	h.move()
	script := h.make(h.kind())
	if h.last != nil && h.Random.IntN(20) == 0 {
		script = h.last // a copy
	}
	h.last = script
	if h.Lock.Exists() && h.Now >= h.Lock.Expires {
		h.Lock = Forgotten()
	}
	after, answer, _ := Execute(&h.Lock, script, Instant{Now: h.Now, Subscribed: h.Subscribed, Rules: &Protocol})
	h.Lock = after
	if _, joins := script.(Acquire); joins && answer.Status == "waiting" {
		h.tickets = append(h.tickets, answer.Ticket)
	}
	return script
}

// move lets time pass, or has the clock go back.
func (h *History) move() {
	upTo := func(d Micros) Micros { return Micros(h.Random.Int64N(int64(d))) }
	switch n := h.Random.IntN(100); {
	case n < 60:
		h.Now += 1 + upTo(2*Millisecond)
	case n < 92 && !h.Usual:
		h.Now += upTo(3 * Second)
	case n < 98 && n >= 92:
		h.Now += 1 + upTo(oneOf(h, Millisecond, Second, 4*Second, 20*Second, 2*Minute))
	case n == 98:
		h.Now -= upTo(3 * Second)
	case n == 99:
		h.Now -= upTo(20 * Second)
	}
}

func (h *History) kind() string {
	all := 0
	for _, often := range h.Kinds {
		all += often
	}
	n := h.Random.IntN(all)
	for _, kind := range kinds {
		if n -= h.Kinds[kind]; n < 0 {
			return kind
		}
	}
	return "acquire"
}

var kinds = []string{"acquire", "release", "renew", "keep", "check", "break", "convert", "resume", "confirm", "watch", "inspect", "limit"}

func (h *History) make(kind string) Script {
	switch kind {
	case "release":
		token := h.holder()
		if n := len(h.Lock.Queue); n > 0 && h.Random.IntN(4) == 0 {
			token = h.Lock.Queue[h.Random.IntN(n)].Token
		}
		r := Release{Token: token, Tombstone: h.seldom()}
		if held := h.Lock.hold(token); held != nil && held.Request.Turns && h.Random.IntN(2) == 0 {
			r.Tells, r.Last = true, h.Now-Micros(h.Random.IntN(2000))
		}
		return r
	case "renew":
		token := h.holder()
		return Renew{Token: token, Fence: h.fence(token)}
	case "keep":
		token := h.holder()
		lease := oneOf(h, 0, 2*Second, 90*Second)
		long := Micros(0)
		if lease > 0 {
			long = oneOf(h, 4600*Second, 700*Second)
		}
		return Keep{Token: token, Fence: h.fence(token), Lease: lease, Long: long, Tombstone: h.seldom()}
	case "check":
		return h.check()
	case "break":
		token := h.holder()
		return Break{Reason: "why", Holds: []Grant{{token, h.fence(token)}}}
	case "convert":
		token := h.holder()
		r := h.request()
		change := pad(Changed(1+h.Random.IntN(20), "v"))
		h.tokens = append(h.tokens, change)
		if h.Random.IntN(2) == 0 {
			r.Mode = Mode{protocol.Mode{Name: "read", Rules: "read=*"}, 1}
			return Convert{Token: token, Request: r, Change: change}
		}
		r.Mode = Mode{protocol.Mode{Name: "write", Rules: "-"}, 1}
		return Convert{Token: token, Request: r, Grants: true, Change: change}
	case "resume":
		old := h.holder()
		r := h.request()
		r.Mode = Mode{}
		return Resume{Token: h.fresh("r"), Request: r, Old: old, Fence: h.fence(old)}
	case "confirm":
		return Confirm{Token: h.holder(), Floor: h.floor(), Seen: h.floor()}
	case "watch":
		return Watch{Most: 1000}
	case "limit":
		return h.limit()
	case "inspect":
		place := ""
		if n := len(h.Lock.Queue); n > 0 {
			place = h.Lock.Queue[h.Random.IntN(n)].Token
		}
		return Inspect{Most: h.Random.IntN(4), Holds: oneOf(h, "", "-", h.holder()), Places: oneOf(h, "", "-", place, h.some())}
	}
	return h.acquire()
}

func (h *History) acquire() Script {
	a := Acquire{Request: h.request()}
	if h.Usual || h.Random.IntN(3) > 0 {
		a.Token = h.fresh("t")
	} else {
		a.Token = h.some()
	}
	if h.seldom() {
		a.Stale, a.Steal = true, Second
	}
	if len(h.tickets) > 0 && h.seldom() {
		a.Back, a.Ticket = true, oneOf(h, h.tickets...)
	}
	if h.seldom() {
		a.Most = 1 + h.Random.IntN(4)
	}
	if h.Random.IntN(3) == 0 {
		a.Wish = h.Now + 50 - Micros(h.Random.IntN(oneOf(h, 400, 4000, 3000000)))
	}
	return a
}

func (h *History) request() Request {
	r := Request{Lease: oneOf(h, 30*Second, 30*Second, 2*Second), Keep: 4600 * Second, Info: "info"}
	r.Channel = h.channel()
	r.Wait = h.Waits[r.Channel][0]
	if !h.Usual {
		r.Lease = Micros(100+h.Random.IntN(20000)) * Millisecond
		r.Wait = oneOf[byte](h, '-', 'c', 'u')
	} else if h.Random.IntN(8) == 0 {
		r.Wait = '-'
	}
	if h.seldom() {
		r.Keep = oneOf(h, 500*Second, 9000*Second, 90000*Second)
	}
	r.Turns = h.Random.IntN(6) == 0
	if len(h.Modes) > 0 && (!h.Usual || h.Mixed || h.Random.IntN(40) == 0) {
		r.Mode = oneOf(h, h.Modes...)
	}
	return r
}

// check is one of all waits of a Client, as it sends it, or of whatever.
func (h *History) check() Script {
	c := Check{Channel: h.channel()}
	if n := len(h.Lock.Queue); n > 0 && h.Usual { // those who live check
		if channel := h.Lock.Queue[h.Random.IntN(n)].Request.Channel; h.Subscribed(channel) {
			c.Channel = channel
		}
	}
	c.Wait = h.Waits[c.Channel][0]
	for i := range h.Lock.Queue {
		if p := &h.Lock.Queue[i]; p.Request.Channel == c.Channel {
			c.Tokens = append(c.Tokens, p.Token)
		}
	}
	if len(c.Tokens) == 0 || h.seldom() {
		c.Tokens = append(c.Tokens, h.some())
	}
	if h.seldom() {
		c.Stale, c.Steal = true, 2*Second
	}
	return c
}

// limit either sets the limit, with a version that was read just now or some time ago, or reads it.
func (h *History) limit() Script {
	l := SetLimit{Version: h.Now - Micros(h.Random.IntN(oneOf(h, 2, 2000, 90_000_000)))}
	if h.Random.IntN(8) == 0 {
		return SetLimit{}
	}
	if h.limited.Version != 0 && h.Random.IntN(4) == 0 { // another one has read the same version, and wants the same for another time
		again := h.limited
		again.Long = oneOf(h, Second, 20*Second, 9000*Second)
		return again
	}
	l.Rules, l.Long = "-", oneOf(h, Second, 20*Second, 9000*Second)
	if len(h.Modes) > 0 && h.Random.IntN(3) > 0 {
		names := []string{oneOf(h, h.Modes...).Name, oneOf(h, h.Modes...).Name}
		names = slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == "" })
		if len(names) > 0 {
			l.Rules = protocol.EncodeLimit([]protocol.Rule{{Modes: names, Most: h.Random.IntN(4)}})
		}
	}
	h.limited = l
	return l
}

// seldom is true where what is usual is not to be.
func (h *History) seldom() bool { return h.Random.IntN(30) == 0 || !h.Usual && h.Random.IntN(3) == 0 }

func (h *History) fresh(kind string) string {
	h.serial++
	token := pad(fmt.Sprint(kind, h.serial))
	h.tokens = append(h.tokens, token)
	return token
}

// some is a token that was used, more likely one of the last.
func (h *History) some() string {
	if len(h.tokens) == 0 || h.Random.IntN(20) == 0 {
		return pad("nobody")
	}
	return h.tokens[max(0, len(h.tokens)-1-h.Random.IntN(6)-h.Random.IntN(6))]
}

// holder is mostly the token of a hold.
func (h *History) holder() string {
	if n := len(h.Lock.Holds); n > 0 && h.Random.IntN(4) > 0 {
		return h.Lock.Holds[h.Random.IntN(n)].Token
	}
	return h.some()
}

// fence is what the owner of a token would name, the last one, or an old one.
func (h *History) fence(token string) Micros {
	if hold := h.Lock.hold(token); hold != nil && h.Random.IntN(5) > 0 {
		return hold.Fence
	}
	return oneOf(h, h.Lock.Fence, 1)
}

// floor is a fence that somebody has seen: none, the last, one that is ahead, or nonsense.
func (h *History) floor() Micros {
	base := max(h.Lock.Fence, h.Now)
	return oneOf(h, 0, 0, base, base+Micros(h.Random.Int64N(40_000_000_000)), 9_999_999_999_999_999)
}

func (h *History) channel() string {
	return oneOf(h, slices.Sorted(maps.Keys(h.Waits))...)
}

func oneOf[T any](h *History, all ...T) T { return all[h.Random.IntN(len(all))] }

func pad(token string) string {
	return token + strings.Repeat(".", protocol.TokenLength-len(token))
}
