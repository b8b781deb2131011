package lua_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/lua"
)

func TestI3EveryScriptExecutedTwiceLeavesTheStateOfOne(t *testing.T) {
	held := func(b *bench) { b.acquire("holder", time.Minute, protocol.NoWait, "c1") }
	queued := func(b *bench) {
		held(b)
		b.acquire("w1", time.Minute, protocol.Uncountable, "c2")
		b.acquire("w2", time.Minute, protocol.Uncountable, "c3")
	}
	stale := func(b *bench) {
		queued(b)
		b.pass(10 * time.Millisecond)
	}
	fence := func(b *bench) string { return b.dump()["f"] }
	for name, c := range map[string]struct {
		before func(*bench)
		call   func(*bench) any
	}{
		"acquire, new name": {func(*bench) {}, func(b *bench) any {
			r := b.acquire("a", time.Minute, protocol.NoWait, "c1")
			return []any{r.Status, r.Fence, r.At}
		}},
		"acquire, idle": {func(b *bench) { held(b); b.release("holder") }, func(b *bench) any {
			r := b.acquire("a", time.Minute, protocol.NoWait, "c1")
			return []any{r.Status, r.Fence, r.At}
		}},
		"acquire, with a retention of its own": {func(*bench) {}, func(b *bench) any {
			r := b.parse(b.eval(lua.AcquireOwn, pad("a"), b.request(time.Minute, 700, protocol.NoWait, "c1")))
			return []any{r.Status, r.Fence, r.At}
		}},
		"acquire, held": {held, func(b *bench) any { return b.acquire("a", time.Minute, protocol.NoWait, "c2").Status }},
		"acquire, join": {queued, func(b *bench) any {
			r := b.acquire("a", time.Minute, protocol.Countable, "c2")
			return []any{r.Status, r.Ticket, r.Holder.Waiting}
		}},
		"acquire, revoke":    {stale, func(b *bench) any { return b.acquire("a", time.Minute, protocol.Countable, "c2", "1").Status }},
		"confirm":            {held, func(b *bench) any { return b.confirm("holder", "", "").Fence }},
		"confirm, lift":      {queued, func(b *bench) any { return b.confirm("holder", "", "1795230000000000").Fence }},
		"confirm, not ours":  {queued, func(b *bench) any { return b.confirm("w1", "", "").Status }},
		"confirm, ahead":     {held, func(b *bench) any { return b.confirm("holder", "9999999999999999", "").Status }},
		"renew":              {held, func(b *bench) any { _, now := b.eval(lua.Renew, pad("holder"), fence(b)).(string); return now }},
		"renew, not ours":    {queued, func(b *bench) any { return b.parse(b.eval(lua.Renew, pad("w1"), fence(b))).Status }},
		"check":              {queued, func(b *bench) any { return b.check("c2", protocol.Uncountable, "w1", "gone", "holder") }},
		"release, place":     {queued, func(b *bench) any { b.release("w1"); return b.owner() }},
		"release, alone":     {held, func(b *bench) any { b.release("holder"); return b.owner() }},
		"release, hand over": {queued, func(b *bench) any { b.release("holder"); return b.owner() }},
		"release, tombstone": {held, func(b *bench) any { b.release("holder", "tombstone"); return b.owner() }},
		"break":              {queued, func(b *bench) any { b.eval(lua.Break, "why", pad("holder"), fence(b)); return b.owner() }},
		"inspect":            {queued, func(b *bench) any { return b.owner() }},
		"weak release":       {func(b *bench) { b.key = "weak"; b.rdb.Set(context.Background(), "weak", "t", 0) }, func(b *bench) any { b.eval(lua.WeakRelease, "t"); return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			b := embeddedBench(t) // its clock does not move, so states can be compared
			c.before(b)
			// Both breaks must be of the same hold, so a fence that changes with the state is read once.
			call := c.call
			if name == "break" {
				meant := fence(b)
				call = func(b *bench) any { b.eval(lua.Break, "why", pad("holder"), meant); return b.owner() }
			}
			answer := call(b)
			state := b.dump()
			if again := call(b); !reflect.DeepEqual(answer, again) {
				t.Errorf("answered %v, then %v", answer, again)
			}
			if after := b.dump(); !reflect.DeepEqual(state, after) {
				t.Errorf("the state was %q, and is %q", state, after)
			}
		})
	}
}

