package model

import (
	"fmt"
	"slices"
	"strings"
)

// Observed is a script whose answer nobody heard, on a server that told what the script itself executed.
type Observed struct {
	Call
	// Times are those at which it may have been executed, the likeliest first.
	Times []Micros
	// Fence is the last one that it wrote, 0 if it wrote none.
	Fence Micros
	// Executed are the commands of the script itself, for the report of a difference.
	Executed [][]string
	// Released says of a release that it went no further than the command that releases a hold which is alone.
	Released bool
}

// Sent is a message as it was published.
type Sent struct{ Channel, Text string }

// Observe is [Acceptor.Accept] for a script of which not the answer is known, but what it did: the model has to publish the same
// messages, with the same fences and times, and to come to the same last fence.
func (a *Acceptor) Observe(o Observed) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := o.Keys[0]
	if o.Script == "hdel" || o.Released {
		a.mayRelease(key, o.Args[0], o.Released)
		return nil
	}
	script, err := parseCall(o.Script, o.Args)
	if script == nil || err != nil {
		return unreadable(o.Call, err)
	}
	var next []Lock
	d := &Difference{Call: o.Call}
	accepted, skipped := a.accepted, a.skipped
	for _, now := range o.Times {
		o.Call.Now = now
		if err := a.follow(o.Call, d, func(l *Lock, at Instant) {
			after, answer, messages := Execute(l, script, at)
			if told := o.differs(l, &after, messages); told == "" {
				next = append(next, after)
			} else {
				d.Answers = append(d.Answers, fmt.Sprintf("at %d, answering %s: %s", now, answer, told))
			}
		}); err != nil {
			return err
		}
		if len(next) > 0 {
			break
		}
	}
	if a.unknown[key] {
		a.skipped = skipped + 1
		return nil
	}
	a.accepted = accepted + 1
	if next == nil {
		a.forget(key)
		for _, words := range o.Executed {
			d.Answers = append(d.Answers, fmt.Sprintf("the server executed %q", words))
		}
		return d
	}
	return a.become(key, next)
}

// differs says in what a script did something else than the model.
func (o *Observed) differs(before, after *Lock, messages []Message) string {
	if o.Fence != 0 && o.Fence != after.Fence || o.Fence == 0 && after.Fence != before.Fence {
		return fmt.Sprintf("the server's fence is %d, and the model's %d", o.Fence, after.Fence)
	}
	return o.sends(before, after, messages)
}

// sends says which other messages the server published than the model. Of several holds the server knows a time before which none
// ends, so it may tell the first waiter to look, and need not.
func (c *Call) sends(before, after *Lock, messages []Message) string {
	var want []Sent
	for _, m := range messages {
		want = append(want, m.text(c.Keys[0]))
	}
	sent := c.Sent
	if len(before.Holds) > 1 || len(after.Holds) > 1 {
		look := func(s Sent) bool { return s.Text[0] == 'd' }
		want, sent = slices.DeleteFunc(want, look), slices.DeleteFunc(slices.Clone(sent), look)
	}
	if !slices.EqualFunc(want, sent, Sent.same) {
		return fmt.Sprintf("the server published %q, and the model %q", sent, want)
	}
	return ""
}

// text is a message as it is published, but for what the model does not have: the nonce of a request, and who asks.
func (m Message) text(key string) Sent {
	prefix, tag, _ := strings.Cut(key, "{")
	channel := m.Channel
	if m.Shard {
		channel = shardChannel(channel, key)
	}
	switch m.Kind {
	case 'g':
		return Sent{channel, "g" + m.Token + time16(m.Fence) + time16(m.At) + fmt.Sprintf("%8d", m.Lease/Millisecond)}
	case 'v':
		return Sent{prefix + "n:{" + tag, "v"}
	}
	return Sent{channel, string(m.Kind) + m.Token}
}

// shardChannel is that of a Client in the slot of a lock.
func shardChannel(channel, key string) string {
	return channel + ":" + key[strings.IndexByte(key, '{'):]
}

// same reports whether a message is the one that the model publishes.
func (want Sent) same(sent Sent) bool {
	if want.Channel != sent.Channel {
		return false
	}
	if kind := want.Text[0]; kind == 's' || kind == 'a' || kind == 'l' {
		return strings.HasPrefix(sent.Text, want.Text)
	}
	return want.Text == sent.Text
}

// mayRelease takes the plain command that releases a hold which is alone. Unless it is known that it did, it may have found
// nothing: whether the hold is kept in that form is no matter of the model.
func (a *Acceptor) mayRelease(key, token string, did bool) {
	if a.unknown[key] {
		a.skipped++
		return
	}
	a.accepted++
	var next []Lock
	for _, l := range a.locks[key] {
		if l.hold(token) != nil && len(l.Holds) == 1 && len(l.Queue) == 0 {
			released := l
			released.Holds = nil
			next = append(next, released)
		}
		if !did {
			next = append(next, l)
		}
	}
	if len(next) > 0 {
		_ = a.become(key, next)
	} else if did {
		a.forget(key)
	}
}
