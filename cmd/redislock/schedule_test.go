package main

import (
	"strings"
	"testing"
	"time"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func parsed(t *testing.T, text string, z *time.Location) schedule {
	t.Helper()
	s, err := parseSchedule(text, z)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

func moment(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestTheTickIsTheLastTimeThatTheScheduleNames(t *testing.T) {
	t.Parallel()
	berlin := zone(t, "Europe/Berlin")
	for _, c := range []struct{ schedule, now, tick string }{
		{"5m", "2026-11-21T10:07:59.9Z", "2026-11-21T10:05:00Z"},
		{"5m", "2026-11-21T10:05:00Z", "2026-11-21T10:05:00Z"},
		{"90s", "2026-11-21T00:04:00Z", "2026-11-21T00:03:00Z"},
		{"1500ms", "2026-11-21T00:00:02.9Z", "2026-11-21T00:00:01.5Z"},
		{"24h", "2026-11-21T23:59:59+05:00", "2026-11-21T00:00:00Z"},
		{"168h", "2026-11-21T10:00:00Z", "2026-11-16T00:00:00Z"}, // a Monday
		{"*/5 * * * *", "2026-11-21T10:07:59.9Z", "2026-11-21T10:05:00Z"},
		{"*/5 * * * *", "2026-11-21T10:05:00Z", "2026-11-21T10:05:00Z"},
		{"*/5 * * * *", "2026-11-21T10:04:59.999999999Z", "2026-11-21T10:00:00Z"},
		{"*/10 * * * * *", "2026-11-21T10:04:59.9Z", "2026-11-21T10:04:50Z"},
		{"* * * * * *", "2026-11-21T10:04:59.9Z", "2026-11-21T10:04:59Z"},
		{"* * 3 * * *", "2026-11-21T10:00:00Z", "2026-11-21T02:59:59Z"}, // the last of many, long ago
		{"@daily", "2026-11-21T10:00:00Z", "2026-11-20T23:00:00Z"},
		{"CRON_TZ=UTC @daily", "2026-11-21T10:00:00Z", "2026-11-21T00:00:00Z"},
		{"TZ=America/New_York 0 3 * * *", "2026-11-21T10:00:00Z", "2026-11-21T08:00:00Z"},
		{" CRON_TZ=America/New_York  0 3 * * mon ", "2026-11-21T10:00:00Z", "2026-11-16T08:00:00Z"},
		{"@yearly", "2026-11-21T10:00:00Z", "2025-12-31T23:00:00Z"},
		{"0 0 29 2 *", "2027-01-01T00:00:00Z", "2024-02-28T23:00:00Z"},
		// The clocks go forward from 2 to 3 on 29 March, and back from 3 to 2 on 25 October.
		{"30 2 * * *", "2026-03-29T00:59:59Z", "2026-03-28T01:30:00Z"},
		{"30 2 * * *", "2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z"}, // the time at which cron daemons run it
		{"30 2 * * *", "2026-03-29T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"30 2 * * *", "2026-03-30T12:00:00Z", "2026-03-30T00:30:00Z"},
		{"30 2 * * *", "2026-10-25T01:00:00Z", "2026-10-25T00:30:00Z"},
		{"30 2 * * *", "2026-10-25T01:30:00Z", "2026-10-25T01:30:00Z"},
	} {
		got := latest(parsed(t, c.schedule, berlin), moment(t, c.now))
		if !got.Equal(moment(t, c.tick)) {
			t.Errorf("%s at %s: %s, want %s", c.schedule, c.now, got.UTC().Format(time.RFC3339Nano), c.tick)
		}
	}
}

func TestNodesInDifferentTimeZonesNeedOneInTheExpression(t *testing.T) {
	t.Parallel()
	now := moment(t, "2026-11-21T10:00:00Z")
	here, there := zone(t, "Europe/Berlin"), zone(t, "Asia/Tokyo")
	for text, same := range map[string]bool{"@daily": false, "CRON_TZ=Europe/Berlin @daily": true, "24h": true, "*/5 * * * *": true} {
		if got := latest(parsed(t, text, here), now).Equal(latest(parsed(t, text, there), now)); got != same {
			t.Errorf("%s: the same %v, want %v", text, got, same)
		}
	}
}

func TestSchedulesThatMeanNothingAreRefused(t *testing.T) {
	t.Parallel()
	for text, why := range map[string]string{
		"":                        "neither a duration",
		"soon":                    "neither a duration such as 5m nor a cron expression",
		"0s":                      "must be from 1s",
		"-5m":                     "must be from 1s",
		"999ms":                   "must be from 1s",
		"9000h":                   "must be from 1s",
		"* * * *":                 "expected 5 to 6 fields",
		"60 * * * *":              "above maximum",
		"0 0 31 2 *":              "has no time",
		"@every 5m":               "the duration alone (5m)",
		"CRON_TZ=UTC @every 90s":  "the duration alone (90s)",
		"@reboot":                 "unrecognized descriptor",
		"CRON_TZ=Nowhere @daily":  "bad location",
		"CRON_TZ=Europe/Berlin":   "a time zone without a cron expression",
		"TZ=":                     "a time zone without a cron expression",
		"TZ= ":                    "a time zone without a cron expression",
		"CRON_TZ=Europe/Berlin  ": "a time zone without a cron expression",
	} {
		if s, err := parseSchedule(text, time.UTC); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, %v; want %q", text, s, err, why)
		}
	}
}

func TestATickIsRememberedBeyondTheNextOne(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"5m": 24*time.Hour + 5*time.Minute, "168h": 192 * time.Hour, "*/5 * * * *": 24*time.Hour + 5*time.Minute,
		"0 0 * * mon": 192 * time.Hour, "@yearly": 365 * 24 * time.Hour, "0 0 29 2 *": 365 * 24 * time.Hour,
	} {
		s := parsed(t, text, time.UTC)
		if got := memory(s, latest(s, moment(t, "2026-11-21T10:00:00Z"))); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}
