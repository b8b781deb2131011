package simulation_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"example.com/redislock/internal/protocol"
)

// A stranger who may publish on the channels sends false messages (I9). It knows the earlier messages, as it listens. A stranger that
// can read the keys too knows tokens and nonces. Its messages are believed for no longer than a claim, and never with a fence that is
// a day ahead.

// message is a published message.
type message struct{ channel, text string }

// forge publishes a few messages that no script has sent.
func (w *world) forge(s *server, to *process, reader bool, draw *rand.Rand) {
	for i := range 1 + draw.IntN(6) {
		w.after(time.Duration(i)*upTo(draw, time.Microsecond, time.Second), func() {
			m, name := s.lie(draw)
			if reader {
				m, name = s.lieOfReader(draw)
			}
			if m.channel == "" {
				m.channel = s.channelOf(to)
			}
			if reader && name != "" {
				w.checks.lied(name)
			}
			w.history.add("a stranger says on %s: %s", m.channel, said(m.text))
			s.dispatch(s.admin, []string{"PUBLISH", m.channel, m.text})
			_ = s.admin.said()
		})
	}
}

// channelOf is the wake channel of a process. If the process has none, it is a channel without subscribers.
func (s *server) channelOf(p *process) string {
	for _, channel := range sortedKeys(s.channels) {
		if s.channels[channel] == p && strings.Contains(channel, ":c:") {
			return channel
		}
	}
	return "redislock:c:" + strings.Repeat("A", protocol.TokenLength)
}

// lie is a message of a stranger who has heard all others.
func (s *server) lie(draw *rand.Rand) (m message, name string) {
	if told := s.told; len(told) > 0 && draw.IntN(4) > 0 {
		m = told[len(told)-1-draw.IntN(min(len(told), 8))]
	}
	switch draw.IntN(6) {
	case 0: // to any process, of all kinds, with an unknown token
		m.text = word(draw, "g", "s", "a", "d") + text(draw, protocol.TokenLength) + fmt.Sprintf("%d%d%8d", s.now().UnixMicro(), s.now().UnixMicro(), 5000)
	case 1:
		m = message{"redislock:n", word(draw, "o", "e", "v") + word(draw, "once", "share", "e", "elect:e", "a", "rw", text(draw, 2000))}
	case 2:
		m.text = word(draw, "g", "s", "a", "d", "p", "o", "x", "") + text(draw, draw.IntN(80))
	case 3: // an earlier message with a change in it
		if b := []byte(m.text); len(b) > 0 {
			b[draw.IntN(len(b))] = byte(draw.IntN(256))
			m.text = string(b)
		}
	case 4: // an earlier message to another process
		m.channel = ""
	}
	return m, ""
}

// lieOfReader is a message of a stranger who reads the keys: that a waiter has the lock, or that a hold was taken
// away.
func (s *server) lieOfReader(draw *rand.Rand) (m message, name string) {
	type known struct{ name, token, request, kind string }
	var all []known
	for _, key := range s.mini.Keys() {
		if s.mini.Type(key) != "hash" {
			continue
		}
		fields, _ := s.mini.HKeys(key)
		for _, field := range fields {
			if len(field) != protocol.TokenLength+1 || field[0] != 'w' && field[0] != 'h' {
				continue
			}
			value := s.mini.HGet(key, field)
			request := value[60:]
			if field[0] == 'h' {
				request = value[101:]
			}
			all = append(all, known{nameOf(key), field[1:], request, field[:1]})
		}
	}
	if len(all) == 0 {
		return s.lie(draw)
	}
	k := all[draw.IntN(len(all))]
	channel, _, _ := strings.Cut(k.request[33:], "\n")
	m.channel = channel
	now := s.now()
	if k.kind == "w" {
		fence := now.Add([]time.Duration{0, time.Millisecond, 20 * time.Hour, 30 * time.Hour, 900 * time.Hour}[draw.IntN(5)])
		at := now.Add([]time.Duration{0, -time.Second, time.Hour}[draw.IntN(3)])
		m.text = fmt.Sprintf("g%s%d%d%8d", k.token, fence.UnixMicro(), at.UnixMicro(), []int{1000, 5000, 30000, 99999999}[draw.IntN(4)])
	} else {
		m.text = word(draw, "s", "a") + k.token + k.request[16:32] + word(draw, "", "the stranger says so", text(draw, 600))
	}
	return m, k.name
}

func word(draw *rand.Rand, of ...string) string { return of[draw.IntN(len(of))] }

func text(draw *rand.Rand, length int) string {
	b := make([]byte, length)
	for i := range b {
		b[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[draw.IntN(64)]
	}
	return string(b)
}

// lied records that a reader of the keys has sent a false message about a name: A6 of docs/guarantees.md.
func (c *checks) lied(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forged[name] = time.Now()
}
