package lua_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/lua"
)

// in acquires the lock in a mode.
func (b *bench) in(m protocol.Mode, weight int, token string, lease time.Duration, wait, channel string) protocol.Reply {
	b.Helper()
	return b.parse(b.eval(lua.Acquire, pad(token), b.requestIn(m, weight, lease, 4600, wait, channel)))
}

// change is the token of a change.
func change(n int, of string) string { return pad(fmt.Sprintf("%010d", n) + of) }

// owners are the tokens that hold the lock, in order.
func (b *bench) owners() string {
	b.Helper()
	f, err := protocol.FieldsOf(b.eval(lua.Inspect, 1000))
	if err != nil {
		b.Fatal(err)
	}
	var tokens []string
	for i := range f.Int(4) {
		tokens = append(tokens, strings.TrimRight(f.Text(5+8*i+3), "."))
	}
	return strings.Join(tokens, " ")
}

// convert asks for another mode of a hold, as the nth change by its owner.
func (b *bench) convert(token string, m protocol.Mode, n int) protocol.Reply {
	b.Helper()
	instead := ""
	if m == write {
		instead = pad(token)
	}
	request := protocol.Request{
		Lease: time.Minute, Keep: 4600 * time.Second, Nonce: "nonce-nonce-nonc", Wait: protocol.Uncountable, Channel: "ch-" + token, Mode: m.Line(1, instead),
	}
	return b.parse(b.eval(lua.Convert, pad(token), string(request.AppendTo(nil)), change(n, token)))
}

