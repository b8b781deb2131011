package redislock

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"example.com/redislock/internal/protocol"
)

// Limits of modes.
const (
	// MaxUnits is the largest [Semaphore], the largest number of [AtMost], and so the largest [WithWeight].
	MaxUnits = 1_000_000
	// MaxModeName is the longest name of a mode, in bytes.
	MaxModeName = 32
	// MaxRules is how many modes the rules of one may name, each counted in each rule.
	MaxRules = 32
)

// Mode says which other holds of the same lock a hold may stand beside. A mode is data: a name and rules. A rule is the largest
// number of holds of other modes, or of its own, that the mode tolerates. Two holds stand beside each other only if each
// tolerates the other; a rule made by [AtGrant] is asked only of the one that is granted. The zero Mode is [Exclusive].
//
// All modes share one queue, in the order of arrival. A request that does not fit beside the present holds waits, and no
// request that comes later passes it.
type Mode struct {
	wire  protocol.Mode
	fault string // why the mode cannot be used
}

// The modes that everybody knows.
var (
	// Exclusive tolerates nobody. It is the default.
	Exclusive = Mode{}
	// Write tolerates nobody, as Exclusive does. It is the counterpart of Read; [Lock.Downgrade] makes it Read.
	Write = Mode{wire: protocol.Mode{Name: "write", Rules: "-"}}
	// Read tolerates any number of other readers. [Lock.Upgrade] makes it Write.
	Read = Mode{wire: protocol.Mode{Name: "read", Rules: "read=*"}}
)

// Semaphore is the mode of a pool of n units, from 1 to [MaxUnits]. Each hold takes as many units as its [WithWeight] says,
// or one by default. Its holder leases and renews them, so the units of a process that died come back. Callers may name
// different sizes: the units that are held stay within the smallest size among the holders.
func Semaphore(n int) Mode {
	m := Mode{wire: protocol.Mode{Name: "semaphore", Rules: "semaphore=*", Capacity: n}}
	if n < 1 || n > MaxUnits {
		m.fault = fmt.Sprintf("Semaphore(%d): must be from 1 to %d", n, MaxUnits)
	}
	return m
}

// Rule says how many holds of other modes a [Mode] tolerates.
type Rule struct {
	modes   []string
	any     bool // any number of each of them
	most    int  // or so many of all of them together
	atGrant bool
}

// CompatibleWith makes a rule that tolerates any number of holds of these modes.
func CompatibleWith(modes ...string) Rule { return Rule{modes: modes, any: true} }

// AtMost makes a rule that tolerates up to n holds of a mode, or of several modes taken together, from 0 to [MaxUnits]. For the
// mode's own name that means n other holds. A hold of weight k counts as k. For any number use [CompatibleWith].
//
//	AtMost(3, "small", "large") // at most three in all, of whichever size
func AtMost(n int, modes ...string) Rule { return Rule{modes: modes, most: n} }

// AtGrant makes a one-sided rule of another one. Redis checks it when the lock is granted in this mode, and not again: the rule
// does not keep out holds that are granted later. So AtGrant(AtMost(3, "web")) lets a job begin only while at most three holders
// of the mode "web" have the lock, and "web" does not wait for a job that has begun. With AtGrant(AtMost(0, "update")) a mode is
// not granted beside a hold in "update", while "update" is granted beside a hold in that mode.
func AtGrant(rule Rule) Rule {
	rule.atGrant = true
	return rule
}

// Modes are the names of the modes that the rule counts together.
func (r Rule) Modes() []string { return slices.Clone(r.modes) }

// Most is the number of [AtMost], and false for a rule of [CompatibleWith], which has none.
func (r Rule) Most() (n int, bounded bool) { return r.most, !r.any }

// String is the rule as it is written in Go, such as AtMost(3, "large", "small").
func (r Rule) String() string {
	names := strings.ReplaceAll(strings.Trim(fmt.Sprintf("%q", r.modes), "[]"), `" "`, `", "`)
	text := fmt.Sprintf("AtMost(%d, %s)", r.most, names)
	if r.any {
		text = fmt.Sprintf("CompatibleWith(%s)", names)
	}
	if r.atGrant {
		text = "AtGrant(" + text + ")"
	}
	return text
}

// NewMode makes a mode of your own. The mode tolerates only the modes that its rules name; that is true of itself too. Names
// have 1 to [MaxModeName] letters, digits, dots, dashes and underscores. The names of the ready-made modes are taken; rules may
// name them. All rules count. Of two rules of the same kind about the same modes, the last one counts.
//
// If the mode is invalid or its rules name more than [MaxRules] modes, the acquire that uses it returns [ErrInvalid].
//
// The numbers of the rules may change while the program runs: each hold keeps to its own, so a caller with other numbers waits
// until it fits. Which modes the rules name may not: two callers that use one name for rules about different modes get [ErrMode]
// on the locks where they meet. [Mode.Beside] adds rules that others need not have.
func NewMode(name string, rules ...Rule) Mode {
	m := Mode{wire: protocol.Mode{Name: name}}
	switch {
	case !validModeName(name):
		m.fault = fmt.Sprintf("NewMode(%q): names have 1 to %d letters, digits, dots, dashes and underscores", name, MaxModeName)
	case slices.Contains([]string{"exclusive", "read", "write", "semaphore"}, name):
		m.fault = fmt.Sprintf("NewMode(%q): that name is taken", name)
	default:
		m = m.with(rules, false)
	}
	return m
}

