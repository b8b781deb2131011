package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/ui/trouble"
)

// actionTime bounds the requests of one action to Redis.
const actionTime = 10 * time.Second

// wish is the body of an action on a lock.
type wish struct {
	Stream string `json:"stream"`
	ID     string `json:"id"`
	// Why is the reason. Confirm must be "break", which the person types to confirm a break.
	Why     string `json:"why"`
	Confirm string `json:"confirm"`
	// Fences are those of the holds that the page showed. No others are broken, as the person has not seen them.
	Fences []int64 `json:"fences"`
}

// read reads a wish. If it is wrong, read answers the request.
func read(w http.ResponseWriter, r *http.Request) (wish, string, bool) {
	var it wish
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&it); err != nil {
		refuse(w, http.StatusBadRequest, "the request cannot be read")
		return it, "", false
	}
	name, err := nameOf(it.ID)
	if err != nil && it.ID != "" {
		refuse(w, http.StatusBadRequest, "this cannot be the name of a lock")
		return it, "", false
	}
	it.Why = strings.TrimSpace(it.Why)
	return it, name, true
}

// look sets the lock that a page looks at.
func (u *UI) look(w http.ResponseWriter, r *http.Request) {
	it, name, ok := read(w, r)
	if !ok {
		return
	}
	id := it.ID
	if id != "" {
		id = idOf(name) // one spelling
	}
	if !u.hub.lookAt(it.Stream, id, name) {
		refuse(w, http.StatusNotFound, "that stream has ended")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// act runs an action and writes it to the audit. The function do is the action; it returns a status and an answer.
func (u *UI) act(action string, do func(ctx context.Context, it wish, name, by string) (int, any)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		it, name, ok := read(w, r)
		if !ok || !reasonable(w, it, name) {
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), actionTime)
		defer cancel()
		by := u.who(r)
		status, came := do(ctx, it, name, by)
		one, _ := u.session(r)
		named := []any{"lock", name}
		if u.config.Who != nil {
			named = append(named, "by", by)
		}
		u.audit(r, one, action, append(named, "why", it.Why, "fences", fmt.Sprint(it.Fences), "status", status, "result", came)...)
		answer(w, status, came)
	})
}

// who is the person of a request, or empty if that is not known.
func (u *UI) who(r *http.Request) string {
	if u.config.Who != nil {
		if name := u.config.Who(r); name != "" {
			return name
		}
	}
	return byPage
}

// breakLock ends the holds that the page showed.
func (u *UI) breakLock(ctx context.Context, it wish, name, by string) (int, any) {
	if it.Confirm != "break" {
		return http.StatusBadRequest, sentence{`type "break" to confirm`}
	}
	info, err := u.config.Client.Inspect(ctx, name)
	if err != nil {
		return u.failed(err)
	}
	meant := info
	meant.Holds = slices.Clone(info.Holds)
	meant.Holds = slices.DeleteFunc(meant.Holds, func(h redislock.Hold) bool { return !slices.Contains(it.Fences, h.Fence) })
	switch {
	case info.Holders == 0:
		return http.StatusConflict, sentence{"nobody holds the lock any more; nothing was broken"}
	case len(meant.Holds) == 0:
		return http.StatusConflict, sentence{"others hold the lock by now; nothing was broken"}
	}
	u.hub.breaking(info, meant.Holds, it.Why)
	fence, err := u.config.Client.BreakHolds(ctx, meant, it.Why)
	u.hub.broke(info, meant.Holds, fence, isAnswer(err), it.Why, by)
	left := info.Holders - len(meant.Holds)
	switch {
	case err == nil && fence == 0:
		return http.StatusConflict, sentence{"the holds that were shown have ended by themselves; nothing was broken"}
	case err == nil:
		return http.StatusOK, broken{fence, len(meant.Holds), left}
	case isAnswer(err):
		return u.failed(err)
	default:
		return http.StatusBadGateway, sentence{"it is not known whether the lock was broken: " + text(u.config.Explain(err))}
	}
}

// broken is the result of a break: the greatest fence that was broken, the number of holds that were broken, and the
// number of holds that were not shown and go on.
type broken struct {
	Fence int64 `json:"fence"`
	Broke int   `json:"broke"`
	Left  int   `json:"left"`
}

func (b broken) String() string {
	return fmt.Sprintf("%d broken up to fence %d, %d left", b.Broke, b.Fence, b.Left)
}

// isAnswer reports whether Redis or the library has answered, with success or an error. If not, the action may have
// been done all the same.
func isAnswer(err error) bool {
	var answered redis.Error
	return err == nil || errors.As(err, &answered) || errors.Is(err, redislock.ErrInvalid) || errors.Is(err, redislock.ErrPermission)
}

// askHolders asks the holders to give the lock up. It takes nothing from them.
func (u *UI) askHolders(ctx context.Context, it wish, name, by string) (int, any) {
	holders, err := u.config.Client.Ask(ctx, name, it.Why)
	if err != nil {
		return u.failed(err)
	}
	u.hub.asked(idOf(name), it.Why, by)
	return http.StatusOK, told{holders}
}

// told has the number of holders that got the request.
type told struct {
	Told int `json:"told"`
}

func (t told) String() string { return fmt.Sprintf("%d told", t.Told) }

func reasonable(w http.ResponseWriter, it wish, name string) bool {
	switch {
	case name == "":
		refuse(w, http.StatusBadRequest, "the name of the lock is missing")
	case it.Why == "":
		refuse(w, http.StatusBadRequest, "a reason is missing; the holder gets it with the request")
	case len(it.Why) > redislock.MaxReason:
		refuse(w, http.StatusBadRequest, "the reason is too long")
	default:
		return true
	}
	return false
}

func (u *UI) failed(err error) (int, any) {
	return http.StatusBadGateway, sentence{text(u.config.Explain(err))}
}

// breaking records which holds are about to be broken from this page, for the history. Changes of the lock from now on
// are recorded only when broke is called.
func (h *hub) breaking(info redislock.Info, holds []redislock.Hold, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.see(info)
	if l := h.histories[idOf(info.Name)]; l != nil {
		l.breaking(holds, why, info.Now)
	}
}

// broke records the result: the greatest fence that was broken, or 0, and whether that is certain.
func (h *hub) broke(info redislock.Info, holds []redislock.Hold, fence int64, sure bool, why, by string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := idOf(info.Name)
	for _, hold := range holds {
		if sure && hold.Fence <= fence && !hold.Kept {
			h.memory.Note(info.Name, trouble.End{How: trouble.Broken, Owner: hold.Owner, At: info.Now, Fence: hold.Fence, By: by, Why: why})
		}
	}
	if l := h.histories[id]; l != nil {
		n := l.n
		if l.broke(holds, fence, sure, h.began); l.n != n {
			h.tellLooked(id)
			h.recorded(info.Name, l, n, by)
		}
	}
}

// asked records that the holders were asked.
func (h *hub) asked(id, why, by string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.histories[id]; l != nil {
		n := l.n
		l.add(h.now, "asked", nil, 0, func(it *item) { it.Why = text(why) })
		h.tellLooked(id)
		if name, err := nameOf(id); err == nil {
			h.recorded(name, l, n, by)
		}
	}
}
