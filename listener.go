package redislock

import (
	"crypto/subtle"

	"example.com/redislock/internal/protocol"
)

// What a message on a channel says is only ever a hint, and is not believed beyond what a true one can say (I9): whoever
// may publish can write anything, and who can read a key knows its tokens and nonces.

// maxAsked is the longest text of a request: who asks, and why.
const maxAsked = maxClientName + maxHost + len("\n\n00000000000000000000 \n") + MaxTrace + len(requestSeparator) + MaxReason

// listener is a Client as package wakeup tells it what comes.
type listener Client

func (l *listener) client() *Client { return (*Client)(l) }

// Message takes a message of a wake channel.
func (l *listener) Message(payload string) { l.client().heard(payload) }

// Broadcast takes a message for all Clients of the prefix.
func (l *listener) Broadcast(payload string) { l.client().broadcasted(payload) }

// Subscribed has whoever waits or holds ask at once: messages may have been lost.
func (l *listener) Subscribed() {
	c := l.client()
	c.waits.RecheckAll()
	for _, h := range c.allHolds() {
		h.lease.Soon()
	}
	c.missedBroadcasts()
}

// ChannelSubscribed has the waits for a name checked: messages may have been lost.
func (l *listener) ChannelSubscribed(name string) { l.client().waits.Recheck(name) }

// Waiting reports whether this process waits for a name.
func (l *listener) Waiting(name string) bool { return l.client().waits.Any(name) }

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
		c.waits.Sooner(payload[1:])
	}
	if len(payload) < named+protocol.NonceLength {
		return
	}
	token, rest := payload[1:named], payload[named:]
	switch payload[0] {
	case 'g':
		if g, ok := protocol.ParseGrant(rest); ok {
			c.waits.Granted(token, g)
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
	if h == nil || subtle.ConstantTimeCompare([]byte(h.lease.Nonce()), []byte(nonce)) != 1 {
		return nil
	}
	return h
}