// Beside returns the mode with further rules, which only its own callers need to know. In [Read] or a [Semaphore] such rules let
// holds of your own modes stand beside this one, if those tolerate "read" or "semaphore" in turn. All rules of the mode count,
// the earlier ones and the new ones. Callers that use the mode without these rules keep to their own, and do not get [ErrMode].
//
//	report := NewMode("report", CompatibleWith("report", "read"))
//	reader := Read.Beside(CompatibleWith("report")) // beside readers and reports
//
// An acquire in [Exclusive] or [Write] with rules returns [ErrInvalid], because these modes tolerate nobody. So does
// [Lock.Upgrade] of a lock in Read with further rules.
func (m Mode) Beside(rules ...Rule) Mode {
	if m == Exclusive || m == Write {
		m.fault = fmt.Sprintf("Beside: %v tolerates nobody", m.Name())
	}
	return m.with(rules, true)
}

// with is the mode with more rules, unless it has a fault already.
func (m Mode) with(rules []Rule, added bool) Mode {
	if m.fault != "" {
		return m
	}
	all := map[string]protocol.Rule{} // by what they are about
	add := func(r protocol.Rule) { all[fmt.Sprint(r.Modes, r.AtGrant, r.Added)] = r }
	for _, r := range m.wire.ListRules() {
		add(r)
	}
	for _, r := range rules {
		if m.fault = r.fault(); m.fault != "" {
			m.fault = fmt.Sprintf("mode %q: %s", m.Name(), m.fault)
			return m
		}
		if r.any {
			for _, mode := range r.modes {
				add(protocol.Rule{Modes: []string{mode}, Most: protocol.AnyNumber, Added: added})
			}
			continue
		}
		names := slices.Clone(r.modes)
		slices.Sort(names)
		add(protocol.Rule{Modes: slices.Compact(names), Most: r.most, AtGrant: r.atGrant, Added: added})
	}
	named := 0
	for _, r := range all {
		named += len(r.Modes)
	}
	if named > MaxRules {
		m.fault = fmt.Sprintf("mode %q: its rules name %d modes, at most %d", m.Name(), named, MaxRules)
	}
	m.wire.Rules = protocol.EncodeRules(slices.Collect(maps.Values(all)))
	return m
}

// fault says why the rule cannot be used, or nothing.
func (r Rule) fault() string {
	for _, mode := range r.modes {
		if !validModeName(mode) {
			return fmt.Sprintf("a rule for the mode %q, which cannot be", mode)
		}
	}
	switch {
	case r.any:
	case r.most < 0 || r.most > MaxUnits:
		return fmt.Sprintf("%v: must be from 0 to %d", r, MaxUnits)
	case len(r.modes) == 0:
		return fmt.Sprintf("AtMost(%d): it names no mode", r.most)
	}
	return ""
}

func validModeName(name string) bool {
	return name != "" && len(name) <= MaxModeName && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
	})
}

// Name is the name of the mode: "exclusive", "read", "write", "semaphore" or your own.
func (m Mode) Name() string {
	if m == Exclusive {
		return "exclusive"
	}
	return m.wire.Name
}

// String is the name; for a semaphore it is followed by the size.
func (m Mode) String() string {
	if capacity := m.wire.Capacity; capacity > 0 {
		return fmt.Sprintf("%s(%d)", m.wire.Name, capacity)
	}
	return m.Name()
}

// shared is where the mode is stored. The common modes are kept once, so that a lock does not need its own copy.
func (m Mode) shared() *Mode {
	for _, known := range sharedModes {
		if m == *known {
			return known
		}
	}
	own := m // m itself would be on the heap for all
	return &own
}

var sharedModes = []*Mode{{}, {wire: Write.wire}, {wire: Read.wire}}

// check says whether a hold of this mode and weight can ever be granted.
func (m Mode) check(weight int) error {
	if m.fault != "" {
		return invalid("WithMode: %s", m.fault)
	}
	if weight == 1 { // each can be had alone
		return nil
	}
	most := MaxUnits
	if m.wire.Capacity > 0 {
		most = m.wire.Capacity
	}
	tolerated := false
	for _, r := range m.wire.ListRules() {
		if slices.Contains(r.Modes, m.wire.Name) {
			most, tolerated = min(most, r.Most+1), true
		}
	}
	if !tolerated {
		most = 1
	}
	if weight > most {
		return invalid("WithWeight(%d): more than the mode %v can ever have, %d", weight, m, most)
	}
	return nil
}

// covers reports whether a hold of m and weight gives everything that a hold of other and otherWeight would give. A hold that
// tolerates nobody gives everything. A hold in another mode is known to give only its own mode: only the holds beside it know
// whether they would tolerate other. The same is true of rules that are not about one mode each, unless they are the same.
func (m Mode) covers(weight int, other Mode, otherWeight int) bool {
	if m.Name() != other.Name() {
		return m.alone()
	}
	if otherWeight > weight || other.wire.Capacity < m.wire.Capacity {
		return false
	}
	if m.wire.Rules == other.wire.Rules {
		return true
	}
	given := map[string]int{} // the most holds of each mode that may be beside a hold of m
	for _, r := range m.wire.ListRules() {
		for _, name := range r.Modes {
			most, known := given[name]
			if !known {
				most = protocol.AnyNumber
			}
			if !r.AtGrant {
				most = min(most, r.Most)
			}
			given[name] = most
		}
	}
	asked := map[string]int{} // likewise of other
	for _, r := range other.wire.ListRules() {
		if len(r.Modes) > 1 || r.AtGrant {
			return false
		}
		if most, known := asked[r.Modes[0]]; !known || r.Most < most {
			asked[r.Modes[0]] = r.Most
		}
	}
	for name, most := range given {
		if most > asked[name] {
			return false
		}
	}
	return true
}

// alone reports whether the mode tolerates nobody.
func (m Mode) alone() bool { return m.wire.Rules == "" || m.wire.Rules == "-" }
