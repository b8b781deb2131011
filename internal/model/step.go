package model

// Instant has what a request finds when it is executed, besides the lock.
type Instant struct {
	Now Micros
	// Subscribed reports whether a channel has a receiver, as the server that executes the request sees it.
	Subscribed func(channel string) bool
	// Full says that the server has no memory left.
	Full  bool
	Rules *Rules
}

// Script is a request of one kind. Each of them is in a file of its own.
type Script interface {
	execute(s *step) Answer
}

// Message is a message that a script publishes. I9: it grants nothing by itself.
type Message struct {
	Kind    byte // 'g' granted, 's' stolen or broken, 'd' look: the lock may be free sooner, 'a' asked for, 'l' who takes turns is to let go, 'v' changed
	Channel string
	Shard   bool // by the channel of that Client in the shard of the lock
	Token   string
	Fence   Micros
	At      Micros
	Lease   Micros
	Note    string
}

// step is one script on its way.
type step struct {
	*Lock
	Instant
	gone     map[string]bool // Clients that were found to be gone
	shared   bool            // not all that holds or waits is exclusive
	barred   bool            // the last that did not fit is more than the limit allows
	changed  bool            // who holds, who waits, or until when has changed
	undone   bool            // the script only looks: what it tidied up is not written
	first    string          // the first waiter, as far as it was told
	due      Micros          // and when that waiter believes that the first hold ends
	messages []Message
}

// Execute executes a script on a lock. It returns the lock afterwards, the answer, and the messages that the script publishes. l
// stays as it is.
func Execute(l *Lock, script Script, at Instant) (after Lock, answer Answer, messages []Message) {
	now := l.Clone()
	s := &step{Lock: &now, Instant: at, gone: map[string]bool{}, shared: len(l.modes()) > 0}
	if s.refused(script) {
		return *l, Answer{Status: "refused"}, nil
	}
	s.tidy()
	s.first, s.due = s.told()
	answer = script.execute(s)
	if s.undone {
		return *l, answer, s.messages
	}
	s.store()
	s.forgetAbsent()
	return now, answer, s.messages
}

func (s *step) publish(m Message) { s.messages = append(s.messages, m) }

// tell publishes a message for a Client that waits.
func (s *step) tell(p *Presence, m Message) {
	m.Channel, m.Shard = p.Channel, p.Wait == 's'
	s.publish(m)
}

// store is where a script writes: the waiter at the head hears of what is earlier than it knows, and who watches of any change.
func (s *step) store() {
	s.tellFirst()
	if s.changed && s.Watched {
		s.Watched = false
		s.publish(Message{Kind: 'v'})
	}
	s.changed = false
}

// told is the first waiter, and the end of a hold that its last answer or message spoke of.
func (s *step) told() (string, Micros) {
	if head := s.head(); head != nil {
		return head.Token, s.firstEnd()
	}
	return "", 0
}

// tellFirst has the first waiter look, if the lock may be free sooner than it knows and its next check does not come before that
// anyway. A waiter that has just joined has the time in its answer.
func (s *step) tellFirst() {
	head, end := s.told()
	if s.first != "" && head != "" && end != 0 && end < s.Now+s.Rules.Checked && (head != s.first || s.due == 0 || end < s.due) {
		for i := range min(s.Rules.HandOver, len(s.Queue)) {
			place := &s.Queue[i]
			if client := s.presence(place.Request.Channel); s.reachable(client) {
				s.tell(client, Message{Kind: 'd', Token: place.Token})
				break
			}
		}
	}
	s.first, s.due = head, end
}

// refused reports whether the server has no memory for what the script writes first. A command that frees memory is never
// refused, and once a script has written, none of its writes is. So releases and renewals begin with such a command.
func (s *step) refused(script Script) bool {
	if !s.Full {
		return false
	}
	switch script.(type) {
	case Acquire, Resume, Watch, SetLimit:
		return true
	case Inspect, Ask:
		return false
	}
	return !s.Rules.has(FreesFirst)
}
