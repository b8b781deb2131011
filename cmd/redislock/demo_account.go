package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// account tells what happens: on a terminal with a line that is updated in place while a scene plays, elsewhere in
// plain lines. In the end it shows a table of everything that was measured.
type account struct {
	w       io.Writer
	width   int // of the terminal, 0 for plain lines
	started int // processes

	scene string
	began time.Time // the scene
	drawn time.Time
	found []finding
}

// finding is a measured value, and the promised one.
type finding struct {
	scene, what, measured, promised string
	kept                            bool
}

// drawEvery is how often a line is drawn anew at the most.
const drawEvery = 50 * time.Millisecond

func newAccount(w io.Writer) *account {
	a := &account{w: w}
	if isTerminal(w) {
		a.width = 80
		if width, _, err := term.GetSize(int(w.(*os.File).Fd())); err == nil && width > 0 {
			a.width = width
		}
	}
	return a
}

func (a *account) line(format string, args ...any) {
	_, _ = fmt.Fprintf(a.w, format+"\n", args...) // without a reader the exit status still tells
}

// begin opens a scene.
func (a *account) begin(title string) {
	a.scene, a.began = title, time.Now()
	a.draw("", true)
}

// tell says what happens now. Plain lines leave it out, and progress.
func (a *account) tell(format string, args ...any) { a.draw(fmt.Sprintf(format, args...), true) }

// progress says how far the scene is, now and then.
func (a *account) progress(format string, args ...any) { a.draw(fmt.Sprintf(format, args...), false) }

func (a *account) draw(text string, now bool) {
	if a.width == 0 || !now && time.Since(a.drawn) < drawEvery {
		return
	}
	a.drawn = time.Now()
	text = a.scene + ": " + text
	if runes := []rune(text); len(runes) >= a.width {
		text = string(runes[:a.width-1]) // a line that wraps cannot be drawn over
	}
	_, _ = fmt.Fprintf(a.w, "\r\033[K%s", text)
}

// check notes a measured value, what was promised, and whether that was kept.
func (a *account) check(what, measured, promised string, kept bool) {
	a.found = append(a.found, finding{a.scene, what, oneLine(measured), promised, kept})
}

// note is a value that was measured but not promised.
func (a *account) note(what, measured string) { a.check(what, measured, "", true) }

// end closes a scene and says whether its promises were kept; what was measured is in the table.
func (a *account) end() {
	verdict := "kept"
	for _, f := range a.found {
		if f.scene == a.scene && !f.kept {
			verdict = "VIOLATED"
		}
	}
	if a.width > 0 {
		_, _ = fmt.Fprint(a.w, "\r\033[K")
	}
	a.line("%s: %s, in %v", a.scene, verdict, time.Since(a.began).Round(time.Millisecond))
}

// table shows everything that was found.
func (a *account) table() {
	rows := [][4]string{{"SHOWN", "MEASURED", "PROMISED", "VERDICT"}}
	scene := ""
	for _, f := range a.found {
		if f.scene != scene {
			scene = f.scene
			rows = append(rows, [4]string{scene})
		}
		verdict := "kept"
		switch {
		case !f.kept:
			verdict = "VIOLATED"
		case f.promised == "":
			verdict = ""
		}
		rows = append(rows, [4]string{"  " + f.what, f.measured, f.promised, verdict})
	}
	var widths [4]int
	for _, row := range rows {
		for i, cell := range row {
			if row[1] != "" { // a heading may run over the columns
				widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			}
		}
	}
	a.line("")
	for _, row := range rows {
		text := ""
		for i, cell := range row {
			text += cell + strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell))+2)
		}
		a.line("%s", strings.TrimRight(text, " "))
	}
	a.line("")
}

// violated names the promises that were not kept.
func (a *account) violated() []string {
	var names []string
	for _, f := range a.found {
		if !f.kept {
			names = append(names, fmt.Sprintf("%s: %s was %s, promised %s", f.scene, f.what, f.measured, f.promised))
		}
	}
	return names
}

// accountJSON is the account for programs. What was measured and promised is as people read it.
type accountJSON struct {
	Kept      bool          `json:"kept"`
	Processes int           `json:"processes"`
	Seconds   float64       `json:"seconds"`
	Findings  []findingJSON `json:"findings"`
}

type findingJSON struct {
	Scene    string `json:"scene"`
	What     string `json:"what"`
	Measured string `json:"measured"`
	Promised string `json:"promised,omitempty"`
	Kept     bool   `json:"kept"`
}

func (a *account) json(took time.Duration) accountJSON {
	out := accountJSON{Kept: len(a.violated()) == 0, Processes: a.started, Seconds: took.Seconds()}
	for _, f := range a.found {
		out.Findings = append(out.Findings, findingJSON{f.scene, f.what, f.measured, f.promised, f.kept})
	}
	return out
}
