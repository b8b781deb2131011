package ui

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"example.com/redislock"
)

// actionTime bounds what an action may ask of Redis.
const actionTime = 10 * time.Second

// wish is what the page wants done to a lock.
type wish struct {
	Stream string `json:"stream"`
	ID     string `json:"id"`
	// Why is the reason; Confirm is "break", as typed by who wants that.
	Why     string `json:"why"`
	Confirm string `json:"confirm"`
	// Fences are those of the holds that the page showed: if others hold the lock by now, nobody has agreed to break it.
	Fences []int64 `json:"fences"`
}

// read reads a wish, or answers what is wrong with it.
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

// look has a page look at one lock.
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

// breakLock ends the holds that the page showed.
func (u *UI) breakLock(w http.ResponseWriter, r *http.Request) {
	it, name, ok := read(w, r)
	if !ok || !reasonable(w, it, name) {
		return
	}
	if it.Confirm != "break" {
		refuse(w, http.StatusBadRequest, `type "break" to confirm`)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), actionTime)
	defer cancel()
	info, err := u.config.Client.Inspect(ctx, name)
	if err != nil {
		u.fail(w, err)
		return
	}
	for _, h := range info.Holds {
		if !slices.Contains(it.Fences, h.Fence) {
			refuse(w, http.StatusConflict, "others hold the lock by now; nothing was broken")
			return
		}
	}
	u.hub.breaking(info, it.Why)
	fence, err := u.config.Client.Break(ctx, name, it.Why)
	switch {
	case err != nil:
		u.fail(w, err)
	case fence == 0:
		refuse(w, http.StatusConflict, "nobody holds the lock any more; nothing was broken")
	default:
		answer(w, http.StatusOK, map[string]int64{"fence": fence})
	}
}

// askHolders asks them to give the lock up; nothing is taken.
func (u *UI) askHolders(w http.ResponseWriter, r *http.Request) {
	it, name, ok := read(w, r)
	if !ok || !reasonable(w, it, name) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), actionTime)
	defer cancel()
	told, err := u.config.Client.Ask(ctx, name, it.Why)
	if err != nil {
		u.fail(w, err)
		return
	}
	u.hub.asked(idOf(name), it.Why)
	answer(w, http.StatusOK, map[string]int{"told": told})
}

func reasonable(w http.ResponseWriter, it wish, name string) bool {
	switch {
	case name == "":
		refuse(w, http.StatusBadRequest, "the name of the lock is missing")
	case it.Why == "":
		refuse(w, http.StatusBadRequest, "say why: the holder is told")
	case len(it.Why) > redislock.MaxReason:
		refuse(w, http.StatusBadRequest, "the reason is too long")
	default:
		return true
	}
	return false
}

func (u *UI) fail(w http.ResponseWriter, err error) {
	refuse(w, http.StatusBadGateway, valid(u.config.Explain(err)))
}

// breaking notes whose hold is broken from here, so that the history can say so.
func (h *hub) breaking(info redislock.Info, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.see(info)
	if l := h.histories[idOf(info.Name)]; l != nil {
		l.breaking(info.Holds, why)
	}
}

// asked notes that the holders were asked.
func (h *hub) asked(id, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.histories[id]; l != nil {
		l.add(h.now, "asked", nil, 0, func(it *item) { it.Why = valid(why) })
		h.tellLooked(id)
	}
}
