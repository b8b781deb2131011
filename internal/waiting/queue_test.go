package waiting

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/protocol"
)

const margin = 10 * time.Millisecond

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// server is the server's clock at noon.
const server protocol.Micros = 1_700_000_000_000_000

func joined(q *queue, lease, steal time.Duration) *Wait {
	w := &Wait{lease: lease, steal: steal}
	q.join(w, Sample{Sent: noon, Now: server, Epoch: 1})
	return w
}

// A message is believed only as far as it agrees with the last answer to that wait (I9).
func TestAMessageIsBelievedNoFurtherThanATrueOneCanSay(t *testing.T) {
	fence := func(m protocol.Micros) string { return fmt.Sprintf("%016d", m) }
	for _, test := range []struct {
		name  string
		g     protocol.GrantMessage
		after time.Duration // time since the last answer
		epoch uint64
		want  verdict
		lease time.Duration
	}{
		{"a claim", protocol.GrantMessage{Fence: fence(server), At: server, Lease: protocol.Claim}, 0, 1, believed, protocol.Claim},
		{"longer than a claim", protocol.GrantMessage{Fence: fence(server), At: server, Lease: time.Hour}, 0, 1, believed, protocol.Claim},
		{"a short lease", protocol.GrantMessage{Fence: fence(server), At: server, Lease: time.Second}, 0, 1, believed, time.Second},
		{"of long ago", protocol.GrantMessage{Fence: fence(server), At: server, Lease: protocol.Claim}, time.Minute, 1, doubted, 0},
		{"of another subscription", protocol.GrantMessage{Fence: fence(server), At: server, Lease: protocol.Claim}, 0, 2, doubted, 0},
		{"with a fence out of reach", protocol.GrantMessage{Fence: fence(server.Add(25 * time.Hour)), At: server, Lease: protocol.Claim}, 0, 1, doubted, 0},
		{"of a grant that is to come", protocol.GrantMessage{Fence: fence(server), At: server.Add(time.Hour), Lease: protocol.Claim}, 0, 1, believed, protocol.Claim},
	} {
		var q queue
		w := joined(&q, time.Minute, 0)
		now := noon.Add(test.after)
		o, v := q.grant(w, test.g, now, test.epoch, margin)
		if v != test.want || o.Grant.Lease != test.lease {
			t.Errorf("%s: verdict %v for a lease of %v, instead of %v for %v", test.name, v, o.Grant.Lease, test.want, test.lease)
		}
		if v == believed && o.Grant.Valid.LeftAt(now) > clock.Within(now, test.lease, margin).LeftAt(now) {
			t.Errorf("%s: relied on for %v, longer than the claim", test.name, o.Grant.Valid.LeftAt(now))
		}
	}
	var q queue
	w := joined(&q, time.Second, 0)
	if o, _ := q.grant(w, protocol.GrantMessage{Fence: fence(server), At: server, Lease: protocol.Claim}, noon, 1, margin); o.Grant.Lease != time.Second {
		t.Errorf("a claim of %v for a lease of 1s", o.Grant.Lease)
	}
	q.answered(protocol.Check{Now: server, Of: []protocol.Checked{{Gone: true}}}, []*Wait{w}, Sample{}, margin)
	if _, v := q.grant(w, protocol.GrantMessage{Fence: fence(server), At: server, Lease: protocol.Claim}, noon, 1, margin); v != late {
		t.Errorf("a message after the check has settled the wait: verdict %v", v)
	}
}

// The next check is when the lock may be free, or stale for one of the waits, and after CheckEvery at the latest.
func TestTheNextCheckIsWhenTheLockMayBeHad(t *testing.T) {
	held := func(since, deadline time.Duration) protocol.Holder {
		return protocol.Holder{Since: server.Add(since), Deadline: server.Add(deadline)}
	}
	for _, test := range []struct {
		name   string
		holder protocol.Holder
		steals []time.Duration
		want   time.Duration
	}{
		{"nobody holds it", protocol.Holder{}, nil, protocol.CheckEvery},
		{"held for long", held(-time.Second, time.Minute), nil, protocol.CheckEvery},
		{"its deadline is near", held(-time.Second, time.Second), nil, time.Second + protocol.Slack},
		{"it will be stale soon", held(-time.Second, time.Minute), []time.Duration{time.Hour, 1500 * time.Millisecond}, 500*time.Millisecond + protocol.Slack},
		{"it is stale already", held(-time.Hour, time.Minute), []time.Duration{time.Second}, protocol.CheckEvery},
	} {
		var q queue
		for _, steal := range test.steals {
			joined(&q, time.Minute, steal)
		}
		if got := q.heard(test.holder, server, false); got != test.want {
			t.Errorf("%s: checked after %v, instead of %v", test.name, got, test.want)
		}
		if q.holder != test.holder {
			t.Errorf("%s: the holder is not noted", test.name)
		}
	}
	q := queue{holder: held(0, 1)}
	before := q.holder
	if q.heard(held(0, time.Minute), server, true); q.holder != before {
		t.Error("the holder that is one of the waits is taken for the one that they waited for")
	}
}