func TestI3EveryScriptOfASharedLockExecutedTwiceLeavesTheStateOfOne(t *testing.T) {
	one := func(b *bench) { b.in(read, 1, "r1", time.Minute, protocol.NoWait, "c1") }
	two := func(b *bench) { one(b); b.in(read, 1, "r2", time.Minute, protocol.NoWait, "c2") }
	queued := func(b *bench) {
		two(b)
		b.in(write, 1, "w", time.Minute, protocol.Uncountable, "c3")
		b.in(read, 1, "r3", time.Minute, protocol.Uncountable, "c4")
	}
	wants := func(b *bench) { queued(b); b.convert("r1", write, 1) }
	writer := func(b *bench) { one(b); b.convert("r1", write, 1) }
	fence := func(b *bench) string { return b.dump()["f"] }
	for name, c := range map[string]struct {
		before func(*bench)
		call   func(*bench) any
	}{
		"acquire beside one":      {one, func(b *bench) any { return b.in(read, 1, "a", time.Minute, protocol.NoWait, "c1").Fence }},
		"acquire beside two":      {two, func(b *bench) any { return b.in(read, 1, "a", time.Minute, protocol.NoWait, "c1").Fence }},
		"acquire behind a writer": {queued, func(b *bench) any { return b.in(read, 1, "a", time.Minute, protocol.Uncountable, "c1").Ticket }},
		"limit, set":              {queued, func(b *bench) any { return b.eval(lua.Limit, micros(b.now), "+read=5", 60_000_000) }},
		"limit, removed":          {queued, func(b *bench) any { return b.eval(lua.Limit, micros(b.now), "-", 60_000_000) }},
		"limit, raised": {func(b *bench) {
			b.eval(lua.Limit, micros(b.now), "+read=2", 60_000_000)
			two(b)
			b.in(read, 1, "r3", time.Minute, protocol.Uncountable, "c4")
			b.pass(time.Second)
		}, func(b *bench) any {
			return []any{b.eval(lua.Limit, micros(b.now), "+read=3", 60_000_000), b.owners()}
		}},
		"acquire, other rules": {queued, func(b *bench) any {
			return b.in(protocol.Mode{Name: "read", Rules: "guest=*,read=*"}, 1, "a", time.Minute, protocol.Uncountable, "c1").Note
		}},
		"release of one of two":    {two, func(b *bench) any { b.release("r1"); return b.owners() }},
		"release before a writer":  {queued, func(b *bench) any { b.release("r1"); b.release("r2"); return b.owners() }},
		"release of a writer":      {queued, func(b *bench) any { b.release("w"); return b.owners() }},
		"release of who changes":   {wants, func(b *bench) any { b.release("r1"); return b.owners() }},
		"renew":                    {queued, func(b *bench) any { _, now := b.eval(lua.Renew, pad("r2"), fence(b)).(string); return now }},
		"check":                    {queued, func(b *bench) any { return b.check("c4", protocol.Uncountable, "r3", "r1", "none") }},
		"check of a change":        {wants, func(b *bench) any { return b.check("ch-r1", protocol.Uncountable, change(1, "r1")) }},
		"upgrade, alone":           {one, func(b *bench) any { return b.convert("r1", write, 1).Fence }},
		"upgrade, waits":           {queued, func(b *bench) any { return b.convert("r1", write, 1).Status }},
		"upgrade, conflict":        {wants, func(b *bench) any { return b.convert("r2", write, 1).Status }},
		"upgrade, granted by turn": {wants, func(b *bench) any { b.release("r2"); return b.convert("r1", write, 1).Fence }},
		"upgrade, undone":          {wants, func(b *bench) any { return b.convert("r1", read, 2).Status }},
		"upgrade, undone when made": {writer, func(b *bench) any {
			return b.convert("r1", read, 2).Status
		}},
		"downgrade": {writer, func(b *bench) any { return b.convert("r1", read, 2).Fence }},
		"resume": {queued, func(b *bench) any {
			r := b.parse(b.eval(lua.Resume, pad("new"), b.request(time.Minute, 4600, protocol.NoWait, "c9"), pad("r2"), fence(b)))
			return []any{r.Status, r.Fence, r.Note, b.owners()}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := embeddedBench(t)
			c.before(b)
			call := c.call
			if name == "resume" { // the fence moves with it
				meant := fence(b)
				call = func(b *bench) any {
					r := b.parse(b.eval(lua.Resume, pad("new"), b.request(time.Minute, 4600, protocol.NoWait, "c9"), pad("r2"), meant))
					return []any{r.Status, r.Fence, r.Note, b.owners()}
				}
			}
			answer := call(b)
			state := b.dump()
			if again := call(b); !reflect.DeepEqual(answer, again) {
				t.Errorf("answered %v, then %v", answer, again)
			}
			if after := b.dump(); !reflect.DeepEqual(state, after) {
				t.Errorf("the state was %q, and is %q", state, after)
			}
			if fault := unsound(state); fault != "" {
				t.Error(fault)
			}
		})
	}
}

func TestALoneHoldIsKeptInTheShortFormInEveryMode(t *testing.T) {
	scripts(t, func(b *bench) {
		for _, m := range []protocol.Mode{exclusive, read, semaphore(3)} {
			b.pass(time.Millisecond) // a fence ahead of the clock takes more room
			b.in(m, 1, "a", time.Minute, protocol.NoWait, "c1")
			if _, short := b.dump()[pad("a")]; !short {
				b.Errorf("%v, fresh: %q", m, b.dump())
			}
			if m != exclusive {
				b.pass(time.Millisecond)
				b.in(m, 1, "b", time.Minute, protocol.NoWait, "c1")
				if n := len(b.dump()); n != 5 { // fence, list, two holds, summary
					b.Errorf("%v, two of them: %q", m, b.dump())
				}
				b.release("a")
				if _, short := b.dump()[pad("b")]; !short || len(b.dump()) != 2 {
					b.Errorf("%v, one of two left: %q", m, b.dump())
				}
				b.release("b")
			}
			b.release("a")
			if len(b.dump()) != 1 {
				b.Errorf("%v, idle: %q", m, b.dump())
			}
		}
	})
}