func TestI4NothingIsKeptWithoutAnExpiry(t *testing.T) {
	scripts(t, func(b *bench) {
		ctx := context.Background()
		step := func(what string) {
			b.Helper()
			if ttl := b.rdb.TTL(ctx, b.key).Val(); ttl < time.Hour {
				b.Errorf("after %s the key expires in %v", what, ttl)
			}
		}
		b.acquire("a", time.Minute, protocol.NoWait, "c1")
		step("a grant")
		b.acquire("b", time.Minute, protocol.Uncountable, "c2")
		step("a join")
		b.release("a")
		step("a hand-over")
		b.release("b", "tombstone")
		step("a tombstone")
		b.rdb.FlushAll(ctx)
		b.release("nobody", "tombstone")
		step("a tombstone on nothing")
		b.rdb.FlushAll(ctx)
		b.check("c2", protocol.Countable, "b")
		b.release("nobody")
		if n := b.rdb.DBSize(ctx).Val(); n != 0 {
			b.Errorf("asking about nothing left %d keys", n)
		}
	})
}

func TestI2FencesRiseOverEverythingThatForgets(t *testing.T) {
	scripts(t, func(b *bench) {
		last := ""
		next := func(what string) {
			b.Helper()
			r := b.acquire("t"+fmt.Sprint(len(last)), time.Second, protocol.NoWait, "c1")
			if r.Status != "granted" || r.Fence <= last {
				b.Errorf("after %s: %s %s, the fence before was %s", what, r.Status, r.Fence, last)
			}
			last = r.Fence
			b.release("t" + fmt.Sprint(len(last)))
			b.release("t0")
			b.release("t16")
			b.pass(time.Millisecond)
		}
		next("nothing")
		next("a release")
		b.rdb.FlushAll(context.Background())
		next("FLUSHALL")
		b.acquire("dead", 100*time.Millisecond, protocol.NoWait, "c1")
		b.pass(150 * time.Millisecond)
		last = b.dump()["f"]
		next("the expiry of a hold")
		if b.mini != nil {
			b.set(b.now.Add(-time.Hour))
			next("a clock that went back by an hour")
			b.set(b.now.Add(59 * time.Minute))
			next("most of that hour")
			b.set(b.now.Add(3 * time.Hour))
			if n := len(b.mini.Keys()); n != 0 {
				b.Errorf("%d keys are immortal", n)
			}
			next("the expiry of the key")
		}
	})
}

func TestAStepBackOfTheClockDoesNotMakeADeadHoldLiveLonger(t *testing.T) {
	b := embeddedBench(t)
	b.acquire("dead", 10*time.Second, protocol.NoWait, "c1")
	b.set(b.now.Add(-time.Hour))
	if r := b.acquire("b", time.Minute, protocol.NoWait, "c2"); r.Status != "held" {
		t.Fatalf("the hold may still be believed in, but the answer is %s", r.Status)
	}
	b.pass(9 * time.Second)
	if r := b.acquire("b", time.Minute, protocol.NoWait, "c2"); r.Status != "held" {
		t.Fatalf("9s after the step: %s", r.Status)
	}
	b.pass(2 * time.Second)
	if r := b.acquire("b", time.Minute, protocol.NoWait, "c2"); r.Status != "granted" {
		t.Errorf("11s after the step a hold of 10s is %s", r.Status)
	}
}

func TestI1AHoldLastsItsWholeLeaseAndNoLonger(t *testing.T) {
	b := embeddedBench(t)
	for _, renewed := range []bool{false, true} {
		b.pass(50 * time.Second) // as of a name that is used now and then
		r := b.acquire("a", time.Second, protocol.NoWait, "c1")
		if renewed {
			b.pass(700 * time.Millisecond)
			b.eval(lua.Renew, pad("a"), r.Fence)
		}
		b.pass(999 * time.Millisecond)
		if r := b.acquire("b", time.Second, protocol.NoWait, "c2"); r.Status != "held" {
			t.Errorf("renewed %v: 1ms before the deadline the lock is %s", renewed, r.Status)
		}
		b.pass(time.Millisecond)
		if r := b.acquire("b", time.Second, protocol.NoWait, "c2"); r.Status != "granted" {
			t.Errorf("renewed %v: at the deadline the lock is %s", renewed, r.Status)
		}
		if got := b.parse(b.eval(lua.Renew, pad("a"), r.Fence)).Status; got != "gone" {
			t.Errorf("renewed %v: a renewal after the deadline: %s", renewed, got)
		}
		b.release("b")
	}
}

