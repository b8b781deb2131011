package main

import (
	"fmt"
	"strings"
	"testing"

	"example.com/redislock/bench/internal/peer"
	"example.com/redislock/internal/servertest"
)

func TestARecordedPairIsAPairForOtherNamesToo(t *testing.T) {
	t.Parallel()
	b := benchOf(t)
	s := servertest.Start(t)
	rdb := s.Connect()
	subjects := map[string]bool{}
	for _, r := range b.recordedPairs(s) {
		subjects[r.subject] = true
		for _, command := range [][]string{r.acquire, r.release} {
			if one := fmt.Sprint(r.of(command, 1, 1)); one == fmt.Sprint(r.of(command, 2, 1)) || one == fmt.Sprint(r.of(command, 1, 2)) {
				t.Errorf("%s: another holder or another name sends the same: %s", r.subject, one)
			}
		}
		rdb.FlushAll(t.Context())
		b.replay(rdb, r, 0, 150, 150) // it fails if a release finds no hold
		b.replay(rdb, r, 150, 250, 100)
		keys := rdb.DBSize(t.Context()).Val()
		if want := int64(150); strings.HasPrefix(r.subject, peer.Ours) && keys != want { // the fences
			t.Errorf("%s: %d keys, not %d", r.subject, keys, want)
		} else if !strings.HasPrefix(r.subject, peer.Ours) && keys != 0 {
			t.Errorf("%s leaves %d keys", r.subject, keys)
		}
	}
	for _, name := range []string{floorNoop, floorScripts, peer.Ours, plainRelease, "bsm/redislock"} {
		if !subjects[name] {
			t.Errorf("%s is not measured, only %v", name, subjects)
		}
	}
}

func TestWaitersWhoDieOrGiveUpAreMeasuredToTheEndOfTheirQueue(t *testing.T) {
	t.Parallel()
	b := benchOf(t)
	s := servertest.Start(t)
	w := &worstCase{b, s, b.recordWait(s)}
	if w.wait.token == w.wait.channel || strings.Join(w.wait.join, " ") == strings.Join(w.wait.leave, " ") {
		t.Fatalf("%q", w.wait)
	}
	for name, f := range map[string]func(){
		"dead of few":  func() { w.die(200, 4) },
		"dead of many": func() { w.die(200, 200) },
		"cancelled":    func() { w.cancel(200) },
	} {
		w.longest(func() { // it fails if the queue does not become empty
			f()
			key := strings.ReplaceAll(w.wait.join[3], w.wait.name, worstName)
			clients := map[string]bool{}
			for field := range s.Admin().HGetAll(t.Context(), key).Val() {
				if strings.HasPrefix(field, "c"+"redislock:c:") {
					clients[field] = true
				}
			}
			if want := map[string]int{"dead of few": 4, "dead of many": 200, "cancelled": 0}[name]; len(clients) != want {
				t.Errorf("%s: %d clients, not %d", name, len(clients), want)
			}
		})
	}
	if _, err := findWait([]request{{args: []string{"evalsha", "x", "1", "k", "t"}}}); err == nil {
		t.Error("a pair is taken for a wait")
	}
}
