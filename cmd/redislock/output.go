package main

import (
	"bytes"
	"encoding/json"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"example.com/redislock"
	"example.com/redislock/ui/trouble"
)

// output is how a command shows what it found: as text for people, or as JSON for programs.
type output struct{ format string }

func (o *output) flags(f *pflag.FlagSet) {
	f.StringVarP(&o.format, "output", "o", "text", "how to show the result: text or json")
}

// check is a usage error for a format that there is not.
func (o *output) check() error {
	if o.format != "text" && o.format != "json" {
		return exitWith(exitUsage, "--output (%s): must be text or json", o.format)
	}
	return nil
}

func (o *output) json() bool { return o.format == "json" }

// write writes one JSON document on a line of its own. Nothing in it can steer a terminal.
func (o *output) write(w io.Writer, v any) error { return writeJSON(result{w}, v) }

func writeJSON(w io.Writer, v any) error {
	var document bytes.Buffer
	if err := json.NewEncoder(&document).Encode(v); err != nil {
		return exitWith(exitUnavailable, "the result cannot be written as JSON: %v", err)
	}
	_, err := w.Write(escapeJSON(document.Bytes()))
	return err
}

// outputIsJSON reports whether a command was asked for JSON, as far as its arguments could be read.
func outputIsJSON(cmd *cobra.Command) bool {
	f := cmd.Flags().Lookup("output")
	return f != nil && f.Value.String() == "json"
}

// The JSON of all commands: names are in snake_case, times in RFC 3339 and UTC, durations in seconds.

// lockJSON is the state of a lock. Troubles are what needs a person; only ls and show look for it, and then it is there even if empty.
type lockJSON struct {
	Name    string      `json:"name"`
	Now     time.Time   `json:"now"`
	Fence   int64       `json:"fence"`
	Holders int         `json:"holders"`
	Holds   []holdJSON  `json:"holds"`
	Waiting int         `json:"waiting"`
	Places  []placeJSON `json:"places"`

	Limit *limitOfJSON `json:"limit,omitempty"` // absent if there is none

	Troubles []troubleJSON `json:"troubles,omitzero"`
}

// troubleJSON is something that needs a person: of a lock, of a job, or of the server if it names neither. Since is when it began, if
// that is known. The texts are in words, with times in the zone of this machine.
type troubleJSON struct {
	Job     string     `json:"job,omitempty"`
	Lock    string     `json:"lock,omitempty"`
	Others  []string   `json:"others,omitempty"` // further locks that it is about
	Kind    string     `json:"kind"`
	Level   string     `json:"level"`             // warning or danger
	Message string     `json:"message,omitempty"` // the line of cron-status --check
	Since   *time.Time `json:"since,omitempty"`
	Title   string     `json:"title"`
	Waiting int        `json:"waiting,omitempty"`
	Means   []string   `json:"means"`
	Steps   []stepJSON `json:"steps"`
}

// stepJSON is something that can be done. Action is look, mend, take, forget or prevent. Warn is what it costs and whom it
// affects. Command is absent if there is none for it.
type stepJSON struct {
	Action  string `json:"action"`
	Text    string `json:"text"`
	Warn    string `json:"warn,omitempty"`
	Command string `json:"command,omitempty"`
}

// jsonTroubles are troubles as of now, by the clock of Redis. The flags lead to the same Redis.
func jsonTroubles(found []trouble.Trouble, now time.Time, flags string) []troubleJSON {
	all := []troubleJSON{}
	for _, t := range found {
		one := troubleJSON{
			Job: t.Job, Lock: t.Lock, Others: t.Others, Kind: string(t.Kind), Level: t.Level.String(), Since: jsonTime(t.Since), Title: t.Title.Say(now),
			Waiting: t.Waiting, Means: []string{}, Steps: []stepJSON{},
		}
		for _, text := range t.Means {
			one.Means = append(one.Means, text.Say(now))
		}
		for _, s := range t.Steps {
			one.Steps = append(one.Steps, stepJSON{s.Action.String(), s.Text.Say(now), s.Warn.Say(now), s.Line(flags)})
		}
		all = append(all, one)
	}
	return all
}

// holdJSON is one hold. HeldSeconds are since it was granted, LeftSeconds until it lapses unless it is renewed. Kept is one
// that its owner has given back, and that stays until the deadline.
type holdJSON struct {
	ownerJSON
	Since       time.Time `json:"since"`
	Deadline    time.Time `json:"deadline"`
	HeldSeconds float64   `json:"held_seconds"`
	LeftSeconds float64   `json:"left_seconds"`
	Fence       int64     `json:"fence"`
	Mode        string    `json:"mode"`
	Weight      int       `json:"weight"`
	Revoked     bool      `json:"revoked"`
	Kept        bool      `json:"kept"`
}

// placeJSON is one place in the queue. Since is absent for a reader that waits to become the writer.
type placeJSON struct {
	ownerJSON
	Since         *time.Time `json:"since,omitempty"`
	WaitedSeconds float64    `json:"waited_seconds"`
	Mode          string     `json:"mode"`
	Weight        int        `json:"weight"`
}

type ownerJSON struct {
	Client   string `json:"client"`
	Host     string `json:"host"`
	PID      int    `json:"pid"`
	Metadata string `json:"metadata,omitempty"`
	Trace    string `json:"trace,omitempty"`
	Turns    bool   `json:"turns,omitempty"`
}

func jsonOwner(o redislock.Owner) ownerJSON {
	return ownerJSON{Client: o.Client, Host: o.Host, PID: o.PID, Metadata: o.Metadata, Trace: o.Trace, Turns: o.Turns}
}

func jsonLock(info redislock.Info) lockJSON {
	l := lockJSON{
		Name: info.Name, Now: info.Now.UTC(), Fence: info.Fence, Holders: info.Holders, Holds: jsonHolds(info),
		Waiting: info.Waiting, Places: []placeJSON{},
	}
	for _, p := range info.Places {
		l.Places = append(l.Places, jsonPlace(info.Now, p))
	}
	if len(info.Limit.Rules) > 0 {
		limit := jsonLimit(info)
		l.Limit = &limit
	}
	return l
}

func jsonHolds(info redislock.Info) []holdJSON {
	holds := []holdJSON{}
	for _, h := range info.Holds {
		holds = append(holds, holdJSON{
			ownerJSON: jsonOwner(h.Owner), Since: h.Since.UTC(), Deadline: h.Deadline.UTC(),
			HeldSeconds: info.Now.Sub(h.Since).Seconds(), LeftSeconds: h.Deadline.Sub(info.Now).Seconds(),
			Fence: h.Fence, Mode: h.Mode.String(), Weight: h.Weight, Revoked: h.Revoked, Kept: h.Kept,
		})
	}
	return holds
}

func jsonPlace(now time.Time, p redislock.Place) placeJSON {
	place := placeJSON{ownerJSON: jsonOwner(p.Owner), Since: jsonTime(p.Since), Mode: p.Mode.String(), Weight: p.Weight}
	if place.Since != nil {
		place.WaitedSeconds = now.Sub(p.Since).Seconds()
	}
	return place
}

// jsonTime is nil for a time that is not known.
func jsonTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
