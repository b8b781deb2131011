package redislock_test

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

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

// Each adapter says how it is had.
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
