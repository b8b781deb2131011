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
	// maxUnwritten is how many items wait to be written to the history in Redis. Further ones are dropped, and that time
	// counts as unseen.
	maxUnwritten = 5000
	// beatPause is how often an entry says that somebody looks, if there is no other entry. If there is no entry for beatGap,
	// nobody looked in that time.
	beatPause = time.Minute
	beatGap   = 150 * time.Second
)

// recorder keeps the history in Redis beside the one in memory. It writes what the looks see, and reads what others have
// reported.
type recorder struct {
	log     *history.Log
	read    string // the ID of the last entry that was read
	loaded  bool
	wrote   time.Time // when this page wrote last
	dropped bool
	queue   []history.Entry
}

// kept is how long items of the history are remembered.
func (h *hub) kept() time.Duration {
	if h.recorder.log == nil {
		return keep
	}
	return history.Life
}

// recorded queues the items of a history after the n-th, to be written to Redis. Breaks and requests among them were made by
// that person. The caller has the mutex.
func (h *hub) recorded(name string, l *past, n int, by string) {
	if h.recorder.log == nil {
		return
	}
	for _, it := range l.since(n) {
		if it.Kind == "queue" || it.By != "" { // such an item was read from Redis
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

// byPage stands for the person if the login knows no name.
const byPage = "somebody on the page"

// record writes what was seen, and reads what others have reported. If it fails, the page goes on, and shows the
// error.
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

// readHistory reads the entries since the last call: the first time all of them, later only those that others have
// reported.
func (h *hub) readHistory(ctx context.Context) error {
	var entries []history.Entry
	if err := h.recorder.log.Read(ctx, h.recorder.read, func(e history.Entry) { entries = append(entries, e) }); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	first := !h.recorder.loaded
	h.recorder.loaded = true
	var looked time.Time // when a page last looked
	for _, e := range entries {
		h.recorder.read = e.ID
		if !e.Told && !first || e.Mine && !first { // this page has seen it too, or wrote it
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
		h.swept = looked // from then to the first sweep nobody looked
	}
	return nil
}

// kinds are the kinds of entries in the history: those that a look can see, and those that are reported.
var kinds = map[string]bool{
	"held": true, "acquired": true, "handed over": true, "upgraded": true, "handed off": true, "released": true, "lost": true, "ended": true, "kept": true,
	"kept time over": true, "revoked": true, "stolen": true, "broken": true, "perhaps broken": true, "asked": true, "unseen": true,
}

// lastMoment is the end of the year 9999. A browser cannot show later times.
const lastMoment = 253402300799999

// credible reports whether an item is possible in an entry that was written at that time, as any program may have
// written it.
func (it item) credible(written time.Time) bool {
	for _, at := range []int64{it.From, it.At, it.Since, it.Deadline, it.Waited} {
		if at < 0 || at > lastMoment {
			return false
		}
	}
	return kinds[it.Kind] && time.UnixMilli(it.At).Sub(written).Abs() <= history.Life
}

// takeEntry makes an item of an entry. An impossible one is left out.
func (h *hub) takeEntry(e history.Entry) {
	it := item{At: millis(e.At)}
	if len(e.Seen) > 0 {
		_ = json.Unmarshal(e.Seen, &it) // fields that cannot be read stay empty
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
				return // it was reported already, by the one who did it
			}
		}
	}
	h.noteEnd(e)
	l.n++
	it.N = l.n
	l.items = append(l.items, it)
	l.merge()
	l.drop(len(l.items) - maxOfLock)
	h.tellLooked(id)
}

// merge makes one item of two: the end of a hold that looks have seen, and the report that says by whom it was ended, and
// why.
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

// noteEnd reports a loss to package trouble, if it was reported by somebody or seen before this page was opened.
func (h *hub) noteEnd(e history.Entry) {
	if end, bad := trouble.Told(e); bad {
		h.memory.Note(e.Name, end)
	}
}
