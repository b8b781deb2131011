package glob

import "testing"

func TestPatternsMatchAsInRedis(t *testing.T) {
	for _, test := range []struct {
		pattern string
		yes, no []string
		literal string
	}{
		{"", []string{"", "a", "a\nb"}, nil, ""},
		{"invoice/*", []string{"invoice/", "invoice/4/2"}, []string{"invoice", "Invoice/1"}, "invoice/"},
		{"h?llo", []string{"hello", "hällo"}, []string{"hllo", "heello"}, "h"},
		{"h[ae]llo", []string{"hallo", "hello"}, []string{"hillo"}, "h"},
		{"h[^e]llo", []string{"hallo"}, []string{"hello"}, "h"},
		{"h[a-c]llo", []string{"hbllo"}, []string{"hdllo"}, "h"},
		{`[\]x]`, []string{"]", "x"}, []string{`\`}, ""},
		{`a\*b`, []string{"a*b"}, []string{"axb", `a\*b`}, "a"},
		{"a.b+(c)", []string{"a.b+(c)"}, []string{"axb+(c)"}, "a.b+(c)"},
	} {
		match, err := Compile(test.pattern)
		if err != nil {
			t.Errorf("%q: %v", test.pattern, err)
			continue
		}
		for _, name := range test.yes {
			if !match.MatchString(name) {
				t.Errorf("%q does not match %q", test.pattern, name)
			}
		}
		for _, name := range test.no {
			if match.MatchString(name) {
				t.Errorf("%q matches %q", test.pattern, name)
			}
		}
		if got := Literal(test.pattern); got != test.literal {
			t.Errorf("%q begins with %q, instead of %q", test.pattern, got, test.literal)
		}
	}
	for _, bad := range []string{"[", "a[b", "[]", `a\`, "[b-a]"} {
		if _, err := Compile(bad); err == nil {
			t.Errorf("%q is a pattern", bad)
		}
	}
}

func TestAQuotedTextMatchesItselfAlone(t *testing.T) {
	for _, text := range []string{"*", "?", "[a]", `\`, "a*b?c[d]e", "plain"} {
		match, err := Compile(Quote(text))
		if err != nil || !match.MatchString(text) || match.MatchString(text+"x") || match.MatchString("x"+text) {
			t.Errorf("%q as %q: %v", text, Quote(text), err)
		}
	}
}
