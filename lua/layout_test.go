package lua

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

var (
	literal  = regexp.MustCompile(`'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|--.*`)
	capitals = regexp.MustCompile(`\b[A-Z][A-Z0-9_]+\b`)
	declared = regexp.MustCompile(`(?m)^\s*local ([A-Z][A-Z0-9_]+)\b`)
	field    = regexp.MustCompile(`^([a-z]+)\d*$`)
	offset   = regexp.MustCompile(`\b(?:sub|find)\([^(),]+, *(?:'[^']*', *)?[1-9]\d*\b.*`)
)

// code is the Lua of a file, without comments and strings.
func code(t *testing.T, file string) string {
	source, err := fs.ReadFile(sources, file)
	if err != nil {
		t.Fatal(err)
	}
	return literal.ReplaceAllString(string(source), "''")
}

func scriptFiles(t *testing.T) []string {
	all, err := fs.Glob(sources, "*.lua")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEachNameOfTheLayoutIsDefinedOnceAndUsed(t *testing.T) {
	layout, err := fs.ReadFile(sources, "layout.lua")
	if err != nil {
		t.Fatal(err)
	}
	names, locals, used := layoutNames(string(layout)), map[string]bool{"KEYS": true, "ARGV": true}, map[string]bool{}
	for _, file := range scriptFiles(t) {
		for _, name := range declared.FindAllStringSubmatch(code(t, file), -1) {
			locals[name[1]] = true
		}
	}
	for _, file := range scriptFiles(t) {
		for _, name := range capitals.FindAllString(code(t, file), -1) {
			used[name] = true
			if names[name] == "" && !locals[name] {
				t.Errorf("%s has %s, which is not defined", file, name)
			}
		}
	}
	known, records := map[string]bool{}, map[string]bool{}
	defines := func(name string) {
		if known[name] || locals[name] {
			t.Errorf("%s is defined twice", name)
		}
		known[name] = true
		for u := range used {
			if u == name || u == name+"_ON" || strings.HasSuffix(u, "_"+name) { // by itself, or within another record
				return
			}
		}
		t.Errorf("%s is defined, and not used", name)
	}
	for line := range strings.Lines(string(layout)) {
		words := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "--= "):
			defines(words[1])
		case strings.HasPrefix(line, "--: "):
			for i, word := range words[2:] {
				if records[strings.ToUpper(word)] {
					continue // has names of its own
				}
				name := field.FindStringSubmatch(word)
				if name == nil || name[0] == name[1] && i < len(words)-3 {
					t.Errorf("%q: only the last field is without a width", strings.TrimSpace(line))
					continue
				}
				defines(words[1] + "_" + strings.ToUpper(name[1]))
			}
			records[words[1]] = true
		case strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "-- "):
			if line != "--\n" {
				t.Errorf("layout.lua: %q is neither a name nor a comment", line)
			}
		}
	}
}

func TestTheScriptsHaveNoBareOffsets(t *testing.T) {
	for _, file := range scriptFiles(t) {
		for line := range strings.Lines(code(t, file)) {
			for _, found := range offset.FindAllString(line, -1) {
				// The bound is a position that was found in the text, and not part of the layout.
				if !regexp.MustCompile(`^sub\(\w+, 1, (from\)|find\()`).MatchString(found) {
					t.Errorf("%s: %s", file, found)
				}
			}
		}
	}
}

func TestTheLoaderPutsTheLayoutInThePlaceOfItsNames(t *testing.T) {
	files := fstest.MapFS{
		"layout.lua": {Data: []byte("--= FORMAT  '%d'\n--: INNER a2 b3 c\n--: PAIR y1 z1\n--: OUTER x4 pair inner\n")},
		"piece.lua":  {Data: []byte("-- a comment\nsub(v, INNER_B)\n")},
		"main.lua": {Data: []byte("f(FORMAT, INNER_A, INNER_C)\n\n  --@ piece.lua\n" +
			"g(OUTER_X, OUTER_PAIR, OUTER_PAIR_Z, OUTER_INNER, OUTER_INNER_B, OUTER_INNER_C, INNER_B_ON, OUTER_WIDTH, INNER_WIDTH, MY_FORMAT, FORMATS)")},
	}
	const want = "f('%d', 1, 2, 6)\nsub(v, 3, 5)\ng(1, 4, 5, 6, 6, 6, 7, 9, 11, 12, 3, 11, 5, MY_FORMAT, FORMATS)"
	if got := LoadFrom(files, "main").Text; got != want {
		t.Errorf("loaded\n%s\nand not\n%s", got, want)
	}
	if got := LoadFrom(files, "main", "piece").Text; strings.Contains(got, "sub(") {
		t.Errorf("without the piece:\n%s", got)
	}
}
