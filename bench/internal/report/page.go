package report

import (
	"fmt"
	"strings"
	"time"

	"example.com/redislock/bench/internal/measure"
	"example.com/redislock/bench/internal/peer"
)

// chartDir is where the pictures are, beside performance.md.
const chartDir = "performance"

// Performance is docs/performance.md and its pictures by their file names.
func (r *Run) Performance() (page []byte, pictures map[string][]byte, err error) {
	pictures = map[string][]byte{}
	var b strings.Builder
	b.WriteString("# Performance\n\nThis library beside its peers, and all of them beside the cheapest commands that could do the work: one run, one machine, real Redis servers on\n" +
		"loopback. `make bench` measures this and writes this page; no figure on it is typed by hand.\n\n")
	r.facts(&b)
	b.WriteString("\n## Budgets\n\nWhat the library has to keep, as ratios within this run. A red row stays red until it is kept.\n\n" + r.BudgetTable())
	r.compared(&b)
	for _, c := range r.chapters() {
		fmt.Fprintf(&b, "\n## %s\n\n", c.title)
		if c.about != "" {
			b.WriteString(c.about + "\n")
		}
		if len(r.Log.Quantities(c.id)) == 0 {
			b.WriteString("\nNot measured in this run.\n")
			continue
		}
		for _, picture := range c.charts {
			svg, left, err := r.draw(picture)
			if err != nil {
				return nil, nil, fmt.Errorf("chart %s: %w", picture.file, err)
			}
			if svg != nil {
				pictures[picture.file] = svg
				fmt.Fprintf(&b, "\n![%s](%s/%s)\n", picture.title, chartDir, picture.file)
			}
			if len(left) > 0 {
				fmt.Fprintf(&b, "\nA logarithmic axis has no place for %s.\n", strings.Join(left, ", "))
			}
		}
		b.WriteString(r.tables(c))
		b.WriteString(r.quantiles(c))
		b.WriteString(r.notes(c.id, c))
	}
	r.again(&b)
	return []byte(b.String()), pictures, nil
}

func (r *Run) facts(b *strings.Builder) {
	f := r.Facts
	b.WriteString("| | |\n|---|---|\n")
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "| %s | %s |\n", name, value)
		}
	}
	row("date", r.When.UTC().Format("2006-01-02 15:04 UTC")+", took "+r.Took.Round(time.Second).String())
	row("machine", fmt.Sprintf("%d × %s, %.1f GiB", f.CPUs, f.CPU, float64(f.Memory)/(1<<30)))
	row("kernel", f.Kernel)
	row("Go", f.Go)
	row("Redis", f.Redis)
	row("go-redis", f.GoRedis)
	for _, p := range f.Peers {
		if !p.Variant {
			row(p.Name, p.Version)
		}
	}
}

func (r *Run) compared(b *strings.Builder) {
	b.WriteString("\n## What is compared\n\n| subject | module | version | setting |\n|---|---|---|---|\n")
	for _, p := range r.Facts.Peers {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", bold(p.Name, peer.Ours), p.Module, p.Version, p.Setting)
	}
	fmt.Fprintf(b, `
Each library has its documented defaults, the same pool of connections and a server state of its own. One that polls is there a second time, with
a try every millisecond. A floor is what the cheapest commands take that could do the work, in the same rhythm.

The subjects take turns, in rounds, so a machine that becomes slower meanwhile is slower for all of them. A figure is the median over the rounds, the
quartiles say how far they differ. *Ahead by* is how many times as good this library is: 2.00 is twice as fast, or half of the cost. What is
within %.0f %% is level. ▼ marks where a peer is better, and below the tables stands why.
`, 100*level)
}

// quantiles is a table for what has many samples: a median alone says little about a wait.
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
				if c.axis != nil {
					name += ", " + c.place(x)
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

func (r *Run) again(b *strings.Builder) {
	b.WriteString(`
## Run it again

` + "```" + `
make bench                  # all of it, and this page: less than twelve minutes on two cores
make bench ONLY=callers     # one section, printed only: a part never overwrites this page
cd bench && go run . -from results.json -docs ../docs   # the pages again, from what a run has saved by -out
` + "```" + `

It needs Go and redis-server; it starts its servers itself. Leave the machine alone meanwhile: figures of different runs, and of different
machines, can only be compared as ratios.
`)
}
