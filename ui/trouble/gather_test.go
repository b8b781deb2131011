package trouble

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
)

// A stopped process with forty locks is one trouble, and so is a Redis that lost all of them.
func TestTroublesOfOneCauseAreToldAsOne(t *testing.T) {
	var m Memory
	ofOther := func(i *redislock.Info) { i.Holds[0].Owner = other }
	for i := range 40 {
		m.See(waitedFor(held(fmt.Sprintf("invoice/%02d", i), time.Hour, 16*time.Second), i/39, 2*time.Second))
	}
	for i := range many - 1 { // too few
		m.See(with(held(fmt.Sprint("few/", i), time.Hour, 16*time.Second), ofOther))
	}
	found := m.Troubles(zero)
	Sort(found)
	if len(found) != many {
		t.Fatalf("%d troubles: %+v", len(found), found)
	}
	text := all(found[0])
	for _, want := range []string{
		"not-renewed danger api (pid 12 on node-3) does not renew its holds of 40 locks", "and should do so every 10s", "The locks: invoice/39 (1 waits), invoice/00,", " and 35 more.",
		"ps -o pid,stat,etime,time,wchan,args -p 12", "kill -CONT 12", "redislock break invoice/39 --reason",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q: %s", want, text)
		}
	}
	if found[0].Lock != "invoice/39" || len(found[0].Others) != 39 || found[0].Waiting != 1 || !found[0].Since.Equal(zero.Add(-16*time.Second)) {
		t.Errorf("%+v", found[0])
	}
	if !strings.Contains(all(found[1]), "does not renew its hold, which ends at ") {
		t.Errorf("one of few: %s", all(found[1]))
	}

	later := zero.Add(2 * time.Second)
	m.Sweep(func(string) bool { return false }, later) // all keys are gone
	found = m.Troubles(later)
	if len(found) != 1 || len(found[0].Others) != 41 || !strings.Contains(all(found[0]), "ended warning 42 locks that were held are gone with their keys") || !strings.Contains(all(found[0]), "redislock doctor") {
		t.Errorf("%+v", found)
	}
}

func TestLocksThatAProcessLostAreToldTogetherAndWaitsForOneHolderToo(t *testing.T) {
	var m Memory
	for i := range many {
		m.Note(fmt.Sprint("lost/", i), End{How: WasLost, Owner: owner, At: zero, Fence: 1, Why: "no answer"})
		m.Note(fmt.Sprint("broken/", i), End{How: Broken, Owner: owner, At: zero, Fence: 1}) // each is an event of its own
		m.See(waitedFor(with(held(fmt.Sprint("hangs/", i), time.Hour, 5*time.Second), func(i *redislock.Info) { i.Holds[0].Owner = other }), 2, 2*time.Minute))
	}
	var titles []string
	for _, one := range m.Troubles(zero) {
		titles = append(titles, one.Title.String())
	}
	slices.Sort(titles)
	if want := []string{
		"6 wait for long for 3 locks: web (pid 13 on node-4) holds them", "api (pid 12 on node-3) lost 3 locks",
		"the lock of api (pid 12 on node-3) was broken", "the lock of api (pid 12 on node-3) was broken", "the lock of api (pid 12 on node-3) was broken",
	}; !slices.Equal(titles, want) {
		t.Errorf("%q", titles)
	}
}
