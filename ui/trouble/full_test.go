package trouble

import (
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/redislock"
	"example.com/redislock/ui/doctor"
)

// memoryIs is a report whose finding about memory is like this.
func memoryIs(level doctor.Level, stops doctor.Stops) doctor.Report {
	found := map[bool]string{true: "full, most acquires are refused: 24 MB in use of a maxmemory of 24 MB", false: "nearly full"}[stops != ""]
	return doctor.Report{Findings: []doctor.Finding{{Check: "memory", Level: level, Stops: stops, Found: found}, {Check: "lock", Level: doctor.OK}}}
}

func TestAFullRedisStaysFullUntilThereIsRoomForAWhile(t *testing.T) {
	const isFull, nearly, roomy = 0, 1, 2
	reports := []doctor.Report{memoryIs(doctor.Danger, doctor.NoMemory), memoryIs(doctor.Danger, ""), memoryIs(doctor.OK, "")}
	type look struct {
		after time.Duration // since the look before
		sees  int
		full  bool // said to be
	}
	for name, looks := range map[string][]look{
		"it is full and nearly full by turns": {{0, isFull, true}, {10 * time.Second, nearly, true}, {10 * time.Second, isFull, true}, {110 * time.Second, nearly, true}, {time.Second, roomy, false}},
		"a little room":                       {{0, isFull, true}, {119 * time.Second, nearly, true}, {time.Second, nearly, false}},
		"clear room":                          {{0, isFull, true}, {ExamineFull, roomy, true}, {ExamineFull, roomy, false}, {time.Second, nearly, false}},
		"it is full again":                    {{0, isFull, true}, {clearTime, roomy, false}, {time.Minute, isFull, true}},
		"nearly full":                         {{0, nearly, false}, {time.Minute, nearly, false}},
		"nobody looked for long":              {{0, isFull, true}, {time.Hour, nearly, false}},
		"the clock went back":                 {{0, isFull, true}, {-time.Hour, roomy, false}},
	} {
		var m Memory
		now := zero
		for i, l := range looks {
			now = now.Add(l.after)
			r := m.Server(reports[l.sees], now)
			found := All(m.Troubles(now), nil, r, now)
			has := func(kind Kind) bool {
				return slices.ContainsFunc(found, func(t Trouble) bool { return t.Kind == kind })
			}
			if r.Full() != l.full || has(Full) != l.full || len(r.Findings) != 2 {
				t.Errorf("%s, look %d: %+v", name, i, r)
			}
			if has(Full) && has(WasFull) {
				t.Errorf("%s, look %d: is and was: %v", name, i, found)
			}
		}
	}
}

func TestSinceWhenRedisIsFullIsToldIfThatWasSeen(t *testing.T) {
	var m Memory
	if r := m.Server(memoryIs(doctor.Danger, doctor.NoMemory), zero); !r.Findings[0].Since.IsZero() || OfServer(r)[0].When() != "" {
		t.Errorf("at the first look: %+v", r)
	}
	m = Memory{}
	m.Server(memoryIs(doctor.OK, ""), zero)
	began := zero.Add(time.Minute)
	for i := range 3 {
		r := m.Server(memoryIs(doctor.Danger, doctor.NoMemory), began.Add(time.Duration(i)*ExamineFull))
		if found := OfServer(r)[0]; !found.Since.Equal(began) || !strings.HasPrefix(string(found.When()), "for ") {
			t.Errorf("look %d: %+v", i, found)
		}
	}
	m = Memory{}
	m.Server(memoryIs(doctor.OK, ""), zero)
	if r := m.Server(memoryIs(doctor.Danger, doctor.NoMemory), zero.Add(time.Hour)); !r.Findings[0].Since.IsZero() {
		t.Errorf("it may have been full for an hour: %+v", r)
	}
}

func TestARedisThatWasFullIsToldForAWhileAndJobsThatWereDueThenAreLateBecauseOfIt(t *testing.T) {
	var m Memory
	job := redislock.CronStatus{Job: "rates", Outcome: redislock.OutcomePending, Next: zero.Add(30 * time.Second), Node: owner}
	m.Server(memoryIs(doctor.OK, ""), zero)
	last := zero.Add(time.Minute)
	m.Server(memoryIs(doctor.Danger, doctor.NoMemory), last)
	now := last.Add(clearTime)
	r := m.Server(memoryIs(doctor.OK, ""), now)
	now = now.Add(time.Minute)
	found := All(m.Troubles(now), []redislock.CronStatus{job}, r, now)
	if len(found) != 2 || found[0].Kind != Overdue || found[1].Kind != WasFull || !found[1].Since.Equal(last) || Stops(found) != "" {
		t.Fatalf("%+v", found)
	}
	if text := all(found[0]); !strings.Contains(text, "(Redis was full)") || !strings.Contains(text, "probably because its lock could not be taken") || strings.Contains(text, "Make room") {
		t.Errorf("%s", text)
	}
	if text := all(found[1]); !strings.Contains(text, "leave no trace in Redis") {
		t.Errorf("%s", text)
	}
	job.Next = last.Add(time.Second)
	if text := all(OfJob(job, now.Add(time.Hour), found...)[0]); strings.Contains(text, "was full") {
		t.Errorf("due when there was room: %s", text)
	}
	if found := m.Troubles(last.Add(Recent + 1)); len(found) > 0 {
		t.Errorf("later: %v", found)
	}
}

func TestEachServerOfAClusterIsFullForItself(t *testing.T) {
	var m Memory
	report := func(a, b doctor.Stops) doctor.Report {
		return doctor.Report{Findings: []doctor.Finding{
			{Check: "memory", Node: "a:1", Level: doctor.Danger, Stops: a, Found: "full"}, {Check: "memory", Node: "b:1", Level: doctor.Danger, Stops: b, Found: "full"},
		}}
	}
	m.Server(report(doctor.NoMemory, ""), zero)
	r := m.Server(report("", ""), zero.Add(time.Minute))
	if r.Findings[0].Stops != doctor.NoMemory || r.Findings[1].Stops != "" {
		t.Errorf("%+v", r)
	}
	now := zero.Add(time.Hour)
	m.Server(report(doctor.NoMemory, ""), now)
	m.Server(report("", ""), now.Add(crowdedTime))
	if found := m.Troubles(now.Add(crowdedTime)); len(found) != 1 || !strings.HasPrefix(string(found[0].Title), "a:1, Redis was full") || found[0].stops != "" {
		t.Errorf("%v", found)
	}
}
