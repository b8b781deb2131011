// Package measure keeps what a benchmark measured, and says what it comes to: medians over rounds in which the subjects
// take turns, so that a machine that becomes slower meanwhile is slower for all of them.
package measure

import (
	"math"
	"slices"
)

// Key says what was measured.
type Key struct {
	Section  string  // of the benchmark, such as "pair"
	Subject  string  // a peer's name or a floor's
	Quantity string  // with its unit, such as "µs per pair"
	X        float64 // such as the number of waiters, where there are several; else 0
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

// Values are those of one quantity; none if it was not measured.
func (l *Log) Values(k Key) []float64 {
	if e := l.find(k); e != nil {
		return e.Values
	}
	return nil
}

// Median is that of one quantity; NaN if it was not measured.
func (l *Log) Median(k Key) float64 { return Median(l.Values(k)) }

// Subjects are those of a section, in the order in which they were first measured.
func (l *Log) Subjects(section string) []string {
	return l.distinct(section, func(e *Entry) string { return e.Subject })
}

// Quantities are those of a section, likewise.
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

// Quantile is the value that a share q of them does not exceed, between two of them in proportion; NaN of none.
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

// Jain is Jain's fairness index of what each had (Jain, Chiu, Hawe 1984): 1 where all had the same, 1/n where one had
// everything.
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

// Interleave calls f for each subject in each round. Every round begins with another one, so that nobody is always the
// one who comes after the same.
func Interleave[S any](rounds int, subjects []S, f func(S)) {
	for round := range rounds {
		for i := range subjects {
			f(subjects[(i+round)%len(subjects)])
		}
	}
}
