package simulation_test

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// history records everything that happens in a run: its hash, its counts and, if wanted, its text.
type history struct {
	mu      sync.Mutex
	began   time.Time
	hash    hash.Hash
	lines   []string
	at      time.Time
	instant []string // further lines of this instant, beside its event
	conns   int
	packets int
	calls   int
	faults  int
	ops     int
	seen    map[string]int // how often each kind of event, script and answer was seen
}

func newHistory() history {
	return history{began: time.Now(), hash: sha256.New(), seen: map[string]int{}}
}

// add records the event of an instant.
func (h *history) add(format string, args ...any) { h.note(fmt.Sprintf(format, args...), true) }

// say records what a goroutine did. Lines of one instant are sorted by their text.
func (h *history) say(format string, args ...any) { h.note(fmt.Sprintf(format, args...), false) }

func (h *history) note(line string, event bool) {
	line = machine.Replace(line)
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := time.Now(); event || !now.Equal(h.at) {
		h.flush()
		h.at = now
	}
	if event {
		h.write(line)
		return
	}
	h.instant = append(h.instant, line)
}

// show adds a line to the text only, as the hash has its packet already.
func (h *history) show(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, fmt.Sprintf("%12.6f  %s", time.Since(h.began).Seconds(), machine.Replace(fmt.Sprintf(format, args...))))
}

// count counts something that was seen.
func (h *history) count(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen[what]++
}

// flush writes what happened at the instant that is over. The caller holds h.mu.
func (h *history) flush() {
	slices.Sort(h.instant)
	for _, line := range h.instant {
		h.write(line)
	}
	h.instant = h.instant[:0]
}

func (h *history) write(line string) {
	at := h.at.Sub(h.began)
	fmt.Fprintf(h.hash, "%d %s\n", at, line)
	h.lines = append(h.lines, fmt.Sprintf("%12.6f  %s", at.Seconds(), line))
}

// sum is the hash of the history.
func (h *history) sum() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.flush()
	return fmt.Sprintf("%x", h.hash.Sum(nil)[:8])
}

// text is the history for a person.
func (h *history) text() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := names{}
	var text strings.Builder
	for _, line := range h.lines {
		text.WriteString(h.readable(line, n) + "\n")
	}
	return text.String()
}

// lengths matches the lengths of words in a packet, which depend on the length of the machine's name and the process's
// number.
var lengths = regexp.MustCompile(`\$[0-9]+\r\n`)

// packet records that a packet arrived. It counts for the hash. The text has the call or the message in it.
func (h *history) packet(c *conn, toServer bool, data []byte, end error) {
	h.packets++
	h.mu.Lock()
	h.flush()
	h.at = time.Now()
	fmt.Fprintf(h.hash, "%d %s %d %v %v ", h.at.Sub(h.began), c.owner.name, c.number, toServer, end)
	_, _ = io.WriteString(h.hash, lengths.ReplaceAllString(machine.Replace(string(data)), "$$\r\n"))
	h.mu.Unlock()
	if toServer {
		return
	}
	for len(data) > 0 {
		v, rest, ok := value(data)
		if !ok {
			return
		}
		data = rest
		if m, ok := v.([]any); ok && len(m) == 3 && m[0] == "message" {
			h.show("%s ⇐%s %s", c.owner.name, c.to.called(), said(m[2]))
		}
	}
}

// called records a command and its answer.
func (w *world) called(by *session, args []string, v any) {
	s := by.server
	w.history.calls++
	w.history.count(kindOf(args, v))
	if by.conn == nil {
		return
	}
	if script := scriptOf(args); script != "hello" && script != "ping" {
		w.history.show("%s →%s %s", by.conn.owner.name, s.called(), request(args))
		w.history.show("    %s", said(v))
	}
	if !isScript(args) || len(args) < 4 {
		return
	}
	key := args[3]
	s.keys[key] = true
	if args[2] == "2" {
		s.keys[args[4]] = true
	}
	if len(args) > 4 && isGrant(scriptOf(args), v) {
		for fence, h := range s.holds(key) {
			if h.token == args[4] {
				by.granted = append(by.granted, grant{args[4], fence})
			}
		}
	}
	w.checks.given(s, scriptOf(args), key, args[4:], v)
	if scriptOf(args) == "break" {
		w.checks.ended(s, nameOf(key))
	}
	w.checks.asks(by, args)
	w.checks.kept(s, key)
	w.happened(by.conn, scriptOf(args), key, v)
}

// kindOf is the name of a script with the kind of its answer.
func kindOf(args []string, v any) string {
	kind := scriptOf(args)
	switch v := v.(type) {
	case failure:
		code, _, _ := strings.Cut(string(v), " ")
		return kind + " " + code
	case []any:
		if len(v) > 0 {
			if status, ok := v[0].(string); ok && len(status) < 10 && status > "a" {
				return kind + " " + status
			}
		}
	}
	return kind
}
