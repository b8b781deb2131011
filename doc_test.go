package redislock_test

import (
	"go/parser"
	gotoken "go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// No package under internal/ imports the root. The compiler refuses circles of imports; this test refuses imports
// that go up.
func TestNoPackageBelowImportsTheRoot(t *testing.T) {
	files := 0
	for _, below := range []string{"internal", "lua"} {
		err := filepath.WalkDir(below, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(gotoken.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			files++
			for _, i := range file.Imports {
				if i.Path.Value == `"example.com/redislock"` {
					t.Errorf("%s imports the root", path)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 50 {
		t.Errorf("only %d files were looked at", files)
	}
}

// The files that the package comment names exist, and have the functions that it names.
func TestThePackageCommentNamesFilesThatAreThere(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, inside, found := strings.Cut(string(text), "# The life of an acquire")
	if !found {
		t.Fatal("doc.go says nothing of the life of an acquire")
	}
	in := map[string]string{} // the text of each file, by its name with and without a folder
	for _, path := range regexp.MustCompile(`[a-z_/]+\.(go|lua)\b`).FindAllString(inside, -1) {
		for _, folder := range []string{"", "internal/transport/", "internal/wakeup/"} { // the second of two in one folder
			if source, err := os.ReadFile(folder + path); err == nil {
				in[path] = string(source)
			}
		}
		if in[path] == "" {
			t.Errorf("doc.go names %s, which is not there", path)
		}
	}
	for path, name := range map[string]string{
		"acquire.go": "accept", "hold.go": "nest", "internal/wakeup/wakeup.go": "Await", "lua/rules.lua": "hand_over",
		"internal/protocol/wait.go": "Claim", "lua/layout.lua": "CLAIM", "internal/wakeup/subscription.go": "run",
		"sharded.go": "lost", "internal/lease/keeper.go": "Run", "release.go": "giveUp", "acquisition.go": "take",
	} {
		if !strings.Contains(inside, name) || !strings.Contains(inside, path) {
			t.Errorf("doc.go does not say that %s is in %s", name, path)
		}
		if !regexp.MustCompile(`(\b(func|function|const|local)\b.*|--= )\b` + name + `\b`).MatchString(in[path]) {
			t.Errorf("%s is not in %s", name, path)
		}
	}
}
