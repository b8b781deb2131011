package redislock_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
)

// Tokens are T1, T2, … in the order in which they are first seen, fences F1, F2, …, and so on: what is drawn at random, and what
// is the time, is not shown.

var scripts = func() map[string]string {
	names := map[string]string{}
	for _, name := range []string{
		"acquire", "acquire_own", "release", "renew", "keep", "check", "break", "inspect", "watch", "ask", "preflight", "probe", "convert", "resume",
		"weak_release", "record", "recall", "confirm", "erase",
	} {
		names[digest(name)] = name
	}
	return names
}()

// scriptOf is the script of a request, or its command.
func scriptOf(args []any) string {
	command := fmt.Sprint(args[0])
	switch command {
	case "evalsha":
		return scripts[fmt.Sprint(args[1])]
	case "eval":
		text := fmt.Sprint(args[1])
		for _, name := range scripts {
			_, source := redislock.Script(name)

			if source == text {
				return name
			}
		}
	}
	return command
}

// name is what a text of a kind is called.
func (s *stage) name(kind byte, text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := string(kind) + text
	if s.names[key] == "" {
		s.count[kind]++
		s.names[key] = fmt.Sprintf("%c%d", kind, s.count[kind])
	}
	return s.names[key]
}

// called gives a channel the name of its process, once that is known.
func (s *stage) called(channel, process string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names["c"+channel] = process
}

var digits16 = regexp.MustCompile(`^[0-9]{16}$`)

// request is a request in words.
func (s *stage) request(args []any) string {
	script := scriptOf(args)
	words := make([]string, 0, len(args))
	for _, arg := range args {
		words = append(words, fmt.Sprint(arg))
	}
	whole := ""
	if words[0] == "eval" {
		whole = " (whole)"
	}
	if words[0] != "evalsha" && words[0] != "eval" {
		return script + " " + strings.Join(s.texts(words[1:]), " ")
	}
	if script == "check" { // the channel, how it hears, when it would steal, and the tokens
		return script + whole + " " + strings.Join(s.texts(words[7:]), " ")
	}
	return script + whole + " " + strings.Join(s.texts(words[4:]), " ")
}

func (s *stage) texts(words []string) (texts []string) {
	for _, word := range words {
		texts = append(texts, s.text(word))
	}
	return texts
}

var asked = regexp.MustCompile(`(?s)^(@[0-9]{16}.{8})?( *[0-9]+)( *[0-9]+)([A-Za-z0-9_-]{16})([csu-])(redislock:c:[^\n]*)\n([^\n]*)\n(.*)$`)

// text is one argument, element or value in words.
func (s *stage) text(word string) string {
	switch {
	case word == "":
		return "·"
	case digits16.MatchString(word):
		return s.fence(word)
	case len(word) == 22 && token.MatchString(word):
		return s.name('T', word)
	case strings.HasPrefix(word, "redislock:c:"):
		return s.name('c', word)
	case len(word) > 16 && asked.MatchString(word):
		return s.asked(word)
	case strings.Count(word, "\n") == 3: // who it is
		client, _, _ := strings.Cut(word, "\n")
		return client
	case len(word) == 16 && strings.TrimLeft(word[:8], " 0123456789")+strings.TrimLeft(word[8:], " 0123456789") == "":
		ms, _ := strconv.Atoi(strings.TrimSpace(word[:8]))
		return "lease=" + (time.Duration(ms) * time.Millisecond).String()
	}
	return word
}

