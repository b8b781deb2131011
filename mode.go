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

// Mode says which other holds of the same lock a hold may stand beside. It is data: a name, and for each mode, its own
// included, the largest number of holds of that mode under which this one may still be granted. Two holds stand beside each
// other only if each tolerates the other. The zero Mode is [Exclusive].
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

// Rule says how many holds of another mode a [Mode] tolerates.
type Rule struct {
	modes []string
	any   bool // any number of them
	most  int  // or so many
}

// CompatibleWith makes a rule that tolerates any number of holds of these modes.
func CompatibleWith(modes ...string) Rule { return Rule{modes: modes, any: true} }

// AtMost makes a rule that tolerates up to n holds of a mode, from 0 to [MaxUnits]. For the mode's own name that means n
// other holds. A hold of weight k counts as k. For any number use [CompatibleWith].
func AtMost(n int, mode string) Rule { return Rule{modes: []string{mode}, most: n} }

// NewMode makes a mode of your own. The mode tolerates only the modes that its rules name; that is true of itself too. Names
// have 1 to [MaxModeName] letters, digits, dots, dashes and underscores. The names of the ready-made modes are taken. If
// several rules name a mode, the last one counts.
//
// If the mode is invalid or has more than [MaxRules] rules, the acquire that uses it returns [ErrInvalid]. Two callers that
// use one name for different rules get [ErrMode] on the locks where they meet.
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

// shared is where the mode is stored. There is one place for the modes that everybody knows, so that a lock need not have its
// own copy.
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

// covers reports whether a hold of m and weight gives everything that a hold of other and otherWeight would give. A hold that
// tolerates nobody gives everything. A hold in another mode is known to give only its own mode: only the holds beside it know
// whether they would tolerate other.
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

// alone reports whether the mode tolerates nobody.
func (m Mode) alone() bool { return m.wire.Rules == "" || m.wire.Rules == "-" }

// text is the number of holds that the rule tolerates, in the form in which it is sent.
func (r Rule) text() string {
	if r.any {
		return "*"
	}
	return strconv.Itoa(r.most)
}
