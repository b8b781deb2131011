package main

import (
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// helpWidth is the width of help without a terminal, and mostHelp the greatest width: longer lines are hard to read.
const helpWidth, mostHelp = 80, 100

// teachHelp adds what the templates of help call, once for all commands: cobra keeps it in one place.
var teachHelp = sync.OnceFunc(func() {
	width := func(cmd *cobra.Command) int {
		if file, ok := cmd.OutOrStdout().(*os.File); ok {
			if w, _, err := term.GetSize(int(file.Fd())); err == nil && w > 0 {
				return max(40, min(w, mostHelp))
			}
		}
		return helpWidth
	}
	cobra.AddTemplateFunc("fitted", func(cmd *cobra.Command, text string) string { return fitted(text, width(cmd)) })
	cobra.AddTemplateFunc("fittedFlags", func(cmd *cobra.Command, f *pflag.FlagSet) string {
		return strings.TrimRight(fittedFlags(f, width(cmd)), "\n")
	})
})

// fitHelp has the help of all commands fit the terminal.
func fitHelp(root *cobra.Command) {
	teachHelp()
	root.SetHelpTemplate(`{{with (or .Long .Short)}}{{fitted $ .}}

{{end}}{{if or .Runnable .HasSubCommands}}{{.UsageString}}{{end}}`)
	usage := root.UsageTemplate()
	for _, which := range []string{"LocalFlags", "InheritedFlags"} {
		usage = strings.ReplaceAll(usage, "{{."+which+".FlagUsages | trimTrailingWhitespaces}}", "{{fittedFlags . ."+which+"}}")
	}
	root.SetUsageTemplate(usage)
}

// fittedFlags lists flags, each with its description below it.
func fittedFlags(f *pflag.FlagSet, width int) string {
	plain := f.FlagUsagesWrapped(0)
	var out strings.Builder
	for line := range strings.Lines(plain) {
		line = strings.TrimRight(line, "\n")
		head, text := "", strings.TrimSpace(line)
		if strings.HasPrefix(text, "-") {
			head, text, _ = strings.Cut(text, "   ")
			head = strings.TrimSuffix(head, "[=true|false]")
			text = strings.TrimSpace(text)
			indent := "  "
			if strings.HasPrefix(head, "--") {
				indent = "      "
			}
			out.WriteString(indent + head + "\n")
		}
		if text != "" {
			out.WriteString("          " + strings.Join(wrapped(text, width-10), "\n          ") + "\n")
		}
	}
	return out.String()
}

// fitted is a help in lines of at most that width: paragraphs anew, lines that are indented each for itself, with what follows below
// where it began.
func fitted(text string, width int) string {
	var out []string
	paragraph := ""
	flush := func() {
		if paragraph != "" {
			out = append(out, wrapped(paragraph, width)...)
			paragraph = ""
		}
	}
	hanging := 0 // where the text of the item before this line begins
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		indent := len(line) - len(strings.TrimLeft(line, " "))
		switch {
		case line == "":
			flush()
			out, hanging = append(out, ""), 0
		case indent == 0:
			paragraph, hanging = paragraph+" "+line, 0
		default:
			flush()
			body := line[indent:]
			if hanging > 0 && indent == hanging { // it goes on
				last := out[len(out)-1]
				out = append(out[:len(out)-1], item(last+" "+body, hanging, width)...)
				continue
			}
			hanging = 0
			if at := strings.Index(body, "  "); at > 0 {
				rest := strings.TrimLeft(body[at:], " ")
				hanging = indent + len(body) - len(rest)
			}
			out = append(out, item(line, hanging, width)...)
		}
	}
	flush()
	return strings.TrimRight(strings.Join(out, "\n"), "\n")
}

// item is a line whose text begins at a column, and goes on there.
func item(line string, column, width int) []string {
	if column == 0 || column > width/2 || len(line) <= width {
		return []string{line}
	}
	lines := wrapped(line[column:], width-column)
	for i := range lines {
		lines[i] = strings.Repeat(" ", column) + lines[i]
	}
	lines[0] = line[:column] + strings.TrimLeft(lines[0], " ")
	return lines
}
