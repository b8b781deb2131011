package ui

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"example.com/redislock/ui/doctor"
	"example.com/redislock/ui/trouble"
)

// health is a report with the worst first.
type health struct {
	Findings []finding    `json:"findings"`
	Worst    doctor.Level `json:"worst"`
	At       int64        `json:"at"`    // by the clock of this machine
	Pause    int64        `json:"pause"` // until the next examination
}

// finding is a [doctor.Finding]. Parts of its texts come from the server.
type finding struct {
	Check text         `json:"check"`
	Node  text         `json:"node,omitempty"`
	Level doctor.Level `json:"level"`
	Found text         `json:"found"`
	Why   text         `json:"why,omitempty"`
	Since int64        `json:"since,omitempty"` // by the clock of Redis
	Steps []step       `json:"steps"`
}

func (c Config) health(report doctor.Report, at time.Time, pause time.Duration) json.RawMessage {
	h := health{Findings: []finding{}, Worst: report.Worst(), At: at.UnixMilli(), Pause: pause.Milliseconds()}
	for _, f := range report.Findings {
		h.Findings = append(h.Findings, finding{text(f.Check), text(f.Node), f.Level, text(f.Found), text(f.Why), millis(f.Since), c.steps(trouble.StepsOf(f))})
	}
	slices.SortStableFunc(h.Findings, func(a, b finding) int { return cmp.Compare(b.Level, a.Level) })
	return encode(h)
}

func sortedJobs(jobs []job) []job {
	slices.SortFunc(jobs, func(a, b job) int { return cmp.Compare(a.ID, b.ID) })
	return jobs
}