func TestI1OnlyTheTokenAndItsFenceReachAHold(t *testing.T) {
	scripts(t, func(b *bench) {
		r := b.acquire("mine", time.Minute, protocol.NoWait, "c1")
		for _, other := range []string{"yours", "min", ""} {
			b.release(other)
			b.release(other, "tombstone")
		}
		if got := b.parse(b.eval(lua.Renew, pad("mine"), "9000000000000001")).Status; got != "gone" {
			b.Errorf("a renewal with another fence: %s", got)
		}
		b.eval(lua.Break, "why", pad("mine"), "0000000000000001")
		b.eval(lua.Break, "why", pad("yours"), r.Fence)
		if owner := b.owner(); owner != "mine" {
			b.Errorf("the lock is held by %q", owner)
		}
		if got := b.eval(lua.Renew, pad("mine"), r.Fence); reflect.TypeOf(got).Kind() != reflect.String {
			b.Errorf("the owner's renewal: %v", got)
		}
		if what := b.release("mine"); what != "hold" {
			b.Errorf("the owner's release gave up %q", what)
		}
	})
}

func TestI8ALateCopyOfAnAcquireFindsATombstone(t *testing.T) {
	scripts(t, func(b *bench) {
		for _, mode := range []string{protocol.NoWait, protocol.Countable} {
			b.release("late"+mode, "tombstone")
			if r := b.acquire("late"+mode, time.Minute, mode, "c1"); r.Status != "over" {
				b.Errorf("mode %s: the late copy was %s", mode, r.Status)
			}
		}
		if r := b.acquire("other", time.Minute, protocol.NoWait, "c1"); r.Status != "granted" {
			b.Errorf("another token: %s", r.Status)
		}
		b.release("other")
		if b.mini == nil {
			return
		}
		b.pass(61 * time.Second)
		b.acquire("other2", time.Minute, protocol.NoWait, "c1")
		b.release("other2")
		if state := b.dump(); len(state) != 1 {
			b.Errorf("tombstones outlive their minute: %q", state)
		}
	})
}

func TestAnUncountableWaiterIsNotPassedOver(t *testing.T) {
	scripts(t, func(b *bench) {
		b.acquire("holder", time.Minute, protocol.NoWait, "c1")
		b.acquire("far", time.Minute, protocol.Uncountable, "on-a-replica")
		b.release("holder")
		if owner := b.owner(); owner != "far" {
			b.Errorf("the lock went to %q", owner)
		}
		if got := b.check("on-a-replica", protocol.Uncountable, "far"); got[0] != "granted" {
			b.Errorf("its check says %v", got)
		}
		if b.mini != nil {
			b.pass(30 * time.Second) // the check confirmed the claim, so the hold has its whole lease
			if owner := b.owner(); owner != "far" {
				b.Errorf("a confirmed claim ended early, %q", owner)
			}
		}
	})
}

func TestAHalfOpenClientIsPassedOverAfterThreeChecks(t *testing.T) {
	b := embeddedBench(t)
	b.subscribe("mute") // counts as a receiver, but never answers
	b.subscribe("live")
	b.acquire("holder", time.Minute, protocol.NoWait, "c1")
	for i := range 5 {
		b.acquire(fmt.Sprint("mute", i), time.Minute, protocol.Countable, "mute")
	}
	b.acquire("w", time.Minute, protocol.Countable, "live")
	for range 4 { // only the live waiter checks
		b.pass(2 * time.Second)
		b.check("live", protocol.Countable, "w")
	}
	b.release("holder")
	if owner := b.owner(); owner != "w" {
		t.Errorf("the lock went to %q: n waiters of one half-open Client cost n claims", owner)
	}
}

func TestALostGrantCostsAClaimAndNotTheLock(t *testing.T) {
	b := embeddedBench(t)
	b.subscribe("mute")
	b.subscribe("live")
	b.acquire("holder", time.Minute, protocol.NoWait, "c1")
	b.acquire("mute", time.Minute, protocol.Countable, "mute")
	b.acquire("w", time.Minute, protocol.Countable, "live")
	b.release("holder")
	if owner := b.owner(); owner != "mute" {
		t.Fatalf("the lock went to %q", owner)
	}
	b.pass(4900 * time.Millisecond)
	b.check("live", protocol.Countable, "w")
	if owner := b.owner(); owner != "mute" {
		t.Fatalf("within the claim the lock went to %q", owner)
	}
	b.pass(200 * time.Millisecond)
	if got := b.check("live", protocol.Countable, "w"); got[0] != "granted" {
		t.Errorf("after the claim the next one's check says %v", got)
	}
}

