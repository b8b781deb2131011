// Package history records in Redis what happened to the locks of a prefix, for people who look after the event. The record is a
// capped stream, which expires. Nothing writes to it by default. redislock ui --history writes what it sees, and the Observer of
// an application writes its events. If the stream exists, redislock break and ask write who used them and why.
package history

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
)

const (
	// Life is how long the stream stays after its last entry, and how old an entry may be to be shown on the page.
	Life = 24 * time.Hour
	// Most is about how many entries the stream has at most; older ones go first.
	Most = 20_000
	// page is how many entries are read or written in one request.
	page = 500
	// buffered is how many entries that are not written yet an Observer keeps.
	buffered = 1000
	// writeTime bounds one write of an Observer.
	writeTime = 2 * time.Second
)

// Log is the history of one prefix.
type Log struct {
	rdb redis.UniversalClient
	key string
	src string // identifies this writer
}

// Open returns the history of a prefix. It sends nothing. Besides the rights that redislock.ACL prints, the user of rdb
// needs "+xadd +xrange +pexpire ~PREFIX:h".
func Open(rdb redis.UniversalClient, prefix string) *Log {
	return &Log{rdb: rdb, key: prefix + ":h", src: strconv.FormatInt(time.Now().UnixNano(), 36)}
}

// Entry is one event. Which fields it has depends on its kind.
type Entry struct {
	// ID is the ID in the stream, and At the time of the write by the clock of Redis. Read sets both.
	ID string    `json:"-"`
	At time.Time `json:"-"`
	// Mine says that this Log wrote it.
	Mine bool `json:"-"`
	// Kind is one of the page's kinds for an event that was seen ("acquired", "released", …), "beat" if nothing happened, or one
	// of "broken", "asked", "lost" and "stolen" for an event that was reported by By.
	Kind  string `json:"k"`
	Name  string `json:"-"`
	Fence int64  `json:"f,omitempty"`
	Owner *Owner `json:"o,omitempty"`
	By    string `json:"b,omitempty"`
	Why   string `json:"w,omitempty"`
	// How and Ended are of a hold that did not end as it should, as looks have seen it: how it ended, and when, in milliseconds since
	// 1970.
	How   string `json:"h,omitempty"`
	Ended int64  `json:"d,omitempty"`
	// Seen has further fields of the page's item, as JSON.
	Seen json.RawMessage `json:"s,omitempty"`
	// Told says that the event was reported; otherwise the page has seen it.
	Told bool `json:"t,omitempty"`

	EscapedName string `json:"n,omitempty"` // percent-encoded: names are bytes
	Src         string `json:"r,omitempty"`
}

// Owner is the owner of the hold.
type Owner struct {
	Client string `json:"c,omitempty"`
	Host   string `json:"h,omitempty"`
	PID    int    `json:"p,omitempty"`
}

// OwnerOf is an owner without its metadata and trace, as text.
func OwnerOf(o redislock.Owner) *Owner {
	return &Owner{strings.ToValidUTF8(o.Client, "?"), strings.ToValidUTF8(o.Host, "?"), o.PID}
}

// Owner returns the owner as the type of the library.
func (o *Owner) Owner() redislock.Owner {
	if o == nil {
		return redislock.Owner{}
	}
	return redislock.Owner{Client: o.Client, Host: o.Host, PID: o.PID}
}

// Add writes entries, in one round trip for some hundred. They are dropped when there are about Most newer ones, and all at
// once when nothing was written for Life.
func (l *Log) Add(ctx context.Context, entries ...Entry) error { return l.add(ctx, false, entries) }

// AddIfThere writes entries if a history exists already, and nothing otherwise.
func (l *Log) AddIfThere(ctx context.Context, entries ...Entry) error {
	return l.add(ctx, true, entries)
}

func (l *Log) add(ctx context.Context, onlyIfThere bool, entries []Entry) error {
	for len(entries) > 0 {
		n := min(page, len(entries))
		_, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, e := range entries[:n] {
				e.EscapedName, e.Src = url.PathEscape(e.Name), l.src
				e.Why, e.By = strings.ToValidUTF8(e.Why, "?"), strings.ToValidUTF8(e.By, "?")
				text, err := json.Marshal(e)
				if err != nil {
					return err
				}
				p.XAdd(ctx, &redis.XAddArgs{Stream: l.key, NoMkStream: onlyIfThere, MaxLen: Most, Approx: true, Values: []any{"e", text}})
			}
			p.PExpire(ctx, l.key, Life)
			return nil
		})
		if err != nil && !errors.Is(err, redis.Nil) { // Nil: there is no stream, and none was to be made
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// Since is the ID from which [Log.Read] reads the entries that were written at that time and later.
func Since(at time.Time) string {
	return strconv.FormatInt(at.UnixMilli()-1, 10) + "-18446744073709551615"
}

// Read calls see with each entry after that ID, the oldest first; an empty ID is the beginning. Entries that cannot be read are
// left out: another version may have written them.
func (l *Log) Read(ctx context.Context, after string, see func(Entry)) error {
	from := "-"
	if after != "" {
		from = "(" + after
	}
	for {
		found, err := l.rdb.XRangeN(ctx, l.key, from, "+", page).Result()
		if err != nil {
			return err
		}
		for _, m := range found {
			text, _ := m.Values["e"].(string)
			var e Entry
			if json.Unmarshal([]byte(text), &e) != nil {
				continue
			}
			ms, _, _ := strings.Cut(m.ID, "-")
			at, err := strconv.ParseInt(ms, 10, 64)
			name, failed := url.PathUnescape(e.EscapedName)
			if err != nil || failed != nil {
				continue
			}
			e.ID, e.At, e.Name, e.Mine = m.ID, time.UnixMilli(at), name, e.Src == l.src
			see(e)
		}
		if len(found) < page {
			return nil
		}
		from = "(" + found[len(found)-1].ID
	}
}

// Observer reports to the history each lock of a Client of that name that is lost, stolen or asked for. It writes on a goroutine
// of its own: no lock waits for it, and an event that Redis does not take in time is dropped. end writes the remaining events,
// until ctx ends.
func (l *Log) Observer(owner redislock.Owner) (o redislock.Observer, end func(context.Context)) {
	entries := make(chan Entry, buffered)
	over, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for e := range entries {
			ctx, cancel := context.WithTimeout(over, writeTime)
			_ = l.Add(ctx, e) // there is no one to report an error to
			cancel()
		}
	})
	var mu sync.RWMutex
	closed := false
	tell := func(e redislock.Event) {
		kind := map[redislock.EventKind]string{redislock.EventLost: "lost", redislock.EventStolen: "stolen", redislock.EventRequested: "asked"}[e.Kind]
		if kind == "" {
			return
		}
		entry := Entry{Kind: kind, Name: e.Name, Fence: e.Fence, Owner: OwnerOf(owner), Told: true}
		if e.Err != nil {
			entry.Why = e.Err.Error()
		}
		switch _, reason, broken := strings.Cut(entry.Why, ": broken: "); {
		case kind == "asked":
			entry.By, entry.Why = e.Holder.String(), e.Why
		case broken: // a break is reported by the one who did it
			entry.Kind, entry.Why = "broken", reason
		}
		mu.RLock()
		defer mu.RUnlock()
		if closed {
			return
		}
		select {
		case entries <- entry:
		default:
		}
	}
	return redislock.ObserverFunc(tell), func(ctx context.Context) {
		mu.Lock()
		if !closed {
			closed = true
			close(entries)
		}
		mu.Unlock()
		defer context.AfterFunc(ctx, stop)()
		done.Wait()
		stop()
	}
}
