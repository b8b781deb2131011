package report

import (
	"fmt"
	"slices"
	"strings"

	"example.com/redislock/bench/internal/measure"
)

// chapters are the chapters of the page, and after them the sections of the run that have no description.
func (r *Run) chapters() []chapter {
	all := slices.Clone(chapters)
	for _, e := range r.Log.Entries {
		if !slices.ContainsFunc(all, func(c chapter) bool { return c.id == e.Section }) {
			all = append(all, chapter{id: e.Section, title: e.Section, axis: plain})
		}
	}
	return all
}

// place is the name of a place of the chapter.
func (c chapter) place(x float64) string {
	if c.axis == nil {
		return plain(x)
	}
	return c.axis(x)
}

// named is the same, but "" if there is only one place.
func (c chapter) named(x float64) string {
	if c.axis == nil {
		return ""
	}
	return c.axis(x)
}

// tables are those of a section, one for each quantity.
func (r *Run) tables(c chapter) string {
	var b strings.Builder
	for _, q := range r.Log.Quantities(c.id) {
		xs := r.Log.Xs(c.id, q)
		switch {
		case isFailures(q) && len(r.failed(c.id)) == 0:
			fmt.Fprintf(&b, "\n**%s**: none.\n", finishless(q))
		case len(r.subjects(c.id, q)) == 1:
			continue // together in one table, below
		case len(xs) == 1:
			r.single(&b, c, q, xs[0])
		default:
			r.several(&b, c, q, xs)
		}
	}
	r.alone(&b, c)
	return b.String()
}

// heading says what the table has, and whether more or less is better.
func heading(quantity string) string {
	switch directions[quantity] {
	case lower:
		return quantity + ", less is better"
	case higher:
		return quantity + ", more is better"
	}
	return quantity
}

// single is a table of one place: a row for each subject, with the ratio to each floor, and ours to it.
func (r *Run) single(b *strings.Builder, c chapter, q string, x float64) {
	subjects := r.subjects(c.id, q)
	d, own := directions[q], r.own(c.id, q)
	var floors []string
	if d != neither {
		for _, s := range subjects {
			if kindOf(s) == floor {
				floors = append(floors, s)
			}
		}
	}
	title := heading(q)
	if place := c.named(x); place != "" {
		title += "; " + place
	}
	compare := d != neither && own != "" && len(subjects) > 1
	fmt.Fprintf(b, "\n**%s**\n\n| | median | quartiles |", finishless(title))
	for _, f := range floors {
		fmt.Fprintf(b, " × %s |", strings.TrimPrefix(f, "floor: "))
	}
	if compare {
		b.WriteString(" redislock is ahead by |")
	}
	b.WriteString("\n|---|--:|--:|" + strings.Repeat("--:|", len(floors)))
	if compare {
		b.WriteString("--:|")
	}
	b.WriteString("\n")
	for _, s := range subjects {
		values := r.Log.Values(measure.Key{Section: c.id, Subject: s, Quantity: q, X: x})
		if len(values) == 0 {
			continue
		}
		m := measure.Median(values)
		fmt.Fprintf(b, "| %s | %s | %s – %s |", bold(s, own), number(m), number(measure.Quantile(values, 0.25)), number(measure.Quantile(values, 0.75)))
		for _, f := range floors {
			fmt.Fprintf(b, " %s |", times(1/ahead(d, m, r.median(c.id, f, q, x))))
		}
		if compare {
			b.WriteString(" " + r.lead(c.id, q, s, x) + " |")
		}
		b.WriteString("\n")
	}
}

// several is a table of many places, with a column for each: the medians with their quartiles, and under them how far this library
// is ahead.
func (r *Run) several(b *strings.Builder, c chapter, q string, xs []float64) {
	subjects := r.subjects(c.id, q)
	own := r.own(c.id, q)
	fmt.Fprintf(b, "\n**%s**\n\n| median |", finishless(heading(q)))
	for _, x := range xs {
		fmt.Fprintf(b, " %s |", c.place(x))
	}
	b.WriteString("\n|---|" + strings.Repeat("--:|", len(xs)) + "\n")
	for _, s := range subjects {
		fmt.Fprintf(b, "| %s |", bold(s, own))
		for _, x := range xs {
			b.WriteString(" " + r.spread(measure.Key{Section: c.id, Subject: s, Quantity: q, X: x}) + " |")
		}
		b.WriteString("\n")
	}
	if directions[q] == neither || own == "" {
		return
	}
	fmt.Fprintf(b, "| *redislock is ahead of* |%s\n", strings.Repeat(" |", len(xs)))
	for _, s := range subjects {
		if s == own {
			continue
		}
		fmt.Fprintf(b, "| *%s* by |", s)
		for _, x := range xs {
			b.WriteString(" " + r.lead(c.id, q, s, x) + " |")
		}
		b.WriteString("\n")
	}
}

// spread is a median, with the quartiles on a second line if they differ.
func (r *Run) spread(k measure.Key) string {
	values := r.Log.Values(k)
	m, low, high := number(measure.Median(values)), number(measure.Quantile(values, 0.25)), number(measure.Quantile(values, 0.75))
	if low == high {
		return m
	}
	return fmt.Sprintf("%s<br><sub>%s – %s</sub>", m, low, high)
}

// alone is one table of the quantities that were measured for this library only.
func (r *Run) alone(b *strings.Builder, c chapter) {
	begun := false
	for _, q := range r.Log.Quantities(c.id) {
		subjects := r.subjects(c.id, q)
		if len(subjects) != 1 {
			continue
		}
		for _, x := range r.Log.Xs(c.id, q) {
			if !begun {
				b.WriteString("\n| | quantity | at | median | quartiles |\n|---|---|---|--:|--:|\n")
				begun = true
			}
			values := r.Log.Values(measure.Key{Section: c.id, Subject: subjects[0], Quantity: q, X: x})
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s – %s |\n", subjects[0], q, c.named(x), number(measure.Median(values)),
				number(measure.Quantile(values, 0.25)), number(measure.Quantile(values, 0.75)))
		}
	}
}

// lead is how far this library is ahead of a subject, marked if a peer is better.
func (r *Run) lead(section, q, subject string, x float64) string {
	own := r.own(section, q)
	if subject == own {
		return ""
	}
	return mark(ahead(directions[q], r.median(section, own, q, x), r.median(section, subject, q, x)), kindOf(subject) == other)
}

// mark writes a ratio. If it is one to a peer that is better than this library, or level with it, it is marked.
func mark(a float64, peer bool) string {
	switch {
	case !peer:
		return times(a)
	case a < 1-level:
		return "**" + times(a) + "** ▼"
	case a <= 1+level:
		return times(a) + " level"
	}
	return times(a)
}

func bold(subject, own string) string {
	if subject == own {
		return "**" + subject + "**"
	}
	return subject
}

// finishless begins with a capital, except for a unit such as µs.
func finishless(text string) string {
	if text[0] >= 'a' && text[0] <= 'z' && !strings.HasPrefix(text, "ms ") {
		return strings.ToUpper(text[:1]) + text[1:]
	}
	return text
}
