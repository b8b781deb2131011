package report

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"example.com/redislock/bench/internal/peer"
)

// row is a quantity at a place: ours beside the best of the others.
type row struct {
	quantity   string
	x          float64
	own        string  // the subject that represents this library
	value      float64 // its median
	other      string  // the best peer, or the best other setting of this library if there is none
	otherValue float64
	peer       bool    // other is a peer
	ahead      float64 // how many times as good as other; NaN: there is none
	floor      float64 // how many times as good as the cheapest floor; NaN: there is none
}

// rows are those of a chapter in which this library is compared with something.
func (r *Run) rows(c chapter) (all []row) {
	for _, q := range r.Log.Quantities(c.id) {
		if directions[q] == neither || isFailures(q) {
			continue
		}
		for _, own := range r.owns(c, q) {
			for _, x := range r.Log.Xs(c.id, q) {
				if one := r.row(c.id, q, x, own); one.other != "" || !math.IsNaN(one.floor) {
					all = append(all, one)
				}
			}
		}
	}
	return all
}

// row compares a subject of this library. What was not measured is left out of the comparison.
func (r *Run) row(section, q string, x float64, own string) row {
	d := directions[q]
	one := row{quantity: q, x: x, own: own, value: r.median(section, own, q, x), ahead: math.NaN(), floor: math.NaN()}
	if math.IsNaN(one.value) {
		return one
	}
	if one.other, one.otherValue = r.bestOf(section, q, x, other); one.other != "" {
		one.peer = true
	} else if variantOf[q] == own {
		one.other, one.otherValue = r.bestOf(section, q, x, ours)
	}
	if one.other != "" {
		one.ahead = ahead(d, one.value, one.otherValue)
	}
	if f, v := r.bestOf(section, q, x, floor); f != "" {
		one.floor = ahead(d, one.value, v)
	}
	return one
}

// bestOf is the subject of a kind with the best median, other than the one that represents this library. It is "" if there
// is none.
func (r *Run) bestOf(section, quantity string, x float64, k kind) (best string, value float64) {
	for _, s := range r.subjects(section, quantity) {
		v := r.median(section, s, quantity, x)
		if kindOf(s) != k || s == r.own(section, quantity) || math.IsNaN(v) {
			continue
		}
		if best == "" || directions[quantity] == higher && v > value || directions[quantity] == lower && v < value {
			best, value = s, v
		}
	}
	return best, value
}

// Summary is the table of the page: each quantity that is compared, at its most telling places.
func (r *Run) Summary() string {
	var b strings.Builder
	b.WriteString("Each measured quantity, beside the best peer and the cheapest floor. Where no peer has it, ours in another setting stands there. " +
		"Each heading leads to its figures in the appendix, which has further places too.\n\n" +
		"| | redislock | the best peer | ahead by | of the floor |\n|---|--:|--:|--:|--:|\n")
	var failures []string
	for _, c := range r.chapters() {
		rows := slices.DeleteFunc(r.rows(c), func(one row) bool { return !c.shows(one, r.Log.Quantities(c.id)[0]) })
		if len(rows) > 0 {
			where := ""
			if place := c.named(rows[0].x); place != "" && !slices.ContainsFunc(rows, func(one row) bool { return one.x != rows[0].x }) {
				where, c.axis = ": "+place, nil // written once for all rows
			}
			fmt.Fprintf(&b, "| **[%s](%s#%s)**%s | | | | |\n", c.title, details, anchor(c.title), where)
		}
		for _, one := range rows {
			b.WriteString(one.line(c))
		}
		failures = append(failures, r.failed(c.id)...)
	}
	if len(failures) == 0 {
		b.WriteString("\nNo acquire failed, of any library.\n")
	} else {
		fmt.Fprintf(&b, "\nAcquires failed: %s.\n", strings.Join(failures, "; "))
	}
	return b.String()
}

// shows reports whether the page shows a row: of the chapter's first quantity all places, of the others the chosen ones.
func (c chapter) shows(one row, first string) bool {
	return c.shown == nil || one.quantity == first || slices.Contains(c.shown, one.x)
}

func (one row) line(c chapter) string {
	what := one.quantity
	if place := c.named(one.x); place != "" {
		what += "; " + place
	}
	own, others, lead, floor := number(one.value), "", "", ""
	if one.own != peer.Ours {
		own += " (" + strings.TrimPrefix(one.own, peer.Ours+", ") + ")"
	}
	if one.other != "" {
		others, lead = number(one.otherValue)+" ("+strings.TrimPrefix(one.other, peer.Ours+", ")+")", mark(one.ahead, one.peer)
	}
	if !math.IsNaN(one.floor) {
		floor = times(one.floor)
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |\n", what, own, others, lead, floor)
}

// anchor is the link to a heading, as pages make it.
func anchor(heading string) string {
	return strings.ReplaceAll(regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}
