package protocol

import (
	"slices"
	"testing"
)

func TestRulesAreWrittenInOneWayAndReadAgain(t *testing.T) {
	one := func(most int, modes ...string) Rule { return Rule{Modes: modes, Most: most} }
	entry := func(r Rule) Rule { r.AtGrant = true; return r }
	added := func(r Rule) Rule { r.Added = true; return r }
	for _, c := range []struct {
		rules       []Rule
		text, shape string
	}{
		{nil, "-", ""},
		{[]Rule{one(2, "b"), one(AnyNumber, "a"), one(0, "c")}, "a=*,b=2", "a,b"},
		{[]Rule{one(3, "a", "b"), one(1, "c")}, "+a+b=3,c=1", "a+b,c"},
		{[]Rule{one(3, "a", "b"), one(1, "b")}, "+a+b=3,+b=1", "a+b,b"},
		{[]Rule{one(0, "a", "b"), one(0, "b")}, "+a+b=0,+b=0", "a+b,b"},
		{[]Rule{entry(one(0, "a")), one(2, "b")}, "^+a=0,b=2", "^+a,b"},
		{[]Rule{entry(one(0, "a")), one(2, "a")}, "+a=2,^+a=0", "a,^+a"},
		{[]Rule{one(AnyNumber, "read"), added(one(2, "x"))}, "read=*,~x=2", "read"},
		{[]Rule{one(AnyNumber, "read"), added(entry(one(2, "x", "y")))}, "read=*,~^+x+y=2", "read"},
		{[]Rule{one(AnyNumber, "read"), added(one(2, "read"))}, "+read=*,~+read=2", "read"},
		{[]Rule{added(one(2, "x"))}, "~x=2", ""},
	} {
		text := EncodeRules(c.rules)
		m := Mode{Name: "m", Rules: text}
		if shape := m.Shape(); text != c.text || shape != c.shape {
			t.Errorf("%v is %q of the shape %q, want %q of %q", c.rules, text, shape, c.text, c.shape)
		}
		if again := EncodeRules(m.ListRules()); again != text {
			t.Errorf("%q, read and written, is %q", text, again)
		}
		backwards := slices.Clone(c.rules)
		slices.Reverse(backwards)
		if other := EncodeRules(backwards); other != text {
			t.Errorf("in another order %q is %q", text, other)
		}
	}
}
