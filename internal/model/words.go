package model

import (
	"fmt"
	"strconv"

	"example.com/redislock/internal/protocol"
)

// Words are the name of a script, and its arguments for a request.
func Words(script Script) (name string, args []string) {
	switch s := script.(type) {
	case Acquire:
		args = []string{s.Token, written(s.Request, "")}
		if s.Stale || s.Back || s.Most > 0 || s.Wish > 0 {
			args = append(args, age(s.Steal, s.Stale), ticket(s.Ticket, s.Back))
		}
		if s.Most > 0 || s.Wish > 0 {
			args = append(args, count(s.Most))
		}
		if s.Wish > 0 {
			args = append(args, time16(s.Wish))
		}
		return "acquire", args
	case Check:
		return "check", append([]string{s.Channel, string(s.Wait), age(s.Steal, s.Stale)}, s.Tokens...)
	case Release:
		args = noted([]string{s.Token}, s.Tombstone)
		if s.Tells {
			args = append(append(args, "")[:2], time16(s.Last))
		}
		return "release", args
	case Renew:
		return "renew", []string{s.Token, time16(s.Fence)}
	case Keep:
		length := ""
		if s.Lease > 0 {
			length = lengths(s.Lease, s.Long)
		}
		return "keep", noted([]string{s.Token, time16(s.Fence), length}, s.Tombstone)
	case Break:
		args = []string{s.Reason}
		for _, h := range s.Holds {
			args = append(args, h.Token, time16(h.Fence))
		}
		return "break", args
	case Convert:
		of := ""
		if s.Grants {
			of = s.Token
		}
		return "convert", []string{s.Token, written(s.Request, of), s.Change}
	case Resume:
		return "resume", []string{s.Token, written(s.Request, ""), s.Old, time16(s.Fence)}
	case Confirm:
		return "confirm", []string{s.Token, ticket(s.Floor, s.Floor > 0), ticket(s.Seen, s.Seen > 0)}
	case Inspect:
		return "inspect", []string{strconv.Itoa(s.Most), s.Holds, s.Places}
	case SetLimit:
		if s.Version == 0 {
			return "limit", []string{""}
		}
		return "limit", []string{time16(s.Version), s.Rules, strconv.FormatInt(int64(s.Long), 10)}
	case Watch:
		return "watch", []string{strconv.Itoa(s.Most)}
	}
	return "ask", []string{""}
}

// written is a request as lua/layout.lua has it. All nonces are the same.
func written(r Request, of string) string {
	nonce := "nonce-nonce-nonc"
	if r.Turns {
		nonce = string(protocol.TurnsMark) + nonce[1:]
	}
	return lengths(r.Lease, r.Keep) + nonce[:protocol.NonceLength] + string(r.Wait) + r.Channel + "\n" + r.Mode.line(of) + "\n" + r.Info
}

func lengths(lease, keep Micros) string { return fmt.Sprintf("%8d%8d", lease/Millisecond, keep/Second) }

func time16(m Micros) string { return fmt.Sprintf("%016d", m) }

func age(d Micros, given bool) string {
	if !given {
		return ""
	}
	return strconv.FormatInt(int64(d), 10)
}

func count(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func ticket(t Micros, given bool) string {
	if !given {
		return ""
	}
	return time16(t)
}

func noted(args []string, tombstone bool) []string {
	if tombstone {
		return append(args, "tombstone")
	}
	return args
}
