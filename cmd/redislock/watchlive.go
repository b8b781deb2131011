package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"

	"example.com/redislock"
)

// screenful is the screen of a live view: the last look, and which part of it is shown.
type screenful struct {
	watcher       *watcher
	seen          view // the last that went well
	failed        error
	now           time.Time
	width, height int
	top           int  // the first line that is shown
	interrupted   bool // by the keyboard
}

type tick time.Time

func everySecond() tea.Cmd {
	return tea.Every(time.Second, func(t time.Time) tea.Msg { return tick(t) })
}

// live shows what is seen until it is told to stop. The terminal is as before then, whatever ends it.
func (w *watcher) live(ctx context.Context, cmd *cobra.Command, first view) error {
	opts := []tea.ProgramOption{tea.WithOutput(cmd.OutOrStdout()), tea.WithoutSignalHandler(), tea.WithColorProfile(w.liveProfile()), tea.WithInput(nil)}
	if in, ok := cmd.InOrStdin().(*os.File); ok && isTerminal(in) {
		opts = append(opts, tea.WithInput(in))
	}
	p := tea.NewProgram(screenful{watcher: w, seen: first, now: first.at, width: w.page.width, height: 24}, opts...)
	following, stop := context.WithCancel(ctx)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		w.follow(following, func(v view) bool { p.Send(v); return true })
	}()
	go func() {
		<-following.Done()
		p.Quit()
	}()
	last, err := p.Run()
	stop()
	<-followed
	if err != nil && ctx.Err() == nil {
		return exitWith(exitUnavailable, "the terminal cannot be used: %v; use redislock ls instead", err)
	}
	if s, ok := last.(screenful); ok && s.interrupted {
		return &exit{status: exitSignal + 2} // as by SIGINT, which the terminal does not send while we read the keys
	}
	return nil
}

func (s screenful) Init() tea.Cmd { return everySecond() }

func (s screenful) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case view:
		if s.failed = msg.err; msg.err == nil {
			s.seen, s.now = msg, msg.at
		}
	case tick:
		s.now = time.Time(msg)
		return s, everySecond()
	case tea.WindowSizeMsg:
		s.width, s.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		switch msg.String() {
		case "q", "esc":
			return s, tea.Quit
		case "ctrl+c", `ctrl+\`:
			s.interrupted = true
			return s, tea.Quit
		case "ctrl+z":
			return s, tea.Suspend
		case "down", "j":
			s.top++
		case "up", "k":
			s.top--
		case "pgdown", "space":
			s.top += s.room()
		case "pgup":
			s.top -= s.room()
		case "home", "g":
			s.top = 0
		case "end", "G":
			s.top = len(s.body())
		}
	}
	s.top = max(0, min(s.top, len(s.body())-s.room()))
	return s, nil
}

// room is how many lines of the body fit on the screen.
func (s screenful) room() int { return max(1, s.height-s.fixed()) }

// fixed is how many lines stay where they are: title, headings of the table, and the last line.
func (s screenful) fixed() int {
	if s.watcher.one {
		return 2
	}
	return 4
}

// body is what can be moved through: the rows of the table, or the lines about the lock.
func (s screenful) body() []string {
	if !s.watcher.one {
		return make([]string, len(s.seen.infos))
	}
	return strings.Split(strings.TrimRight(describe(forPeople(s.seen.infos[0]), s.old(), ""), "\n"), "\n")
}

// old is how long ago it was seen.
func (s screenful) old() time.Duration { return max(0, s.now.Sub(s.seen.at)) }

func (s screenful) View() tea.View {
	lines := []string{s.title()}
	if s.watcher.one {
		body := s.body()
		lines = append(lines, body[s.top:min(len(body), s.top+s.room())]...)
	} else {
		// Only the rows on the screen are laid out: there may be ten thousand.
		end := min(len(s.seen.infos), s.top+s.room())
		var rows [][]cell
		for _, info := range s.seen.infos[min(s.top, end):end] {
			rows = append(rows, lockRow(forPeople(info), s.old(), false))
		}
		lines = append(lines, "")
		lines = append(lines, strings.Split(layOut(lockHeadings, rows, s.width), "\n")...)
	}
	for len(lines) < s.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines, s.foot())
	for i, line := range lines {
		lines[i] = ansi.Truncate(line, s.width, "…")
	}
	v := tea.NewView(strings.Join(lines, "\n"))
	v.AltScreen = true
	return v
}

func (s screenful) title() string {
	at := faint.Render(fmt.Sprintf("Redis at %s, %s", s.watcher.link.addr, s.now.Local().Format("15:04:05")))
	if s.watcher.one {
		return at
	}
	held, waiting := 0, 0
	for _, info := range s.seen.infos {
		held += min(info.Holders, 1)
		waiting += info.Waiting
	}
	return fmt.Sprintf("%d locks in use, %d held, %d waiting  %s", count(s.seen.infos), held, waiting, at)
}

func count(infos []redislock.Info) (inUse int) {
	for _, info := range infos {
		if !info.Idle() {
			inUse++
		}
	}
	return inUse
}

func (s screenful) foot() string {
	if s.failed != nil {
		return bad.Render(oneLine(fmt.Sprintf("as it was %s ago: %v", rounded(s.old().Round(time.Second)), s.failed)))
	}
	if failed := s.seen.failed; len(failed) > 0 {
		text := failed[0].Error()
		if len(failed) > 1 {
			text = fmt.Sprintf("%d cannot be looked at: %s", len(failed), text)
		}
		return bad.Render(oneLine(text))
	}
	return faint.Render("q quits; arrows and page keys move")
}
