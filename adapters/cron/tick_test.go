package cronlock_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	cronlock "example.com/redislock/adapters/cron"
)

func parse(t testing.TB, spec string) cron.Schedule {
	t.Helper()
	s, err := cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor).Parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return when.UTC()
}

func TestTheTickIsTheLatestThatTheClockHasComeTo(t *testing.T) {
	t.Parallel()
	const none = "0001-01-01T00:00:00Z"
	for _, test := range []struct{ name, spec, now, want string }{
		{"a moment after", "*/5 * * * *", "2026-11-21T10:05:00.0001Z", "2026-11-21T10:05:00Z"},
		{"exactly then", "*/5 * * * *", "2026-11-21T10:05:00Z", "2026-11-21T10:05:00Z"},
		{"a moment before", "*/5 * * * *", "2026-11-21T10:04:59.999999999Z", "2026-11-21T10:00:00Z"},
		{"every second", "* * * * * *", "2026-11-21T10:04:59.7Z", "2026-11-21T10:04:59Z"},
		{"months of silence", "30 4 1 1 *", "2026-11-21T10:00:00Z", "2026-01-01T04:30:00Z"},
		{"a leap day, years ago", "0 0 29 2 *", "2027-11-21T10:00:00Z", "2024-02-29T00:00:00Z"},
		{"a leap day, eight years ago", "0 0 29 2 *", "2104-01-01T00:00:00Z", "2096-02-29T00:00:00Z"},
		{"every second of a month that is long over", "* * * 1 * *", "2026-11-30T10:00:00Z", "2026-11-01T23:59:59Z"},
		{"every second of January, in December", "* * * * 1 *", "2026-12-31T10:00:00Z", "2026-01-31T23:59:59Z"},
		{"a day that never comes", "0 0 30 2 *", "2026-11-21T10:00:00Z", none},
		{"another time zone", "CRON_TZ=Asia/Tokyo 0 9 * * *", "2026-11-21T10:00:00Z", "2026-11-21T00:00:00Z"},
		{"half an hour off", "CRON_TZ=Asia/Kolkata 0 9 * * *", "2026-11-21T10:00:00Z", "2026-11-21T03:30:00Z"},

		// In New York the clock goes from 2:00 EST to 3:00 EDT on 8 March 2026, from 2:00 EDT to 1:00 EST on 1 November.
		{"an hour that is left out", "CRON_TZ=America/New_York 30 2 * * *", "2026-03-08T12:00:00Z", "2026-03-08T07:00:00Z"},
		{"a moment before it", "CRON_TZ=America/New_York 30 2 * * *", "2026-03-08T06:59:59.9Z", "2026-03-07T07:30:00Z"},
		{"all of it", "CRON_TZ=America/New_York */5 2 * * *", "2026-03-08T12:00:00Z", "2026-03-08T07:00:00Z"},
		{"it and the one after", "CRON_TZ=America/New_York 30 2,3 * * *", "2026-03-08T07:29:00Z", "2026-03-08T07:00:00Z"},
		{"it, on other days", "CRON_TZ=America/New_York 30 2 * * 1", "2026-03-08T12:00:00Z", "2026-03-02T07:30:00Z"},
		{"it, when it matters once a year", "CRON_TZ=America/New_York 30 2 8 3 *", "2026-12-01T12:00:00Z", "2026-03-08T07:00:00Z"},
		{"a job of every hour", "CRON_TZ=America/New_York 30 * * * *", "2026-03-08T07:29:00Z", "2026-03-08T06:30:00Z"},
		{"a job of all hours by name", "CRON_TZ=America/New_York 30 0-23 * * *", "2026-03-08T07:29:00Z", "2026-03-08T06:30:00Z"},
		{"at its very end", "CRON_TZ=America/New_York 0 2,3 * * *", "2026-03-08T12:00:00Z", "2026-03-08T07:00:00Z"},
		{"a whole day that is left out", "CRON_TZ=Pacific/Apia 0 9 * * *", "2011-12-30T12:00:00Z", "2011-12-30T10:00:00Z"},
		{"the day after", "CRON_TZ=America/New_York 30 2 * * *", "2026-03-09T12:00:00Z", "2026-03-09T06:30:00Z"},
		{"an hour that comes twice, the first time", "CRON_TZ=America/New_York 30 1 * * *", "2026-11-01T05:45:00Z", "2026-11-01T05:30:00Z"},
		{"an hour that comes twice, the second time", "CRON_TZ=America/New_York 30 1 * * *", "2026-11-01T06:45:00Z", "2026-11-01T06:30:00Z"},
		{"the days on which it comes", "CRON_TZ=America/New_York 0 12 * * *", "2026-11-01T18:00:00Z", "2026-11-01T17:00:00Z"},
		{"midnight that does not exist", "CRON_TZ=America/Santiago 0 0 * * *", "2026-09-06T12:00:00Z", "2026-09-06T04:00:00Z"},

		{"every five minutes", "@every 5m", "2026-11-21T10:04:59Z", "2026-11-21T10:00:00Z"},
		{"every week", "@every 168h", "2026-11-21T10:04:59Z", "2026-11-16T00:00:00Z"}, // a Monday
		{"every seven seconds", "@every 7s", "1969-12-31T23:59:59Z", "1969-12-31T23:59:56Z"},
		{"hourly", "@hourly", "2026-11-21T10:04:59Z", "2026-11-21T10:00:00Z"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := cronlock.Tick(parse(t, test.spec), at(t, test.now)); !got.Equal(at(t, test.want)) {
				t.Errorf("%s at %s: %v, want %s", test.spec, test.now, got.UTC(), test.want)
			}
		})
	}
}

