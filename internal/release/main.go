// Command release makes the commit and the tags of a release, in a clone made for it:
//
//	git clone . /tmp/release && cd /tmp/release && make release VERSION=v0.2.0
//	git push origin --tags
//
// In the repository the modules find each other by replace directives, which a published module must not have. So the release is a
// commit beside the main line: each module requires the others by the version, the replace directives are gone, and the changelog has the
// date. Each module that is published has its tag on that commit. Nothing is pushed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	version := flag.String("version", "", "such as v0.2.0")
	dir := flag.String("dir", ".", "the clone")
	flag.Parse()
	if err := release(*dir, *version, time.Now()); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release does all of it. It refuses a clone with changes, and a version that has a tag already.
func release(dir, version string, now time.Time) error {
	if !regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?$`).MatchString(version) {
		return fmt.Errorf("%q is no version: say for example VERSION=v0.2.0", version)
	}
	if changes, err := run(dir, "git", "status", "--porcelain"); err != nil || changes != "" {
		return errors.Join(err, fmt.Errorf("the clone has changes:\n%s", changes))
	}
	modules, err := modulesOf(dir)
	if err != nil {
		return err
	}
	if err := setVersion(dir, modules, version); err != nil {
		return err
	}
	if err := dateChangelog(filepath.Join(dir, "CHANGELOG.md"), version, now); err != nil {
		return err
	}
	if _, err := run(dir, "git", "commit", "-q", "-a", "-m", "Release "+version); err != nil {
		return err
	}
	for _, m := range modules {
		if !m.published() {
			continue
		}
		tag := path.Join(m.dir, version)
		if _, err := run(dir, "git", "tag", tag); err != nil {
			return err
		}
		fmt.Println(tag)
	}
	return nil
}

// module is one of the repository.
type module struct {
	path string
	dir  string // below the root, with slashes; "" for the root
}

// published reports whether others can use the module. The rest are programs of this repository.
func (m module) published() bool {
	return !slices.Contains([]string{"bench", "torture"}, m.dir) && !strings.HasPrefix(m.dir, "docs/") && !strings.HasPrefix(m.dir, "examples/")
}

// modulesOf are the modules of a repository.
func modulesOf(dir string) (all []module, err error) {
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && p != dir, d.IsDir() && d.Name() == "testdata":
			return filepath.SkipDir
		case d.Name() != "go.mod":
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		m := regexp.MustCompile(`(?m)^module (\S+)$`).FindSubmatch(text)
		if m == nil {
			return fmt.Errorf("%s names no module", p)
		}
		below, err := filepath.Rel(dir, filepath.Dir(p))
		if err != nil {
			return err
		}
		if below = filepath.ToSlash(below); below == "." {
			below = ""
		}
		all = append(all, module{string(m[1]), below})
		return nil
	})
	return all, err
}

// setVersion makes each module require the others by that version, and takes out the replace directives.
func setVersion(dir string, modules []module, version string) error {
	for _, m := range modules {
		file := filepath.Join(dir, filepath.FromSlash(m.dir), "go.mod")
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		args := []string{"mod", "edit"}
		for _, other := range modules {
			if regexp.MustCompile(`(?m)^\s*(require\s+)?` + regexp.QuoteMeta(other.path) + ` v`).Match(text) {
				args = append(args, "-require="+other.path+"@"+version)
			}
			args = append(args, "-dropreplace="+other.path)
		}
		if _, err := run(filepath.Dir(file), "go", args...); err != nil {
			return err
		}
	}
	return nil
}

// dateChangelog gives what is unreleased its version and date.
func dateChangelog(file, version string, now time.Time) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	const unreleased = "## [Unreleased]\n"
	if strings.Count(string(text), unreleased) != 1 {
		return fmt.Errorf("%s has no part that is unreleased", file)
	}
	heading := fmt.Sprintf("%s\n## %s - %s\n", unreleased, strings.TrimPrefix(version, "v"), now.UTC().Format(time.DateOnly))
	return os.WriteFile(file, []byte(strings.Replace(string(text), unreleased, heading, 1)), 0o644)
}

// run runs a program and returns what it printed.
func run(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}
