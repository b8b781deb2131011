package redislock_test

import (
	"fmt"
	"slices"
	"strings"

	"example.com/redislock"
)

// rule is a mode as the model knows it: the most holds of each name that it tolerates, itself aside, and in all.
type rule struct {
	name     string
	limits   map[string]int
	capacity int
	mode     redislock.Mode
}

const many = 1 << 20

var rules = map[string]rule{
	"exclusive": {name: "exclusive", mode: redislock.Exclusive},
	"write":     {name: "write", mode: redislock.Write},
	"read":      {name: "read", limits: map[string]int{"read": many}, mode: redislock.Read},
	"sem3":      {name: "semaphore", limits: map[string]int{"semaphore": many}, capacity: 3, mode: redislock.Semaphore(3)},
	"sem5":      {name: "semaphore", limits: map[string]int{"semaphore": many}, capacity: 5, mode: redislock.Semaphore(5)},
	"guest": {
		name: "guest", limits: map[string]int{"guest": 1, "host": many},
		mode: redislock.NewMode("guest", redislock.AtMost(1, "guest"), redislock.CompatibleWith("host")),
	},
	"host": {
		name: "host", limits: map[string]int{"guest": 2, "read": many},
		mode: redislock.NewMode("host", redislock.AtMost(2, "guest"), redislock.CompatibleWith("read")),
	},
}

// worlds are the modes that are used beside each other in one history.
var worlds = [][]string{
	{"exclusive"},
	{"read", "read", "read", "write"},
	{"sem3", "sem3", "sem5"},
	{"guest", "host", "read", "exclusive"},
	{"exclusive", "write", "read", "sem3", "sem5", "guest", "host"},
}

// entry is a hold or a place of the model.
type entry struct {
	who    string
	rule   rule
	weight int
	hold   *entry // a place of a reader that waits to become the writer: its hold
}

type model struct {
	holds, queue []*entry
	granted      []string // who was granted, in order, since it was last looked at
}

// fits is the definition of compatibility: each mode tolerates every other, and itself, in the numbers there are.
func (m *model) fits(e *entry) bool {
	held := []*entry{e}
	for _, h := range m.holds {
		if h != e.hold {
			held = append(held, h)
		}
	}
	if len(held) == 1 {
		return true
	}
	for _, a := range held {
		total := map[string]int{}
		for _, b := range held {
			total[b.rule.name] += b.weight
		}
		if a.rule.capacity > 0 && total[a.rule.name] > a.rule.capacity {
			return false
		}
		total[a.rule.name]--
		for name, n := range total {
			if n > a.rule.limits[name] {
				return false
			}
		}
	}
	return true
}

// grant gives the lock to the queue's head as long as it fits.
func (m *model) grant() {
	for len(m.queue) > 0 && m.fits(m.queue[0]) {
		e := m.queue[0]
		m.queue = m.queue[1:]
		if e.hold != nil {
			e.hold.rule = e.rule
		} else {
			m.holds = append(m.holds, e)
		}
		m.granted = append(m.granted, e.who)
	}
}

func (m *model) drop(who string) {
	is := func(e *entry) bool { return e.who == who }
	m.holds, m.queue = slices.DeleteFunc(m.holds, is), slices.DeleteFunc(m.queue, is)
	m.grant()
}

func (m *model) String() string {
	var b strings.Builder
	for _, h := range m.holds {
		fmt.Fprintf(&b, " %s:%v", h.who, h.rule.mode)
	}
	b.WriteString(" |")
	for _, q := range m.queue {
		fmt.Fprintf(&b, " %s", q.who)
	}
	return b.String()
}
