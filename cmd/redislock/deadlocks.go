package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"example.com/redislock"
	"example.com/redislock/ui/trouble"
)

const deadlocksHelp = `Shows the holders that wait for another lock, over all processes. Below each holder are the callers that wait for its lock, and
below each of these the callers that wait for the locks that it holds itself. If some of them wait for each other in a circle, that is
a deadlock. It is shown first: each process, the lock that it holds and the lock that it waits for, its metadata, the time that it has
waited, and which hold to break.

It changes nothing. It sees a wait only if the lock was asked for under the context of the lock that is held. A deadlock was looked
at twice, so all of it existed at one time. If a wait of it is bounded, that wait ends by itself.

It goes through all keys of the server in small steps, as redislock ls does. A lock that cannot be read is left out; redislock ls
reports it. With --output json the result is one object.

For monitoring, the exit status is enough.

`

func newDeadlocks() *cobra.Command {
	var (
		s server
		o output
	)
	cmd := &cobra.Command{
		Use:                   "deadlocks [flags]",
		Short:                 "Show who waits for whom, and deadlocks",
		Long:                  deadlocksHelp + exits(map[int]string{0: "there is no deadlock", exitDanger: "there is a deadlock"}, 0, exitDanger, exitUsage, exitUnavailable, exitDenied),
		Example:               "  redislock deadlocks\n  redislock deadlocks --output json | jq -r '.deadlocks[].break'",
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
	}
	o.flags(cmd.Flags())
	s.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		p, l, err := begin(cmd, &s, &o)
		if err != nil {
			return err
		}
		defer l.close()
		g, err := l.deadlocks(context.Background())
		if err != nil {
			return err
		}
		switch {
		case o.json():
			err = o.write(p, jsonGraph(g))
		case len(g.Edges) > 0 || len(g.Cycles) > 0:
			width := p.width
			if width <= 0 {
				width = helpWidth
			}
			_, err = io.WriteString(p, drawDeadlocks(g, l.locksOf(context.Background(), g.Cycles), s.again(), width)+drawWaits(g, width))
		default:
			voice{cmd.ErrOrStderr(), false}.say("nobody waits in a circle, and nobody holds a lock and waits for another, under the prefix %q on Redis at %s", s.prefix, l.addr)
		}
		if err == nil && len(g.Cycles) > 0 {
			return &exit{status: exitDanger}
		}
		return err
	}
	return cmd
}

// deadlocks takes any time as long as Redis goes on answering.
func (l *link) deadlocks(ctx context.Context) (redislock.WaitGraph, error) {
	ctx, stop := l.attended(ctx)
	defer stop()
	g, err := l.client.Deadlocks(ctx)
	if err != nil {
		return g, l.ended(ctx, err)
	}
	return g, nil
}

// lookTime is how long a look for deadlocks takes at most beside the look at one lock.
const lookTime = 2 * time.Second

// drawDeadlocks shows each deadlock: who is in it, who waits behind it, and what can be done. The locks are those of the
// deadlocks.
func drawDeadlocks(g redislock.WaitGraph, locks []redislock.Info, flags string, width int) string {
	var b strings.Builder
	if len(g.Cycles) == 0 {
		b.WriteString(indented("Nobody waits in a circle: there is no deadlock.", "", width) + "\n")
	}
	now := timeOf(g)
	for _, c := range g.Cycles {
		t := trouble.OfCycle(c, locks...)
		title := "D" + strings.TrimPrefix(t.Title.Say(now), "d")
		if when := t.When(); when != "" {
			title += ", " + when.Say(now)
		}
		for line := range strings.Lines(indented(title, "", width)) {
			b.WriteString(bad.Render(strings.TrimSuffix(line, "\n")) + "\n")
		}
		for _, means := range t.Means {
			b.WriteString(indented(means.Say(now), "  ", width))
		}
		steps := slices.DeleteFunc(t.Steps, func(s trouble.Step) bool { return s.Command == "redislock deadlocks" })
		b.WriteString(stepsInWords(steps, now, flags, width) + "\n")
	}
	return b.String()
}

// drawing draws who waits for whom.
type drawing struct {
	strings.Builder
	width int
	now   time.Time
	by    map[string][]redislock.WaitEdge // by the ID of the hold that is waited for
	drawn map[string]bool                 // the IDs of the holds below which all is drawn
}

