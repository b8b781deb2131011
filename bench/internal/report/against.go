package report

import (
	"fmt"
	"math"
	"strings"
)

// worse is how far a row may be behind the same row of another run without a report, as rows differ by less from run to run.
const worse = 0.05

// Against lists the rows in which this run is worse than an earlier one by more than 5 %. Figures of two runs are compared only as
// ratios: to the best peer, or if there is none to the cheapest floor or to this library in another setting. It is empty if there is
// no such row.
func (r *Run) Against(before *Run) string {
	type place struct {
		section, quantity, own string
		x                      float64
	}
	ratio := func(one row) float64 {
		if math.IsNaN(one.ahead) {
			return one.floor
		}
		return one.ahead
	}
	then := map[place]row{}
	for _, c := range before.chapters() {
		for _, one := range before.rows(c) {
			then[place{c.id, one.quantity, one.own, one.x}] = one
		}
	}
	var b strings.Builder
	for _, c := range r.chapters() {
		for _, one := range r.rows(c) {
			old, known := then[place{c.id, one.quantity, one.own, one.x}]
			if !known || !(ratio(one)/ratio(old) < 1-worse) || ratio(one) >= 1000 { // a ratio of a thousand: the value is practically nothing
				continue
			}
			text := one.quantity
			if at := c.named(one.x); at != "" {
				text += "; " + at
			}
			fmt.Fprintf(&b, "%-10s %-60s %-28s ahead by %8s, before %8s: %s (%s against %s, before %s against %s)\n", c.id, text, one.own, times(ratio(one)),
				times(ratio(old)), times(ratio(one)/ratio(old)), number(one.value), number(one.otherValue), number(old.value), number(old.otherValue))
		}
	}
	return b.String()
}
