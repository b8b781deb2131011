package redislock

import (
	"crypto/subtle"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
)

// What a message on a channel says is only ever a hint, and is not believed beyond what a true one can say (I9): whoever
// may publish can write anything, and who can read a key knows its tokens and nonces.

const (
	// claimTime is CLAIM of lua/preamble.lua: a hold that was granted by message is no longer than that before it is renewed.
	claimTime = 5 * time.Second
	// maxAhead is how far a fence of a message may be ahead of the server's clock: SKEW of lua/confirm.lua.
	maxAhead = 24 * time.Hour
	// maxAsked is the longest text of a request: who asks, and why.
	maxAsked = maxClientName + maxHost + len("\n\n00000000000000000000 \n") + MaxTrace + len(requestSeparator) + MaxReason
)

// listener is a Client as package wakeup tells it what comes.
type listener Client

func (l *listener) client() *Client { return (*Client)(l) }

// Message takes a message of a wake channel.
func (l *listener) Message(payload string) { l.client().heard(payload) }

// Broadcast takes a message for all Clients of the prefix.
func (l *listener) Broadcast(payload string) { l.client().broadcasted(payload) }

// Subscribed has whoever waits or holds ask at once: messages may have been lost.
func (l *listener) Subscribed() {
	l.client().askAll()
	l.client().missedBroadcasts()
}

// ChannelSubscribed has the waits for a name checked: messages may have been lost.
func (l *listener) ChannelSubscribed(name string) { l.client().recheck(name) }

// Waiting reports whether this process waits for a name.
func (l *listener) Waiting(name string) bool { return l.client().waiting(name) }

// SubscribeFailed tells the Observer that there is no subscription.
func (l *listener) SubscribeFailed(err error) {
	if c := l.client(); c.failed() == nil { // else that is why
		c.report(Event{Kind: EventSubscribeFailed, Err: err})
	}
}

// heard takes a message of a wake channel.
func (c *Client) heard(payload string) {
	const named = 1 + protocol.TokenLength // the kind, and the token of a wait or a hold
	if len(payload) == named && payload[0] == 'd' {
		c.sooner(payload[1:])
	}
	if len(payload) < named+protocol.NonceLength {
		return
	}
	token, rest := payload[1:named], payload[named:]
	switch payload[0] {
	case 'g':
		if g, ok := protocol.ParseGrant(rest); ok {
			c.granted(token, g)
		}
	case 's':
		if nonce, reason := rest[:protocol.NonceLength], rest[protocol.NonceLength:]; len(reason) <= MaxReason {
			c.revoked(token, nonce, reason)
		}
	case 'a':
		if nonce, text := rest[:protocol.NonceLength], rest[protocol.NonceLength:]; len(text) <= maxAsked {
			c.requested(token, nonce, text)
		}
	}
}

// named is the hold of this process that a message names: by its token, and by its nonce, which only a reader of the key
// can know.
func (c *Client) named(token, nonce string) *hold {
	c.mu.Lock()
	h := c.holds[token]
	c.mu.Unlock()
	if h == nil || subtle.ConstantTimeCompare([]byte(h.lease.nonce), []byte(nonce)) != 1 {
		return nil
	}
	return h
}

// granted takes the message of a grant to a wait.
func (c *Client) granted(token string, g protocol.GrantMessage) {
	c.waits.mu.Lock()
	w := c.waits.byToken[token]
	early := w != nil && w.waiters == nil
	if early && w.early == nil { // a second one is forged: it would have to know the first
		w.early = &g // the answer of the acquire is still on its way
	}
	c.waits.mu.Unlock()
	if w != nil && !early {
		c.settled(w, g)
	}
}

// sooner takes the message that the lock may be free sooner than this wait knows: a check asks until when it is held.
func (c *Client) sooner(token string) {
	c.waits.mu.Lock()
	defer c.waits.mu.Unlock()
	w := c.waits.byToken[token]
	switch {
	case w == nil:
	case w.waiters == nil:
		w.hasty = true // the answer of the acquire is still on its way, and may be older
	default:
		c.scheduler.SetNoLater(&w.waiters.task, time.Now())
	}
}

// settled believes the message of a grant to a wait whose acquire was answered. It counts only within what the last reply of
// this same wait says about the server's clock, and no longer than a claim from now, nor than was asked for; past that, or
// with a fence that is too far ahead, a check has to tell.
func (c *Client) settled(w *wait, g protocol.GrantMessage) {
	l := w.waiters
	_, epoch := c.hub.Channel(l.name).State()
	l.mu.Lock()
	s, asked := w.sample, w.asked
	l.mu.Unlock()
	if !asked { // settled before
		return
	}
	length, now := min(g.Lease, claimTime, w.lease), time.Now()
	valid := clock.Within(now, length, c.margin)
	told := clock.Until(s.sent, s.now, g.At.Add(length), c.margin)
	if told.LeftAt(now) < valid.LeftAt(now) {
		valid = told
	}
	ahead := protocol.Micros(protocol.ParseFence(g.Fence)) > s.now.Add(clock.Between(s.sent, now)+maxAhead)
	if s.epoch != epoch || valid.LeftAt(now) <= 0 || ahead {
		c.scheduler.SetNoLater(&l.task, now)
		return
	}
	w.settle(outcome{grant: grant{fence: g.Fence, sent: now, valid: valid, lease: length}})
}
