package ui

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"time"
	"unicode/utf8"

	"example.com/redislock"
	"example.com/redislock/ui/trouble"
)

// These types are the messages to the page. Times are in milliseconds since 1970 by the clock of Redis; 0 means none. A
// lock has an id, the percent-encoding of its name: names are bytes, and JSON cannot hold bytes that are not UTF-8.

func idOf(name string) string { return url.PathEscape(name) }

func nameOf(id string) (string, error) {
	name, err := url.PathUnescape(id)
	if err == nil && (name == "" || len(name) > redislock.MaxName) {
		err = fmt.Errorf("a name has 1 to %d bytes", redislock.MaxName)
	}
	return name, err
}

// text is a text of others, which may have any bytes. In JSON, bytes that are not UTF-8 become the lone surrogates U+DC80 to
// U+DCFF, which no valid text has, so that the page can show them as bytes.
type text string

// MarshalJSON never fails.
func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	out := []byte{'"'}
	for rest := string(t); rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		if r == utf8.RuneError && size == 1 {
			out = fmt.Appendf(out, `\udc%02x`, rest[0])
		} else {
			quoted, _ := json.Marshal(rest[:size])
			out = append(out, quoted[1:len(quoted)-1]...)
		}
		rest = rest[size:]
	}
	return append(out, '"'), nil
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

type owner struct {
	Client text `json:"client,omitempty"`
	Host   text `json:"host,omitempty"`
	PID    int  `json:"pid,omitempty"`
	Meta   text `json:"meta,omitempty"`
	Trace  text `json:"trace,omitempty"`
	Turns  bool `json:"turns,omitempty"`
}

func ownerOf(o redislock.Owner) owner {
	return owner{text(o.Client), text(o.Host), o.PID, text(o.Metadata), text(o.Trace), o.Turns}
}

// briefly is an owner without its trace, for places where the page does not show that.
func briefly(o redislock.Owner) owner {
	o.Trace = ""
	return ownerOf(o)
}

// row is a lock in the list.
type row struct {
	ID      string `json:"id"`
	Held    int    `json:"held,omitempty"`
	Waiting int    `json:"waiting,omitempty"`
	Fence   int64  `json:"fence,omitempty"` // microseconds, or less: exact in JavaScript until the year 2255
	// These are of the oldest hold that was not given back, or else of the oldest, and of the waiter that has waited
	// longest.
	Owner     *owner `json:"owner,omitempty"`
	Since     int64  `json:"since,omitempty"`
	Deadline  int64  `json:"deadline,omitempty"`
	Mode      text   `json:"mode,omitempty"`
	Revoked   bool   `json:"revoked,omitempty"` // any hold is being stolen
	Kept      bool   `json:"kept,omitempty"`    // all holds are given back, and kept until their deadlines
	WaitSince int64  `json:"waitSince,omitempty"`
	// Error says why the lock cannot be read; then nothing else is known.
	Error text `json:"error,omitempty"`
	// Others are further holders, and Waiters the first waiters, in order. They have no metadata, and there are as many as a
	// listing of all locks gives.
	Others  []party `json:"others,omitempty"`
	Waiters []party `json:"waiters,omitempty"`
}

// party is a holder of a lock or a waiter for it.
type party struct {
	Client text  `json:"client,omitempty"`
	Host   text  `json:"host,omitempty"`
	PID    int   `json:"pid,omitempty"`
	Since  int64 `json:"since,omitempty"`
}

func partyOf(o redislock.Owner, since time.Time) party {
	return party{text(o.Client), text(o.Host), o.PID, millis(since)}
}

// maxParties is how many others and how many waiters of a lock are in the list.
const maxParties = 10

func rowOf(info redislock.Info) json.RawMessage {
	r := row{ID: idOf(info.Name), Held: info.Holders, Waiting: info.Waiting, Fence: info.Fence}
	if len(info.Holds) > 0 {
		at := max(0, slices.IndexFunc(info.Holds, func(h redislock.Hold) bool { return !h.Kept }))
		h := info.Holds[at]
		for i, other := range info.Holds {
			if i != at && len(r.Others) < maxParties {
				r.Others = append(r.Others, partyOf(other.Owner, other.Since))
			}
		}
		o := briefly(h.Owner)
		r.Owner, r.Since, r.Deadline, r.Mode, r.Kept = &o, millis(h.Since), millis(h.Deadline), text(h.Mode.String()), h.Kept
		for _, h := range info.Holds {
			r.Revoked = r.Revoked || h.Revoked
		}
	}
	for i, p := range info.Places {
		if since := millis(p.Since); since > 0 && (r.WaitSince == 0 || since < r.WaitSince) {
			r.WaitSince = since
		}
		if i < maxParties {
			r.Waiters = append(r.Waiters, partyOf(p.Owner, p.Since))
		}
	}
	return encode(r)
}

type hold struct {
	Owner    owner `json:"owner"`
	Since    int64 `json:"since"`
	Deadline int64 `json:"deadline"`
	Fence    int64 `json:"fence"`
	Mode     text  `json:"mode"`
	Weight   int   `json:"weight"`
	Revoked  bool  `json:"revoked,omitempty"`
	Kept     bool  `json:"kept,omitempty"` // given back, and kept until its deadline
}

type place struct {
	Owner  owner `json:"owner"`
	Since  int64 `json:"since,omitempty"`
	Mode   text  `json:"mode"`
	Weight int   `json:"weight"`
}

// limit is the limit of a lock's holds, and until when it is in force.
type limit struct {
	Rules []rule `json:"rules"`
	Until int64  `json:"until"`
}

// rule says how many holds of some modes there may be in all.
type rule struct {
	Most  int    `json:"most"`
	Modes []text `json:"modes"`
}

