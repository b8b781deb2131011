package conformance

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"example.com/redislock/internal/model"
	"example.com/redislock/internal/protocol"
)

// Monitored follows a real server by MONITOR: it gets each command in the server's order, including those of scripts, and no
// answers. So it compares what the scripts publish and which fences they write.
type Monitored struct {
	*model.Acceptor
	report func(error)
	conn   net.Conn
	done   sync.WaitGroup

	script *heard // the one whose own commands come next
}

// heard is a script on its way through the monitor.
type heard struct {
	observed model.Observed
	at       []protocol.Micros // when it, and each of its own commands, was heard of: a clock may be set meanwhile
	own      [][]string        // the commands that it executed
}

// Monitor begins to listen to a server that has nothing in it yet. report is called for each difference, on a goroutine of its
// own. Where the connection breaks it has heard enough. It must not run out of memory: MONITOR shows neither refused commands nor
// evicted keys.
func Monitor(conn net.Conn, report func(error)) (*Monitored, error) {
	if _, err := io.WriteString(conn, "*1\r\n$7\r\nMONITOR\r\n"); err != nil {
		return nil, err
	}
	lines := bufio.NewReaderSize(conn, 1<<20)
	if answer, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(answer, "+OK") {
		return nil, fmt.Errorf("MONITOR: %q, %v", answer, err)
	}
	m := &Monitored{Acceptor: model.NewAcceptor(), report: report, conn: conn}
	m.done.Go(func() {
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			m.hear(line)
		}
	})
	return m, nil
}

// Close ends it; nothing is reported afterwards. What the server had executed when it was called may not have been heard.
func (m *Monitored) Close() {
	_ = m.conn.Close()
	m.done.Wait()
}

// hear takes a line: +seconds.micros [database address] "COMMAND" "argument" …
func (m *Monitored) hear(line string) {
	line = strings.TrimSuffix(strings.TrimPrefix(line, "+"), "\r\n")
	stamp, rest, _ := strings.Cut(line, " ")
	from, command, ok := strings.Cut(rest, "] ")
	words := unquote(command)
	seconds, micros, _ := strings.Cut(stamp, ".")
	s, err := strconv.ParseInt(seconds+micros, 10, 64)
	if !ok || err != nil || len(words) == 0 {
		return
	}
	if strings.HasSuffix(from, " lua") {
		if m.script != nil {
			m.script.at = append(m.script.at, protocol.Micros(s))
			m.script.own = append(m.script.own, words)
		}
		return
	}
	m.end()
	m.outer(protocol.Micros(s), strings.ToUpper(words[0]), words[1:])
}

// outer takes a command that a client has sent.
func (m *Monitored) outer(at protocol.Micros, command string, args []string) {
	switch command {
	case "EVAL", "EVALSHA":
		digest := args[0]
		if command == "EVAL" {
			digest = digestOf(args[0])
		}
		n, err := strconv.Atoi(args[1])
		if name := names()[digest]; err == nil && n > 0 && n <= len(args)-2 {
			m.script = &heard{at: []protocol.Micros{at}, observed: model.Observed{Call: model.Call{Script: name, Keys: args[2 : 2+n], Args: args[2+n:]}}}
		}
	case "FLUSHALL", "FLUSHDB":
		m.LostAll()
	case "DEL", "UNLINK":
		for _, key := range args {
			m.Lost(key)
		}
	case "HDEL":
		if len(args) == 2 && len(args[1]) == protocol.TokenLength {
			m.observe(model.Observed{Call: model.Call{Script: "hdel", Keys: args[:1], Args: args[1:]}})
			return
		}
		m.Forget(args[0])
	case "HSET", "HSETNX", "HMSET", "HINCRBY", "RENAME", "RESTORE", "EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT", "PERSIST":
		m.Forget(args[0])
	}
}

// end has the model execute the script of which all is heard now.
func (m *Monitored) end() {
	h := m.script
	m.script = nil
	if h == nil || len(h.own) == 0 { // the server did not know it
		return
	}
	o := &h.observed
	switch o.Script {
	case "acquire", "check", "release", "renew", "keep", "break", "convert", "confirm", "resume", "watch":
	case "":
		for _, key := range o.Keys {
			m.Forget(key)
		}
		return
	default:
		return // it changes no lock
	}
	written := []string{}
	for _, words := range h.own {
		args := words[1:]
		switch strings.ToUpper(words[0]) {
		case "PUBLISH", "SPUBLISH":
			o.Sent = append(o.Sent, model.Sent{Channel: args[0], Text: args[1]})
		case "HSET":
			for i := 1; i+1 < len(args); i += 2 {
				if args[i] == "f" {
					o.Fence = protocol.Micros(protocol.ParseFence(args[i+1]))
				}
			}
		}
		written = append(written, args...)
	}
	o.Executed = h.own
	o.Released = o.Script == "release" && len(o.Args) == 1 && len(h.own) == 1
	o.Times = h.times(written)
	m.observe(*o)
}

func (m *Monitored) observe(o model.Observed) {
	if err := m.Observe(o); err != nil {
		m.report(err)
	}
}

// times are those that a script may have read, the likeliest first. It read one when it was heard of, and nearly always writes that too;
// what it writes is hardly ever later. A script that does not write its time may write an earlier one again, such as the ticket of a
// neighbour in the queue: so a time that is not quite the one at which the script was heard of comes last. A clock may have been set
// meanwhile.
func (h *heard) times(texts []string) []protocol.Micros {
	const quite, nearly = 1_000, 500_000
	var at, about []protocol.Micros
	for _, text := range texts {
		for i := 0; i+protocol.FenceLength <= len(text); i++ {
			if c := text[i]; c < '0' || c > '9' {
				continue
			}
			t, err := protocol.ParseMicros(text[i : i+protocol.FenceLength])
			switch apart := h.apart(t); {
			case err != nil:
			case apart <= quite:
				at = append(at, t)
			case apart <= nearly:
				about = append(about, t)
			}
		}
	}
	latestFirst := func(a, b protocol.Micros) int { return cmp.Compare(b, a) }
	slices.SortFunc(at, latestFirst)
	slices.SortFunc(about, latestFirst)
	return slices.Compact(slices.Concat(at, h.at[:1], about))
}

// apart is how far a time is from those at which the script was heard of.
func (h *heard) apart(t protocol.Micros) protocol.Micros {
	least := protocol.Micros(math.MaxInt64)
	for _, at := range h.at {
		least = min(least, max(t-at, at-t))
	}
	return least
}

// unquote reads what MONITOR has quoted.
func unquote(text string) (words []string) {
	for {
		text = strings.TrimLeft(text, " ")
		if text == "" {
			return words
		}
		word, err := strconv.QuotedPrefix(text)
		if err != nil {
			return words
		}
		text = text[len(word):]
		plain, err := strconv.Unquote(word)
		if err != nil {
			return words
		}
		words = append(words, plain)
	}
}
