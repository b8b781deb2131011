package redislock

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/safetext"
)

// SharedError is the error of a fetch that somebody else made: a caller before, or another process. In the process of the fetch
// [errors.Is] and [errors.As] find the error itself behind it, in others what [ErrorCodec] made of it; without one only its text
// gets there.
type SharedError struct {
	// Text is what the error said there.
	Text string
	// Owner is whose fetch it was.
	Owner Owner

	cause error
}

// Error is the text, and who said it, on one line. What cannot be shown is escaped, as by [Owner.String].
func (e *SharedError) Error() string {
	return fmt.Sprintf("fetched by %s: %s", e.Owner, safetext.Escape(e.Text))
}

// Unwrap is the error of the fetch where it is known, else nil.
func (e *SharedError) Unwrap() error { return e.cause }

// ErrorCodec carries the error of a fetch to other processes ([WithErrorCodec]), beside its text. It must be the same wherever a
// key is shared.
type ErrorCodec interface {
	// MarshalError says in at most 4096 bytes what kind of error it is; longer ones are left out. Nothing means that the text is
	// all there is to say.
	MarshalError(err error) []byte
	// UnmarshalError is the error that these bytes stand for, which [SharedError] wraps; nil if they say nothing.
	UnmarshalError(data []byte) error
}

// maxErrorText bounds the text of an error, and what an ErrorCodec says of it.
const maxErrorText = 4096

// The first byte of a shared record: a value; or that the latest fetch has failed, with the value before it if that is not over.
const keptValue, keptFailure = "v", "e"

// kept is what a shared record says.
type kept struct {
	text    string
	left    time.Duration // until the value is not to be served any more; 0: there is none
	failure *failure      // nil: none, or its time is over
}

// failure is what a fetch came to.
type failure struct{ owner, text, code string }

// The record of a failure begins with numbers in ms: by how much it outlives the value, and how much is left of it when the next
// fetch may be tried; and with the lengths of the three texts that follow. What is left of them is the value.
const failureHead, failureLength = "%14d%14d%8d%8d%8d", 52

// keptIn reads a shared record. One that it cannot read says nothing.
func keptIn(rec record) (k kept) {
	if text, ok := strings.CutPrefix(rec.value, keptValue); ok {
		return kept{text: text, left: rec.left}
	}
	text, ok := strings.CutPrefix(rec.value, keptFailure)
	if !ok || len(text) < failureLength {
		return kept{}
	}
	var numbers [5]int
	for i, from := 0, 0; i < 5; i++ {
		width := 14
		if i > 1 {
			width = 8
		}
		n, err := strconv.Atoi(strings.TrimLeft(text[from:from+width], " "))
		if err != nil || n < 0 {
			return kept{}
		}
		numbers[i], from = n, from+width
	}
	var parts [3]string
	text = text[failureLength:]
	for i, n := range numbers[2:] {
		if n > len(text) {
			return kept{}
		}
		parts[i], text = text[:n], text[n:]
	}
	if left := rec.left - time.Duration(numbers[0])*time.Millisecond; left > 0 {
		k.text, k.left = text, left
	}
	if rec.left > time.Duration(numbers[1])*time.Millisecond {
		k.failure = &failure{parts[0], parts[1], parts[2]}
	}
	return k
}

// noteFailure has the error of a fetch given to all who ask for a while, instead of a fetch of their own. The value that is in the
// record keeps its time. Where there is a record, nothing is written if it has gone meanwhile: a reset is not undone.
func (s *sharing) noteFailure(ctx context.Context, l *Lock, rec record, err error) error {
	if s.errorTTL == 0 {
		return nil
	}
	f := failure{owner: s.client.owner.info(), text: sharedText(err)}
	if s.errors != nil {
		if code := s.errors.MarshalError(err); len(code) <= maxErrorText {
			f.code = string(code)
		}
	}
	again := max(s.errorTTL, time.Millisecond)
	k := keptIn(rec)
	k.left = max(0, k.left-clock.Elapsed(rec.sent))
	if k.left == 0 {
		k.text = ""
	}
	life := max(k.left, again)
	text := keptFailure + fmt.Sprintf(failureHead, (life-k.left).Milliseconds(), (life-again).Milliseconds(), len(f.owner), len(f.text), len(f.code)) +
		f.owner + f.text + f.code + k.text
	s.client.failures.remember(s.key, headOf(l, 1), err, again)
	if rec.exists() {
		return s.client.note(ctx, l, 1, text, life, rec.head)
	}
	return s.client.note(ctx, l, 1, text, life)
}

// sharedText is the text of an error as others get it.
func sharedText(err error) string {
	text := err.Error()
	if p, ok := errors.AsType[*PanicError](err); ok {
		text = p.brief()
	}
	text = strings.ToValidUTF8(text, "?")
	return text[:min(len(text), maxErrorText)]
}

// failed is the error of a fetch that somebody made before.
func (s *sharing) failed(rec record, f *failure) error {
	e := &SharedError{Text: f.text, Owner: parseOwner(f.owner), cause: s.client.failures.of(s.key, rec.head)}
	if e.cause == nil && s.errors != nil && f.code != "" {
		e.cause = s.errors.UnmarshalError([]byte(f.code))
	}
	return e
}

// failures are the errors of this process's own fetches, by key, for as long as they are shared.
type failures struct {
	mu  sync.Mutex
	all map[string]ownFailure
}

type ownFailure struct {
	head string // of the record that tells others of it
	err  error
}

func (f *failures) remember(key, head string, err error, life time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = map[string]ownFailure{}
	}
	f.all[key] = ownFailure{head, err}
	time.AfterFunc(life+time.Second, func() { // a second for answers that are on their way
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.all[key].head == head {
			delete(f.all, key)
		}
	})
}

// of is the error that a record tells of, nil if it is another process's.
func (f *failures) of(key, head string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if own := f.all[key]; own.head == head {
		return own.err
	}
	return nil
}

// PanicError is a panic of a fetch of [Share], for those who do not hear it themselves: the observer, where nobody waits
// for the fetch ([EventNotKept]), and later callers of the process, behind a [SharedError].
type PanicError struct {
	// Value is what was given to panic.
	Value any
	// Stack is that of the goroutine, as [debug.Stack] formats it.
	Stack []byte
}

// Error is the value and the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("%s\n\n%s", e.brief(), e.Stack) }

// Unwrap is the value, if that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

func (e *PanicError) brief() string { return fmt.Sprintf("panic: %v", e.Value) }