func TestACheckOfSeveralWaitsFindsALapsedHoldThatStandsAlone(t *testing.T) {
	scripts(t, func(b *bench) {
		b.acquire("holder", 30*time.Second, protocol.Uncountable, "other")
		for _, token := range []string{"first", "second"} {
			if r := b.acquire(token, 100*time.Millisecond, "u", "waiters"); r.Status != "waiting" {
				b.Fatalf("%s: %+v", token, r)
			}
		}
		b.release("holder") // the first waiter is granted the lock, and the message is lost
		b.pass(150 * time.Millisecond)
		if found := b.check("waiters", "u", "first"); found[0] != "gone" { // now the second has the lock, and nothing else is in the hash
			b.Fatalf("%v", found)
		}
		b.pass(150 * time.Millisecond)
		if found := b.check("waiters", "u", "first", "second"); found[0] != "gone" || found[1] != "gone" {
			b.Errorf("%v", found)
		}
		if r := b.acquire("next", time.Second, "u", "other"); r.Status != "granted" {
			b.Errorf("%+v", r)
		}
	})
}

func TestPlacesOfVanishedClientsDoNotPileUpUnderALongHold(t *testing.T) {
	b := embeddedBench(t)
	b.acquire("holder", 24*time.Hour, protocol.NoWait, "c1")
	for i := range 200 { // a process that joins and dies, again and again
		b.acquire(fmt.Sprint("crash", i), time.Minute, protocol.Countable, fmt.Sprint("crash", i))
		b.pass(8 * time.Second)
	}
	if n := len(b.dump()); n > 10 {
		t.Errorf("%d fields after 200 places of dead processes", n)
	}
	b.subscribe("live")
	b.acquire("w", time.Minute, protocol.Countable, "live")
	for i := range 100 {
		b.acquire(fmt.Sprint("dead", i), time.Minute, protocol.Countable, fmt.Sprint("dead", i))
	}
	for range 20 {
		b.pass(2 * time.Second)
		b.check("live", protocol.Countable, "w")
	}
	if n := len(b.dump()); n > 10 {
		t.Errorf("%d fields although a live waiter checks", n)
	}
}

func TestOneScriptTriesABoundedNumberOfCandidates(t *testing.T) {
	scripts(t, func(b *bench) {
		const dead = 500
		b.acquire("holder", time.Minute, protocol.NoWait, "c1")
		for i := range dead {
			b.acquire(fmt.Sprint("dead", i), time.Minute, protocol.Countable, fmt.Sprint("nobody", i))
			b.unchecked(fmt.Sprint("nobody", i), 3*time.Second)
		}
		waiting := func() int {
			f, _ := protocol.FieldsOf(b.eval(lua.Inspect, 0))
			return f.Int(2)
		}
		before := dead
		for round := 0; ; round++ {
			what, more, _, err := protocol.ParseRelease(b.eval(lua.Release, pad("holder")))
			if err != nil {
				b.Fatal(err)
			}
			if round == 0 && what != "hold" {
				b.Errorf("gave up %q", what)
			}
			left := waiting()
			if before-left > 64 {
				b.Fatalf("one script tried %d candidates", before-left)
			}
			if !more {
				break
			}
			if r := b.acquire("eager", time.Minute, protocol.NoWait, "c1"); r.Status == "granted" && left > 64 {
				b.Fatal("I5: a newcomer passed a queue that is not empty")
			} else if r.Status == "granted" {
				b.release("eager")
			}
			before = waiting()
		}
		if before = waiting(); before != 0 || len(b.dump()) != 1 {
			b.Errorf("%d are left, %d fields", before, len(b.dump()))
		}
	})
}

