package redislock

import (
	"strings"
	"testing"
)

func FuzzNamesMapToDifferentKeysWithOneHashTag(f *testing.F) {
	f.Add("a", "{a}")
	f.Add("%7B", "{")
	f.Add("a}b{c", "a%7Db{c")
	c := &Client{prefix: DefaultPrefix}
	f.Fuzz(func(t *testing.T, a, b string) {
		if (a == b) != (c.key(a) == c.key(b)) {
			t.Errorf("%q and %q map to %q and %q", a, b, c.key(a), c.key(b))
		}
		for _, key := range []string{c.key(a), c.weakKey(a), c.dedupeKey(a)} {
			if strings.Count(key, "{") != 1 || strings.Count(key, "}") != 1 || !strings.HasSuffix(key, "}") {
				t.Errorf("%q maps to %q: not one hash tag", a, key)
			}
			if a != "" && key == c.probeKey() {
				t.Errorf("%q is the Client's own key", a)
			}
		}
		if c.key(a) == c.weakKey(b) || c.key(a) == c.dedupeKey(b) || c.weakKey(a) == c.dedupeKey(b) {
			t.Errorf("%q and %q meet although they are of different kinds", a, b)
		}
	})
}

func FuzzRepliesNeverPanic(f *testing.F) {
	f.Add("granted", "1795247725307123", "1795247725307123", "1795247725307123", "   30000", int64(0))
	f.Add("waiting", "1795247725307123", "1795247725307123", "1795247725307123", "1795247725307123", int64(3))
	f.Add("held", "0", "", "", "a\nb\nc\nd", int64(-1))
	f.Fuzz(func(t *testing.T, a, b, c, d, e string, n int64) {
		for _, value := range []any{
			a, n, nil,
			[]any{},
			[]any{a},
			[]any{a, b},
			[]any{a, b, c, d, e},
			[]any{a, b, c, d, n, e},
			[]any{a, b, c, d, e, n, a},
			[]any{n, n, n, n},
			[]any{[]any{a}, nil},
		} {
			r, err := parseReply(value)
			if err == nil && r.status == "granted" && r.fence == "" {
				t.Errorf("%q was taken for a grant", value)
			}
			_, _, _ = parseRelease(value)
		}
		o := parseOwner(a + "\n" + b + "\n" + c + "\n" + d)
		_ = o.String()
	})
}

func FuzzOwnersSurviveTheJourney(f *testing.F) {
	f.Add("api", "node-3", 12, "line\nbreaks\n\n")
	f.Fuzz(func(t *testing.T, client, host string, pid int, metadata string) {
		if strings.Contains(client+host, "\n") {
			return // names and hosts are one line: New sees to it
		}
		o := Owner{Client: client, Host: host, PID: pid, Metadata: metadata}
		if got := parseOwner(o.info()); got != o {
			t.Errorf("%+v came back as %+v", o, got)
		}
	})
}
