package simulation_test

import (
	"slices"
	"strings"
	"time"
)

// shrinking is how long shrink may take, by the wall clock.
const shrinking = 20 * time.Second

// shrink makes a plan smaller as long as something of the same kind is found in it. It leaves out halves, then quarters and so on,
// and at last single parts.
func shrink(p plan, try func(plan) []string, findings []string) (small plan, runs int) {
	kinds, begun := kindsOf(findings), time.Now()
	still := func(p plan) bool {
		if runs++; runs > 150 || time.Since(begun) > shrinking {
			return false
		}
		return slices.ContainsFunc(kindsOf(try(p)), func(kind string) bool { return slices.Contains(kinds, kind) })
	}
	for before := -1; before != len(p.Ops)+len(p.Faults); {
		before = len(p.Ops) + len(p.Faults)
		p.Faults = without(p.Faults, func(some []fault) bool {
			q := p
			q.Faults = some
			return still(q)
		})
		p.Ops = without(p.Ops, func(some []operation) bool {
			q := p
			q.Ops = some
			return still(q)
		})
	}
	return p, runs
}

// without returns what is left if as much as possible is left out.
func without[T any](all []T, still func([]T) bool) []T {
	for size := len(all); size > 0; size /= 2 {
		for at := 0; at < len(all); {
			end := min(at+size, len(all))
			fewer := append(slices.Clone(all[:at]), all[end:]...)
			if still(fewer) {
				all = fewer
			} else {
				at = end
			}
		}
	}
	return all
}

// kindsOf are the kinds of the findings.
func kindsOf(findings []string) (kinds []string) {
	for _, f := range findings {
		kind, _, _ := strings.Cut(f, ":")
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}
