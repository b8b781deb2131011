package doctor

import (
	"fmt"
	"time"

	"example.com/redislock"
)

const (
	defaultMargin = redislock.DefaultClockMargin
	// clockApart is a difference that people notice when they compare logs.
	clockApart = time.Second
	// farApart is a difference at which the library no longer believes fences that a caller names.
	farApart = 24 * time.Hour
)

// clock compares the server's clock with this host's. No lock depends on that: all deadlines are in the server's time,
// and no client sends its own. A difference shows that one of the two clocks is wrong. If it is the server's, somebody
// will set it, and that matters.
func clock(f *facts) []Finding {
	const check = "clock"
	if f.timeErr != nil {
		return []Finding{refusal(check, "TIME", "+time", f.timeErr)}
	}
	ahead, half := f.time.ahead, f.time.half
	text := "the server's and this host's are the same, give or take " + short(half)
	if max(ahead, -ahead) > half {
		text = "the server's is " + apart(ahead) + " this host's, give or take " + short(half)
	}
	if max(ahead, -ahead)-half <= clockApart {
		return well(check, "%s", text)
	}
	found := Finding{
		Check: check, Level: Warning, Found: text,
		Why: "leases do not depend on it, for they are in the server's time alone. But one of both clocks is wrong: if it is the server's and is set right in one step, " +
			"holds end early or late by as much; times in logs, of cron ticks and in fences do not fit those of this host.",
		Fix: "run NTP on both (chronyc tracking shows who is off), on the server slewing and not stepping",
	}
	if max(ahead, -ahead)-half > farApart {
		found.Level = Danger
		found.Why += " Fences follow the server's time, and what is more than 24 h off is not believed: WithFenceFloor fails."
	}
	return []Finding{found}
}

func apart(ahead time.Duration) string {
	if ahead < 0 {
		return short(-ahead) + " behind"
	}
	return short(ahead) + " ahead of"
}

// clocksApart compares the clocks of masters with each other: a slot that moves takes its locks to another clock.
func clocksApart(subjects []*facts, margin time.Duration) []Finding {
	const check = "clocks of the masters"
	var first, last *facts
	for _, f := range subjects {
		if f.silence != nil || f.timeErr != nil {
			continue
		}
		if first == nil || f.time.ahead < first.time.ahead {
			first = f
		}
		if last == nil || f.time.ahead > last.time.ahead {
			last = f
		}
	}
	if first == nil || first == last {
		return nil
	}
	differ, give := last.time.ahead-first.time.ahead, first.time.half+last.time.half
	text := fmt.Sprintf("%s apart (%s and %s), give or take %s", short(differ), first.addr, last.addr, short(give))
	if differ-give <= margin {
		return well(check, "%s", text)
	}
	return []Finding{{
		Check: check, Level: Warning, Found: text,
		Why: fmt.Sprintf("when a slot moves to a master whose clock is ahead by more than WithClockMargin (%v), the server may give a lock away that much before its holder expects it.", margin),
		Fix: fmt.Sprintf("run NTP on all of them, or allow for it: redislock.WithClockMargin(%v)", (differ+give).Round(10*time.Millisecond)+10*time.Millisecond),
	}}
}
