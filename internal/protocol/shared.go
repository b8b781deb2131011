package protocol

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The first byte of a shared record: a value; or that the latest fetch has failed, with the value before it if that is not over.
const keptValue, keptFailure = "v", "e"

// Shared is what the record of a Share says.
type Shared struct {
	Text    string
	Left    time.Duration // until the value is not to be served any more; 0: there is none
	Failure *Failure      // nil: none, or its time is over
}

// Failure is the failure of a fetch: its owner, as encoded, the text of the error, and the error as its codec encoded it.
type Failure struct{ Owner, Text, Code string }

// The record of a failure begins with numbers in ms: by how much it outlives the value, and how much is left of it when the next
// fetch may be tried; and with the lengths of the three texts that follow. What is left of them is the value.
const failureHead, failureLength = "%14d%14d%8d%8d%8d", 52

// SharedValue is the record of a value.
func SharedValue(text string) string { return keptValue + text }

// SharedFailure is the record of a failure that is served for some time, with the value that is kept beside it for its own, and
// how long that record is to live.
func SharedFailure(f Failure, k Shared, again time.Duration) (text string, life time.Duration) {
	if k.Left == 0 {
		k.Text = ""
	}
	life = max(k.Left, again)
	head := fmt.Sprintf(failureHead, (life - k.Left).Milliseconds(), (life - again).Milliseconds(), len(f.Owner), len(f.Text), len(f.Code))
	return keptFailure + head + f.Owner + f.Text + f.Code + k.Text, life
}

// ParseShared reads the record of a Share that lives for some time yet. One that it cannot read says nothing.
func ParseShared(value string, left time.Duration) (k Shared) {
	if text, ok := strings.CutPrefix(value, keptValue); ok {
		return Shared{Text: text, Left: left}
	}
	text, ok := strings.CutPrefix(value, keptFailure)
	if !ok || len(text) < failureLength {
		return Shared{}
	}
	var numbers [5]int
	for i, from := 0, 0; i < 5; i++ {
		width := 14
		if i > 1 {
			width = 8
		}
		n, err := strconv.Atoi(strings.TrimLeft(text[from:from+width], " "))
		if err != nil || n < 0 {
			return Shared{}
		}
		numbers[i], from = n, from+width
	}
	var parts [3]string
	text = text[failureLength:]
	for i, n := range numbers[2:] {
		if n > len(text) {
			return Shared{}
		}
		parts[i], text = text[:n], text[n:]
	}
	if of := left - time.Duration(numbers[0])*time.Millisecond; of > 0 {
		k.Text, k.Left = text, of
	}
	if left > time.Duration(numbers[1])*time.Millisecond {
		k.Failure = &Failure{parts[0], parts[1], parts[2]}
	}
	return k
}
