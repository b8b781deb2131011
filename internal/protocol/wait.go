package protocol

import (
	"fmt"
	"strconv"
	"time"
)

// Countable, Sharded and Uncountable say in a request on which channel the server sends a grant, and whether it can count the
// receivers: the Client's classic channel, the channel of the lock's shard, or a channel whose receivers cannot be counted.
// NoWait asks for no place.
const Countable, Sharded, Uncountable, NoWait = "c", "s", "u", "-"

// CheckEvery is the longest time between two checks of a wait; lua/layout.lua drops Clients that are silent for three.
const CheckEvery = 2 * time.Second

// Slack is how long after a deadline of the server it is looked whether it has passed.
const Slack = time.Millisecond

// Claim is CLAIM of lua/layout.lua: a hold that was granted by message lasts no longer than that before it is confirmed.
const Claim = 5 * time.Second

// Check is the answer of a check.
type Check struct {
	Now    Micros
	More   bool   // places are being cleared away: check again
	Holder Holder // who has the lock
	Of     []Checked
}

// Checked is the answer of a check for one token: it waits, it is gone, or it was granted the lock. Err says that what it says of
// that token cannot be read.
type Checked struct {
	Waits, Gone bool
	Grant       GrantMessage
	Err         error
}

// ParseCheck reads the answer of a check of n tokens.
func ParseCheck(value any, n int) (Check, error) {
	f, err := FieldsOf(value)
	if err != nil {
		return Check{}, err
	}
	c := Check{Now: f.Micros(0), More: f.Int(1) > 0, Holder: f.Holder(2), Of: make([]Checked, n)}
	for i := range c.Of {
		switch what := f.Text(8 + i); what {
		case "waiting":
			c.Of[i].Waits = true
		case "gone":
			c.Of[i].Gone = true
		default:
			g, ok := ParseGrant(what)
			c.Of[i].Grant = g
			if !ok {
				c.Of[i].Err = fmt.Errorf("%w: a check says %.80q of a waiter", ErrDamaged, what)
			}
		}
	}
	return c, f.Err
}

// StealArg is how old a hold must be to be stolen, in µs; empty: never.
func StealArg(after time.Duration) string {
	if after == 0 {
		return ""
	}
	return strconv.FormatInt(after.Microseconds(), 10)
}
