package redislock

import (
	"context"
	"crypto/subtle"
	"fmt"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/transport"
)

// A message on a channel is only ever a hint. The Client does not trust it with more than a genuine message can say (I9), because
// anybody who may publish can write anything. Anybody who can read a key knows its tokens and nonces.

// maxAsked is the longest text of a request: the owner that asks, and the reason.
const maxAsked = maxClientName + maxHost + len("\n\n00000000000000000000 \n") + MaxTrace + len(requestSeparator) + MaxReason

// listener is a Client with the methods by which package wakeup tells it what has arrived.
type listener Client

func (l *listener) client() *Client { return (*Client)(l) }

// Message handles a message of a wake channel.
func (l *listener) Message(payload string) { l.client().heard(payload) }

// Broadcast handles a message for all Clients of the prefix.
func (l *listener) Broadcast(payload string) { l.client().heardBroadcast(payload) }

// renewedAtOnce is how many holds are renewed at once after a subscription. The others are soon after, one after the other:
// where a server comes back, all that its Clients hold is in doubt at the same time.
const renewedAtOnce = 64

// Subscribed makes every wait and every hold ask, because messages may have been lost.
func (l *listener) Subscribed() {
	c := l.client()
	c.waits.RecheckAll()
	holds := c.allHolds()
	for i, h := range holds {
		part := 0.0
		if i >= renewedAtOnce {
			part = float64(i) / float64(len(holds))
		}
		h.lease.Soon(part)
	}
	c.doubtTurns()
	c.missedBroadcasts()
}

// ChannelSubscribed makes the waits for a name check, because messages may have been lost.
func (l *listener) ChannelSubscribed(name string) { l.client().waits.Recheck(name) }

// Waiting reports whether this process waits for a name.
func (l *listener) Waiting(name string) bool { return l.client().waits.Any(name) }

// SubscribeFailed tells the Observer that there is no subscription.
func (l *listener) SubscribeFailed(err error) {
	if c := l.client(); c.failed() == nil { // otherwise the end of the Client is the reason
		c.report(Event{Kind: EventSubscribeFailed, Err: err})
	}
}

// heard handles a message of a wake channel.
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
	case 'l':
		c.recalled(token, rest[:protocol.NonceLength], rest[protocol.NonceLength:])
	case 'a':
		if nonce, text := rest[:protocol.NonceLength], rest[protocol.NonceLength:]; len(text) <= maxAsked {
			c.requested(token, nonce, text)
		}
	}
}

// named is the hold of this process that a message names by its token and its nonce. Only a reader of the key can know the
// nonce.
func (c *Client) named(token, nonce string) *hold {
	h := c.holdOf(token)
	if h == nil || subtle.ConstantTimeCompare([]byte(h.lease.Nonce()), []byte(nonce)) != 1 {
		return nil
	}
	return h
}

// A broadcast goes to all Clients of the prefix, on a channel that each is subscribed to beside its own. It says that there
// is something to check, and nothing more (I9). A Client that may have missed a broadcast checks too.
const (
	broadcastReset = 'o' // a Once was reset (lua/erase.lua)
	messageChange  = "v" // on the channel of its changes: a lock has changed (lua/state.lua), or an election may have another leader
)

// changed tells the watchers of a lock that it has changed.
func (c *Client) changed(ctx context.Context, name string) error {
	_, err := c.plain(ctx, transport.NewCommand(ctx, 0, "publish", c.keys.Changes(name), messageChange)).Int64()
	if transport.Refused(err) {
		err = fmt.Errorf("%w: %w", ErrPermission, err)
	}
	return err
}

// heardBroadcast handles a broadcast.
func (c *Client) heardBroadcast(payload string) {
	if len(payload) >= 2 && len(payload) <= 1+MaxName && payload[0] == broadcastReset {
		c.onces.Forget(payload[1:])
	}
}

// missedBroadcasts is called when the subscription is new: some broadcasts may have been lost.
func (c *Client) missedBroadcasts() {
	for _, name := range c.onces.Doubt() {
		c.checkOnce(name)
	}
}
