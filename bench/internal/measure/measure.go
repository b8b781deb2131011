// Package measure keeps the measurements of a benchmark, and computes medians over rounds. In each round the subjects
// take turns, so that a machine that becomes slower meanwhile is slower for all of them.
package measure

import (
	"math"
	"slices"
)

// Key says what was measured.
type Key struct {
	Section  string  // of the benchmark, such as "pair"
	Subject  string  // the name of a peer or a floor
	Quantity string  // with its unit, such as "µs per pair"
	X        float64 // the place, such as the number of waiters, if there are several; otherwise 0
}

// Log keeps measurements in the order in which they were first made.
type Log struct {
	Entries []*Entry
	index   map[Key]*Entry
}

// Entry is one quantity: a value for each round, or each sample.
type Entry struct {
	Key
	Values []float64
}

// Add notes values.
func (l *Log) Add(k Key, values ...float64) {
	e := l.find(k)
	if e == nil {
		e = &Entry{Key: k}
		l.Entries = append(l.Entries, e)
		l.index[k] = e
	}
	e.Values = append(e.Values, values...)
}

func (l *Log) find(k Key) *Entry {
	if l.index == nil {
		l.index = map[Key]*Entry{}
		for _, e := range l.Entries { // a Log that was read from a file
			l.index[e.Key] = e
		}
	}
	return l.index[k]
}

// Values are the values of one quantity. There are none if it was not measured.
func (l *Log) Values(k Key) []float64 {
	if e := l.find(k); e != nil {
		return e.Values
	}
	return nil
}

// Median is the median of one quantity. It is NaN if the quantity was not measured.
func (l *Log) Median(k Key) float64 { return Median(l.Values(k)) }

// Subjects are the subjects of a section, in the order in which they were first measured.
func (l *Log) Subjects(section string) []string {
	return l.distinct(section, func(e *Entry) string { return e.Subject })
}

// Quantities are the quantities of a section, in the same order.
func (l *Log) Quantities(section string) []string {
	return l.distinct(section, func(e *Entry) string { return e.Quantity })
}

func (l *Log) distinct(section string, of func(*Entry) string) (all []string) {
	for _, e := range l.Entries {
		if e.Section == section && !slices.Contains(all, of(e)) {
			all = append(all, of(e))
		}
	}
	return all
}

// Xs are the places at which a quantity of a section was measured, in ascending order.
func (l *Log) Xs(section, quantity string) (all []float64) {
	for _, e := range l.Entries {
		if e.Section == section && e.Quantity == quantity && !slices.Contains(all, e.X) {
			all = append(all, e.X)
		}
	}
	slices.Sort(all)
	return all
}

// Median is the middle of some values; NaN of none.
func Median(values []float64) float64 { return Quantile(values, 0.5) }

// Quantile is the value that a share q of the values does not exceed, interpolated between two of them. It is NaN for
// none.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// Jain is Jain's fairness index of the shares (Jain, Chiu, Hawe 1984): 1 if all are equal, 1/n if one has everything.
func Jain(shares []float64) float64 {
	var sum, squares float64
	for _, s := range shares {
		sum += s
		squares += s * s
	}
	if squares == 0 {
		return math.NaN()
	}
	return sum * sum / (float64(len(shares)) * squares)
}

// Interleave calls f for each subject in each round. Every round begins with another subject, so that none always
// comes after the same one.
func Interleave[S any](rounds int, subjects []S, f func(S)) {
	for round := range rounds {
		for i := range subjects {
			f(subjects[(i+round)%len(subjects)])
		}
	}
}