var token = regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`)

// asked is a request as it is written in the hash.
func (s *stage) asked(word string) string {
	m := asked.FindStringSubmatch(word)
	lease := m[2] + m[3]
	ms, _ := strconv.Atoi(strings.TrimSpace(lease[:8]))
	client, _, _ := strings.Cut(m[8], "\n")
	s.called(m[6], client)
	text := fmt.Sprintf("(%v", time.Duration(ms)*time.Millisecond)
	if m[7] != "" {
		text += ", " + s.mode(m[7])
	}
	if m[5] == "-" {
		return text + ")"
	}
	return text + ", waits)"
}

// mode is the mode of a request.
func (s *stage) mode(text string) string {
	words := strings.Fields(text)
	for i, word := range words {
		if token.MatchString(word) {
			words[i] = s.name('T', word)
		}
	}
	return strings.Join(words, " ")
}

// fence is a time that was given as a fence, or one that is not shown.
func (s *stage) fence(word string) string {
	s.mu.Lock()
	name := s.names["F"+word]
	s.mu.Unlock()
	if name != "" {
		return name
	}
	return "time"
}

// answer is the answer of a script in words.
func (s *stage) answer(script string, cmd redis.Cmder) string {
	if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
		return err.Error()
	}
	c, ok := cmd.(interface{ Val() any })
	if !ok {
		return ""
	}
	switch value := c.Val().(type) {
	case string:
		if script == "acquire" && digits16.MatchString(value) {
			return "granted " + s.name('F', value)
		}
		switch script {
		case "renew":
			return "renewed"
		case "keep":
			return "kept"
		}
		return s.text(value)
	case []any:
		return s.elements(script, value)
	default:
		return fmt.Sprint(value)
	}
}

func (s *stage) elements(script string, values []any) string {
	words := make([]string, len(values))
	for i, value := range values {
		words[i] = fmt.Sprint(value)
	}
	if len(words) == 0 {
		return "nothing"
	}
	switch words[0] {
	case "granted":
		return fmt.Sprintf("granted %s for %s ms", s.name('F', words[2]), strings.TrimSpace(words[4]))
	case "waiting":
		return fmt.Sprintf("waiting, %s", s.holder(words[3:]))
	case "held":
		return s.holder(words[2:])
	}
	if script == "check" {
		text := s.holder(words[2:7])
		for _, state := range words[7:] {
			if len(state) == 40 {
				state = fmt.Sprintf("granted %s for %s ms", s.name('F', state[:16]), strings.TrimSpace(state[32:]))
			}
			text += ", " + state
		}
		return text
	}
	return strings.Join(s.texts(words), " ")
}

// holder is what a reply says of who has the lock.
func (s *stage) holder(words []string) string {
	if words[0] == "" {
		return fmt.Sprintf("free, %s wait", words[2])
	}
	client, _, _ := strings.Cut(words[3], "\n")
	return fmt.Sprintf("held by %s, %s hold, %s wait", client, words[4], words[2])
}

// message is a message in words.
func (s *stage) message(payload string) string {
	switch {
	case len(payload) == 1+22+16+16+8 && payload[0] == 'g':
		return fmt.Sprintf("granted %s %s for %s ms", s.name('T', payload[1:23]), s.name('F', payload[23:39]), strings.TrimSpace(payload[55:]))
	case len(payload) >= 39 && payload[0] == 's':
		return strings.TrimSpace(fmt.Sprintf("revoked %s %s", s.name('T', payload[1:23]), payload[39:]))
	case payload == "p":
		return ""
	}
	return payload
}

// state shows the hash of a lock.
func (s *stage) state(lock string) {
	all := s.raw.HGetAll(context.Background(), "redislock:{"+lock+"}").Val()
	lines := []string{}
	for field, value := range all {
		switch {
		case field == "f":
			lines = append(lines, "  f  "+s.name('F', value))
		case len(field) == 22:
			lines = append(lines, fmt.Sprintf("  hold %s %s", s.name('T', field), s.text(value)))
		case len(field) == 23 && field[0] == 'h' && len(value) > 101:
			lines = append(lines, fmt.Sprintf("  hold %s since %s fence %s state %s %s", s.name('T', field[1:]), s.text(value[44:60]), s.text(value[60:76]), value[100:101], s.text(value[101:])))
		case len(field) == 23 && field[0] == 'w' && len(value) > 60:
			lines = append(lines, fmt.Sprintf("  place %s %s", s.name('T', field[1:]), s.text(value[60:])))
		case len(field) == 23 && field[0] == 't' && len(value) >= 60:
			lines = append(lines, strings.TrimRight(fmt.Sprintf("  tombstone %s %s", s.name('T', field[1:]), value[60:]), " "))
		case field == "s" || field == "q" || field == "t":
			lines = append(lines, fmt.Sprintf("  %s  from %s to %s, %s", field, s.name('T', value[:22]), s.name('T', value[22:44]), value[44:]))
		case field[0] == 'c':
			lines = append(lines, fmt.Sprintf("  c  %s has %s places", s.name('c', field[1:]), value[17:]))
		default:
			lines = append(lines, "  "+field)
		}
	}
	slices.Sort(lines)
	if len(lines) == 0 {
		lines = []string{"  nothing"}
	}
	for _, line := range lines {
		s.say(ofField, "%s", line)
	}
}