func TestLapsedReadersAreSearchedForInBoundedSteps(t *testing.T) {
	b := embeddedBench(t)
	const readers = 200
	for i := range readers {
		lease := time.Hour
		if i%2 == 0 {
			lease = 10 * time.Second
		}
		b.in(read, 1, fmt.Sprint("r", i), lease, protocol.NoWait, "c1")
	}
	b.pass(11 * time.Second)
	steps := 0
	for ; ; steps++ {
		r := b.in(few, 1, "w", time.Minute, protocol.Uncountable, "c2")
		left := strings.Count(b.owners(), "r")
		if fault := unsound(b.dump()); fault != "" {
			t.Fatal(fault)
		}
		if r.Status == "waiting" {
			break
		}
		if r.Status != "more" || steps > readers/32+1 {
			t.Fatalf("step %d: %s, %d readers", steps, r.Status, left)
		}
	}
	if left := strings.Count(b.owners(), "r"); left != readers/2 || steps < 2 {
		t.Errorf("%d readers are left of %d, after %d steps", left, readers, steps)
	}
	held := b.dump()
	n := 0
	for field := range held {
		if len(field) == 23 && field[0] == 'h' {
			n++
		}
	}
	if n != readers/2 {
		t.Errorf("%d holds are kept", n)
	}
	b.pass(time.Hour)
	for range readers { // the second half, and then the writer's turn
		if got := b.check("c2", protocol.Uncountable, "w"); got[0] == "granted" {
			return
		}
	}
	t.Errorf("the writer waits for %s", b.owners())
}

// Readers expire one after the other. Without a bound each end would begin another search of all holds, and a waiter would send
// scripts without end.
func TestReadersThatLapseOneByOneDoNotKeepTheServerSearching(t *testing.T) {
	t.Run("whom the first in the queue may tolerate", func(t *testing.T) { lapseOneByOne(t, few, 10, 1000) })
	t.Run("whom it does not tolerate", func(t *testing.T) { lapseOneByOne(t, write, 0, 100) })
}

// few allows readers, but they do not allow it. So it waits for all of them, which the scripts do not know in
// advance.
var few = protocol.Mode{Name: "few", Rules: "read=2"}

func lapseOneByOne(t *testing.T, waiter protocol.Mode, least, most int) {
	b := embeddedBench(t)
	const readers = 300
	for i := range readers {
		b.in(read, 1, fmt.Sprint("r", i), 10*time.Second+time.Duration(i)*4*time.Millisecond, protocol.NoWait, "c1")
	}
	if r := b.in(waiter, 1, "w", time.Minute, protocol.Uncountable, "c2"); r.Status != "waiting" {
		t.Fatal(r.Status)
	}
	b.pass(10 * time.Second)
	begun, scripts, searches := b.now, 0, 0
	for searching := false; b.now.Before(begun.Add(time.Second)); scripts++ {
		reply := b.eval(lua.Check, "c2", protocol.Uncountable, "", pad("w")).([]any)
		if more := reply[1] == int64(1); more {
			b.pass(100 * time.Microsecond) // there and back
			searching = true
			continue
		}
		if searching {
			searches++
		}
		searching = false
		due, err := protocol.ParseMicros(reply[3].(string))
		if err != nil {
			t.Fatal(err)
		}
		b.set(time.UnixMicro(int64(due)).Add(time.Millisecond)) // as a waiter does
	}
	if searches < least || scripts > most {
		t.Errorf("%d searches with %d scripts within a second", searches, scripts)
	}
	for range readers {
		if b.check("c2", protocol.Uncountable, "w")[0] == "granted" {
			break
		}
		b.pass(time.Millisecond)
	}
	if late := b.now.Sub(begun) - readers*4*time.Millisecond; late > 20*time.Millisecond || b.owners() != "w" {
		t.Errorf("%v after the last deadline it is held by %s", late, b.owners())
	}
}

