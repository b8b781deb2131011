package report

import (
	"fmt"
	"strings"

	"example.com/redislock/bench/internal/measure"
)

// Details is docs/performance-details.md: every figure of the run.
func (r *Run) Details() []byte {
	var b strings.Builder
	b.WriteString("# Performance: all figures\n\nThe appendix of [performance.md](performance.md), which says what is compared and what it comes to. It is written by the same run.\n\n" +
		r.madeOn() + "\n\n")
	r.settings(&b, func(PeerFacts) bool { return true })
	fmt.Fprintf(&b, `
A figure is the median over the rounds; quartiles say how far they differ, and stand under the median where there are many places. A floor is what
the cheapest commands take that could do the work. *Ahead by* is how many times as good this library is: 2.00 is twice as fast, or half of the cost.
What is within %.0f %% is level, and ▼ marks where a peer is better: [these are the reasons](performance.md#where-a-peer-is-better-and-why).
`, 100*level)
	b.WriteString(r.obstructed())
	for _, c := range r.chapters() {
		fmt.Fprintf(&b, "\n## %s\n\n", c.title)
		if c.about != "" {
			b.WriteString(c.about + "\n")
		}
		if len(r.Log.Quantities(c.id)) == 0 {
			b.WriteString("\nNot measured in this run.\n")
			continue
		}
		b.WriteString(r.tables(c))
		b.WriteString(r.quantiles(c))
	}
	return []byte(b.String())
}

// quantiles is a table for quantities with many samples, as a median alone says little about waits.
func (r *Run) quantiles(c chapter) string {
	var b strings.Builder
	for _, q := range r.Log.Quantities(c.id) {
		begun := false
		for _, s := range r.subjects(c.id, q) {
			for _, x := range r.Log.Xs(c.id, q) {
				values := r.Log.Values(measure.Key{Section: c.id, Subject: s, Quantity: q, X: x})
				if len(values) < 50 {
					continue
				}
				if !begun {
					fmt.Fprintf(&b, "\n**Distribution: %s**\n\n| | samples | least | p50 | p90 | p99 | most |\n|---|--:|--:|--:|--:|--:|--:|\n", q)
					begun = true
				}
				name := bold(s, r.own(c.id, q))
				if place := c.named(x); place != "" {
					name += ", " + place
				}
				fmt.Fprintf(&b, "| %s | %s |", name, thousands(float64(len(values))))
				for _, share := range []float64{0, 0.5, 0.9, 0.99, 1} {
					fmt.Fprintf(&b, " %s |", number(measure.Quantile(values, share)))
				}
				b.WriteString("\n")
			}
		}
	}
	return b.String()
}