// drawWaits draws below each hold those who wait for it, beginning with the holds whose owners wait for nobody.
func drawWaits(g redislock.WaitGraph, width int) string {
	d := &drawing{width: width, now: timeOf(g), by: map[string][]redislock.WaitEdge{}, drawn: map[string]bool{}}
	waits := map[string]bool{}
	for _, e := range g.Edges {
		d.by[e.Blocker.ID] = append(d.by[e.Blocker.ID], e)
		waits[e.Hold.ID] = true
	}
	d.WriteString(heading.Render("Who waits for whom") + "\n")
	for _, circular := range []bool{false, true} { // then what only a circle leads to
		for _, e := range g.Edges {
			if waits[e.Blocker.ID] == circular && !d.drawn[e.Blocker.ID] {
				d.text(0, "%s%s is held by %s, for %s", visible(e.For), metadata(e.Blocker.Owner), trouble.Who(e.Blocker.Owner), trouble.Length(d.now.Sub(e.Blocker.Since)))
				d.below(e.Blocker.ID, 1)
			}
		}
	}
	return d.String()
}

// maxDrawn is how deep the drawing goes to the right; what is below that stays there.
const maxDrawn = 10

func (d *drawing) below(hold string, depth int) {
	d.drawn[hold] = true
	for _, e := range d.by[hold] {
		wait := "waits to become the only holder"
		if !e.Place.Since.IsZero() {
			wait = "waits for " + trouble.Length(e.Waited)
		}
		seen := ""
		if d.drawn[e.Hold.ID] {
			seen = " (see above)"
		}
		d.text(depth, "%s %s%s; it holds %s%s, for %s%s", trouble.Who(e.Place.Owner), wait, metadata(e.Place.Owner), visible(e.Lock), metadata(e.Hold.Owner), trouble.Length(d.now.Sub(e.Hold.Since)), seen)
		if seen == "" {
			d.below(e.Hold.ID, depth+1)
		}
	}
}

func (d *drawing) text(depth int, format string, args ...any) {
	indent := strings.Repeat("  ", min(depth, maxDrawn)+1)
	first := indent
	if depth > 0 {
		first = indent[2:] + "← "
	}
	lines := wrapped(fmt.Sprintf(format, args...), d.width-len(indent))
	d.WriteString(first + strings.Join(lines, "\n"+indent) + "\n")
}

func metadata(o redislock.Owner) string {
	if o.Metadata == "" {
		return ""
	}
	return " (" + visible(o.Metadata) + ")"
}

// timeOf is the time of Redis as a graph tells it; that of this machine where it does not.
func timeOf(g redislock.WaitGraph) (now time.Time) {
	for _, e := range g.Edges {
		if at := e.Place.Since.Add(e.Waited); !e.Place.Since.IsZero() && at.After(now) {
			now = at
		}
	}
	if now.IsZero() {
		return time.Now()
	}
	return now
}

// graphJSON is who waits for whom, for programs.
type graphJSON struct {
	Waits     []waitJSON     `json:"waits"`
	Deadlocks []deadlockJSON `json:"deadlocks"`
}

// deadlockJSON is a circle of waits: each is for the hold of the next one, the last for that of the first. Break is the lock of the
// one that began to wait last, and Fence that of its hold.
type deadlockJSON struct {
	Waits []waitJSON `json:"waits"`
	Break string     `json:"break"`
	Fence int64      `json:"fence"`
}

// waitJSON is one who holds Lock and waits for For. Blocker is a hold of that.
type waitJSON struct {
	Lock          string        `json:"lock"`
	Hold          graphHoldJSON `json:"hold"`
	For           string        `json:"for"`
	Place         placeJSON     `json:"place"`
	Blocker       graphHoldJSON `json:"blocker"`
	WaitedSeconds float64       `json:"waited_seconds"`
}

type graphHoldJSON struct {
	ownerJSON
	Since  time.Time `json:"since"`
	Fence  int64     `json:"fence"`
	Mode   string    `json:"mode"`
	Weight int       `json:"weight"`
}

func jsonGraph(g redislock.WaitGraph) graphJSON {
	out := graphJSON{Waits: jsonWaits(g.Edges), Deadlocks: []deadlockJSON{}}
	for _, c := range g.Cycles {
		youngest := c.Youngest()
		out.Deadlocks = append(out.Deadlocks, deadlockJSON{jsonWaits(c), youngest.Lock, youngest.Hold.Fence})
	}
	return out
}

func jsonWaits(edges []redislock.WaitEdge) []waitJSON {
	waits := []waitJSON{}
	hold := func(h redislock.Hold) graphHoldJSON {
		return graphHoldJSON{jsonOwner(h.Owner), h.Since.UTC(), h.Fence, h.Mode.String(), h.Weight}
	}
	for _, e := range edges {
		waits = append(waits, waitJSON{e.Lock, hold(e.Hold), e.For, jsonPlace(e.Place.Since.Add(e.Waited), e.Place), hold(e.Blocker), e.Waited.Seconds()})
	}
	return waits
}
