package model

import (
	"fmt"
	"strconv"
	"strings"

	"example.com/redislock/internal/protocol"
)

// words are the arguments of a script; the first that is not what it should be is kept as err.
type words struct {
	all []string
	err error
}

func (w *words) fail(what string, i int) {
	if w.err == nil {
		w.err = fmt.Errorf("argument %d of %q is no %s", i+1, w.all, what)
	}
}

func (w *words) text(i int) string {
	if i < len(w.all) {
		return w.all[i]
	}
	return ""
}

// number reads an integer; nothing is 0.
func (w *words) number(i int) Micros {
	text := w.text(i)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimLeft(text, " "), 10, 64)
	if err != nil {
		w.fail("number", i)
	}
	return Micros(n)
}

// lengths reads lease8 keep8 at the beginning of an argument.
func (w *words) lengths(i int) (lease, keep Micros) {
	text := w.text(i)
	if len(text) < 16 {
		w.fail("lease and retention", i)
		return 0, 0
	}
	in := words{all: []string{text[:8], text[8:16]}}
	lease, keep = in.number(0)*Millisecond, in.number(1)*Second
	if in.err != nil {
		w.fail("lease and retention", i)
	}
	return lease, keep
}

// request reads the request of a caller, as lua/layout.lua has it. The second result is the token behind the mode.
func (w *words) request(i int) (r Request, of string) {
	r.Lease, r.Keep = w.lengths(i)
	text := w.text(i)
	const wait = 16 + protocol.NonceLength
	if len(text) <= wait {
		w.fail("request", i)
		return r, ""
	}
	r.Wait, r.Turns = text[wait], text[16] == protocol.TurnsMark
	parts := strings.SplitN(text[wait+1:], "\n", 3)
	if len(parts) != 3 {
		w.fail("request", i)
		return r, ""
	}
	r.Channel, r.Info = parts[0], parts[2]
	mode := strings.Fields(parts[1])
	if len(mode) == 0 {
		return r, ""
	}
	if len(mode) < 4 {
		w.fail("mode", i)
		return r, ""
	}
	in := words{all: mode}
	r.Mode = Mode{protocol.Mode{Name: mode[2], Rules: mode[3], Capacity: int(in.number(1))}, int(in.number(0))}
	if in.err != nil {
		w.fail("mode", i)
	}
	if len(mode) > 4 {
		of = mode[4]
	}
	return r, of
}

// parseCall is a script and its arguments, as a request of the model; nil if it is none of a lock.
func parseCall(script string, args []string) (Script, error) {
	w := &words{all: args}
	var s Script
	switch script {
	case "acquire":
		r, _ := w.request(1)
		s = Acquire{Token: w.text(0), Request: r, Steal: w.number(2), Stale: w.text(2) != "", Ticket: w.number(3), Back: w.text(3) != "", Most: int(w.number(4)), Wish: w.number(5)}
	case "check":
		if len(args) < 4 {
			w.fail("token", 3)
			break
		}
		s = Check{Channel: args[0], Wait: args[1][0], Steal: w.number(2), Stale: args[2] != "", Tokens: args[3:]}
	case "release":
		s = Release{Token: w.text(0), Tombstone: w.text(1) != "", Last: w.number(2), Tells: len(args) > 2}
	case "renew":
		s = Renew{Token: w.text(0), Fence: w.number(1)}
	case "keep":
		k := Keep{Token: w.text(0), Fence: w.number(1), Tombstone: len(args) > 3}
		if w.text(2) != "" {
			k.Lease, k.Long = w.lengths(2)
		}
		s = k
	case "break":
		b := Break{Reason: w.text(0)}
		for i := 1; i+1 < len(args); i += 2 {
			b.Holds = append(b.Holds, Grant{args[i], w.number(i + 1)})
		}
		s = b
	case "convert":
		r, of := w.request(1)
		s = Convert{Token: w.text(0), Request: r, Grants: of != "", Change: w.text(2)}
	case "resume":
		r, _ := w.request(1)
		s = Resume{Token: w.text(0), Request: r, Old: w.text(2), Fence: w.number(3)}
	case "confirm":
		s = Confirm{Token: w.text(0), Floor: w.number(1), Seen: w.number(2)}
	case "inspect":
		s = Inspect{Most: int(w.number(0)), Holds: w.text(1), Places: w.text(2)}
	case "watch":
		s = Watch{Most: int(w.number(0))}
	case "limit":
		s = SetLimit{Version: w.number(0), Rules: w.text(1), Long: w.number(2)}
	case "ask":
		s = Ask{}
	default:
		return nil, nil
	}
	return s, w.err
}
