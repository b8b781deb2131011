package redislock

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"example.com/redislock/internal/protocol"
)

// Limits of modes.
const (
	// MaxUnits is the largest [Semaphore], the largest number of [AtMost], and so the largest [WithWeight].
	MaxUnits = 1_000_000
	// MaxModeName is the longest name of a mode, in bytes.
	MaxModeName = 32
	// MaxRules is how many other modes the rules of one may name.
	MaxRules = 32
)

// Mode says beside which other holds of the same lock a hold may be. It is data: a name, and for each mode, its own
// included, the most holds of it under which this one may still be granted. Two holds stand beside each other only if
// each tolerates the other. The zero Mode is [Exclusive].
//
// All modes share one queue, in the order of arrival: what does not fit beside the present holds waits, and nothing
// that comes later passes it.
type Mode struct {
	wire  protocol.Mode
	fault string // why it cannot be used
}

// The modes that everybody knows.
var (
	// Exclusive tolerates nobody. It is the default.
	Exclusive = Mode{}
	// Write tolerates nobody, as Exclusive does. It is the counterpart of Read, and [Lock.Downgrade] makes it one.
	Write = Mode{wire: protocol.Mode{Name: "write", Rules: "-"}}
	// Read tolerates other readers, in any number. [Lock.Upgrade] makes it Write.
	Read = Mode{wire: protocol.Mode{Name: "read", Rules: "read=*"}}
)

// Semaphore is the mode of a pool of n units, from 1 to [MaxUnits]. Each hold takes as many as its [WithWeight] says,
// one unless it is given. Each is leased and renewed by its holder, so those of a process that died come back. Callers
// that name different sizes get along: what is held stays within the smallest size among the holders.
func Semaphore(n int) Mode {
	m := Mode{wire: protocol.Mode{Name: "semaphore", Rules: "semaphore=*", Capacity: n}}
	if n < 1 || n > MaxUnits {
		m.fault = fmt.Sprintf("Semaphore(%d): must be from 1 to %d", n, MaxUnits)
	}
	return m
}

// Rule says how many holds of another mode a [Mode] tolerates.
type Rule struct {
	modes []string
	any   bool // any number of them
	most  int  // or so many
}

// CompatibleWith tolerates any number of holds of these modes.
func CompatibleWith(modes ...string) Rule { return Rule{modes: modes, any: true} }

// AtMost tolerates up to n holds of a mode, from 0 to [MaxUnits]; of the mode's own name that is n others. A hold of
// weight k counts as k. Any number is [CompatibleWith].
func AtMost(n int, mode string) Rule { return Rule{modes: []string{mode}, most: n} }

// NewMode makes a mode of your own. What no rule names is not tolerated, the mode itself included. Names have 1 to
// [MaxModeName] letters, digits, dots, dashes and underscores; those of the ready-made modes are taken. If a mode is
// named by several rules, the last counts.
//
// A mode that cannot be, or has more than [MaxRules], is reported by the acquire it is used for, as [ErrInvalid]. Two
// callers that use one name for different rules get [ErrMode] on the locks where they meet.
func NewMode(name string, rules ...Rule) Mode {
	m := Mode{wire: protocol.Mode{Name: name}}
	limits := map[string]string{}
	for _, r := range rules {
		for _, mode := range r.modes {
			limits[mode] = r.text()
			if !validModeName(mode) {
				m.fault = fmt.Sprintf("NewMode(%q): a rule for the mode %q, which cannot be", name, mode)
			}
			if r.most < 0 || r.most > MaxUnits {
				m.fault = fmt.Sprintf("NewMode(%q): AtMost(%d, %q): must be from 0 to %d", name, r.most, mode, MaxUnits)
			}
		}
	}
	switch {
	case !validModeName(name):
		m.fault = fmt.Sprintf("NewMode(%q): names have 1 to %d letters, digits, dots, dashes and underscores", name, MaxModeName)
	case slices.Contains([]string{"exclusive", "read", "write", "semaphore"}, name):
		m.fault = fmt.Sprintf("NewMode(%q): that name is taken", name)
	case len(limits) > MaxRules:
		m.fault = fmt.Sprintf("NewMode(%q): %d rules, at most %d", name, len(limits), MaxRules)
	}
	m.wire.Rules = protocol.EncodeRules(limits)
	return m
}

func validModeName(name string) bool {
	return name != "" && len(name) <= MaxModeName && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
	})
}

// Name is what the mode was called: "exclusive", "read", "write", "semaphore" or your own.
func (m Mode) Name() string {
	if m == Exclusive {
		return "exclusive"
	}
	return m.wire.Name
}

// String is the name, with the size of a semaphore.
func (m Mode) String() string {
	if capacity := m.wire.Capacity; capacity > 0 {
		return fmt.Sprintf("%s(%d)", m.wire.Name, capacity)
	}
	return m.Name()
}

// shared is where the mode is: one place for those that everybody knows, so that a lock need not have it itself.
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
	most := 1
	if m != Exclusive {
		most += m.wire.Limits()[m.wire.Name]
	}
	if m.wire.Capacity > 0 {
		most = min(most, m.wire.Capacity)
	}
	if weight > most {
		return invalid("WithWeight(%d): more than the mode %v can ever have, %d", weight, m, most)
	}
	return nil
}

// covers reports whether who has a hold of m and weight has all that other and its weight would give. A hold that
// tolerates nobody gives everything. Of another one only its own mode is known to be: whether those beside it would
// tolerate other is known to them alone.
func (m Mode) covers(weight int, other Mode, otherWeight int) bool {
	limits := m.wire.Limits()
	if m.Name() != other.Name() {
		return len(limits) == 0
	}
	if otherWeight > weight || other.wire.Capacity < m.wire.Capacity {
		return false
	}
	others := other.wire.Limits()
	for name, most := range limits {
		if others[name] < most {
			return false
		}
	}
	return true
}

// alone reports whether it tolerates nobody.
func (m Mode) alone() bool { return m.wire.Rules == "" || m.wire.Rules == "-" }

// text is how many a rule tolerates, as it travels.
func (r Rule) text() string {
	if r.any {
		return "*"
	}
	return strconv.Itoa(r.most)
}
