package doctor

import (
	"context"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestEvictionIsTurnedOffAtOnceOnlyWhereThereIsRoom(t *testing.T) {
	for used, first := range map[string]bool{"799": false, "800": true} {
		f := facts{info: map[string]string{"maxmemory_policy": "allkeys-lru", "used_memory": used, "maxmemory": "1000"}}
		if got := one(t, eviction(&f)); strings.HasPrefix(got.Fix, "make room") != first {
			t.Errorf("%s of 1000 used: %+v", used, got)
		}
	}
}

// An acquire passes now and then though the server is full, and is refused though it was not full a moment ago. All findings say the same.
func TestTheMemoryAndTheTriedLockAgreeOnWhetherTheServerIsFull(t *testing.T) {
	taken := Finding{Check: "lock", Found: "one was taken and given back"}
	refused := Finding{Check: "lock", Level: Danger, Stops: NoMemory, Found: "refused: OOM"}
	for _, c := range []struct {
		used string
		lock Finding
		full bool
		says string // of the lock
	}{
		{"1001", taken, true, "given back. Redis is full all the same"},
		{"1001", refused, true, "refused: OOM"},
		{"999", taken, false, "given back"},
		{"999", refused, true, "refused: OOM"},
		{"850", refused, true, "refused: OOM"},
		{"100", taken, false, "given back"},
	} {
		f := facts{info: map[string]string{"used_memory": c.used, "maxmemory": "1000"}}
		all := oneCause(append(headroom(&f), c.lock))
		memory, lock := all[0], all[1]
		if (memory.Stops == NoMemory) != c.full || strings.HasPrefix(memory.Found, fullFound+": "+c.used+" bytes in use") != c.full || (memory.Why == refusals) != (c.used != "100") || !strings.HasSuffix(lock.Found, c.says) && !strings.Contains(lock.Found, c.says) {
			t.Errorf("%s, %s: %+v", c.used, c.lock.Found, all)
		}
	}
}

// answered answers each request with the next of these texts, and is asked no more than that.
type answered []string

func (a *answered) DialHook(next redis.DialHook) redis.DialHook { return next }

func (a *answered) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (a *answered) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		cmd.(*redis.StringCmd).SetVal((*a)[0])
		*a = (*a)[1:]
		return nil
	}
}

// The memory in use rises and falls with the buffers of clients, so a server that is about to be full may be so at the next moment.
func TestAServerThatIsAboutToBeFullIsLookedAtAgain(t *testing.T) {
	const limit = "maxmemory:1000000\n"
	for _, c := range []struct {
		used []string
		full bool
	}{
		{[]string{"980000"}, false},
		{[]string{"1000001"}, true},
		{[]string{"999990", "980000", "999995", "990001", "999990"}, false},
		{[]string{"999990", "980000", "1000001"}, true},
	} {
		rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
		answers := answered{}
		for _, used := range c.used {
			answers = append(answers, limit+"used_memory:"+used)
		}
		rdb.AddHook(&answers)
		r := Memory(t.Context(), rdb)
		if len(r.Findings) != 1 || (r.Findings[0].Stops == NoMemory) != c.full || len(answers) > 0 {
			t.Errorf("%v: %+v; %d looks too few", c.used, r.Findings, len(answers))
		}
		_ = rdb.Close()
	}
}

func TestNoMaxmemoryIsProposedThatCannotBe(t *testing.T) {
	for _, c := range []struct{ used, limit, total, proposed string }{
		{"850", "1000", "100000", "2000"},
		{"25653560", "25165824", "8589934592", "48mb"}, // the result does not depend on the memory in use
		{"25247000", "25165824", "8589934592", "48mb"},
		{"850", "1000", "2000", "1500"}, // three quarters of the machine's memory
		{"850", "1000", "1200", ""},     // that would be less than the present limit
		{"850", "1000", "1400", ""},     // more, and nearly full again
		{"850", "1000", "", ""},         // the memory of the machine is not known
		{"900", "0", "1000", ""},
		{"1200", "1000", "1000", ""},
	} {
		f := facts{info: map[string]string{"used_memory": c.used, "maxmemory": c.limit, "total_system_memory": c.total}}
		got := one(t, headroom(&f))
		if got.Command != strings.TrimSuffix("redis-cli CONFIG SET maxmemory "+c.proposed, "redis-cli CONFIG SET maxmemory ") || c.proposed == "" && !strings.Contains(got.Fix, "server of their own") {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}
