package main

import (
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"example.com/redislock"
)

// typing is what the keys are for, if not for moving.
type typing int

const (
	notTyping typing = iota
	searching
	askingWhy
	breakingWhy
	confirming
)

// key does the action of a key.
func (m *topModel) key(msg tea.KeyPressMsg) tea.Cmd {
	switch msg.String() {
	case "ctrl+c", `ctrl+\`:
		m.interrupted = true
		return tea.Quit
	case "ctrl+z":
		return tea.Suspend
	}
	if m.typing != notTyping {
		return m.types(msg)
	}
	m.said = ""
	if m.open != nil {
		return m.pageKey(msg.String())
	}
	m.moved = m.moved || slices.Contains([]string{"down", "j", "up", "k", "pgdown", "space", "pgup", "home", "g", "end", "G", "enter"}, msg.String())
	switch msg.String() {
	case "q":
		return tea.Quit
	case "esc":
		m.query = ""
		m.arrange()
	case "t", "n", "o", "w":
		m.turned = m.by == msg.String() && !m.turned
		m.by = msg.String()
		m.arrange()
	case "/":
		m.typing, m.typed = searching, m.query
	case "down", "j":
		m.move(1)
	case "up", "k":
		m.move(-1)
	case "pgdown", "space":
		m.move(m.room())
	case "pgup":
		m.move(-m.room())
	case "home", "g":
		m.move(-len(m.rows))
	case "end", "G":
		m.move(len(m.rows))
	case "enter":
		if len(m.rows) > 0 {
			info := m.rows[m.at]
			m.open, m.openErr, m.top = &info, nil, 0
			return m.looksAt(info.Name)
		}
	case "A", "B": // only on the page of a lock: what was meant for the search must not be about the lock that is chosen
		m.said = "Enter opens a lock; there A asks for it and B breaks it"
	}
	return nil
}

func (m *topModel) pageKey(key string) tea.Cmd {
	switch key {
	case "q":
		return tea.Quit
	case "esc", "left", "backspace":
		m.open = nil
	case "down", "j":
		m.top++
	case "up", "k":
		m.top--
	case "pgdown", "space":
		m.top += m.height - 2
	case "pgup":
		m.top -= m.height - 2
	case "home", "g":
		m.top = 0
	case "end", "G":
		m.top = 1 << 20
	case "A", "B":
		m.act(key, *m.open)
	case "a", "b":
		if m.open.Holders > 0 {
			m.said = "A, as a capital letter, asks for it; B breaks it"
		}
	}
	return nil
}

// act begins to ask for the reason of an action. What it is about is what is shown now.
func (m *topModel) act(key string, info redislock.Info) {
	if info.Holders == 0 {
		m.said = "nobody holds it"
		return
	}
	m.target, m.typed, m.typing = info, "", askingWhy
	if key == "B" {
		m.typing = breakingWhy
	}
}

// types takes a key into what is being typed.
func (m *topModel) types(msg tea.KeyPressMsg) tea.Cmd {
	switch msg.String() {
	case "esc":
		if m.typing == searching {
			m.query = ""
			m.arrange()
		} else {
			m.said = "nothing was done"
		}
		m.typing = notTyping
		return nil
	case "backspace":
		if runes := []rune(m.typed); len(runes) > 0 {
			m.typed = string(runes[:len(runes)-1])
		}
	case "ctrl+u":
		m.typed = ""
	case "enter":
		return m.entered()
	default:
		if text := msg.Key().Text; text != "" && len(m.typed)+len(text) <= redislock.MaxReason {
			m.typed += text
		}
	}
	m.typesOn()
	return nil
}

func (m *topModel) typesOn() {
	if m.typing == searching {
		m.query = m.typed
		m.arrange()
	}
}

func (m *topModel) entered() tea.Cmd {
	was, text := m.typing, strings.TrimSpace(m.typed)
	m.typing, m.typed = notTyping, ""
	switch {
	case was == searching:
		return nil
	case was == confirming && (text == "y" || text == "yes"):
		return m.breaks(m.target, m.why)
	case was == confirming, text == "":
		m.said = "nothing was done"
	case was == askingWhy:
		return m.asks(m.target.Name, text)
	case was == breakingWhy:
		m.why, m.typing = text, confirming
	}
	return nil
}
