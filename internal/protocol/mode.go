package protocol

import (
	"fmt"
	"maps"
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
	Rules    string // mode=most, sorted, most "*" for any number; "-" for none
	Capacity int    // the most units of this name that may be held beside it, its own included; 0: no such bound
}

// AnyNumber stands for "*": more than there can be, and one more is still an int of 32 bits.
const AnyNumber = math.MaxInt32 - 1

// EncodeRules writes the most holds of other modes that a mode tolerates, by their names: a number, or "*" for any.
func EncodeRules(limits map[string]string) string {
	var rules []string
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		if most := limits[name]; most != "0" {
			rules = append(rules, name+"="+most)
		}
	}
	if len(rules) == 0 {
		return "-"
	}
	return strings.Join(rules, ",")
}

// Limits are the rules, with [AnyNumber] for "*".
func (m Mode) Limits() map[string]int {
	limits := map[string]int{}
	for rule := range strings.SplitSeq(m.Rules, ",") {
		name, most, ok := strings.Cut(rule, "=")
		if n, err := strconv.Atoi(most); ok && err == nil {
			limits[name] = n
		} else if ok {
			limits[name] = AnyNumber
		}
	}
	return limits
}

// Line is the form in which a mode and the weight of a hold travel; instead is the token of a hold that is to change into
// it, or empty (lua/layout.lua). The exclusive mode is the empty line.
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

// ParseMode reads a line. Others may have written it with any name and numbers: what cannot be shown is escaped, and what is
// no number is 0.
func ParseMode(line string) (m Mode, weight int) {
	parts := strings.Fields(line)
	if len(parts) < 4 {
		return Mode{}, 1
	}
	weight, _ = strconv.Atoi(parts[0])
	capacity, _ := strconv.Atoi(parts[1])
	return Mode{Name: safetext.Escape(parts[2]), Rules: parts[3], Capacity: capacity}, weight
}
