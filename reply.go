package redislock

import (
	"fmt"
	"strconv"
	"strings"
)

// reply is what a script of lua/ answered. Fields that a status does not have are zero.
type reply struct {
	status string // granted, waiting, held, more, over, gone, revoked, clash, conflict, ahead; empty for a plain time
	now    micros
	fence  string
	at     micros // granted: a hold ends at `at` + lease
	lease  micros
	ticket string
	note   string // revoked: why it was broken; empty if it was stolen. clash: the rules in use. resume: the mode
	more   bool   // convert: candidates remain untried
	alone  bool   // granted on the idle path
	holder holder
}

// holder is what a reply says about who has the lock.
type holder struct {
	since    micros // 0: nobody
	deadline micros
	waiting  int
	holders  int
	owner    Owner
}

// parseReply reads the answers of acquire and renew.
func parseReply(value any) (reply, error) {
	if text, ok := value.(string); ok {
		now, err := parseMicros(text)
		return reply{now: now, fence: text, at: now}, err
	}
	f, err := fieldsOf(value)
	if err != nil {
		return reply{}, err
	}
	r := reply{status: f.text(0), now: f.micros(1)}
	switch r.status {
	case "granted":
		r.fence, r.at, r.lease = f.text(2), f.micros(3), f.lease(4)
		if _, err := parseMicros(r.fence); err != nil {
			return r, err
		}
		if len(f.values) > 5 {
			if more, ok := f.values[5].(int64); ok {
				r.more = more > 0
			} else {
				r.note = f.text(5)
			}
		}
	case "waiting":
		r.ticket = f.text(2)
		r.holder = f.holder(3)
	case "held":
		r.holder = f.holder(2)
	case "revoked", "clash":
		r.note = f.text(2)
	case "gone":
		if len(f.values) > 2 {
			r.fence = f.text(2)
		}
	case "more", "over", "conflict", "ahead":
	default:
		f.fail(0)
	}
	return r, f.err
}

// fields reads an array of strings and integers; the first that is not what it should be is kept as err.
type fields struct {
	values []any
	err    error
}

func fieldsOf(value any) (*fields, error) {
	values, ok := value.([]any)
	if !ok {
		return nil, unexpected(value)
	}
	return &fields{values: values}, nil
}

func (f *fields) fail(i int) {
	if f.err == nil {
		f.err = fmt.Errorf("%w: element %d of %.160q", ErrDamaged, i, fmt.Sprint(f.values))
	}
}

func (f *fields) text(i int) string {
	if i < len(f.values) {
		if text, ok := f.values[i].(string); ok {
			return text
		}
	}
	f.fail(i)
	return ""
}

func (f *fields) int(i int) int {
	if i < len(f.values) {
		if n, ok := f.values[i].(int64); ok {
			return int(n)
		}
	}
	f.fail(i)
	return 0
}

func (f *fields) micros(i int) micros {
	m, err := parseMicros(f.text(i))
	if err != nil {
		f.fail(i)
	}
	return m
}

// lease reads ms with blanks in front.
func (f *fields) lease(i int) micros {
	ms, err := strconv.ParseUint(strings.TrimLeft(f.text(i), " "), 10, 32)
	if err != nil {
		f.fail(i)
	}
	return micros(ms) * 1000
}

// clock reads the answer of TIME: s and µs.
func (f *fields) clock(i int) micros {
	s, err := strconv.ParseUint(f.text(i), 10, 32)
	if err != nil {
		f.fail(i)
	}
	us, err := strconv.ParseUint(f.text(i+1), 10, 32)
	if err != nil {
		f.fail(i + 1)
	}
	return micros(s*1_000_000 + us)
}

func (f *fields) holder(i int) holder {
	h := holder{waiting: f.int(i + 2), holders: f.int(i + 4)}
	if f.text(i) != "" {
		h.since, h.deadline, h.owner = f.micros(i), f.micros(i+1), parseOwner(f.text(i+3))
	}
	return h
}

// parseMicros reads 16 digits.
func parseMicros(text string) (micros, error) {
	if len(text) != 16 {
		return 0, fmt.Errorf("%w: the time %.40q", ErrDamaged, text)
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%w: the time %.40q", ErrDamaged, text)
	}
	return micros(n), nil
}

func parseFence(text string) int64 {
	n, _ := parseMicros(text) // it was parsed when it came
	return int64(n)
}
