package report

import (
	"fmt"
	"math"
	"strings"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
)

// direction says which values of a quantity are good.
type direction int

const (
	neither direction = iota // it only describes, and is not compared
	lower
	higher
)

// level is how far apart two medians must be for one of them to count as better, as closer ones change their order from run
// to run.
const level = 0.02

// kind is what a subject is.
type kind int

const (
	ours kind = iota
	floor
	other
)

// kindOf finds the kind of a subject by its name: a floor says so, and a name that begins with ours is a variant of
// this library.
func kindOf(subject string) kind {
	switch {
	case subject == peer.Ours || strings.HasPrefix(subject, peer.Ours+",") || strings.HasPrefix(subject, peer.Ours+" "):
		return ours
	case strings.HasPrefix(subject, "floor:"):
		return floor
	}
	return other
}

// variantOf is the variant of this library that a quantity is about. It is compared with the other settings of this
// library too.
var variantOf = map[string]string{
	"re-acquire, µs per pair": peer.Linger, "re-acquire, allocations per pair": peer.Linger, "re-acquire, commands per pair": peer.Linger,
	"two clients in turn, µs per pair": peer.Linger, "two clients in turn, recalls per pair": peer.Linger,
	"µs to acquire what another client gave back, p50": peer.Linger, "µs to acquire what another client gave back, p99": peer.Linger,
	"readers beside each other, pairs per second": peer.Together, "readers beside each other, allocations per pair": peer.Together,
	"readers beside each other, commands per pair": peer.Together,
}

// own is the subject that represents this library in a quantity of a section. It is empty if there is none.
func (r *Run) own(section, quantity string) string {
	if own := variantOf[quantity]; own != "" && r.has(section, own, quantity) {
		return own
	}
	own := ""
	for _, s := range r.subjects(section, quantity) {
		if s == peer.Ours {
			return s
		}
		if own == "" && kindOf(s) == ours {
			own = s
		}
	}
	return own
}

// subjects are those that have the quantity: ours, then the peers, then the floors, each in the order of the run.
func (r *Run) subjects(section, quantity string) (all []string) {
	for _, k := range []kind{ours, other, floor} {
		for _, s := range r.Log.Subjects(section) {
			if kindOf(s) == k && r.has(section, s, quantity) {
				all = append(all, s)
			}
		}
	}
	return all
}

func (r *Run) has(section, subject, quantity string) bool {
	for _, e := range r.Log.Entries {
		if e.Section == section && e.Subject == subject && e.Quantity == quantity {
			return true
		}
	}
	return false
}

// median is that of an entry; NaN if it was not measured.
func (r *Run) median(section, subject, quantity string, x float64) float64 {
	return r.Log.Median(measure.Key{Section: section, Subject: subject, Quantity: quantity, X: x})
}

// ahead is how many times a value of this library is as good as theirs: above 1 this library is better.
func ahead(d direction, own, theirs float64) float64 {
	switch {
	case own == theirs:
		return 1
	case d == higher:
		return own / theirs
	}
	return theirs / own
}

// loss is a row in which a peer is better than this library.
type loss struct {
	section, quantity, peer string
	x, ahead                float64
}

// owns are the subjects of this library that are compared with the peers: the one that represents it, and those of the
// chapter.
func (r *Run) owns(c chapter, quantity string) (all []string) {
	if own := r.own(c.id, quantity); own != "" {
		all = append(all, own)
	}
	for _, s := range c.also {
		if r.has(c.id, s, quantity) {
			all = append(all, s)
		}
	}
	return all
}

// losses are all of a chapter, in the order of its tables.
func (r *Run) losses(c chapter) (all []loss) {
	for _, q := range r.Log.Quantities(c.id) {
		d := directions[q]
		if d == neither {
			continue
		}
		for _, own := range r.owns(c, q) {
			for _, s := range r.subjects(c.id, q) {
				if kindOf(s) != other {
					continue
				}
				for _, x := range r.Log.Xs(c.id, q) {
					a := ahead(d, r.median(c.id, own, q, x), r.median(c.id, s, q, x))
					if a < 1-level {
						all = append(all, loss{c.id, q, s, x, a})
					}
				}
			}
		}
	}
	return all
}

// number writes a value with three digits that count.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case math.IsInf(v, 0):
		return "∞"
	case a == 0:
		return "0"
	case v > 0 && v < 0.0001:
		return "< 0.0001"
	case a < 0.01:
		return fmt.Sprintf("%.2g", v)
	case a < 1:
		return fmt.Sprintf("%.3f", v)
	case a < 10:
		return fmt.Sprintf("%.2f", v)
	case a < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return thousands(v)
}

// thousands writes a whole number with commas.
func thousands(v float64) string {
	digits := fmt.Sprintf("%.0f", math.Abs(v))
	var b strings.Builder
	if v < 0 {
		b.WriteByte('-')
	}
	for i, c := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// times writes a ratio.
func times(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case math.IsInf(v, 0) || v >= 1000:
		return "> 1,000"
	case v < 0.005:
		return "< 0.01"
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	}
	return number(v)
}
