package lua_test

import (
	"fmt"
	"testing"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/lua"
)

// However many holds are kept, or are being stolen already, a steal reaches the other holds behind them.
func TestAStealReachesWhatIsHeldBehindManyThatAreKeptOrRevoked(t *testing.T) {
	scripts(t, func(b *bench) {
		const kept, stale = 100, 70
		m := semaphore(kept + stale + 1)
		take := func(token string) string {
			r := b.parse(b.eval(lua.Acquire, pad(token), b.requestIn(m, 1, time.Hour, 8300, protocol.NoWait, "c-"+token)))
			return r.Fence
		}
		for i := range kept {
			token := fmt.Sprint("kept", i)
			b.eval(lua.Keep, pad(token), take(token), " 3600000    8300")
		}
		for i := range stale {
			take(fmt.Sprint("stale", i))
		}
		b.pass(2 * time.Second)
		young := take("young")
		states := func() map[string]int {
			f, err := protocol.FieldsOf(b.eval(lua.Inspect, 1000))
			if err != nil {
				b.Fatal(err)
			}
			states := map[string]int{}
			for i := range f.Int(4) {
				states[f.Text(5+8*i+4)]++
			}
			return states
		}
		steal := "1900000" // on a real server the young hold ages meanwhile
		b.acquire("thief", time.Minute, protocol.Uncountable, "thief", steal)
		for checks := 0; ; checks++ {
			before := states()["r"]
			f, err := protocol.FieldsOf(b.eval(lua.Check, "thief", protocol.Uncountable, steal, pad("thief")))
			if err != nil {
				b.Fatal(err)
			}
			if n := states()["r"] - before; n > 32 {
				b.Errorf("one check revoked %d", n)
			}
			if f.Int(1) == 0 || checks > 20 {
				break
			}
		}
		if got := states(); got["k"] != kept || got["r"] != stale || got["-"] != 1 {
			b.Errorf("%v: want %d kept, %d revoked, and the young one held", got, kept, stale)
		}
		// The next acquire sees at once which is the oldest hold that can be stolen, and when it becomes stale.
		r := b.acquire("another", time.Minute, protocol.NoWait, "c1")
		if since, _ := protocol.ParseMicros(young); r.Holder.Since != since && b.mini != nil {
			b.Errorf("the oldest hold is said to be since %v, want %v", r.Holder.Since, since)
		}
		// The hold from which the search goes on may itself end.
		for i := range stale {
			b.release(fmt.Sprint("stale", i))
		}
		b.pass(2 * time.Second)
		b.eval(lua.Check, "thief", protocol.Uncountable, steal, pad("thief"))
		if got := states(); got["r"] != 1 || got["-"] != 0 {
			b.Errorf("%v: the young one has become stale", got)
		}
	})
}
