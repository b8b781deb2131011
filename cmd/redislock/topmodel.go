package main

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"example.com/redislock"
	"example.com/redislock/ui/doctor"
	"example.com/redislock/ui/trouble"
)

// topModel is the content of the screen of redislock top.
type topModel struct {
	*topper
	seen   topView // the last that went well
	failed error   // of the last look
	now    time.Time
	memory trouble.Memory
	report doctor.Report
	found  []trouble.Trouble
	levels map[string]trouble.Level
	places map[string]int // of locks, among the troubles: the one that a trouble begins with is before the others of it

	first <-chan topView // brings the first look, where it takes long
	read  int            // by the look under way, of which there was a part
	index map[string]int // where a lock is among those that were seen

	width, height int
	by            string // t, n, o or w
	turned        bool
	query         string
	rows          []redislock.Info // that are wanted, in order
	chosen        string           // the name of the lock that the cursor is on
	at            int              // where it is
	moved         bool             // by a key
	open          *redislock.Info  // the lock whose page is shown
	openErr       error
	top           int // the first line of its page that is shown
	typing        typing
	typed         string
	why           string         // the reason of a break that is to be confirmed
	target        redislock.Info // what an action is about, as it was shown
	said          string         // the result of the last action

	interrupted bool
}

func newTopModel(t *topper) *topModel { return &topModel{topper: t, by: "t"} }

func (m *topModel) Init() tea.Cmd {
	if m.first != nil {
		return func() tea.Msg { return <-m.first }
	}
	return m.next(m.interval)
}

// next is the next look, after a pause.
func (m *topModel) next(pause time.Duration) tea.Cmd {
	return tea.Tick(pause, func(time.Time) tea.Msg { return topLook{} })
}

// take takes in a look.
func (m *topModel) take(v topView) {
	failed, before := m.failed, m.now
	m.read = 0
	if m.failed = v.err; v.err != nil {
		return
	}
	m.seen, m.index = v, nil
	met := map[string]bool{}
	for _, info := range v.infos {
		met[info.Name] = true
		if info.Now.After(m.now) {
			m.now = info.Now
		}
	}
	if m.now.IsZero() || v.at.After(m.now.Add(time.Minute)) && len(v.infos) == 0 {
		m.now = v.at // no lock tells of the time of Redis
	}
	for _, e := range v.ends {
		m.memory.Note(e.name, e.end)
	}
	for _, info := range v.infos[v.taken:] {
		m.memory.See(info)
	}
	for _, f := range v.failed {
		met[f.name] = true
		m.memory.CannotBeRead(f.name, f.err.Error())
	}
	m.memory.Sweep(func(name string) bool { return met[name] }, m.now)
	if failed != nil {
		m.memory.Away(before, m.now)
		select {
		case m.again <- struct{}{}: // what was found in the outage is not so any more
		default:
		}
	}
	m.judge()
	m.arrange()
}

// takePart takes in a part of a look: those locks as they are now, and all others as they were.
func (m *topModel) takePart(p topPart) {
	if m.read = p.read; m.index == nil {
		m.index = map[string]int{}
		for i := range m.seen.infos {
			m.index[m.seen.infos[i].Name] = i
		}
	}
	for _, info := range p.infos {
		m.memory.See(info)
		if info.Now.After(m.now) {
			m.now = info.Now
		}
		if i, known := m.index[info.Name]; known {
			m.seen.infos[i] = info
		} else {
			m.index[info.Name] = len(m.seen.infos)
			m.seen.infos = append(m.seen.infos, info)
		}
	}
	m.judge()
	m.arrange()
}

