package ui

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"example.com/redislock"
	"example.com/redislock/ui/history"
	"example.com/redislock/ui/trouble"
)

const (
	// maxUnwritten is how many items wait for the history in Redis; more are dropped, and that time counts as unseen.
	maxUnwritten = 5000
	// beatPause is how often the history says that somebody looks where there is nothing else to say, and beatGap after how long
	// without a word nobody did.
	beatPause = time.Minute
	beatGap   = 150 * time.Second
)

// recorder keeps the history in Redis beside that in memory: it writes what the looks see, and reads what others have told.
type recorder struct {
	log     *history.Log
	read    string // the ID of the last entry that was read
	loaded  bool
	wrote   time.Time // here
	dropped bool
	queue   []history.Entry
}

// kept is how long what happened is remembered.
func (h *hub) kept() time.Duration {
	if h.recorder.log == nil {
		return keep
	}
	return history.Life
}

// recorded puts the items of a history after the n-th down for Redis, with who has done what was done. The caller has the mutex.
func (h *hub) recorded(name string, l *past, n int, by string) {
	if h.recorder.log == nil {
		return
	}
	for _, it := range l.since(n) {
		if it.Kind == "queue" || it.By != "" { // that was read
			continue
		}
		if len(h.recorder.queue) >= maxUnwritten {
			h.recorder.dropped = true
			return
		}
		e := history.Entry{Kind: it.Kind, Name: name, Fence: it.Fence, Why: string(it.Why), Told: it.Kind == "broken" || it.Kind == "asked"}
		if e.Told {
			e.By = by
		}
		if it.Owner != nil {
			e.Owner = history.OwnerOf(redislock.Owner{Client: string(it.Owner.Client), Host: string(it.Owner.Host), PID: it.Owner.PID})
		}
		if end, bad := h.memory.Ended(name, it.Fence); bad && it.Since > 0 && !e.Told {
			e.How, e.Ended = string(end.How), millis(end.At)
		}
		seen := it
		seen.Owner, seen.Queue = nil, 0
		e.Seen, _ = json.Marshal(seen)
		h.recorder.queue = append(h.recorder.queue, e)
	}
}

// byPage is who has done something here, where nobody knows more.
const byPage = "somebody on the page"

// record writes what was seen, and reads what others have told. The page goes on where that fails: it says so.
func (h *hub) record(ctx context.Context) error {
	r := &h.recorder
	if r.log == nil {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	if err := h.readHistory(bounded); err != nil {
		return err
	}
	h.mu.Lock()
	queue := r.queue
	r.queue = nil
	if len(queue) == 0 && time.Since(r.wrote) >= beatPause {
		queue = append(queue, history.Entry{Kind: "beat"})
	}
	h.mu.Unlock()
	if len(queue) == 0 {
		return nil
	}
	if err := r.log.Add(bounded, queue...); err != nil {
		h.mu.Lock()
		r.queue = append(queue, r.queue...)[:min(len(queue)+len(r.queue), maxUnwritten)]
		h.mu.Unlock()
		return err
	}
	r.wrote = time.Now()
	return nil
}

// readHistory takes in what was written since: at first all of it, and then what others have told.
func (h *hub) readHistory(ctx context.Context) error {
	var entries []history.Entry
	if err := h.recorder.log.Read(ctx, h.recorder.read, func(e history.Entry) { entries = append(entries, e) }); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	first := !h.recorder.loaded
	h.recorder.loaded = true
	var looked time.Time // when somebody last looked
	for _, e := range entries {
		h.recorder.read = e.ID
		if !e.Told && !first || e.Mine && !first { // seen by this page too, or by another beside it
			continue
		}
		if !e.Told {
			if looked.IsZero() {
				h.began = e.At
			} else if e.At.Sub(looked) > beatGap {
				h.blind = appendBounded(h.blind, [2]int64{millis(looked), millis(e.At)})
			}
			looked = e.At
		}
		if e.Name != "" && e.Kind != "beat" {
			h.takeEntry(e)
		}
	}
	if first && !looked.IsZero() {
		h.swept = looked // nobody looked from then to the first sweep
	}
	return nil
}

// kinds are those that an entry of the history can have: what a look has seen, and what somebody told.
var kinds = map[string]bool{
	"held": true, "acquired": true, "handed over": true, "upgraded": true, "handed off": true, "released": true, "lost": true, "ended": true, "kept": true,
	"kept time over": true, "revoked": true, "stolen": true, "broken": true, "perhaps broken": true, "asked": true, "unseen": true,
}

// lastMoment is the end of the year 9999: what a browser is told of later is no time for it.
const lastMoment = 253402300799999

// credible reports whether an item can be of an entry that was written then: another program may have written it.
func (it item) credible(written time.Time) bool {
	for _, at := range []int64{it.From, it.At, it.Since, it.Deadline, it.Waited} {
		if at < 0 || at > lastMoment {
			return false
		}
	}
	return kinds[it.Kind] && time.UnixMilli(it.At).Sub(written).Abs() <= history.Life
}

// takeEntry makes an item of an entry. One that cannot be is left out.
func (h *hub) takeEntry(e history.Entry) {
	it := item{At: millis(e.At)}
	if len(e.Seen) > 0 {
		_ = json.Unmarshal(e.Seen, &it) // what cannot be read stays as it is
	}
	if it.Kind, it.Fence = e.Kind, e.Fence; !it.credible(e.At) || len(e.Name) > redislock.MaxName {
		return
	}
	id := idOf(e.Name)
	l := h.histories[id]
	if l == nil {
		l = &past{blind: append([][2]int64(nil), h.blind...)}
		h.histories[id] = l
	}
	it.Owner, it.Queue = nil, l.last.waiting
	if o := e.Owner; o != nil {
		it.Owner = &owner{Client: text(o.Client), Host: text(o.Host), PID: o.PID}
	}
	if it.By, it.Why, it.Told = text(e.By), text(e.Why), false; e.Told {
		it.Told = true
		for _, known := range l.items {
			if e.Kind != "asked" && known.Told && known.Kind == e.Kind && known.Fence == e.Fence && (known.By != "" || it.By == "") {
				return // told already, by who did it
			}
		}
	}
	h.noteEnd(e)
	l.n++
	it.N = l.n
	l.items = append(l.items, it)
	if l.merge(); len(l.items) > maxOfLock {
		l.items = l.items[len(l.items)-maxOfLock:]
	}
	h.tellLooked(id)
}

// merge makes one item of what looks have seen of the end of a hold, and what was told of it: by whom it was ended, and why.
func (l *past) merge() {
	for i := range l.items {
		told := &l.items[i]
		if !told.Told || told.Kind == "asked" || told.Since > 0 || told.Fence == 0 {
			continue
		}
		seen := slices.IndexFunc(l.items, func(it item) bool { return !it.Told && it.Fence == told.Fence && it.Since > 0 })
		if seen < 0 {
			continue
		}
		it := l.items[seen]
		told.From, told.Since, told.Deadline, told.Owner = it.From, it.Since, it.Deadline, it.Owner
		l.items = slices.Delete(l.items, seen, seen+1)
		l.merge() // the indices have changed
		return
	}
}

// noteEnd has a loss count as trouble that somebody has told, or that was seen before this page was opened.
func (h *hub) noteEnd(e history.Entry) {
	if end, bad := trouble.Told(e); bad {
		h.memory.Note(e.Name, end)
	}
}
