package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// oneAtATime has all processes add to one counter, first without the lock and then with it.
func oneAtATime(ctx context.Context, d *demo) error {
	without, _, err := d.countTogether(ctx, "")
	if err != nil {
		return err
	}
	with, sections, err := d.countTogether(ctx, "counter")
	if err != nil {
		return err
	}
	total := instances * additions
	if len(sections) != total {
		return fmt.Errorf("%d sections were reported of %d", len(sections), total)
	}
	slices.SortFunc(sections, func(a, b report) int { return a.At.Compare(b.At) })
	overlaps, disorder, handOffs := 0, 0, 0
	var pauses []time.Duration
	for k := 1; k < len(sections); k++ {
		before, after := sections[k-1], sections[k]
		if after.At.Before(before.Left) {
			overlaps++
		}
		if after.Fence <= before.Fence {
			disorder++
		}
		if after.Instance != before.Instance {
			handOffs++
			pauses = append(pauses, after.At.Sub(before.Left))
		}
	}
	took := sections[len(sections)-1].Left.Sub(sections[0].At)
	d.note("counted without the lock", fmt.Sprintf("%d of %d", without, total))
	d.check("counted with it", fmt.Sprintf("%d of %d", with, total), fmt.Sprint(total), with == total)
	d.check("sections that overlap", fmt.Sprint(overlaps), "0", overlaps == 0)
	d.check("fences out of order", fmt.Sprint(disorder), "0", disorder == 0)
	if len(pauses) > 0 {
		slices.Sort(pauses)
		d.note("hand-overs to another", fmt.Sprintf("%d in %v", handOffs, round(took)))
		d.note("hand-overs a second", fmt.Sprintf("%.0f", float64(handOffs)/took.Seconds()))
		d.note("one hand-over, median", round(pauses[len(pauses)/2]).String())
	}
	return nil
}

// countTogether has all processes add to a new counter at the same time. It answers what the counter says then, and
// the sections that were under the lock.
func (d *demo) countTogether(ctx context.Context, lock string) (counted int, sections []report, err error) {
	file := filepath.Join(d.dir, "counter-"+lock)
	if err := os.WriteFile(file, []byte("0"), 0o600); err != nil {
		return 0, nil, err
	}
	start := time.Now().Add(startTogether)
	for _, i := range d.troupe {
		if err := i.order(order{Do: "count", Lock: lock, File: file, Times: additions, Pause: sectionPause, At: start}); err != nil {
			return 0, nil, err
		}
	}
	for done := 0; done < instances; {
		r, err := d.await(ctx, func(r report) bool { return r.What == "section" || r.What == "counted" })
		if err != nil {
			return 0, nil, err
		}
		if r.What == "counted" {
			done++
			continue
		}
		sections = append(sections, r)
		d.progress("%d of %d additions", len(sections), instances*additions)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, nil, err
	}
	_, _ = fmt.Sscan(string(text), &counted) // what cannot be read counts as nothing
	return counted, sections, nil
}
