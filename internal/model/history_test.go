package model

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// made is a history of all kinds of requests.
func made(seed uint64) *History {
	return &History{
		Random: rand.New(rand.NewPCG(seed, 1)), Now: 1_800_000_000 * Second,
		Kinds: map[string]int{
			"acquire": 30, "release": 20, "renew": 5, "keep": 3, "check": 10, "break": 5, "convert": 10, "resume": 5, "confirm": 5, "watch": 1,
		},
		Waits:      map[string]string{"live": "c", "deaf": "u", "dead": "c"},
		Subscribed: func(channel string) bool { return channel == "live" },
		Modes:      []Mode{{}, read, read, read, write, units(2)},
	}
}

func TestWhatARequestIsWrittenAsIsReadAsThatRequest(t *testing.T) {
	h := made(1)
	for range 2000 {
		script := h.Next()
		name, args := Words(script)
		again, err := parseCall(name, args)
		if a, b := fmt.Sprintf("%T%+v", script, script), fmt.Sprintf("%T%+v", again, again); a != b || err != nil {
			t.Fatalf("%s %q is read as\n%s, %v\nand was\n%s", name, args, b, err, a)
		}
	}
}

// A history in which nothing happens would compare nothing.
func TestAHistoryLeadsToEveryAnswer(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(60) {
		h := made(seed)
		for range 250 {
			before := h.Lock
			script := h.Next()
			_, answer, messages := Execute(&before, script, Instant{Now: h.Now, Subscribed: h.Subscribed, Rules: &Protocol})
			name, _ := Words(script)
			seen[name+" "+answer.Status]++
			for _, m := range messages {
				seen[string(m.Kind)]++
			}
		}
	}
	for _, answer := range []string{
		"acquire granted", "acquire waiting", "acquire held", "acquire over", "check checked", "release hold", "release place", "release none",
		"renew renewed", "renew revoked", "renew gone", "keep kept", "break broken", "convert granted", "convert waiting", "convert conflict",
		"convert gone", "convert over", "resume granted", "resume gone", "confirm granted", "confirm gone", "confirm ahead", "watch shown",
		"g", "s", "d", "l", "v",
	} {
		if seen[answer] == 0 {
			t.Errorf("never %s: %v", answer, seen)
		}
	}
}
