// Package report makes the documents of a run, from its measurements only: tables with ratios to the floors and to
// each peer, charts, the budgets, and the needs of a fleet.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"example.com/redislock/bench/internal/measure"
)

// Run is the content of the file of a run.
type Run struct {
	When  time.Time
	Took  time.Duration
	Only  string  // the expression that chose sections; empty: all of them
	Scale float64 // a factor for all durations; 1 is a whole run
	Facts Facts
	Log   measure.Log
}

// Read reads a run from its file.
func Read(path string) (*Run, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &Run{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Save writes the file of a run.
func (r *Run) Save(path string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// ErrPartial says that no documents can be made of a run, as it left out sections or was shortened.
var ErrPartial = errors.New("only a whole run may write the documents")

// Whole is nil if the run had all sections, at their full length. Otherwise it says what is missing.
func (r *Run) Whole() error {
	switch {
	case r.Only != "":
		return fmt.Errorf("%w: this one had -only %q", ErrPartial, r.Only)
	case r.Scale < 1:
		return fmt.Errorf("%w: this one had -scale %g", ErrPartial, r.Scale)
	case len(r.Log.Entries) == 0:
		return fmt.Errorf("%w: this one measured nothing", ErrPartial)
	}
	return nil
}