func TestAStepBackOfTheClockDoesNotMakeDeadReadersLiveLonger(t *testing.T) {
	b := embeddedBench(t)
	const readers = 100
	for i := range readers {
		b.in(read, 1, fmt.Sprint("dead", i), 10*time.Second, protocol.NoWait, "c1")
		b.pass(time.Millisecond)
	}
	b.set(b.now.Add(-time.Hour))
	try := func() string {
		for {
			if r := b.in(write, 1, "w", time.Minute, protocol.NoWait, "c2"); r.Status != "more" {
				return r.Status
			}
		}
	}
	if got := try(); got != "held" {
		t.Fatalf("the holds may still be believed in, but the answer is %s", got)
	}
	b.pass(9 * time.Second)
	if got := try(); got != "held" {
		t.Fatalf("9s after the step: %s", got)
	}
	b.pass(2 * time.Second)
	if got := try(); got != "granted" {
		t.Errorf("11s after the step holds of 10s are %s: %s", got, b.owners())
	}
}

func TestARenewedReaderIsNotDroppedWithTheOthers(t *testing.T) {
	b := embeddedBench(t)
	r := b.in(read, 1, "kept", 10*time.Second, protocol.NoWait, "c1")
	for i := range 50 {
		b.in(read, 1, fmt.Sprint("dead", i), 10*time.Second, protocol.NoWait, "c1")
	}
	for range 5 {
		b.pass(6 * time.Second)
		if _, ok := b.eval(lua.Renew, pad("kept"), r.Fence).(string); !ok {
			t.Fatal("it cannot be renewed")
		}
	}
	for range 5 {
		if r := b.in(write, 1, "w", time.Minute, protocol.NoWait, "c2"); r.Status == "granted" {
			t.Fatal("a writer beside a renewed reader")
		}
	}
	if got := b.owners(); got != "kept" {
		t.Errorf("held by %s", got)
	}
}

func TestChangesThatComeLateChangeNothing(t *testing.T) {
	scripts(t, func(b *bench) {
		b.in(write, 1, "a", time.Minute, protocol.NoWait, "c1")
		b.convert("a", read, 1)
		up := b.convert("a", write, 3)
		for _, late := range []int{1, 2} { // a late copy of the downgrade, and of undoing an upgrade in between
			if got := b.convert("a", read, late).Status; got != "over" {
				b.Errorf("change %d after the third: %s", late, got)
			}
			if got := b.in(read, 1, "b", time.Minute, protocol.NoWait, "c1").Status; got != "held" {
				b.Errorf("a reader beside the writer is %s", got)
			}
		}
		if again := b.convert("a", write, 3); again.Fence != up.Fence {
			b.Errorf("I2: a resend has the fence %s, not %s", again.Fence, up.Fence)
		}
		if next := b.convert("a", write, 5); next.Fence <= up.Fence {
			b.Errorf("I2: another upgrade has the fence %s after %s", next.Fence, up.Fence)
		}
		b.convert("a", read, 6)
		if got := b.convert("a", write, 5).Status; got != "over" {
			b.Errorf("a late upgrade: %s", got)
		}
		b.release("a")
		if got := b.convert("a", write, 7).Status; got != "gone" {
			b.Errorf("an upgrade of a released hold: %s", got)
		}
		if len(b.dump()) > 1 {
			b.Errorf("left: %q", b.dump())
		}
	})
}

func TestAnUpgradeThatIsGivenUpMakesRoomForTheNextOfTheSameHold(t *testing.T) {
	scripts(t, func(b *bench) {
		b.in(read, 1, "a", time.Minute, protocol.NoWait, "c1")
		b.in(read, 1, "b", time.Minute, protocol.NoWait, "c1")
		b.convert("a", write, 1) // its owner has given the upgrade up, and that request is under way
		if got := b.convert("a", write, 3).Status; got != "waiting" {
			b.Errorf("the next one: %s", got)
		}
		b.convert("a", read, 2)
		if got := b.convert("b", write, 1).Status; got != "conflict" {
			b.Errorf("the other reader's: %s", got)
		}
		b.release("b")
		if got := b.convert("a", write, 3).Status; got != "granted" {
			b.Errorf("in the end: %s", got)
		}
	})
}