// detail is a lock on its own page. Holds and Places are the first of Held and Waiting.
type detail struct {
	ID      string  `json:"id"`
	Now     int64   `json:"now"`
	Fence   int64   `json:"fence"`
	Held    int     `json:"held"`
	Waiting int     `json:"waiting"`
	Limit   *limit  `json:"limit,omitempty"` // nil if the lock has none
	Holds   []hold  `json:"holds"`
	Places  []place `json:"places"`
	Error   text    `json:"error,omitempty"`
	// History has the items since the last detail of this stream. Blind are times of which nothing is known: nobody looked, or
	// their items were dropped.
	History []item     `json:"history"`
	Blind   [][2]int64 `json:"blind"`
	// Means and Steps say what the state means and what can be done, as redislock show does.
	Means []trouble.Text `json:"means"`
	Steps []step         `json:"steps"`
	// Instead is the id of the lock that is to be broken, and not this one; empty if no other is.
	Instead string `json:"instead,omitempty"`
	// Stops says that acquires are refused now, and why.
	Stops trouble.Text `json:"stops,omitempty"`
}

// maxDetail is how many holders and waiters the page of a lock shows, as many as a Client gives.
const maxDetail = redislock.DefaultShown

func detailOf(info redislock.Info) detail {
	d := detail{
		ID: idOf(info.Name), Now: millis(info.Now), Fence: info.Fence, Held: info.Holders, Waiting: info.Waiting,
		Holds: []hold{}, Places: []place{}, History: []item{}, Blind: [][2]int64{},
	}
	if len(info.Limit.Rules) > 0 {
		d.Limit = &limit{Until: millis(info.Limit.Until)}
		for _, r := range info.Limit.Rules {
			one := rule{Modes: []text{}}
			one.Most, _ = r.Most()
			for _, mode := range r.Modes() {
				one.Modes = append(one.Modes, text(mode))
			}
			d.Limit.Rules = append(d.Limit.Rules, one)
		}
	}
	for _, h := range info.Holds[:min(len(info.Holds), maxDetail)] {
		d.Holds = append(d.Holds, hold{ownerOf(h.Owner), millis(h.Since), millis(h.Deadline), h.Fence, text(h.Mode.String()), h.Weight, h.Revoked, h.Kept})
	}
	for _, p := range info.Places[:min(len(info.Places), maxDetail)] {
		d.Places = append(d.Places, place{ownerOf(p.Owner), millis(p.Since), text(p.Mode.String()), p.Weight})
	}
	return d
}

// job is a cron job and its last run.
type job struct {
	ID      string `json:"id"` // of the job's name, without "cron:"
	Outcome string `json:"outcome"`
	Tick    int64  `json:"tick,omitempty"`
	Start   int64  `json:"start,omitempty"`
	End     int64  `json:"end,omitempty"`
	Next    int64  `json:"next,omitempty"`
	Error   text   `json:"error,omitempty"`
	Node    owner  `json:"node"`
	Fence   int64  `json:"fence,omitempty"`
	Runs    []run  `json:"runs,omitempty"` // the known runs, the last at the end
}

// run is the outcome of one run of a job, or its state if it has not ended.
type run struct {
	Outcome string `json:"outcome"`
	Tick    int64  `json:"tick"`
	Took    int64  `json:"took,omitempty"` // milliseconds, if the run has ended
	fence   int64
}

// maxRuns is how many runs of a job are shown.
const maxRuns = 24

// ran adds the runs of a job's record to those that were seen before: the history that its nodes keep, and the last run.
func ran(seen []run, s redislock.CronStatus) []run {
	seen = slices.Clone(seen) // the old slice may be on its way to a browser
	put := func(outcome redislock.Outcome, tick time.Time, took time.Duration, fence int64) {
		one := run{Outcome: outcome.String(), Tick: millis(tick), fence: fence}
		if outcome == redislock.OutcomeRan || outcome == redislock.OutcomeFailed {
			one.Took = took.Milliseconds()
		}
		at, known := slices.BinarySearchFunc(seen, one, func(a, b run) int { return cmp.Compare(a.fence, b.fence) })
		if known {
			seen[at] = one
		} else {
			seen = slices.Insert(seen, at, one)
		}
	}
	for _, r := range s.Earlier {
		put(r.Outcome, r.Tick, r.Duration, r.Fence)
	}
	put(s.Outcome, s.Tick, s.Duration, s.Fence)
	return seen[max(0, len(seen)-maxRuns):]
}

func jobOf(s redislock.CronStatus) job {
	j := job{
		ID: idOf(s.Job), Outcome: s.Outcome.String(), Tick: millis(s.Tick), Start: millis(s.Start), End: millis(s.End),
		Next: millis(s.Next), Error: text(s.Err), Node: ownerOf(s.Node), Fence: s.Fence,
	}
	if s.Outcome == redislock.OutcomeDied {
		j.End = 0 // it is not known
	}
	return j
}

// status is the state of the watcher itself.
type status struct {
	Now     int64 `json:"now"`    // the time of the last look, by the clock of Redis
	Sweeps  int   `json:"sweeps"` // completed sweeps
	TookMS  int64 `json:"tookMs"` // the time of the last sweep
	PauseMS int64 `json:"pauseMs"`
	Locks   int   `json:"locks"`
	LeftOut int   `json:"leftOut,omitempty"` // locks beyond maxLocks
	Error   text  `json:"error,omitempty"`
	Unkept  text  `json:"unkept,omitempty"` // why the history is not kept
}

func encode(value any) json.RawMessage {
	encoded, err := json.Marshal(value)
	if err != nil {
		panic(err) // cannot happen: the values are plain structs of texts and numbers
	}
	return encoded
}
