package lua

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// loader puts scripts together from files. Comments and blank lines are left out: the server would only have to store
// them.
type loader struct {
	pieces map[string][]part
}

// part of a piece: lines of Lua, and then another piece.
type part struct {
	text  string
	piece string // "" at the end
}

// newLoader reads all files. The layout is in layout.lua; scripts of an earlier version may have none.
func newLoader(files fs.FS) *loader {
	names := map[string]string{}
	if layout, err := fs.ReadFile(files, "layout.lua"); err == nil {
		names = layoutNames(string(layout))
	}
	all, err := fs.Glob(files, "*.lua")
	if err != nil {
		panic(err)
	}
	l := &loader{pieces: map[string][]part{}}
	for _, file := range all {
		source, err := fs.ReadFile(files, file)
		if err != nil {
			panic(err)
		}
		l.pieces[strings.TrimSuffix(file, ".lua")] = parts(string(source), names)
	}
	return l
}

func parts(source string, names map[string]string) (all []part) {
	var text strings.Builder
	for line := range strings.Lines(source) {
		trimmed := strings.TrimSpace(line)
		if piece, ok := strings.CutPrefix(trimmed, "--@ "); ok {
			all = append(all, part{text.String(), strings.TrimSuffix(piece, ".lua")})
			text.Reset()
		} else if trimmed != "" && !strings.HasPrefix(trimmed, "--") {
			resolve(&text, line, names)
		}
	}
	return append(all, part{text: text.String()})
}

// resolve writes a line with the texts of the layout in the place of their names. It is run for each line when a program
// starts, so it does without a regular expression.
func resolve(text *strings.Builder, line string, names map[string]string) {
	rest := 0
	for i := 0; i < len(line); {
		if !inName(line[i]) {
			i++
			continue
		}
		start := i
		for i < len(line) && inName(line[i]) {
			i++
		}
		if value, ok := names[line[start:i]]; ok {
			text.WriteString(line[rest:start])
			text.WriteString(value)
			rest = i
		}
	}
	text.WriteString(line[rest:])
}

func inName(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_'
}

// layer is how the server begins one.
const layer = "return (function()\n"

// include writes a piece and those that it names. What follows the line "--@ layer" is a function of its own, up to the end of the
// script, and captures what stands above it once. Without layers each function captures that anew, and a server then walks through all
// that was captured before: it took a fifth of the time of a script with the rules. Locals of an outer layer are assigned one at a time,
// for gopher-lua takes "outer, t.x = a, b" wrongly.
func (l *loader) include(text *strings.Builder, name string, without []string) {
	for _, w := range without {
		if w == name {
			return
		}
	}
	all, ok := l.pieces[name]
	if !ok {
		panic("there is no " + name + ".lua") // a script that is not embedded cannot be built
	}
	for _, p := range all {
		text.WriteString(p.text)
		switch p.piece {
		case "":
		case "layer":
			text.WriteString(layer)
		default:
			l.include(text, p.piece, without)
		}
	}
}

// layoutNames are the names that layout.lua defines, with the text that each stands for.
func layoutNames(layout string) map[string]string {
	names := map[string]string{}
	records := map[string][]string{} // their fields
	for line := range strings.Lines(layout) {
		if text, ok := strings.CutPrefix(line, "--= "); ok {
			name, value, _ := strings.Cut(text, " ")
			names[name] = strings.TrimSpace(value)
		} else if text, ok := strings.CutPrefix(line, "--: "); ok {
			words := strings.Fields(text)
			records[words[0]] = words[1:]
			define(names, records, words[0], 1, words[1:])
		}
	}
	return names
}

// define gives the fields of a record that begins at some place their names. It returns where the record ends, and whether
// its last field may be of any length.
func define(names map[string]string, records map[string][]string, record string, at int, fields []string) (end int, open bool) {
	next := at
	for _, field := range fields {
		name := strings.TrimRight(field, "0123456789")
		full, start := record+"_"+strings.ToUpper(name), next
		if inner := records[strings.ToUpper(name)]; inner != nil && name == field {
			next, open = define(names, records, full, start, inner)
		} else {
			width, _ := strconv.Atoi(field[len(name):])
			next, open = start+width, width == 0
		}
		names[full], names[full+"_ON"] = strconv.Itoa(start), strconv.Itoa(start)
		if !open {
			names[full] = fmt.Sprintf("%d, %d", start, next-1)
		}
	}
	names[record+"_WIDTH"] = strconv.Itoa(next - at)
	return next, open
}
