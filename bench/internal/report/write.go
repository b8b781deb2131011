package report

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Write makes performance.md with its pictures and its appendix, and scale.md, in a folder. A run that is not whole writes nothing:
// [ErrPartial]. Pages are only replaced when all of them could be made.
//
// It also returns an error, after writing the pages, if a peer is better in a row without a reason.
func (r *Run) Write(dir string) error {
	if err := r.Whole(); err != nil {
		return err
	}
	performance, pictures, err := r.Performance()
	if err != nil {
		return err
	}
	scale, err := r.ScalePage()
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, chartDir)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(folder, "*.svg"))
	if err != nil {
		return err
	}
	for _, path := range old { // the picture of a chart that no longer exists
		if pictures[filepath.Base(path)] == nil {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	files := map[string][]byte{
		filepath.Join(dir, "performance.md"): performance, filepath.Join(dir, details): r.Details(), filepath.Join(dir, "scale.md"): scale,
	}
	for name, svg := range pictures {
		files[filepath.Join(folder, name)] = svg
	}
	for path, text := range files {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	if open := r.Unexplained(); len(open) > 0 {
		slices.Sort(open)
		return fmt.Errorf("the pages are written, but a peer is better and reasons.go does not say why:\n  %s", strings.Join(open, "\n  "))
	}
	return nil
}