func TestAHoldKeepsItsFenceWhenLaterOnesHaveGone(t *testing.T) {
	scripts(t, func(b *bench) {
		first := b.in(read, 1, "a", time.Minute, protocol.NoWait, "c1")
		b.pass(time.Millisecond)
		b.in(read, 1, "b", time.Minute, protocol.NoWait, "c1")
		b.release("b")
		if again := b.in(read, 1, "a", time.Minute, protocol.NoWait, "c1"); again.Fence != first.Fence {
			b.Errorf("I2: granted with %s, and now it has %s", first.Fence, again.Fence)
		}
	})
}

func TestAResumedHoldIsDeafToItsFormerOwner(t *testing.T) {
	scripts(t, func(b *bench) {
		old := b.in(semaphore(4), 3, "old", time.Minute, protocol.NoWait, "c1")
		r := b.parse(b.eval(lua.Resume, pad("new"), b.request(time.Minute, 4600, protocol.NoWait, "c2"), pad("old"), old.Fence))
		if r.Status != "granted" || r.Fence <= old.Fence {
			b.Fatalf("%s, fence %s after %s", r.Status, r.Fence, old.Fence)
		}
		if m, weight := protocol.ParseMode(r.Note); m != semaphore(4) || weight != 3 {
			b.Errorf("in %v, weight %d", m, weight)
		}
		if got := b.parse(b.eval(lua.Renew, pad("old"), old.Fence)).Status; got != "gone" {
			b.Errorf("a late renewal: %s", got)
		}
		b.release("old")
		b.release("old", "tombstone")
		if got := b.owners(); got != "new" {
			b.Errorf("held by %q", got)
		}
		if got := b.parse(b.eval(lua.Resume, pad("third"), b.request(time.Minute, 4600, protocol.NoWait, "c3"), pad("old"), old.Fence)).Status; got != "gone" {
			b.Errorf("a second resume: %s", got)
		}
		b.release("new", "tombstone")
		if got := b.parse(b.eval(lua.Resume, pad("new"), b.request(time.Minute, 4600, protocol.NoWait, "c2"), pad("old"), old.Fence)).Status; got != "over" {
			b.Errorf("a late copy after the release: %s", got)
		}
	})
}

func TestOneScriptGrantsABoundedNumberOfReaders(t *testing.T) {
	scripts(t, func(b *bench) {
		const readers = 200
		ps := b.subscribe("live")
		var heard []string
		done := make(chan bool)
		go func() {
			for m := range ps.Channel() {
				if heard = append(heard, m.Payload[1:23]); len(heard) == readers {
					close(done)
				}
			}
		}()
		b.in(write, 1, "w", time.Minute, protocol.NoWait, "c1")
		var want []string
		for i := range readers {
			b.in(read, 1, fmt.Sprint("r", i), time.Minute, protocol.Countable, "live")
			want = append(want, pad(fmt.Sprint("r", i)))
		}
		for before, more := 0, true; more; {
			_, again, _, err := protocol.ParseRelease(b.eval(lua.Release, pad("w")))
			if err != nil {
				b.Fatal(err)
			}
			n := len(strings.Fields(b.owners()))
			if n-before > 16 {
				b.Fatalf("one script granted %d", n-before)
			}
			before, more = n, again
		}
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			b.Fatalf("%d messages", len(heard))
		}
		if !slices.Equal(heard, want) { // I5
			b.Errorf("served in the order %v", heard)
		}
		if ttl := b.rdb.TTL(context.Background(), b.key).Val(); ttl < time.Hour {
			b.Errorf("I4: it expires in %v", ttl)
		}
	})
}

