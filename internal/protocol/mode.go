package protocol

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"example.com/redislock/internal/safetext"
)

// Mode says beside which other holds of its lock a hold may be, as it travels. The zero Mode tolerates nobody and is the
// exclusive one.
type Mode struct {
	Name     string
	Rules    string // as EncodeRules writes them
	Capacity int    // the most units of this name that may be held beside it, its own included; 0: no such bound
}

// AnyNumber stands for "*": more than there can be, and one more is still an int of 32 bits.
const AnyNumber = math.MaxInt32 - 1

// Rule is a rule of a mode: the number of holds of these modes together that a hold tolerates beside it. It is itself none of
// them.
type Rule struct {
	Modes   []string // sorted
	Most    int      // or AnyNumber
	AtGrant bool     // it is asked when the hold is granted, and not when others are granted beside it
	Added   bool     // others who use the mode's name need not have it
}

// EncodeRules writes rules in the form in which they travel: key=most,…, with "*" for any number, and "-" for none. The key of a
// rule about one mode is its name. A key with marks in front is of any other rule: "~" added, "^" at the grant only, and "+"
// before each of several modes. A Client that does not know the marks takes such a key for the name of a mode that nobody uses,
// so it tolerates less. To keep that so, a name that several rules have never stands alone: it is "+name" then.
//
// The order is always the same, and those that were added come last.
func EncodeRules(rules []Rule) string {
	named := map[string]int{}
	for _, r := range rules {
		for _, mode := range r.Modes {
			named[mode]++
		}
	}
	var base, added []string
	most := map[string]string{}
	for _, r := range rules {
		key := strings.Join(r.Modes, "+")
		plain := len(r.Modes) == 1 && !r.AtGrant
		if plain && r.Most == 0 && named[r.Modes[0]] == 1 {
			continue // as a mode that no rule names
		}
		if !plain || named[r.Modes[0]] > 1 {
			key = "+" + key
		}
		if r.AtGrant {
			key = "^" + key
		}
		if r.Added {
			key = "~" + key
			added = append(added, key)
		} else {
			base = append(base, key)
		}
		if most[key] = strconv.Itoa(r.Most); r.Most >= AnyNumber {
			most[key] = "*"
		}
	}
	byModes := func(a, b string) int {
		return cmp.Or(strings.Compare(strings.TrimLeft(a, marks), strings.TrimLeft(b, marks)), strings.Compare(a, b))
	}
	slices.SortFunc(base, byModes)
	slices.SortFunc(added, byModes)
	all := append(base, added...)
	for i, key := range all {
		all[i] = key + "=" + most[key]
	}
	if len(all) == 0 {
		return "-"
	}
	return strings.Join(all, ",")
}

// EncodeLimit writes the limit of a lock. Each rule is the most holds of its modes together. Rules about the same modes come in
// no order.
func EncodeLimit(rules []Rule) string {
	if len(rules) == 0 {
		return "-"
	}
	var keys []string
	for _, r := range rules {
		keys = append(keys, "+"+strings.Join(r.Modes, "+")+"="+strconv.Itoa(r.Most))
	}
	slices.Sort(keys)
	return strings.Join(keys, ",")
}

// CutLimit takes apart what inspect and watch say of the limit of a lock: until when it stands, in the digits of a fence, and its rules.
func CutLimit(text string) (until, rules string, ok bool) {
	if len(text) < FenceLength {
		return "", "", false
	}
	return text[:FenceLength], text[FenceLength:], true
}

// marks are what the key of a rule may begin with.
const marks = "~^+"

// ListRules reads the rules. Others may have written them: a rule without "=" is left out, and a number that cannot be read
// counts as any number.
func (m Mode) ListRules() (rules []Rule) {
	for rule := range strings.SplitSeq(m.Rules, ",") {
		key, most, ok := strings.Cut(rule, "=")
		if !ok {
			continue
		}
		modes := strings.TrimLeft(key, marks)
		r := Rule{Modes: strings.Split(modes, "+"), Most: AnyNumber}
		r.Added = strings.Contains(key[:len(key)-len(modes)], "~")
		r.AtGrant = strings.Contains(key[:len(key)-len(modes)], "^")
		if n, err := strconv.Atoi(most); err == nil {
			r.Most = n
		}
		rules = append(rules, r)
	}
	return rules
}

// Heeds reports whether the mode's rules tolerate the holds: the weight of all holds by the names of their modes, with the one
// that asks among them. The hold is granted just now, or it was.
func (m Mode) Heeds(held map[string]int, granted bool) bool { return m.Beyond(held, granted) == 0 }

// Beyond is by how many units the holds are more than the mode's rules tolerate: 0 if it heeds them.
func (m Mode) Beyond(held map[string]int, granted bool) (over int) {
	if m.Capacity > 0 {
		over = max(0, held[m.Name]-m.Capacity)
	}
	others := func(name string) int {
		if name == m.Name {
			return held[name] - 1 // itself
		}
		return held[name]
	}
	named := map[string]bool{}
	for _, r := range m.ListRules() {
		sum := 0
		for _, name := range r.Modes {
			named[name] = true
			sum += others(name)
		}
		if granted || !r.AtGrant {
			over += max(0, sum-r.Most)
		}
	}
	for name := range held {
		if !named[name] {
			over += max(0, others(name))
		}
	}
	return over
}

// Shape is the part of the rules on which all users of a mode's name must agree for a lock: the modes that the rules name,
// without the numbers. Rules that were added do not count.
func (m Mode) Shape() string {
	var keys []string
	for rule := range strings.SplitSeq(m.Rules, ",") {
		if key, _, ok := strings.Cut(rule, "="); ok && !strings.HasPrefix(key, "~") {
			keys = append(keys, strings.TrimPrefix(key, "+"))
		}
	}
	return strings.Join(keys, ",")
}

// Line is the mode and the weight of a hold as a request has them; instead is the token of a hold that is to change into this
// mode, or empty (lua/layout.lua). The exclusive mode is the empty line.
func (m Mode) Line(weight int, instead string) string {
	if m == (Mode{}) {
		return ""
	}
	line := fmt.Sprintf("%d %d %s %s", weight, m.Capacity, m.Name, m.Rules)
	if instead != "" {
		line += " " + instead
	}
	return line
}

// ParseMode reads a line. Others may have written it with any name and numbers: characters that cannot be shown are escaped, and
// a number that cannot be read is 0.
func ParseMode(line string) (m Mode, weight int) {
	parts := strings.Fields(line)
	if len(parts) < 4 {
		return Mode{}, 1
	}
	weight, _ = strconv.Atoi(parts[0])
	capacity, _ := strconv.Atoi(parts[1])
	return Mode{Name: safetext.Escape(parts[2]), Rules: parts[3], Capacity: capacity}, weight
}
