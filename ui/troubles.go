package ui

import (
	"context"
	"encoding/json"
	"time"

	"example.com/redislock/ui/trouble"
)

const (
	// maxTroubles is how many troubles are shown in words, and maxMarked how many locks are marked in the list. The
	// worst come first.
	maxTroubles = 100
	maxMarked   = 5000
)

// troubleItem is a [trouble.Trouble]. Times in its texts are marked, see [trouble.Text].
type troubleItem struct {
	Kind    trouble.Kind   `json:"kind"`
	Level   trouble.Level  `json:"level"`
	ID      string         `json:"id,omitempty"`     // of the lock
	Others  int            `json:"others,omitempty"` // further locks
	Job     string         `json:"job,omitempty"`    // the id of a job, without "cron:"
	Title   trouble.Text   `json:"title"`
	Since   int64          `json:"since,omitempty"`
	When    trouble.Text   `json:"when,omitempty"`
	Waiting int            `json:"waiting,omitempty"`
	Means   []trouble.Text `json:"means"`
	Steps   []step         `json:"steps"`
}

// step is a [trouble.Step], whose command leads to this Redis.
type step struct {
	Action  trouble.Action `json:"action"`
	Text    trouble.Text   `json:"text"`
	Warn    trouble.Text   `json:"warn,omitempty"`
	Command string         `json:"command,omitempty"`
}

// troublesMessage is all that needs a person, the worst first.
type troublesMessage struct {
	Items []troubleItem            `json:"items"`
	More  int                      `json:"more,omitempty"` // further troubles
	Locks map[string]trouble.Level `json:"locks"`          // the worst level of each lock, by its id
}

func (c Config) steps(all []trouble.Step) []step {
	out := []step{}
	for _, s := range all {
		out = append(out, step{s.Action, s.Text, s.Warn, s.Line(c.Flags)})
	}
	return out
}

func (c Config) troubles(all []trouble.Trouble) json.RawMessage {
	m := troublesMessage{Items: []troubleItem{}, Locks: map[string]trouble.Level{}}
	for i, t := range all {
		var names []string
		if t.Lock != "" {
			names = append([]string{t.Lock}, t.Others...)
		} else if t.Job != "" {
			names = []string{"cron:" + t.Job}
		}
		for _, name := range names {
			if len(m.Locks) == maxMarked {
				break
			}
			m.Locks[idOf(name)] = max(m.Locks[idOf(name)], t.Level)
		}
		if i >= maxTroubles {
			m.More++
			continue
		}
		item := troubleItem{Kind: t.Kind, Level: t.Level, Title: t.Title, Since: millis(t.Since), When: t.When(), Waiting: t.Waiting, Means: t.Means, Steps: c.steps(trouble.Overview(t.Steps))}
		if t.Lock != "" {
			item.ID, item.Others = idOf(t.Lock), len(t.Others)
		}
		if t.Job != "" {
			item.Job = idOf(t.Job)
		}
		m.Items = append(m.Items, item)
	}
	return encode(m)
}

// judge finds the troubles of this time.
func (h *hub) judge(ctx context.Context, now time.Time) {
	h.mu.Lock()
	h.found = trouble.All(h.memory.Troubles(now), h.runs, h.report, now)
	all := h.found
	h.mu.Unlock()
	h.set(ctx, &h.troubles, h.config.troubles(all), func(s *stream) {
		s.trouble, s.detail = true, s.look != nil && s.look.seen // what is said of one lock depends on all troubles
	})
}
