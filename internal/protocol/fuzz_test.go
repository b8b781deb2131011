package protocol

import (
	"strconv"
	"strings"
	"testing"
)

func FuzzNamesMapToDifferentKeysWithOneHashTag(f *testing.F) {
	f.Add("a", "{a}")
	f.Add("%7B", "{")
	f.Add("a}b{c", "a%7Db{c")
	const keys = Keys("redislock")
	f.Fuzz(func(t *testing.T, a, b string) {
		if (a == b) != (keys.Lock(a) == keys.Lock(b)) {
			t.Errorf("%q and %q map to %q and %q", a, b, keys.Lock(a), keys.Lock(b))
		}
		for _, key := range []string{keys.Lock(a), keys.Weak(a), keys.Dedupe(a)} {
			if strings.Count(key, "{") != 1 || strings.Count(key, "}") != 1 || !strings.HasSuffix(key, "}") {
				t.Errorf("%q maps to %q: not one hash tag", a, key)
			}
			if a != "" && key == keys.Probe() {
				t.Errorf("%q is the Client's own key", a)
			}
		}
		if keys.Lock(a) == keys.Weak(b) || keys.Lock(a) == keys.Dedupe(b) || keys.Weak(a) == keys.Dedupe(b) {
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
			[]any{a, b, c, d, e, n, a, e},
			[]any{a, b, c, d, e, strconv.Itoa(int(n))},
			[]any{n, n, n, n},
			[]any{[]any{a}, nil},
		} {
			r, err := ParseReply(value)
			if err == nil && r.Status == "granted" && r.Fence == "" {
				t.Errorf("%q was taken for a grant", value)
			}
			_, _, _, _ = ParseRelease(value)
		}
		_, _ = ParseMode(a + " " + b)
	})
}
