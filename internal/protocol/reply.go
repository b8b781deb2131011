package protocol

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Reply is the answer of a script of lua/. Fields that a status does not have are zero.
type Reply struct {
	Status string // granted, waiting, held, full, more, over, gone, revoked, clash, conflict, ahead; empty for a plain time
	Now    Micros
	Fence  string
	At     Micros // granted: a hold ends at `at` + lease
	Lease  Micros
	Ticket string
	Note   string // revoked: why it was broken; empty if it was stolen. clash: the rules in use. resume: the mode
	More   bool   // convert: candidates remain untried
	Alone  bool   // granted on the fast path
	Holder Holder
	// Leaving says that a hold is revoked, for the caller or before, and may end soon.
	Leaving bool
}

// Holder is the part of a reply about the holder of the lock.
type Holder struct {
	Since    Micros // 0: nobody
	Deadline Micros
	Waiting  int
	Holders  int
	Info     string // who it is, as it travels
	Limit    string // until when the limit counts, and its rules, if these allow less than the first to wait, or the caller, wants; CutLimit reads it
}

// ParseReply reads the answers of acquire, confirm, convert, keep, renew and resume.
func ParseReply(value any) (Reply, error) {
	if text, ok := value.(string); ok {
		fence := text
		if len(text) == 2*FenceLength { // a quorum's, and then the time
			fence, text = text[:FenceLength], text[FenceLength:]
		}
		now, err := ParseMicros(text)
		if err == nil {
			_, err = ParseMicros(fence)
		}
		return Reply{Now: now, Fence: fence, At: now}, err
	}
	f, err := FieldsOf(value)
	if err != nil {
		return Reply{}, err
	}
	r := Reply{Status: f.Text(0), Now: f.Micros(1)}
	switch r.Status {
	case "granted":
		r.Fence, r.At, r.Lease = f.Text(2), f.Micros(3), f.Lease(4)
		if _, err := ParseMicros(r.Fence); err != nil {
			return r, err
		}
		if len(f.Values) > 5 {
			if more, ok := f.Values[5].(int64); ok {
				r.More = more > 0
			} else {
				r.Note = f.Text(5)
			}
		}
	case "waiting":
		r.Ticket = f.Text(2)
		r.Holder = f.Holder(3)
	case "held", "full":
		r.Holder = f.Holder(2)
		if len(f.Values) > 8 {
			r.Leaving = f.Int(8) > 0
		}
	case "revoked", "clash":
		r.Note = f.Text(2)
	case "gone":
		if len(f.Values) > 2 {
			r.Fence = f.Text(2)
		}
	case "more", "over", "conflict", "ahead":
	default:
		f.Fail(0)
	}
	return r, f.Err
}

// Fields reads an array of strings and integers; the first that is not what it should be is kept as err.
type Fields struct {
	Values []any
	Err    error
}

// FieldsOf reads the answer of a script, which must be an array.
func FieldsOf(value any) (*Fields, error) {
	values, ok := value.([]any)
	if !ok {
		return nil, Unexpected(value)
	}
	return &Fields{Values: values}, nil
}

// Fail notes that an element is not what it should be.
func (f *Fields) Fail(i int) {
	if f.Err == nil {
		f.Err = fmt.Errorf("%w: element %d of %.160q", ErrDamaged, i, fmt.Sprint(f.Values))
	}
}

// Text reads a string.
func (f *Fields) Text(i int) string {
	if i < len(f.Values) {
		if text, ok := f.Values[i].(string); ok {
			return text
		}
	}
	f.Fail(i)
	return ""
}

// Int reads an integer.
func (f *Fields) Int(i int) int {
	if i < len(f.Values) {
		if n, ok := f.Values[i].(int64); ok {
			return int(n)
		}
	}
	f.Fail(i)
	return 0
}

// Micros reads a time of the server.
func (f *Fields) Micros(i int) Micros {
	m, err := ParseMicros(f.Text(i))
	if err != nil {
		f.Fail(i)
	}
	return m
}

// Lease reads ms with blanks in front.
func (f *Fields) Lease(i int) Micros {
	ms, err := strconv.ParseUint(strings.TrimLeft(f.Text(i), " "), 10, 32)
	if err != nil {
		f.Fail(i)
	}
	return Micros(ms) * 1000
}

// Clock reads the answer of TIME: s and µs.
func (f *Fields) Clock(i int) Micros {
	s, err := strconv.ParseUint(f.Text(i), 10, 32)
	if err != nil {
		f.Fail(i)
	}
	us, err := strconv.ParseUint(f.Text(i+1), 10, 32)
	if err != nil {
		f.Fail(i + 1)
	}
	return Micros(s*1_000_000 + us)
}

// Holder reads the elements from i on that say who has the lock: six, or five if the caller is not in the way of a limit.
func (f *Fields) Holder(i int) Holder {
	h := Holder{Waiting: f.Int(i + 2), Holders: f.Int(i + 4)}
	if f.Text(i) != "" {
		h.Since, h.Deadline, h.Info = f.Micros(i), f.Micros(i+1), f.Text(i+3)
	}
	if len(f.Values) > i+5 {
		h.Limit = f.Text(i + 5)
	}
	return h
}

// ParseMicros reads 16 digits.
func ParseMicros(text string) (Micros, error) {
	if len(text) != 16 {
		return 0, fmt.Errorf("%w: the time %.40q", ErrDamaged, text)
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%w: the time %.40q", ErrDamaged, text)
	}
	return Micros(n), nil
}

// ParseFence is a fence as a number; it was checked when it came.
func ParseFence(text string) int64 {
	n, _ := ParseMicros(text) // it was parsed when it came
	return int64(n)
}

// ErrDamaged says that a key has a value that this library has not written.
var ErrDamaged = errors.New("damaged key")

// Unexpected is the error of an answer that the server cannot have given to what it was asked.
func Unexpected(value any) error { return fmt.Errorf("unexpected answer %.80q", fmt.Sprint(value)) }
