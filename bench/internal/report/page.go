package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/redislock/bench/internal/peer"
)

const (
	// chartDir is where the pictures are, beside performance.md.
	chartDir = "performance"
	// details is the appendix, beside performance.md.
	details = "performance-details.md"
)

// Performance is docs/performance.md, with its pictures by their file names. A reader gets through it in five minutes; the appendix
// has the rest.
func (r *Run) Performance() (page []byte, pictures map[string][]byte, err error) {
	var b strings.Builder
	fmt.Fprintf(&b, `# Performance

This library beside its peers, and all of them beside the cheapest commands that could do the work: one run, one machine, real Redis servers on
loopback. `+"`make bench`"+` measures this and writes this page; no figure on it is typed by hand.
[The appendix](%s) has every figure with its quartiles and distributions.

%s

%s
`, details, r.short(), r.madeOn())
	r.compared(&b)
	b.WriteString("\n## Budgets\n\nWhat the library has to keep, as ratios within this run. A red row stays red until it is kept. " +
		"`make bench ONLY=` and the section measure a row again.\n\n" + r.BudgetTable())
	if r.obstructed() != "" {
		fmt.Fprintf(&b, "\nThe appendix says [what stands in the way of the red rows](%s#%s).\n", details, anchor(inTheWay))
	}
	b.WriteString("\n## All rows\n\n" + r.Summary())
	if pictures, err = r.charts(&b); err != nil {
		return nil, nil, err
	}
	b.WriteString("\n## Where a peer is better, and why\n\n" + r.better())
	again(&b)
	return []byte(b.String()), pictures, nil
}

// short is the result of the run in a few sentences.
func (r *Run) short() string {
	kept, red := 0, 0
	for _, row := range r.Budgets() {
		switch row.Verdict() {
		case "pass":
			kept++
		case "red":
			red++
		}
	}
	ahead, even, behind := 0, 0, 0
	for _, c := range r.chapters() {
		for _, row := range r.rows(c) {
			switch {
			case !row.peer:
			case row.ahead < 1-level:
				behind++
			case row.ahead <= 1+level:
				even++
			default:
				ahead++
			}
		}
	}
	return fmt.Sprintf("In short: of %d rows (a quantity at a place; [the table](#all-rows) has those that tell most) this library is ahead of the best peer in %d, level with it in %d, "+
		"and behind it in %d, [for these reasons](#where-a-peer-is-better-and-why). Of the [budgets](#budgets) %d are kept and %d are red.",
		ahead+even+behind, ahead, even, behind, kept, red)
}

// madeOn describes the machine and the programs of the run.
func (r *Run) madeOn() string {
	f := r.Facts
	text := fmt.Sprintf("Measured on %s in %s: %d × %s, %.1f GiB", r.When.UTC().Format("2006-01-02 15:04 UTC"), r.Took.Round(time.Second), f.CPUs, f.CPU,
		float64(f.Memory)/(1<<30))
	for _, s := range []struct{ name, value string }{{"", f.Kernel}, {"", f.Go}, {"Redis ", f.Redis}, {"go-redis ", f.GoRedis}} {
		if s.value != "" {
			text += ", " + s.name + s.value
		}
	}
	return text + "."
}

func (r *Run) compared(b *strings.Builder) {
	b.WriteString("\n## What is compared\n\n")
	r.settings(b, func(p PeerFacts) bool { return !p.Variant })
	fmt.Fprintf(b, `
Each library has its documented defaults, the same pool of connections and a server state of its own. One that polls is there a second time, with
a try every millisecond. Other settings, such as turns or three servers, are said with their rows, and in the appendix.

- A *pair* is an acquire and its release. A *hand-off* is a grant of a lock that somebody waited for.
- A *floor* is what the cheapest commands take that could do the work, in the same rhythm. In the budgets *unfenced* is the one of two scripts: a
  `+"`SET NX PX`"+`, and a compare-and-delete.
- *Jain's index* says how evenly the waiters were served: 1 is all alike, 1/n is one of n alone.
- A figure is the median over rounds in which the subjects take turns, so a machine that becomes slower meanwhile is slower for all of them.
- *Ahead by* is how many times as good this library is: 2.00 is twice as fast, or half of the cost. What is within %.0f %% is level.
  ▼ marks where a peer is better.
`, 100*level)
}

// settings is a table of the libraries that are compared.
func (r *Run) settings(b *strings.Builder, wanted func(PeerFacts) bool) {
	b.WriteString("| subject | module | version | setting |\n|---|---|---|---|\n")
	for _, p := range r.Facts.Peers {
		if wanted(p) {
			fmt.Fprintf(b, "| %s | %s | %s | %s |\n", bold(p.Name, peer.Ours), p.Module, p.Version, p.Setting)
		}
	}
}

// charts are all pictures, and what could not be drawn in them.
func (r *Run) charts(b *strings.Builder) (pictures map[string][]byte, err error) {
	b.WriteString("\n## Charts\n")
	pictures = map[string][]byte{}
	for _, c := range r.chapters() {
		for _, picture := range c.charts {
			svg, left, err := r.draw(picture)
			if err != nil {
				return nil, fmt.Errorf("chart %s: %w", picture.file, err)
			}
			if svg != nil {
				pictures[picture.file] = svg
				fmt.Fprintf(b, "\n![%s](%s/%s)\n", picture.title, chartDir, picture.file)
			}
			if len(left) > 0 {
				fmt.Fprintf(b, "\nA logarithmic axis has no place for %s.\n", strings.Join(left, ", "))
			}
		}
	}
	return pictures, nil
}

// isFailures says that a quantity counts acquires that failed.
func isFailures(quantity string) bool { return strings.HasPrefix(quantity, "failures") }

// failed lists the subjects whose acquires failed in a section, with the number and the places.
func (r *Run) failed(section string) (all []string) {
	for _, e := range r.Log.Entries {
		sum := 0.0
		for _, v := range e.Values {
			sum += v
		}
		if e.Section != section || !isFailures(e.Quantity) || sum == 0 {
			continue
		}
		text := thousands(sum) + " of " + e.Subject
		if at := slices.IndexFunc(chapters, func(c chapter) bool { return c.id == section }); at >= 0 {
			if place := chapters[at].named(e.X); place != "" {
				text += " (" + place + ")"
			}
		}
		all = append(all, text)
	}
	return all
}

func again(b *strings.Builder) {
	b.WriteString(`
## Run it again

` + "```" + `
make bench                  # all of it, and these pages: less than twelve minutes on two cores
make bench ONLY=callers     # one section, printed only: a part never overwrites these pages
cd bench && go run . -from results.json -docs ../docs   # the pages again, from what the last whole run has saved
cd bench && go run . -from results.json -against earlier.json   # the rows that are worse than in an earlier run
` + "```" + `

It needs Go and redis-server; it starts its servers itself. Leave the machine alone meanwhile: figures of different runs, and of different
machines, can only be compared as ratios.
`)
}