func TestALostPlaceIsFoundAgainByItsTicket(t *testing.T) {
	b := embeddedBench(t)
	b.acquire("holder", time.Hour, protocol.NoWait, "c1")
	tickets := map[string]string{}
	for _, w := range []string{"a", "b", "c", "d"} {
		tickets[w] = b.acquire(w, time.Minute, protocol.Uncountable, "c-"+w).Ticket
		b.pass(time.Millisecond)
	}
	b.release("c")
	b.release("a")
	b.release("d")
	b.acquire("new", time.Minute, protocol.Uncountable, "c-new")
	for _, w := range []string{"d", "a", "c"} { // they come back in any order, with new tokens
		b.acquire(w+"2", time.Minute, protocol.Uncountable, "c-"+w, "", tickets[w])
	}
	var order []string
	b.release("holder")
	for owner := b.owner(); owner != ""; owner = b.owner() {
		order = append(order, owner)
		b.release(owner)
	}
	if got := strings.Join(order, " "); got != "a2 b c2 d2 new" {
		t.Errorf("served in the order %s", got)
	}
}

func TestTwoOfTheSameTicketDoNotHurtTheQueue(t *testing.T) {
	b := embeddedBench(t) // as a late copy of the acquire of a lost place can do
	b.acquire("holder", time.Hour, protocol.NoWait, "c1")
	ticket := b.acquire("a", time.Minute, protocol.Uncountable, "ca").Ticket
	if r := b.acquire("a2", time.Minute, protocol.Uncountable, "ca", "", ticket); r.Status != "waiting" {
		t.Errorf("got %s", r.Status)
	}
}

func TestAStepBackOfTheClockDoesNotKeepThePlacesOfTheDead(t *testing.T) {
	b := embeddedBench(t)
	b.acquire("holder", 24*time.Hour, protocol.NoWait, "c1")
	b.acquire("dead", time.Minute, protocol.Uncountable, "dead")
	b.set(b.now.Add(-time.Hour))
	for range 30 {
		b.pass(2 * time.Second)
		b.acquire("w", time.Minute, protocol.Uncountable, "live")
		b.check("live", protocol.Uncountable, "w")
	}
	b.release("holder")
	if owner := b.owner(); owner != "w" {
		t.Errorf("the lock went to %q", owner)
	}
}

func TestRetentionIsOnlyEverRaised(t *testing.T) {
	b := embeddedBench(t)
	ctx := context.Background()
	own := func(token string, keep int) {
		b.parse(b.eval(lua.AcquireOwn, pad(token), b.request(time.Minute, keep, protocol.NoWait, "c1")))
		b.release(token)
	}
	ttl := func() time.Duration { return b.rdb.TTL(ctx, b.key).Val() }
	own("short", 500)
	if got := ttl(); got > 500*time.Second {
		t.Errorf("a short retention keeps the key for %v", got)
	}
	b.acquire("standard", time.Minute, protocol.NoWait, "c1")
	b.release("standard")
	if got := ttl(); got < 4500*time.Second {
		t.Errorf("a standard one after it keeps it for %v", got)
	}
	own("long", 90000)
	own("short2", 500)
	b.pass(200 * time.Second)
	b.acquire("standard2", time.Minute, protocol.NoWait, "c1")
	b.release("standard2")
	own("short3", 500)
	if got := ttl(); got < 89000*time.Second {
		t.Errorf("shorter retentions cut the longest to %v", got)
	}
	for range 50 { // grants go on without the longest retention, so it returns to the standard
		b.pass(30 * time.Minute)
		b.acquire("standard3", time.Minute, protocol.NoWait, "c1")
		b.release("standard3")
		if got := ttl(); got < 4500*time.Second {
			t.Fatalf("the key expires in %v", got)
		}
	}
	if state := b.dump(); len(state) != 1 {
		t.Errorf("the hash does not come back to the idle form: %q", state)
	}
}

func TestTheIdlePathLeavesTheSameStateAsTheOther(t *testing.T) {
	b := embeddedBench(t)
	for _, age := range []time.Duration{-1, 0, time.Microsecond, 99 * time.Second, 101 * time.Second, 3 * time.Hour} {
		states := map[string]map[string]string{}
		for _, s := range []*lua.Script{lua.Acquire, lua.AcquireOwn} {
			b.rdb.FlushAll(context.Background())
			if age >= 0 {
				b.acquire("before", time.Minute, protocol.NoWait, "c1")
				b.release("before")
				b.pass(age)
			}
			b.eval(s, pad("t"), b.request(time.Minute, 4600, protocol.NoWait, "c1"))
			state := b.dump()
			delete(state, "f")
			if ttl := b.rdb.TTL(context.Background(), b.key).Val(); ttl < 4500*time.Second || ttl > 4600*time.Second {
				t.Errorf("%v after the last grant: the key expires in %v", age, ttl)
			}
			states[s.Text[:200]+fmt.Sprint(len(s.Text))] = state
		}
		var all []map[string]string
		for _, state := range states {
			all = append(all, state)
		}
		if len(all) != 2 || !reflect.DeepEqual(all[0], all[1]) {
			t.Errorf("%v after the last grant: %q", age, all)
		}
	}
}

