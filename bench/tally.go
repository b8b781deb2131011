package main

import (
	"time"

	"example.com/redislock/bench/internal/measure"
)

// tally is what the window of a contest comes to.
type tally struct {
	handoffs int       // turns that began in it: the lock came from its last holder to the next, be it the same
	passed   int       // of those, the ones from one goroutine to another
	writes   int       // of those, the ones to write
	each     []float64 // of each goroutine
	// waits are those that ended in the window, whole, also where they began before it; and those that its end cut off,
	// with the time that they had lasted by then: a waiter that never gets the lock would be invisible otherwise. What
	// is true of the cut ones is at least this. In µs.
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

// fairest is Jain's index if n turns are spread over that many as evenly as whole turns can be.
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