func TestACheckThatGrantsRobsNobody(t *testing.T) {
	b := embeddedBench(t)
	b.subscribe("live")
	old := b.in(read, 1, "old", time.Minute, protocol.NoWait, "c1")
	b.in(write, 1, "dead", time.Minute, protocol.Uncountable, "dead")
	b.in(read, 1, "w", time.Minute, protocol.Countable, "live")
	b.pass(8 * time.Second) // the dead waiter has missed three checks
	b.eval(lua.Check, "live", protocol.Countable, "1000000", pad("w"))
	if got := b.owners(); got != "old w" {
		t.Fatalf("held by %s", got)
	}
	if r := b.parse(b.eval(lua.Renew, pad("old"), old.Fence)); r.Status == "revoked" {
		t.Error("a stale reader that stands in nobody's way was robbed")
	}
}

func TestABreakLeavesItsReasonOnAnOlderTombstone(t *testing.T) {
	scripts(t, func(b *bench) {
		r := b.in(exclusive, 1, "a", time.Minute, protocol.NoWait, "c1")
		b.eval(lua.Keep, pad("a"), r.Fence, "", "tombstone") // from a handoff that failed afterwards
		b.eval(lua.Break, "why", pad("a"), r.Fence)
		if got := b.parse(b.eval(lua.Renew, pad("a"), r.Fence)); got.Status != "revoked" || got.Note != "why" {
			b.Errorf("the owner is told %s %q", got.Status, got.Note)
		}
	})
	// The reason is kept for a minute after the break.
	b := embeddedBench(t)
	r := b.in(exclusive, 1, "a", time.Hour, protocol.NoWait, "c1")
	b.eval(lua.Keep, pad("a"), r.Fence, "", "tombstone")
	b.pass(55 * time.Second)
	b.eval(lua.Break, "why", pad("a"), r.Fence)
	b.pass(55 * time.Second)
	if got := b.parse(b.eval(lua.Renew, pad("a"), r.Fence)); got.Status != "revoked" || got.Note != "why" {
		t.Errorf("55 s later the owner is told %s %q", got.Status, got.Note)
	}
}

func micros(t time.Time) string { return fmt.Sprintf("%016d", t.UnixMicro()) }

func TestACopyOfALimitThatComesLateDoesNotUndoALaterOne(t *testing.T) {
	b := embeddedBench(t)
	set := func(version time.Time, limit string) string {
		f, err := protocol.FieldsOf(b.eval(lua.Limit, micros(version), limit, 3_600_000_000))
		if err != nil {
			t.Fatal(err)
		}
		if f.Text(0) == "over" {
			return "over"
		}
		return f.Text(2)
	}
	first := b.now
	if got := set(first, "+read=1"); got != "+read=1" {
		t.Errorf("set, it is %s", got)
	}
	b.pass(time.Second)
	second := b.now
	if got := set(second, "+read=2"); got != "+read=2" {
		t.Errorf("set again, it is %s", got)
	}
	if got := set(second, "+read=3"); got != "over" { // another call that has read the limit at the same time
		t.Errorf("the other of two has %s", got)
	}
	for range 70 {
		if got := set(first, "+read=1"); got != "over" {
			t.Errorf("the first one again, at %v: %s", b.now, got)
		}
		b.pass(time.Second)
	}
	if got := set(second, "+read=4"); got != "over" {
		t.Errorf("what was read a minute ago: %s", got)
	}
	if got := set(b.now, "-"); got != "-" {
		t.Errorf("removed, it is %s", got)
	}
	b.in(read, 1, "r", time.Minute, protocol.NoWait, "c1")
	if got := set(second, "+read=1"); got != "over" {
		t.Errorf("a copy after the removal: %s", got)
	}
	b.pass(-time.Hour) // the clock goes back, but versions do not
	if got := set(b.now, "+read=1"); got != "over" {
		t.Errorf("after a step back, with what was read before: %s", got)
	}
	f, _ := protocol.FieldsOf(b.eval(lua.Limit, ""))
	if got := set(time.UnixMicro(int64(f.Micros(0))), "+read=1"); got != "+read=1" {
		t.Errorf("after the step back: %s", got)
	}
	if got := b.in(read, 1, "s", time.Minute, protocol.NoWait, "c1").Status; got != "held" {
		t.Errorf("a second reader is %s", got)
	}
}

