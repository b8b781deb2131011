package redislock_test

import (
	"context"
	"go/ast"
	"go/doc"
	"go/parser"
	gotoken "go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// A newcomer copies README's program: it is short, it compiles, and it prints what README says.
func TestTheProgramOfReadmePrintsWhatReadmeSays(t *testing.T) {
	if testing.Short() {
		t.Skip("it is compiled and linked")
	}
	readme := pageText(t, "README.md")
	blocks := goBlocks(readme)
	if len(blocks) == 0 || !strings.HasPrefix(blocks[0], "package main\n") {
		t.Fatal("README's first Go is no program")
	}
	if lines := len(strings.FieldsFunc(blocks[0], func(r rune) bool { return r == '\n' })); lines > 25 {
		t.Errorf("README's program has %d lines with something on them, more than 25", lines)
	}
	_, said, _ := strings.Cut(readme, "It prints:\n\n```text\n")
	said, _, found := strings.Cut(said, "```")
	if !found {
		t.Fatal("README does not say what its program prints")
	}
	server, err := miniredis.Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	const local = `"localhost:6379"`
	if strings.Count(blocks[0], local) != 1 {
		t.Fatalf("README's program does not use %s", local)
	}
	dir := t.TempDir()
	file, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	if err := os.WriteFile(file, []byte(strings.Replace(blocks[0], local, `"`+server.Addr()+`"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", program, file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, program).CombinedOutput(); err != nil || string(out) != said {
		t.Errorf("README's program printed\n%s(%v), and README says\n%s", out, err, said)
	}
}

// README must be short enough to be read at once. Longer texts belong to docs/.
func TestReadmeHasLessThan250Lines(t *testing.T) {
	if lines := strings.Count(pageText(t, "README.md"), "\n"); lines >= 250 {
		t.Errorf("README has %d lines: move what is not for a newcomer to docs/, and link to it", lines)
	}
}

// Each link of a page to another page, and to a heading, leads somewhere.
func TestLinksOfPagesLeadSomewhere(t *testing.T) {
	links := 0
	for page, text := range pages(t) {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(withoutCode(text), -1) {
			target := m[1]
			if regexp.MustCompile(`^[a-z]+:`).MatchString(target) {
				continue
			}
			links++
			file, anchor, _ := strings.Cut(target, "#")
			if file == "" {
				file = page
			} else {
				file = path.Join(path.Dir(page), file)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s, which is not there", page, target)
				continue
			}
			if anchor != "" && strings.HasSuffix(file, ".md") && !slices.Contains(anchors(pageText(t, file)), anchor) {
				t.Errorf("%s links to %s, and no heading of %s is that", page, target, file)
			}
		}
	}
	if links < 100 {
		t.Errorf("only %d links were found", links)
	}
}

// The package comment has the six calls to start with, as README does, and each exported name in one of its groups.
func TestThePackageCommentHasEveryExportedName(t *testing.T) {
	files := []*ast.File{}
	fset := gotoken.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	p, err := doc.NewFromFiles(fset, files, "example.com/redislock")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(p.Doc, "# Start with these six\n")
	six, rest, _ := strings.Cut(rest, "# All names, in groups\n")
	groups, _, found := strings.Cut(rest, "\n# ")
	if !found {
		t.Fatal("doc.go has no groups of names")
	}
	for _, name := range []string{"New", "Client.Do", "Client.Acquire", "Lock.With", "Lock.Fence", "Client.Close"} {
		if !strings.Contains(six, "["+name+"]") {
			t.Errorf("%s is not among the six to start with", name)
		}
	}
	exported := map[string]bool{}
	values := func(all []*doc.Value) {
		for _, v := range all {
			for _, name := range v.Names {
				exported[name] = ast.IsExported(name)
			}
		}
	}
	values(p.Consts)
	values(p.Vars)
	for _, f := range p.Funcs {
		exported[f.Name] = true
	}
	for _, typ := range p.Types { // the constants of a type are found at the type, and methods but those of Client too
		exported[typ.Name] = true
		for _, f := range typ.Funcs {
			exported[f.Name] = true
		}
		values(typ.Vars)
		if typ.Name == "Client" {
			for _, m := range typ.Methods {
				exported["Client."+m.Name] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(exported)) {
		if exported[name] && !strings.Contains(groups, "["+name+"]") {
			t.Errorf("%s is in no group: add [%s] to the fitting line of doc.go, under \"All names, in groups\"", name, name)
		}
	}
}

// pages are the texts of all pages for people, by their paths.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != ".", d.IsDir() && d.Name() == "testdata":
			return filepath.SkipDir
		case strings.HasSuffix(path, ".md"):
			all[filepath.ToSlash(path)] = pageText(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func pageText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// goBlocks are the blocks of Go in a page.
func goBlocks(text string) []string {
	var blocks []string
	for _, m := range regexp.MustCompile("(?ms)^```go\n(.*?)^```").FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// withoutCode is a page without its blocks and words of code.
func withoutCode(text string) string {
	text = regexp.MustCompile("(?ms)^```.*?^```").ReplaceAllString(text, "")
	return regexp.MustCompile("`[^`\n]*`").ReplaceAllString(text, "x")
}

// anchors are what links to the headings of a page end with, as GitHub makes them.
func anchors(text string) []string {
	var all []string
	text = regexp.MustCompile("(?ms)^```.*?^```").ReplaceAllString(text, "")
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		heading := regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`).ReplaceAllString(m[1], "$1")
		heading = regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(strings.ToLower(heading), "")
		all = append(all, strings.ReplaceAll(heading, " ", "-"))
	}
	return all
}

// Go in a page for people can be copied: each block parses, and the page says what it imports, in a block of its own or in a program.
func TestGoInPagesParsesAndThePageSaysWhatItImports(t *testing.T) {
	known := importedNames(t)
	delete(known, "lock") // packages somewhere, and variables everywhere
	delete(known, "db")
	blocks := 0
	for page, text := range pages(t) {
		if page == "CHANGELOG.md" || strings.HasPrefix(page, "bench/") {
			continue
		}
		imported, used := map[string]bool{}, map[string]bool{}
		for _, block := range goBlocks(text) {
			blocks++
			file := parseFragment(block)
			if file == nil {
				t.Errorf("%s: this is no Go:\n%s", page, block)
				continue
			}
			for _, i := range file.Imports {
				imported[importName(i)] = true
			}
			for _, x := range file.Unresolved { // not declared in the block
				if known[x.Name] && usesPackage(file, x) {
					used[x.Name] = true
				}
			}
		}
		for name := range used {
			if !imported[name] {
				t.Errorf("%s uses %s, and no block of it imports that", page, name)
			}
		}
	}
	if blocks < 80 {
		t.Errorf("only %d blocks of Go were found", blocks)
	}
}

// parseFragment parses a program, declarations, statements, or arguments of a call.
func parseFragment(text string) *ast.File {
	for _, around := range [][2]string{{"", ""}, {"package p\n", ""}, {"package p\nfunc _() {\n", "\n}"}, {"package p\nfunc _() {\nf(\n", "\n)}"}} {
		if file, err := parser.ParseFile(gotoken.NewFileSet(), "", around[0]+text+around[1], 0); err == nil {
			return file
		}
	}
	return nil
}

// usesPackage reports whether a name is followed by an exported one, as that of a package is.
func usesPackage(file *ast.File, x *ast.Ident) (uses bool) {
	ast.Inspect(file, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		uses = uses || ok && s.X == x && s.Sel.IsExported()
		return !uses
	})
	return uses
}

// importedNames are the names of all packages that any file of the repository imports.
func importedNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "." {
			return err
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		if file, err := parser.ParseFile(gotoken.NewFileSet(), path, nil, parser.ImportsOnly); err == nil {
			for _, i := range file.Imports {
				names[importName(i)] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// importName is the name by which an import is used.
func importName(i *ast.ImportSpec) string {
	if i.Name != nil {
		return i.Name.Name
	}
	text, err := strconv.Unquote(i.Path.Value)
	if err != nil {
		return ""
	}
	name := path.Base(text)
	if len(name) > 1 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "" { // a major version
		name = path.Base(path.Dir(text))
	}
	return strings.TrimPrefix(name, "go-")
}

// Each adapter's README has its go get.
func TestEachModuleSaysHowItIsHad(t *testing.T) {
	for page, text := range pages(t) {
		dir := path.Dir(page)
		if path.Base(page) != "README.md" || !strings.HasPrefix(dir, "adapters/") && dir != "fence/sqlfence" && dir != "." {
			continue
		}
		want := "go get " + path.Join("example.com/redislock", dir)
		if !slices.Contains(strings.Split(text, "\n"), want) {
			t.Errorf("%s does not say %q", page, want)
		}
	}
}
