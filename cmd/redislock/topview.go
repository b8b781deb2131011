package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"example.com/redislock"
	"example.com/redislock/ui/trouble"
)

// maxTopTroubles is how many lines of trouble the list has above it; a small screen has fewer.
const maxTopTroubles = 5

func (m *topModel) View() tea.View {
	lines := m.list()
	if m.open != nil {
		lines = m.page()
	}
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	foot := strings.Split(m.foot(), "\n")
	lines = append(lines[:max(0, min(len(lines), m.height-len(foot)))], foot...)
	for i, line := range lines {
		lines[i] = ansi.Truncate(line, m.width, "…")
	}
	v := tea.NewView(strings.Join(lines, "\n"))
	v.AltScreen = true
	return v
}

// troubleLines shows the locks that need a person, in as many lines as there is room for.
func (m *topModel) troubleLines() []string {
	switch {
	case len(m.found) > 0:
	case m.seen.at.IsZero(): // nothing can be said before everything was looked at once
		return []string{faint.Render("looking for trouble")}
	default:
		return []string{good.Render("well") + fmt.Sprintf("  nothing needs a person: %s, %s looked at", number(len(m.seen.infos), "lock"), number(len(m.seen.runs), "job"))}
	}
	most := max(1, min(maxTopTroubles, m.height/4))
	var lines []string
	for i, t := range m.found {
		if i == most {
			return append(lines, faint.Render(fmt.Sprintf("…and %d more", len(m.found)-i)))
		}
		style := levelStyle(t.Level)
		text, long := inTwoParts(t, m.now)
		if t.Waiting > 0 && t.Kind != trouble.WaitsLong {
			long += fmt.Sprintf(", %d waiting", t.Waiting)
		}
		level := style.Render(fmt.Sprintf("%-8s", t.Level))
		if i > 0 || m.height < heightForSteps { // where it is too long, it keeps for how long it lasts
			if room := m.width - len(troubleIndent) - ansi.StringWidth(long); room >= 20 {
				text = ansi.Truncate(text, room, "…")
			}
			lines = append(lines, level+text+long)
			continue
		}
		text += long
		most := 2
		if m.width < 80 {
			most = 3
		}
		for j, line := range firstLines(text, m.width-len(troubleIndent), most) {
			if j == 0 {
				line = level + heading.Render(line)
			} else {
				line = troubleIndent + heading.Render(line)
			}
			lines = append(lines, line)
		}
		lines = append(lines, m.worst(t)...) // what it means and what to do
	}
	return lines
}

// heightForSteps is how high the screen must be for the list to say what can be done about the worst trouble.
const (
	heightForSteps = 20
	troubleIndent  = "        "
)

// firstLines is a text in so many lines at most; the last one says if there is more.
func firstLines(text string, width, most int) []string {
	lines := wrapped(text, max(20, width))
	if len(lines) > most {
		lines = lines[:most]
		lines[most-1] = ansi.Truncate(lines[most-1], max(20, width)-2, "") + " …"
	}
	return lines
}

// worst is what a trouble means, and what can be done about it first: the first look, then what mends it, as far as there is room on the
// upper half of the screen. Each command is on a line of its own, below what it is for and what it costs. Where there is room left, it
// says all that the trouble means.
func (m *topModel) worst(t trouble.Trouble) (lines []string) {
	width := m.width - len(troubleIndent)
	means := func(text trouble.Text, most int) (lines []string) {
		for _, line := range firstLines(text.Say(m.now), width, most) {
			lines = append(lines, troubleIndent+faint.Render(line))
		}
		return lines
	}
	if len(t.Means) > 0 {
		lines = means(t.Means[0], 3)
	}
	after, told := len(lines), 0
	for _, step := range briefly(trouble.Overview(t.Steps)) {
		some := m.stepLines(step, width)
		if told > 0 && len(lines)+len(some) > m.height/2 {
			break
		}
		lines = append(lines, some...)
		told++
	}
	for _, text := range t.Means[min(1, len(t.Means)):] {
		some := means(text, m.height)
		if len(lines)+len(some) > m.height/2 {
			break
		}
		lines = slices.Insert(lines, after, some...)
		after += len(some)
	}
	if more := len(t.Steps) - told; more > 0 && (t.Lock != "" || t.Job != "") {
		lines = append(lines, troubleIndent+faint.Render(fmt.Sprintf("…%d more can be done: Enter on it says what", more)))
	}
	return lines
}

