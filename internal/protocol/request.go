package protocol

import (
	"strconv"
	"time"
)

// Request is the request of a caller to a script, as lua/layout.lua has it; the description of the caller stands behind it.
type Request struct {
	Lease   time.Duration
	Keep    time.Duration // how long the key outlives the grant, rounded up to seconds
	Nonce   string
	Wait    string // Countable, Sharded, Uncountable or NoWait
	Channel string // where the caller hears
	Mode    string // a line of a mode, see Mode.Line
}

// AppendTo writes the request up to where the owner's info begins.
func (r Request) AppendTo(b []byte) []byte {
	b = AppendLength(b, r.Lease, r.Keep)
	b = append(b, r.Nonce...)
	b = append(b, r.Wait...)
	b = append(b, r.Channel...)
	b = append(b, '\n')
	b = append(b, r.Mode...)
	return append(b, '\n')
}

// AppendLength writes how long a hold lasts and its key is kept, as the scripts read it: lease8 keep8.
func AppendLength(b []byte, lease, keep time.Duration) []byte {
	return append8(append8(b, lease.Milliseconds()), int64((keep+time.Second-1)/time.Second))
}

// append8 writes a number with blanks in front, 8 characters in all.
func append8(b []byte, n int64) []byte {
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], n, 10)
	for range 8 - len(text) {
		b = append(b, ' ')
	}
	return append(b, text...)
}