// Two calls set the same limit at once, each having read it before the other set it. Neither gets less than it asked for, in whatever
// order the requests and their copies come.
func TestOfTwoEqualLimitsAtOnceTheLongerTimeCounts(t *testing.T) {
	const short, long = 10_000_000, 20_000_000
	for _, order := range [][]int{{short, long}, {long, short}, {short, long, short, long}} {
		b := embeddedBench(t)
		version := micros(b.now)
		for _, µs := range order {
			b.eval(lua.Limit, version, "+read=1", µs)
			b.pass(100 * time.Millisecond)
		}
		f, _ := protocol.FieldsOf(b.eval(lua.Limit, ""))
		least, _ := protocol.ParseMicros(version)
		if left := f.Micros(1).Sub(least); left < long*1000 || left > long*1000+100*time.Millisecond {
			t.Errorf("after %v it stands for %v", order, left)
		}
		before := b.dump()["l"]
		b.eval(lua.Limit, version, "+read=1", long) // a copy
		if after := b.dump()["l"]; after != before {
			t.Errorf("a copy makes %q of %q", after, before)
		}
	}
}

func TestInspectShowsTheLimitWhileItStands(t *testing.T) {
	b := embeddedBench(t)
	shown := func() string {
		f, err := protocol.FieldsOf(b.eval(lua.Inspect, 1))
		if err != nil {
			t.Fatal(err)
		}
		_, rules, _ := protocol.CutLimit(f.Text(len(f.Values) - 1))
		return rules
	}
	b.eval(lua.Limit, micros(b.now), "+read=2", 10_000_000)
	if got := shown(); got != "+read=2" {
		t.Errorf("nobody holds it, and the limit is %q", got)
	}
	for _, token := range []string{"a", "b", "c"} { // one hold is shown, and one waits
		b.in(read, 1, token, time.Minute, protocol.Uncountable, "c-"+token)
		if got := shown(); got != "+read=2" {
			t.Errorf("%s holds or waits, and the limit is %q", token, got)
		}
	}
	b.pass(11 * time.Second)
	if got := shown(); got == "+read=2" {
		t.Error("it is over, and shown")
	}
}

// A reader that waits behind a hold which has ended is granted the lock with the next acquire, whichever path that takes.
func TestWhoComesAfterALapseDoesNotWaitForIt(t *testing.T) {
	scripts(t, func(b *bench) {
		ask := func(token string) string {
			return b.parse(b.eval(lua.Acquire, pad(token), b.requestIn(read, 1, time.Minute, 4600, "u", token))).Status
		}
		b.acquire("a", time.Second, "-", "A")
		if got := ask("r1"); got != "waiting" {
			b.Fatal(got)
		}
		b.pass(1100 * time.Millisecond)
		if got := ask("r2"); got != "granted" {
			b.Errorf("after the end of the hold: %s", got)
		}
	})
}

func TestALateCopyOfALimitIsOverAfterTheClockWentBack(t *testing.T) {
	b := embeddedBench(t)
	set := func(version, rules string) any { return b.eval(lua.Limit, version, rules, 3600_000_000) }
	read := func() string { return b.eval(lua.Limit, "").([]any)[0].(string) }
	began := b.now
	b.pass(time.Hour)
	late := read()
	b.set(began)
	if got := set(read(), "+read=5"); got.([]any)[0] == "over" {
		t.Fatal(got)
	}
	if got := set(late, "+read=1"); got.([]any)[0] != "over" {
		t.Errorf("a copy from before: %v", got)
	}
	if got := set(read(), "+read=2"); got.([]any)[0] == "over" {
		t.Errorf("the next one: %v", got)
	}
}
