package torture

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"example.com/redislock"
)

// Result is the result of a row: a line of the file that TORTURE_REPORT names.
type Result struct {
	Fault   string `json:"fault"`
	Promise string `json:"promise"`
	Physics string `json:"physics,omitempty"`
	Form    string `json:"form"` // short or full

	Workers    int      `json:"workers"`
	Operations int      `json:"operations"`
	Grants     int      `json:"grants"`
	Faults     int      `json:"faults"`
	Violations []string `json:"violations"`
	Lost       int      `json:"lost"`    // handles that reported the loss of their lock
	Writes     int      `json:"writes"`  // to the register
	Refused    int      `json:"refused"` // writes that were refused as stale
	Windows    int      `json:"windows"` // times in which two relied on the lock after the server had lost data

	Remark string `json:"remark,omitempty"` // further results, in a sentence

	// In ms.
	Window  float64 `json:"window"` // the longest of the Windows
	Stall   float64 `json:"stall"`
	Bound   float64 `json:"bound"`
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
	Longest float64 `json:"longest"`
	Took    float64 `json:"took"`
}

// judge checks everything that was logged, fails the test for each violation, and reports.
func (x *Run) judge(problems []string) {
	x.Helper()
	h := &History{Quorum: x.Nodes != nil, Since: x.ready, Turns: x.Load.turns()}
	margin := x.Load.Margin
	if margin == 0 {
		margin = redislock.DefaultClockMargin
	}
	for _, w := range x.workers {
		h.readWorker(w, x.Load.Lease, margin, x.Unreachable)
	}
	h.sort()
	r := Result{
		Fault: x.Row.Fault, Promise: x.Promise, Physics: x.Physics, Form: "short", Workers: len(x.workers), Operations: h.Calls,
		Grants: len(h.Holds), Faults: len(x.faults), Lost: h.Lost, Bound: ms(x.Bound), Remark: x.remark,
	}
	if Full() {
		r.Form = "full"
	}
	problems = append(problems, h.Problems...)
	for _, name := range x.names() {
		var longest time.Duration
		for _, w := range h.windows(name, x.losses) {
			if w.Loss == "" {
				problems = append(problems, "I1: "+w.String())
				continue
			}
			r.Windows++
			longest = max(longest, time.Duration(w.To-w.From)*time.Microsecond)
		}
		r.Window = max(r.Window, ms(longest))
		for _, p := range h.fences(name) {
			problems = append(problems, "I2: "+p)
		}
		if err := h.linear(name, x.losses, linearTime); err != nil {
			problems = append(problems, err.Error())
		}
		stall, who := h.stall(name)
		if r.Stall = max(r.Stall, ms(stall)); stall > x.Bound {
			problems = append(problems, fmt.Sprintf("worker %d waited %v for %s, which nobody had, within %d and %d", who.Worker, stall, name, who.From, who.To))
		}
	}
	if x.Nodes != nil {
		r.Remark = strings.TrimSpace(r.Remark + " " + h.fairness(x.workers))
	}
	wrong, refused := accepted(x.register.log())
	r.Writes, r.Refused = len(x.register.log()), refused
	times, stuck := h.recoveries(x.faults)
	problems = slices.Concat(problems, wrong, stuck)
	r.P50, r.P99, r.Longest = ms(percentile(times, 50)), ms(percentile(times, 99)), ms(percentile(times, 100))
	if len(x.faults) == 0 {
		problems = append(problems, "no fault was injected")
	}
	r.Violations, r.Took = problems, ms(time.Since(x.began))
	for i, p := range problems {
		if i == 10 {
			x.Errorf("and %d more", len(problems)-i)
			break
		}
		x.Error(p)
	}
	x.Logf("%d operations, %d grants, %d faults, %d lost, %d of %d writes refused, windows %d (longest %.1f ms), stall %.0f ms, recovery p50 %.1f p99 %.1f longest %.1f ms, took %.1f s",
		r.Operations, r.Grants, r.Faults, r.Lost, r.Refused, r.Writes, r.Windows, r.Window, r.Stall, r.P50, r.P99, r.Longest, r.Took/1000)
	x.report(r)
}

// report appends a line to the file that TORTURE_REPORT names.
func (x *Run) report(r Result) {
	path := os.Getenv("TORTURE_REPORT")
	if path == "" {
		return
	}
	line, err := json.Marshal(r)
	if err != nil {
		x.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		x.Fatal(err)
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		x.Error(err)
	}
	if err := f.Close(); err != nil {
		x.Error(err)
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
