package redislock

// listens is a Client as it is told what comes.
type listens Client

func (l *listens) client() *Client { return (*Client)(l) }

// Heard takes a message for this Client.
func (l *listens) Heard(payload string) { l.client().heard(payload) }

// Broadcast takes a message for all Clients of the prefix.
func (l *listens) Broadcast(payload string) { l.client().news(payload) }

// Subscribed has whoever waits or holds ask at once: messages may have been lost.
func (l *listens) Subscribed() {
	l.client().askAll()
	l.client().missed()
}

// Recheck has the waits for a name checked.
func (l *listens) Recheck(name string) { l.client().recheck(name) }

// Waits reports whether this process waits for a name.
func (l *listens) Waits(name string) bool { return l.client().waiting(name) }

// Deaf tells the Observer that there is no subscription.
func (l *listens) Deaf(err error) {
	if c := l.client(); c.failed() == nil { // else that is why
		c.report(Event{Kind: EventSubscribeFailed, Err: err})
	}
}
