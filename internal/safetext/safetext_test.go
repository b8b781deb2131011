package safetext

import (
	"strconv"
	"testing"
	"unicode"
)

func TestWhatCannotBeSeenIsHidden(t *testing.T) {
	t.Parallel()
	for _, r := range []rune{
		0, '\n', '\r', '\t', 0x1b, 0x7f, 0x85, 0x9b, 0xa0, 0xad, // controls, also C1, no-break space, soft hyphen
		0x034f, 0x061c, 0x115f, 0x1160, 0x17b4, 0x17b5, 0x180b, 0x180e, 0x180f, // joiner, fillers, selectors
		0x2000, 0x200b, 0x200c, 0x200d, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202e, 0x202f, // spaces, zero widths, directions
		0x2060, 0x2064, 0x2065, 0x2066, 0x2069, 0x206f, 0x2800, 0x3000, 0x3164, 0xfe00, 0xfe0f, 0xfeff, 0xffa0, 0xfff9,
		0x13441, 0x16fe4, 0x1d159, 0x1d173, 0xe0001, 0xe0020, 0xe0100, 0xe01ef, 0xe000, 0xf0000, 0x10ffff, 0x0378, // tags, private, none
	} {
		if !Hidden(r) {
			t.Errorf("%U is shown as it is", r)
		}
	}
	for _, r := range "aZ9 /:-~é日本ñЖאعहि🔒é�" {
		if Hidden(r) {
			t.Errorf("%U %q is hidden", r, r)
		}
	}
}

func TestTextsThatDifferLookDifferent(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, text := range []string{
		"", `""`, "pay", "pay\u200b", "pay\u3164", "p\u034fay", "pay\ufe0f", "pay ", " pay", `pay\u200b`, `"pay\u200b"`, "\u202epay",
		"\xff", `\xff`, "\uFFFD", "pay\n", "pay\x1b[2J", "\u0301pay", " \u0301pay", "p\u0301ay", "pay\U000e0061", "pay\u00a0", "a\\b", "a\"b", "a\u200b\\\"b",
	} {
		shown := Text(text)
		if other, known := seen[shown]; known {
			t.Errorf("%+q and %+q both look like %s", text, other, shown)
		}
		seen[shown] = text
		if Text(text) == text {
			continue
		}
		if back, err := strconv.Unquote(shown); err != nil || back != text {
			t.Errorf("%+q is shown as %s, which is %+q, %v", text, shown, back, err)
		}
	}
}

func TestNothingThatIsShownCanSteer(t *testing.T) {
	t.Parallel()
	var all []rune
	for r := rune(0); r <= unicode.MaxRune; r += 7 {
		all = append(all, 'a', r)
	}
	for _, text := range []string{string(all), "a\xffb\xe6\x97", "\u202e\u2066\x1b]52;c;eA==\x07"} {
		for _, shown := range []string{Text(text), Escape(text)} {
			for _, r := range shown {
				if Hidden(r) {
					t.Fatalf("%U is in what is shown", r)
				}
			}
		}
	}
	if got := Escape("no answer for a\u200bb\nat all"); got != `no answer for a\u200bb\nat all` {
		t.Error(got)
	}
}

func FuzzTextIsTheTextItself(f *testing.F) {
	f.Add("a\xff\u200b\\\"")
	f.Fuzz(func(t *testing.T, text string) {
		if shown := Text(text); shown != text {
			if back, err := strconv.Unquote(shown); err != nil || back != text {
				t.Errorf("%+q: %s: %+q, %v", text, shown, back, err)
			}
		}
	})
}
