package lua_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/lua"
)

func TestAConfirmationLiftsTheFenceOfThatHoldAboveAllOthers(t *testing.T) {
	scripts(t, func(b *bench) {
		reader := func(token string) string {
			return b.parse(b.eval(lua.Acquire, pad(token), b.requestIn(read, 1, time.Minute, 4600, protocol.NoWait, "c1"))).Fence
		}
		fences := map[string]string{"a": reader("a"), "b": reader("b"), "c": reader("c")}
		fence, _ := protocol.ParseMicros(fences["c"])
		floor := fmt.Sprintf("%016d", fence.Add(time.Hour))
		for i, token := range []string{"b", "a", "b"} {
			want := fmt.Sprintf("%016d", fence.Add(time.Hour)+protocol.Micros(i)+1)
			if i == 2 {
				want = fences["b"] // its fence is above the floor already
			}
			if r := b.confirm(token, floor, ""); r.Status != "granted" || r.Fence != want {
				t.Errorf("%s: %s %s, want %s", token, r.Status, r.Fence, want)
			} else {
				fences[token] = r.Fence
			}
		}
		for token, fence := range fences {
			if _, renewed := b.eval(lua.Renew, pad(token), fence).(string); !renewed {
				t.Errorf("%s is not renewed under the fence %s", token, fence)
			}
			if got := b.release(token); got != "hold" {
				t.Errorf("the release of %s finds %s", token, got)
			}
		}
		if r := b.acquire("d", time.Minute, protocol.NoWait, "c1"); r.Fence <= fences["a"] {
			t.Errorf("I2: fence %s after %s", r.Fence, fences["a"])
		}
	})
}

func TestAConfirmationNeverMovesAHoldThatIsNotItsOwnersAnyMore(t *testing.T) {
	scripts(t, func(b *bench) {
		for _, what := range []string{"released", "revoked", "kept", "broken"} {
			r := b.acquire(what, time.Minute, protocol.NoWait, "c1")
			switch what {
			case "released":
				b.release(what)
			case "revoked":
				b.pass(5 * time.Millisecond)
				b.acquire("thief", time.Minute, protocol.Uncountable, "c2", "1000")
				b.release("thief")
			case "kept":
				b.eval(lua.Keep, pad(what), r.Fence, "   90000    4600")
			case "broken":
				b.eval(lua.Break, "why", pad(what), r.Fence)
			}
			before := fmt.Sprint(b.dump())
			if got := b.confirm(what, "", fmt.Sprintf("%016d", int64(r.At)+1e9)); got.Status != "gone" {
				t.Errorf("%s: %s", what, got.Status)
			}
			if after := fmt.Sprint(b.dump()); after != before {
				t.Errorf("%s: the state was %s, and is %s", what, before, after)
			}
			b.release(what)
		}
	})
}

// A fence that is ahead of the clock is remembered until the clock has caught up, and for the retention after that.
func TestI4ALiftedFenceIsRememberedUntilTheClockHasCaughtUp(t *testing.T) {
	b := embeddedBench(t)
	b.acquire("a", time.Minute, protocol.NoWait, "c1")
	floor := fmt.Sprintf("%016d", b.now.Add(20*time.Hour).UnixMicro())
	lifted := b.confirm("a", floor, "").Fence
	b.release("a")
	b.pass(21 * time.Hour)
	if got := b.dump()["f"]; got != lifted {
		t.Fatalf("an hour after the clock has caught up the last fence is %q, want %s", got, lifted)
	}
	b.pass(time.Hour)
	if n := len(b.mini.Keys()); n != 0 {
		t.Errorf("%d keys are immortal", n)
	}
}

// The age of a hold counts from its grant, whatever its fence is.
func TestALiftedHoldIsAsOldAsItWas(t *testing.T) {
	scripts(t, func(b *bench) {
		r := b.acquire("a", time.Minute, protocol.NoWait, "c1")
		b.pass(20 * time.Millisecond)
		b.confirm("a", "", fmt.Sprintf("%016d", int64(r.At)+1e9))
		f, err := protocol.FieldsOf(b.eval(lua.Inspect, 1))
		if err != nil || f.Micros(5) != r.At {
			t.Errorf("it is held since %d, want %d, %v", f.Micros(5), r.At, err)
		}
		if got := f.Micros(6); got <= r.At.Add(time.Minute) {
			t.Errorf("the lease ends at %d: it was not made whole", got)
		}
	})
}

// A fence that is up to a day ahead is believed, one further ahead is not.
func TestTheSkewThatIsBelievedIsADay(t *testing.T) {
	b := embeddedBench(t)
	r := b.acquire("a", time.Minute, protocol.NoWait, "c1")
	in := func(d time.Duration) string { return fmt.Sprintf("%016d", b.now.Add(d).UnixMicro()) }
	if got := b.confirm("a", "", in(24*time.Hour+time.Microsecond)); got.Fence != r.Fence {
		t.Errorf("what the Client has seen, a day and a bit ahead: lifted to %s", got.Fence)
	}
	if got := b.confirm("a", in(24*time.Hour+time.Microsecond), in(time.Hour)); got.Status != "ahead" {
		t.Errorf("what the caller has named, a day and a bit ahead: %s", got.Status)
	}
	if got := b.confirm("a", in(time.Hour), strings.Repeat("9", 16)); got.Fence <= in(time.Hour) || got.Fence > in(2*time.Hour) {
		t.Errorf("one to believe beside one not to: lifted to %s", got.Fence)
	}
	if got := b.confirm("a", in(24*time.Hour), ""); got.Fence <= in(24*time.Hour) {
		t.Errorf("a day ahead: lifted to %s", got.Fence)
	}
}