// arrange makes the rows. The cursor stays on its lock, or where it was if that is gone; until somebody moves it, it stays on the
// first row.
func (m *topModel) arrange() {
	words := strings.Fields(strings.ToLower(m.query))
	m.rows = m.rows[:0]
	for _, info := range m.all() {
		if info.Idle() && m.levels[info.Name] == 0 {
			continue
		}
		if len(words) == 0 {
			m.rows = append(m.rows, info)
			continue
		}
		text := strings.ToLower(searchText(info))
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(text, word) }) {
			m.rows = append(m.rows, info)
		}
	}
	name := func(a, b redislock.Info) int { return cmp.Compare(a.Name, b.Name) }
	since, _ := orderBy("since")
	waiting, _ := orderBy("waiting")
	order := map[string]func(a, b redislock.Info) int{
		"t": func(a, b redislock.Info) int {
			return cmp.Or(cmp.Compare(m.levels[b.Name], m.levels[a.Name]), cmp.Compare(m.places[a.Name], m.places[b.Name]), waiting(a, b))
		},
		"n": name, "o": since, "w": waiting,
	}[m.by]
	slices.SortFunc(m.rows, func(a, b redislock.Info) int {
		if m.turned {
			a, b = b, a
		}
		return order(a, b)
	})
	if i := slices.IndexFunc(m.rows, func(info redislock.Info) bool { return info.Name == m.chosen }); i >= 0 && m.moved {
		m.at = i
	}
	m.move(0)
}

// all are the locks that were seen, and of jobs in trouble their locks, which Redis may have forgotten.
func (m *topModel) all() []redislock.Info {
	infos := slices.Clip(m.seen.infos)
	for _, t := range m.found {
		name := "cron:" + t.Job
		if t.Job != "" && !slices.ContainsFunc(infos, func(info redislock.Info) bool { return info.Name == name }) {
			infos = append(infos, redislock.Info{Name: name, Now: m.now})
		}
	}
	return infos
}

// more is what is known of a lock that a look at it does not show.
func (m *topModel) more(name string) []trouble.Trouble {
	return append(m.memory.About(name, m.now), trouble.About(name, m.found)...)
}

// searchText is what a search looks in: the name, and everybody who holds or waits.
func searchText(info redislock.Info) string {
	var b strings.Builder
	b.WriteString(info.Name)
	for _, h := range info.Holds {
		b.WriteString("\n" + h.Owner.String() + "\n" + h.Owner.Metadata)
	}
	for _, p := range info.Places {
		b.WriteString("\n" + p.Owner.String() + "\n" + p.Owner.Metadata)
	}
	return b.String()
}

// move moves the cursor.
func (m *topModel) move(by int) {
	m.at = max(0, min(m.at+by, len(m.rows)-1))
	if len(m.rows) > 0 {
		m.chosen = m.rows[m.at].Name
	}
}

func (m *topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case topLook:
		cmds := []tea.Cmd{func() tea.Msg { return m.look(context.Background()) }}
		if m.open != nil {
			cmds = append(cmds, m.looksAt(m.open.Name))
		}
		return m, tea.Batch(cmds...)
	case topView:
		m.take(msg)
		return m, m.next(msg.rest(m.interval, msg.took))
	case topPart:
		m.takePart(msg)
	case topReport:
		m.report = m.memory.Server(doctor.Report(msg), cmp.Or(m.now, time.Now()))
		m.judge()
		m.arrange()
	case topLock:
		if m.open != nil && m.open.Name == msg.info.Name {
			if m.openErr = msg.err; msg.err == nil {
				m.open = &msg.info
			}
		}
	case topDone:
		m.said = msg.said
		for _, h := range msg.ended.Holds {
			if !h.Kept {
				m.memory.Note(msg.ended.Name, trouble.End{How: trouble.Broken, Owner: h.Owner, At: m.now, Fence: h.Fence, By: "you", Why: msg.why})
			}
		}
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.PasteMsg:
		if m.typing != notTyping {
			m.typed += oneLine(msg.Content)
			m.typesOn()
		}
	case tea.KeyPressMsg:
		return m, m.key(msg)
	}
	return m, nil
}

func (m *topModel) looksAt(name string) tea.Cmd {
	return func() tea.Msg {
		info, err := m.link.inspect(name)
		info.Name = name
		return topLock{info, err}
	}
}