// briefly are the steps with the most urgent first: one that looks, one that changes something, and then the others.
func briefly(steps []trouble.Step) []trouble.Step {
	if i := slices.IndexFunc(steps, func(s trouble.Step) bool { return s.Action != trouble.Look }); i > 1 && steps[i].Action != trouble.Prevent {
		steps = slices.Concat(steps[:1], steps[i:i+1], steps[1:i], steps[i+1:])
	}
	return steps
}

// stepLines is a step in a few lines.
func (m *topModel) stepLines(s trouble.Step, width int) (lines []string) {
	add := func(text string, style lipgloss.Style) { // nothing is cut: half of a warning is none
		for _, line := range wrapped(text, max(20, width)) {
			lines = append(lines, troubleIndent+style.Render(line))
		}
	}
	text, warn, line := stepParts(s, m.now, m.flags)
	add(text, plain)
	if warn != "" {
		add(warn, uneasy)
	}
	if line != "" {
		for _, part := range m.typedLines(troubleIndent + "  " + line) {
			lines = append(lines, heading.Render(part))
		}
	}
	return lines
}

// typedLines is a command as it can be typed, in two lines if one is too narrow for it: its flags are on the second.
func (m *topModel) typedLines(line string) []string {
	command, found := strings.CutSuffix(line, " "+m.flags)
	if m.flags == "" || !found || ansi.StringWidth(line) <= m.width {
		return []string{line}
	}
	indent := len(line) - len(strings.TrimLeft(line, " "))
	return []string{command + ` \`, strings.Repeat(" ", indent+2) + m.flags}
}

func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// slowLook is from when on it is said how long a look took: what is shown is that old at most, when it is new.
const slowLook = 3 * time.Second

// head is the part above the rows.
func (m *topModel) head() []string {
	held, waiting, inUse := 0, 0, 0
	for i := range m.seen.infos {
		info := &m.seen.infos[i]
		held += min(info.Holders, 1)
		waiting += info.Waiting
		if info.Holders+info.Waiting > 0 {
			inUse++
		}
	}
	where := fmt.Sprintf("Redis at %s, %s", m.link.addr, m.now.Local().Format(time.TimeOnly))
	switch {
	case m.seen.at.IsZero():
		where = "so far; it is being read for the first time"
	case m.read > 0:
		where = fmt.Sprintf("%d read anew, the others %s ago", m.read, trouble.Length(time.Since(m.seen.at)+m.seen.took))
	case m.seen.took >= slowLook:
		where = fmt.Sprintf("%s, read within %s", m.now.Local().Format(time.TimeOnly), trouble.Length(m.seen.took))
	}
	title := fmt.Sprintf("%s in use, %d held, %d waiting  ", number(inUse, "lock"), held, waiting) + faint.Render(where)
	return append(append([]string{title}, m.troubleLines()...), "", m.headings())
}

// room is how many rows there is room for.
func (m *topModel) room() int { return max(1, m.height-1-len(m.head())) }

// topColumns are the widths of the columns: of the name, of the holder, which narrow screens do not have, and of the rest.
func (m *topModel) columns() (name, holder, held, waiting int) {
	held, waiting = 8, 12
	rest := m.width - 2 - held - waiting - 2
	if m.width < 80 {
		return max(8, rest), 0, held, waiting
	}
	name = max(16, rest*45/100)
	return name, rest - name - 2, held, waiting
}

func (m *topModel) headings() string {
	name, holder, held, waiting := m.columns()
	arrow := func(by, title string) string {
		switch {
		case m.by != by:
			return title
		case m.turned:
			return title + "↑"
		}
		return title + "↓"
	}
	line := "  " + fit(arrow("n", "NAME"), name) + "  "
	if holder > 0 {
		line += fit("HOLDER", holder) + "  "
	}
	return heading.Render(line + fit(arrow("o", "HELD"), held) + fit(arrow("w", "WAITING"), waiting))
}

// fit is a text of exactly that width.
func fit(text string, width int) string {
	text = ansi.Truncate(text, width, "…")
	return text + strings.Repeat(" ", max(0, width-ansi.StringWidth(text)))
}

func (m *topModel) list() []string {
	lines, room := m.head(), m.room()
	from := max(0, min(m.at-room/2, len(m.rows)-room))
	for i := from; i < min(len(m.rows), from+room); i++ {
		lines = append(lines, m.row(m.rows[i], i == m.at))
	}
	if len(m.rows) == 0 {
		text := noLocks(m.pattern)
		if m.query != "" {
			text = "no lock matches " + visible(m.query)
		}
		lines = append(lines, faint.Render("  "+text))
	}
	return lines
}

func (m *topModel) row(raw redislock.Info, chosen bool) string {
	info := forPeople(raw)
	now := m.now
	nameWidth, holderWidth, heldWidth, waitingWidth := m.columns()
	mark, style := "  ", plain
	switch m.levels[raw.Name] {
	case trouble.Danger:
		mark, style = "!!", bad
	case trouble.Warning:
		mark, style = "! ", uneasy
	}
	holder, held := "-", "-"
	if len(info.Holds) > 0 {
		h := present(info.Info)
		holder, held = cutOwner(who(h.Owner), holderWidth), trouble.Length(now.Sub(h.Since))
		if info.Holders > 1 {
			holder += fmt.Sprintf(" +%d", info.Holders-1)
		}
		if h.Owner.Metadata != "" {
			holder += " " + h.Owner.Metadata
		}
	}
	waiting := strconv.Itoa(info.Waiting)
	if len(info.Places) > 0 && !info.Places[0].Since.IsZero() {
		waiting += " · " + trouble.Length(now.Sub(info.Places[0].Since))
	}
	columns := fit(cutMiddle(info.Name, nameWidth), nameWidth) + "  "
	if holderWidth > 0 {
		columns += fit(holder, holderWidth) + "  "
	}
	columns += fit(held, heldWidth) + fit(waiting, waitingWidth)
	if chosen {
		return lipgloss.NewStyle().Reverse(true).Render(mark + columns)
	}
	return style.Render(mark) + columns
}

// page is one lock.
func (m *topModel) page() []string {
	more := m.more(m.open.Name)
	brief, rest, _ := strings.Cut(describe(forPeople(*m.open), m.now.Sub(m.open.Now), trouble.Stops(more)), "\n")
	text := brief + "\n" + advise(*m.open, m.flags, m.width, more...) + "\n" + rest // a queue may be long
	if m.open.Idle() && m.open.Fence == 0 && len(trouble.Found(*m.open, more...)) == 0 {
		text = visible(m.open.Name) + ": nothing is known of it any more\n"
	}
	var lines []string
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		lines = append(lines, m.typedLines(line)...)
	}
	m.top = max(0, min(m.top, len(lines)-m.height+1))
	lines = lines[m.top:]
	if below := len(lines) - m.height + 2; below > 1 {
		lines = append(slices.Clip(lines[:m.height-2]), faint.Render(fmt.Sprintf("↓ %d more lines below: space, or the arrow keys", below)))
	}
	return lines
}

// foot is the last line: the typed text, the result of an action, an error, or the keys.
func (m *topModel) foot() string {
	name := visible(m.target.Name)
	switch m.typing {
	case searching:
		return "/" + visible(m.typed) + "█"
	case askingWhy:
		return fmt.Sprintf("ask for %s, why? %s█", name, visible(m.typed))
	case breakingWhy:
		return bad.Render("break "+name) + fmt.Sprintf(", why? %s█", visible(m.typed))
	case confirming:
		return bad.Render("break "+name) + fmt.Sprintf(", held by %s? [y/N] %s█", who(readableOwner(present(m.target).Owner)), visible(m.typed))
	}
	switch {
	case m.said != "":
		return heading.Render(strings.Join(wrapped(m.said, m.width), "\n"))
	case m.openErr != nil && m.open != nil:
		return bad.Render(oneLine(m.openErr.Error()))
	case m.failed != nil && m.seen.at.IsZero():
		return bad.Render(oneLine(m.failed.Error()))
	case m.failed != nil:
		return bad.Render(oneLine(fmt.Sprintf("as it was %s ago: %v", rounded(time.Since(m.seen.at).Round(time.Second)), m.failed)))
	case len(m.seen.failed) > 0:
		return bad.Render(oneLine(m.seen.failed[0].Error()))
	case m.open != nil:
		if other, is := trouble.Instead(m.open.Name, m.more(m.open.Name)); is {
			return uneasy.Render("esc back  q quit  the lock to break is another: " + visible(other))
		}
		if m.open.Holders == 0 {
			return faint.Render("esc back  q quit")
		}
		return faint.Render("esc back  A ask  B break  q quit")
	}
	keys := "enter open  / search  t n o w sort  q quit"
	if m.query != "" {
		keys = "search: " + visible(m.query) + "  esc empties it"
	}
	if len(m.rows) > m.room() {
		keys = fmt.Sprintf("%d of %d  ", m.at+1, len(m.rows)) + keys
	}
	return faint.Render(keys)
}
