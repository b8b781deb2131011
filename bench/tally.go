package main

import (
	"time"

	"example.com/redislock/bench/internal/measure"
)

// tally is the result of the window of a contest.
type tally struct {
	handoffs int       // turns that began in the window: the lock went from its last holder to the next, perhaps the same
	passed   int       // the hand-offs from one goroutine to another
	writes   int       // the hand-offs to writers
	each     []float64 // the number of each goroutine
	// waits are in µs. They are the waits that ended in the window, with their whole time even if they began before it,
	// and the waits that the end of the window cut off, with their time until then. Without the latter, a waiter that
	// never gets the lock would not show. Their true time is at least that.
	waits []float64
}

func (f field) tally() tally {
	t := tally{each: make([]float64, len(f.turns))}
	micros := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	for i, turns := range f.turns {
		for _, one := range turns {
			over := one.got >= one.asked
			switch {
			case one.asked >= f.to, over && one.got < f.from:
			case over && one.got < f.to:
				t.handoffs++
				t.each[i]++
				if one.passed {
					t.passed++
				}
				if one.writes {
					t.writes++
				}
				t.waits = append(t.waits, micros(one.got-one.asked))
			default:
				t.waits = append(t.waits, micros(f.to-one.asked))
			}
		}
	}
	return t
}

// fairest is Jain's index if n turns are spread over that many goroutines as evenly as whole turns allow.
func fairest(n, over int) float64 {
	shares := make([]float64, over)
	for i := range shares {
		shares[i] = float64(n / over)
		if i < n%over {
			shares[i]++
		}
	}
	return measure.Jain(shares)
}
