package redislock_test

import (
	"fmt"
	"strings"

	"example.com/redislock"
	"example.com/redislock/internal/model"
	"example.com/redislock/internal/protocol"
)

var (
	guest = redislock.NewMode("guest", redislock.AtMost(1, "guest"), redislock.CompatibleWith("host"))
	host  = redislock.NewMode("host", redislock.AtMost(2, "guest"), redislock.CompatibleWith("read"))
)

// worlds are the modes that are used beside each other in one history.
var worlds = [][]redislock.Mode{
	{redislock.Exclusive},
	{redislock.Read, redislock.Read, redislock.Read, redislock.Write},
	{redislock.Semaphore(3), redislock.Semaphore(3), redislock.Semaphore(5)},
	{guest, host, redislock.Read, redislock.Exclusive},
	{redislock.Exclusive, redislock.Write, redislock.Read, redislock.Semaphore(3), redislock.Semaphore(5), guest, host},
}

// expected is the lock as the model has it. A player is a token, and nothing lapses by itself: time stands nearly still.
type expected struct {
	lock    model.Lock
	now     model.Micros
	changes int
	granted []string // who was granted, in order, since it was last looked at
}

// execute has the model execute a request, and notes who is granted by it.
func (m *expected) execute(s model.Script) model.Answer {
	m.now++
	at := model.Instant{Now: m.now + 1000*model.Second, Rules: &model.Protocol, Subscribed: func(string) bool { return true }}
	after, answer, messages := model.Execute(&m.lock, s, at)
	m.lock = after
	if c, ok := s.(model.Convert); ok && c.Grants && answer.Status == "granted" {
		m.granted = append(m.granted, playerOf(c.Change)) // others may be granted after it
	}
	for _, message := range messages {
		if message.Kind == 'g' {
			m.granted = append(m.granted, playerOf(message.Token))
		}
	}
	if a, ok := s.(model.Acquire); ok && answer.Status == "granted" {
		m.granted = append(m.granted, a.Token)
	}
	return answer
}

// asks has a player acquire, and says whether it holds the lock, waits, or neither.
func (m *expected) asks(who string, in redislock.Mode, weight int, tries bool) string {
	r := model.Request{Lease: 3600 * model.Second, Keep: 4600 * model.Second, Wait: 'u', Channel: who}
	if r.Mode = (model.Mode{Mode: redislock.Wire(in)}); in != redislock.Exclusive {
		r.Mode.Weight = weight
	}
	if tries {
		r.Wait = '-'
	}
	return m.execute(model.Acquire{Token: who, Request: r}).Status
}

// drop ends the hold or the place of a player, or its wait for a change.
func (m *expected) drop(player string) {
	for _, p := range m.lock.Queue {
		if playerOf(p.Token) == player {
			player = p.Token
			break
		}
	}
	m.execute(model.Release{Token: player})
}

// drops ends all holds at once.
func (m *expected) drops() {
	b := model.Break{Reason: "why"}
	for _, h := range m.lock.Holds {
		b.Holds = append(b.Holds, model.Grant{Token: h.Token, Fence: h.Fence})
	}
	m.execute(b)
}

// convert changes the mode of a player's hold.
func (m *expected) convert(player string, to redislock.Mode) string {
	m.changes++
	r := model.Request{Lease: 3600 * model.Second, Keep: 4600 * model.Second, Wait: 'u', Channel: player}
	r.Mode = model.Mode{Mode: redislock.Wire(to), Weight: 1}
	c := model.Convert{Token: player, Request: r, Grants: to == redislock.Write, Change: model.Changed(m.changes, player)}
	return m.execute(c).Status
}

func (m *expected) holders() (all []string) {
	for _, h := range m.lock.Holds {
		all = append(all, h.Token)
	}
	return all
}

func (m *expected) waiters() (all []string) {
	for _, p := range m.lock.Queue {
		all = append(all, playerOf(p.Token))
	}
	return all
}

// mode is that of a holder, as people are shown it.
func (m *expected) mode(player string) string {
	for _, h := range m.lock.Holds {
		if h.Token == player {
			return modeText(h.Request.Mode.Mode)
		}
	}
	return ""
}

// upgrading is the player whose reader's hold waits to become the writer's, if there is one.
func (m *expected) upgrading() string {
	for _, p := range m.lock.Queue {
		if p.Of != "" {
			return p.Of
		}
	}
	return ""
}

// playerOf is the player of a token: of a change, that of the hold with a plus.
func playerOf(token string) string {
	if token[0] == '0' {
		return token[10:] + "+"
	}
	return token
}

func modeText(m protocol.Mode) string {
	switch {
	case m.Name == "":
		return "exclusive"
	case m.Capacity > 0:
		return fmt.Sprintf("%s(%d)", m.Name, m.Capacity)
	}
	return m.Name
}

func (m *expected) String() string {
	var b strings.Builder
	for _, player := range m.holders() {
		fmt.Fprintf(&b, " %s:%s", player, m.mode(player))
	}
	b.WriteString(" |")
	for _, player := range m.waiters() {
		b.WriteString(" " + player)
	}
	return b.String()
}
