package gocronlock_test

import (
	"testing"
	"time"

	gocronlock "example.com/redislock/adapters/gocron"
)

func at(t testing.TB, text string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return when.UTC()
}

func TestTheTickOfACrontab(t *testing.T) {
	t.Parallel()
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		crontab   string
		seconds   bool
		location  *time.Location
		now, want string
	}{
		"a moment after":                {"*/5 * * * *", false, time.UTC, "2026-11-21T10:05:00.02Z", "2026-11-21T10:05:00Z"},
		"long after":                    {"*/5 * * * *", false, time.UTC, "2026-11-21T10:09:57Z", "2026-11-21T10:05:00Z"},
		"a moment before":               {"*/5 * * * *", false, time.UTC, "2026-11-21T10:04:59.2Z", "2026-11-21T10:05:00Z"},
		"more than a moment before":     {"*/5 * * * *", false, time.UTC, "2026-11-21T10:04:58.9Z", "2026-11-21T10:00:00Z"},
		"before one of every second":    {"* * * * * *", true, time.UTC, "2026-11-21T10:04:58.95Z", "2026-11-21T10:04:59Z"},
		"long before one of them":       {"* * * * * *", true, time.UTC, "2026-11-21T10:04:58.8Z", "2026-11-21T10:04:58Z"},
		"five fields where six may be":  {"*/5 * * * *", true, time.UTC, "2026-11-21T10:05:00.02Z", "2026-11-21T10:05:00Z"},
		"in the scheduler's location":   {"0 9 * * *", false, tokyo, "2026-11-21T00:00:01Z", "2026-11-21T00:00:00Z"},
		"in a location of its own":      {"CRON_TZ=Asia/Tokyo 0 9 * * *", false, time.UTC, "2026-11-21T00:00:01Z", "2026-11-21T00:00:00Z"},
		"the same, written differently": {"TZ=Asia/Tokyo 0 9 * * *", false, time.UTC, "2026-11-21T00:00:01Z", "2026-11-21T00:00:00Z"},
		"an interval":                   {"@every 5m", false, time.UTC, "2026-11-21T10:04:59.9Z", "2026-11-21T10:00:00Z"},
		"an interval of a second":       {"@every 1s", false, time.UTC, "2026-11-21T10:04:58.95Z", "2026-11-21T10:04:58Z"},
		"an hour that is left out":      {"CRON_TZ=America/New_York 30 2 * * *", false, time.UTC, "2026-03-08T07:30:00Z", "2026-03-08T07:00:00Z"},
		"a descriptor":                  {"@daily", false, time.UTC, "2026-11-21T10:04:59.9Z", "2026-11-21T00:00:00Z"},
		"for the first time":            {"0 0 1 1 *", false, time.UTC, "2026-11-21T10:00:00Z", "2026-01-01T00:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tick, err := gocronlock.Crontab(test.crontab, test.seconds, test.location)
			if err != nil {
				t.Fatal(err)
			}
			if got := tick("report", at(t, test.now)); !got.Equal(at(t, test.want)) {
				t.Errorf("%v, want %s", got.UTC(), test.want)
			}
		})
	}
	for _, spec := range []string{"", "* * * *", "* * * * * *", "61 * * * *", "CRON_TZ=Nowhere * * * * *"} {
		if _, err := gocronlock.Crontab(spec, false, nil); err == nil {
			t.Errorf("%q was accepted", spec)
		}
	}
}

func TestEveryWithoutADurationHasNoTicks(t *testing.T) {
	t.Parallel()
	if tick := gocronlock.Every(0)("report", time.Now()); !tick.IsZero() {
		t.Error(tick)
	}
	now := at(t, "2026-11-21T10:04:59.9Z")
	if tick := gocronlock.Every(5*time.Minute)("report", now); !tick.Equal(at(t, "2026-11-21T10:00:00Z")) {
		t.Error(tick)
	}
}

func TestTheTickThatComesNext(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ crontab, after, want string }{
		"at a tick":                     {"*/5 * * * *", "2026-11-21T10:05:00Z", "2026-11-21T10:10:00Z"},
		"between two":                   {"*/5 * * * *", "2026-11-21T10:07:31.5Z", "2026-11-21T10:10:00Z"},
		"a moment before one":           {"*/5 * * * *", "2026-11-21T10:09:59.9Z", "2026-11-21T10:10:00Z"},
		"of every second":               {"* * * * * *", "2026-11-21T10:09:59.95Z", "2026-11-21T10:10:00Z"},
		"a long time away":              {"30 3 1 1 *", "2026-01-01T03:30:00Z", "2027-01-01T03:30:00Z"},
		"the first of some that follow": {"0,1,2 4 * * *", "2026-11-21T04:02:00Z", "2026-11-22T04:00:00Z"},
		"an interval":                   {"@every 5m", "2026-11-21T10:04:59.9Z", "2026-11-21T10:05:00Z"},
		"an hour that is left out":      {"CRON_TZ=America/New_York 30 2 * * *", "2026-03-07T07:30:00Z", "2026-03-08T07:00:00Z"},
		"never again":                   {"0 0 30 2 *", "2026-11-21T10:00:00Z", "0001-01-01T00:00:00Z"},
	} {
		tick, err := gocronlock.Crontab(test.crontab, true, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		if got := gocronlock.Next(tick, "report", at(t, test.after)); !got.Equal(at(t, test.want)) {
			t.Errorf("%s: %v, want %s", name, got.UTC(), test.want)
		}
	}
}
