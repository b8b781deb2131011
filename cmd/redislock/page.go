package main

import (
	"errors"
	"io"
	"os"
	"strings"

	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/table"
	"github.com/charmbracelet/colorprofile"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

const colorFlag = "color"

func pageFlags(f *pflag.FlagSet) {
	f.String(colorFlag, "auto", "colours and tables: auto (on a terminal), always or never; NO_COLOR and TERM=dumb are heeded")
}

// page is where a command shows its result to people. What is written to it loses the colours that may not be there.
type page struct {
	io.Writer
	tables  bool // else plain lines, with tabs between their columns
	width   int  // of the terminal; 0 if there is none
	profile colorprofile.Profile
}

// newPage is the standard output of a command.
func newPage(cmd *cobra.Command) (*page, error) {
	out := cmd.OutOrStdout()
	p := &page{tables: isTerminal(out), profile: colorprofile.Detect(out, os.Environ())}
	if p.tables {
		p.width = 80
		if width, _, err := term.GetSize(int(out.(*os.File).Fd())); err == nil && width > 0 {
			p.width = width
		}
	}
	switch mode := cmd.Flag(colorFlag); {
	case mode == nil || mode.Value.String() == "auto":
		if !p.tables {
			p.profile = colorprofile.NoTTY
		}
	case mode.Value.String() == "always":
		p.tables, p.profile = true, max(p.profile, colorprofile.ANSI)
	case mode.Value.String() == "never":
		p.profile = colorprofile.NoTTY
	default:
		return nil, exitWith(exitUsage, "--color (%s): must be auto, always or never", mode.Value)
	}
	p.Writer = result{&colorprofile.Writer{Forward: out, Profile: p.profile}}
	return p, nil
}

// pageOf is newPage of a command whose output is one that there is.
func pageOf(cmd *cobra.Command, o *output) (*page, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return newPage(cmd)
}

// result is where a result is written. Its error ends the program: what could not be written must not look like the end.
type result struct{ w io.Writer }

func (r result) Write(text []byte) (int, error) {
	n, err := r.w.Write(text)
	var said *exit
	if err != nil && !errors.As(err, &said) {
		err = exitWith(exitUnavailable, "the result cannot be written: %v", err)
	}
	return n, err
}

// What text is to catch the eye for.
var (
	heading = lipgloss.NewStyle().Bold(true)
	faint   = lipgloss.NewStyle().Faint(true)
	good    = lipgloss.NewStyle().Foreground(lipgloss.Green)
	uneasy  = lipgloss.NewStyle().Foreground(lipgloss.Yellow)
	bad     = lipgloss.NewStyle().Foreground(lipgloss.Red)
	plain   = lipgloss.NewStyle()
)

// cell is a piece of a row: text that may go to a terminal, and the style that it has there.
type cell struct {
	text  string
	style lipgloss.Style
}

// rows shows rows under their headings: as a table that fits the width, or as plain lines without headings.
func (p *page) rows(headings []string, rows [][]cell) error {
	if !p.tables {
		var out strings.Builder
		for _, row := range rows {
			for i, c := range row {
				if i > 0 {
					out.WriteByte('\t')
				}
				out.WriteString(c.text)
			}
			out.WriteByte('\n')
		}
		_, err := io.WriteString(p, out.String())
		return err
	}
	_, err := io.WriteString(p, layOut(headings, rows, p.width)+"\n")
	return err
}

// layOut is a table, no wider than width unless that is 0: cells are cut then.
func layOut(headings []string, rows [][]cell, width int) string {
	t := table.New().Headers(headings...).Wrap(false).
		BorderTop(false).BorderBottom(false).BorderLeft(false).BorderRight(false).BorderHeader(false).BorderColumn(false).
		StyleFunc(func(row, col int) lipgloss.Style {
			style := heading
			if row >= 0 && row < len(rows) && col < len(rows[row]) {
				style = rows[row][col].style
			}
			if col < len(headings)-1 {
				style = style.PaddingRight(2)
			}
			return style
		})
	widths := narrowed(headings, rows, width)
	for _, row := range rows {
		texts := make([]string, len(row))
		for i, c := range row {
			texts[i] = cutOwner(c.text, widths[i])
		}
		t.Row(texts...)
	}
	text := t.String()
	if width > 0 && lipgloss.Width(text) > width {
		text = t.Width(width).String()
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n")
}

// narrowed are the widths of columns that fit the width of a terminal, if they can: the widest become narrower first, down to
// their headings and thirteen columns.
func narrowed(headings []string, rows [][]cell, width int) []int {
	widths, least := make([]int, len(headings)), make([]int, len(headings))
	whole := 2 * (len(widths) - 1)
	for i, text := range headings {
		least[i] = max(13, lipgloss.Width(text))
		widths[i] = lipgloss.Width(text)
		for _, row := range rows {
			if i < len(row) {
				widths[i] = max(widths[i], lipgloss.Width(row[i].text))
			}
		}
		whole += widths[i]
	}
	for ; width > 0 && whole > width; whole-- {
		widest := -1
		for i, w := range widths {
			if w > least[i] && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return widths
}
