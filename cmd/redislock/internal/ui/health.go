package ui

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"example.com/redislock/cmd/redislock/internal/doctor"
)

// health is a report with the worst first.
type health struct {
	doctor.Report
	Worst doctor.Level `json:"worst"`
	At    int64        `json:"at"` // by the clock of this machine
}

func healthOf(report doctor.Report, at time.Time) json.RawMessage {
	report.Findings = slices.Clone(report.Findings)
	slices.SortStableFunc(report.Findings, func(a, b doctor.Finding) int { return cmp.Compare(b.Level, a.Level) })
	for i := range report.Findings {
		f := &report.Findings[i]
		for _, text := range []*string{&f.Check, &f.Node, &f.Found, &f.Why, &f.Fix} {
			*text = valid(*text)
		}
	}
	if report.Findings == nil {
		report.Findings = []doctor.Finding{}
	}
	return encode(health{report, report.Worst(), at.UnixMilli()})
}

func sortedJobs(jobs []job) []job {
	slices.SortFunc(jobs, func(a, b job) int { return cmp.Compare(a.ID, b.ID) })
	return jobs
}