// After the last renewal of ReleaseAfter, other requests for the hold that are still under way change nothing.
func TestAHoldThatIsKeptByNobodyEndsWhenItWasSaid(t *testing.T) {
	b := embeddedBench(t)
	r := b.acquire("a", time.Second, protocol.NoWait, "c1")
	final := []any{pad("a"), r.Fence, "   60000    4600"}
	late := map[string]func() any{
		"a renewal":          func() any { return b.eval(lua.Renew, pad("a"), r.Fence) },
		"a copy of the last": func() any { return b.eval(lua.Keep, final...) },
		"a thief":            func() any { return b.eval(lua.Acquire, pad("b"), b.request(time.Second, 4600, "-", "c2"), "1000000") },
		"an upgrade": func() any {
			request := strings.Replace(b.request(time.Second, 4600, "-", "c1"), "\n\n", "\n"+read.Line(1, "")+"\n", 1)
			return b.eval(lua.Convert, pad("a"), request, pad("0000000001v"))
		},
	}
	if _, ok := b.eval(lua.Keep, final...).(string); !ok {
		t.Fatal("the last renewal is refused")
	}
	b.pass(20 * time.Second)
	state := b.dump()
	for what, send := range late {
		send()
		if got := b.dump(); !reflect.DeepEqual(got, state) {
			t.Errorf("%s changes %q into %q", what, state, got)
		}
	}
	b.pass(40*time.Second - time.Millisecond)
	if r := b.acquire("b", time.Second, protocol.NoWait, "c2"); r.Status != "held" {
		t.Errorf("1ms before its end the lock is %s", r.Status)
	}
	b.pass(time.Millisecond)
	if r := b.acquire("b", time.Second, protocol.NoWait, "c2"); r.Status != "granted" {
		t.Errorf("at its end the lock is %s", r.Status)
	}
}

// Only the holder of the lock writes its record, and a copy of an earlier write does not overwrite a later one.
func TestARecordIsWrittenByWhoHoldsTheLock(t *testing.T) {
	scripts(t, func(b *bench) {
		ctx := context.Background()
		key := strings.Replace(b.key, ":{", ":r:{", 1)
		note := func(token, step, value string, late ...any) bool {
			b.Helper()
			wrote, err := b.rdb.Eval(ctx, lua.Record.Text, []string{b.key, key}, append([]any{pad(token), step, 60000, value}, late...)...).Int()
			if err != nil {
				b.Fatal(err)
			}
			return wrote == 1
		}
		is := func(want string) {
			b.Helper()
			if got := b.rdb.Get(ctx, key).Val(); got != want {
				b.Errorf("the record says %q, not %q", got, want)
			}
		}
		if note("a", "00000000000000011", "nobody") {
			b.Error("nobody holds the lock, and the record is written")
		}
		a := b.acquire("a", time.Second, protocol.NoWait, "c1")
		if !note("a", a.Fence+"1", "begun") || !note("a", a.Fence+"2", "ended") || !note("a", a.Fence+"1", "begun") {
			b.Error("the holder is refused")
		}
		is(a.Fence + "2ended")
		b.release("a")
		if note("a", a.Fence+"3", "late") {
			b.Error("a late writer is not refused")
		}
		if !note("a", a.Fence+"3", "how it went", "late") {
			b.Error("what only tells how it went is refused")
		}
		is(a.Fence + "3how it went")
		other := b.acquire("b", 100*time.Millisecond, protocol.NoWait, "c1")
		if !note("b", other.Fence+"1", "begun again") || note("a", a.Fence+"3", "late") {
			b.Error("the next holder")
		}
		is(other.Fence + "1begun again")
		b.pass(200 * time.Millisecond)
		if note("b", other.Fence+"2", "lapsed") || note("a", a.Fence+"4", "how it went", "late") {
			b.Error("a holder whose lease is over, or whose record is another's, is not refused")
		}
		is(other.Fence + "1begun again")
		if left := b.rdb.PTTL(ctx, key).Val(); left <= 0 { // I4
			b.Errorf("it is forgotten in %v", left)
		}
	})
}