func TestATickWithoutAZoneIsReadInThatOfTheClock(t *testing.T) {
	t.Parallel()
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	s, err := cron.ParseStandard("0 9 * * *")
	if err != nil {
		t.Fatal(err)
	}
	now := at(t, "2026-11-21T10:00:00Z")
	if got, want := cronlock.Tick(s, now.In(tokyo)), at(t, "2026-11-21T00:00:00Z"); !got.Equal(want) {
		t.Errorf("in Tokyo: %v, want %v", got, want)
	}
	if got, want := cronlock.Tick(s, now), at(t, "2026-11-21T09:00:00Z"); !got.Equal(want) {
		t.Errorf("in UTC: %v, want %v", got, want)
	}
}

// A tick has no monotonic reading, so two computations of one tick give equal values.
func TestATickHasNoMonotonicClock(t *testing.T) {
	t.Parallel()
	now := time.Now()
	if got := cronlock.Tick(parse(t, "* * * * * *"), now); got != got.Round(0) {
		t.Errorf("%v", got)
	}
	if got := cronlock.Tick(cron.Every(time.Second), now); got != got.Round(0) {
		t.Errorf("@every: %v", got)
	}
}

func TestScheduleAsPointerIsTheSame(t *testing.T) {
	t.Parallel()
	every, now := cron.Every(time.Minute), time.Now()
	if a, b := cronlock.Tick(every, now), cronlock.Tick(&every, now); !a.Equal(b) {
		t.Errorf("%v, %v", a, b)
	}
	if got := cronlock.Tick(cron.ConstantDelaySchedule{}, now); !got.IsZero() {
		t.Errorf("every 0 s: %v", got)
	}
}

// counting is a schedule that counts how often it is asked.
type counting struct {
	cron.Schedule
	asked int
}

func (c *counting) Next(t time.Time) time.Time {
	c.asked++
	return c.Schedule.Next(t)
}

func TestToTellTheTickTakesDozensOfQuestions(t *testing.T) {
	t.Parallel()
	now := at(t, "2026-12-31T23:59:59.5Z")
	for _, spec := range []string{"* * * * * *", "* * * * 1 *", "0 0 1 1 *", "0 0 29 2 *", "0 0 30 2 *", "* * * 1-3 2,3 *", "*/7 0-3 * * *"} {
		s := &counting{Schedule: parse(t, spec)}
		cronlock.Tick(s, now)
		if s.asked > 130 {
			t.Errorf("%s: asked %d times", spec, s.asked)
		}
	}
}

// The search finds the same tick as a walk from one activation to the next, around changes of the clock too.
func TestTheTickIsWhatAWalkFinds(t *testing.T) {
	t.Parallel()
	const seed = 20261121
	random := rand.New(rand.NewPCG(seed, seed))
	zones := []string{"UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Sydney", "America/Havana", "America/Santiago", "Africa/Casablanca"}
	field := func(low, high int) string {
		switch random.IntN(4) {
		case 0:
			return "*"
		case 1:
			return fmt.Sprintf("*/%d", 1+random.IntN(high-low))
		default:
			return fmt.Sprint(low + random.IntN(high-low+1))
		}
	}
	changes := []time.Time{
		at(t, "2026-03-08T07:00:00Z"), at(t, "2026-11-01T06:00:00Z"), at(t, "2026-03-29T01:00:00Z"), at(t, "2026-10-25T01:00:00Z"),
		at(t, "2026-04-04T16:00:00Z"), at(t, "2026-10-03T16:00:00Z"), at(t, "2026-04-05T03:00:00Z"), at(t, "2026-09-06T04:00:00Z"),
	}
	for range 300 {
		day := "* * *"
		if random.IntN(3) == 0 {
			day = field(1, 28) + " * " + field(0, 6)
		}
		spec := fmt.Sprintf("CRON_TZ=%s %s %s %s %s", zones[random.IntN(len(zones))], fmt.Sprint(random.IntN(60)), field(0, 59), field(0, 23), day)
		s := parse(t, spec)
		now := changes[random.IntN(len(changes))].Add(time.Duration(random.Int64N(int64(8*time.Hour))) - 4*time.Hour)
		var want time.Time
		whole := cronlock.CatchUp(s)
		for next := whole.Next(now.Add(-3 * 24 * time.Hour)); !next.IsZero() && !next.After(now); next = whole.Next(next) {
			want = next
		}
		if want.IsZero() {
			continue // longer ago than the walk goes
		}
		if got := cronlock.Tick(s, now); !got.Equal(want) {
			t.Errorf("%s at %v: %v, want %v", spec, now, got.UTC(), want.UTC())
		}
	}
}
