package ui

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"example.com/redislock/ui/doctor"
)

// health is a report with the worst first.
type health struct {
	Findings []finding    `json:"findings"`
	Worst    doctor.Level `json:"worst"`
	At       int64        `json:"at"` // by the clock of this machine
}

// finding is a [doctor.Finding]. Parts of its texts come from the server.
type finding struct {
	Check text         `json:"check"`
	Node  text         `json:"node,omitempty"`
	Level doctor.Level `json:"level"`
	Found text         `json:"found"`
	Why   text         `json:"why,omitempty"`
	Fix   text         `json:"fix,omitempty"`
	// Command mends it. Cost says what the command costs, to be read before.
	Command string `json:"command,omitempty"`
	Cost    text   `json:"cost,omitempty"`
}

func healthOf(report doctor.Report, at time.Time) json.RawMessage {
	h := health{Findings: []finding{}, Worst: report.Worst(), At: at.UnixMilli()}
	for _, f := range report.Findings {
		h.Findings = append(h.Findings, finding{text(f.Check), text(f.Node), f.Level, text(f.Found), text(f.Why), text(f.Fix), f.Command, text(f.Cost)})
	}
	slices.SortStableFunc(h.Findings, func(a, b finding) int { return cmp.Compare(b.Level, a.Level) })
	return encode(h)
}

func sortedJobs(jobs []job) []job {
	slices.SortFunc(jobs, func(a, b job) int { return cmp.Compare(a.ID, b.ID) })
	return jobs
}