// Each check asks about the oldest wait and about others in turn, so that all are asked about, even if some leave
// meanwhile.
func TestAllWaitsAreAskedForInTurn(t *testing.T) {
	var q queue
	var all []*Wait
	for range 3*maxCheck + 7 {
		all = append(all, joined(&q, time.Minute, 0))
	}
	for i, w := range all {
		if i%3 == 0 {
			q.leave(w)
		}
	}
	seen := map[*Wait]int{}
	for range 5 {
		asked, _ := q.due()
		if live := q.live; len(asked) > maxCheck || live != len(all)-len(all)/3-1 {
			t.Fatalf("a check asks for %d of %d waits", len(asked), live)
		}
		if asked[0] != all[1] {
			t.Error("a check does not ask for the oldest wait")
		}
		for _, w := range asked {
			seen[w]++
		}
	}
	for i, w := range all {
		if left := i%3 == 0; (seen[w] > 0) == left {
			t.Errorf("wait %d, which left: %v, was asked for %d times", i, left, seen[w])
		}
	}
	for _, w := range all {
		if int(w.place) < len(q.waits) && q.waits[w.place] == w {
			q.leave(w)
		}
	}
	if q.live != 0 || len(q.steals) != 0 {
		t.Errorf("%d waits when all have left", q.live)
	}
}

// A check ends the waits that are granted or gone, each once, and gives the others new samples of the clock.
func TestACheckSettlesWhoIsGrantedOrGone(t *testing.T) {
	var q queue
	waits, gone, granted := joined(&q, time.Minute, 0), joined(&q, time.Minute, 0), joined(&q, time.Minute, 0)
	asked := []*Wait{waits, gone, granted}
	fresh := Sample{Sent: noon.Add(time.Second), Now: server.Add(time.Second), Epoch: 2}
	c := protocol.Check{Now: fresh.Now, Of: []protocol.Checked{
		{Waits: true},
		{Gone: true},
		{Grant: protocol.GrantMessage{Fence: "1", At: fresh.Now, Lease: 3 * time.Second}},
	}}
	all := q.answered(c, asked, fresh, margin)
	if len(all) != 2 || all[0].wait != gone || !all[0].outcome.Gone || all[1].wait != granted || all[1].outcome.Grant.Fence != "1" {
		t.Fatalf("settled: %+v", all)
	}
	if left := all[1].outcome.Grant.Valid.LeftAt(fresh.Sent); left > 3*time.Second-margin || left < 2*time.Second {
		t.Errorf("a hold of 3s is relied on for %v", left)
	}
	if waits.sample != fresh {
		t.Error("who waits has no new sample")
	}
	if again, _ := q.due(); len(again) != 1 || again[0] != waits {
		t.Errorf("who is settled is asked for again: %d", len(again))
	}
}

// An unreadable answer about one wait does not end it, and does not affect the others.
func TestWhatACheckCannotReadOfOneWaitDoesNotHurtTheOthers(t *testing.T) {
	var q queue
	damaged, gone := joined(&q, time.Minute, 0), joined(&q, time.Minute, 0)
	now := fmt.Sprintf("%016d", server)
	c, err := protocol.ParseCheck([]any{now, int64(0), "", "", int64(2), "", int64(0), "", "x", "gone"}, 2)
	if err != nil {
		t.Fatal(err)
	}
	all := q.answered(c, []*Wait{damaged, gone}, Sample{}, margin)
	if len(all) != 1 || all[0].wait != gone {
		t.Errorf("settled: %+v", all)
	}
	if !errors.Is(q.why, protocol.ErrDamaged) {
		t.Errorf("who gives up waiting is told %v", q.why)
	}
}
