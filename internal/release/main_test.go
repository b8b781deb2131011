package main

import (
	"archive/zip"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const version = "v0.2.0"

// clone makes a repository with the files of this work tree, changes included, in one commit.
func clone(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		to := filepath.Join(dir, strings.TrimPrefix(path, "../.."))
		switch {
		case err != nil:
			return err
		case d.Name() == ".git" || d.Name() == ".cache": // a work tree has a file of that name
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case d.IsDir():
			return os.MkdirAll(to, 0o700)
		case !d.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, text, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-q"}, {"config", "user.name", "release"}, {"config", "user.email", "release@example.com"}, {"add", "-A"}, {"commit", "-q", "-m", "all"}} {
		if _, err := run(dir, "git", args...); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A release can be fetched: each module from a proxy, as a user does it, and the command line by go install.
func TestEachModuleOfAReleaseCanBeFetchedAndTheCommandInstalled(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles the command line once more")
	}
	t.Setenv("GOWORK", "off")
	dir := clone(t)
	if err := release(dir, version, time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	changelog, err := os.ReadFile(filepath.Join(dir, "CHANGELOG.md"))
	if err != nil || !strings.Contains(string(changelog), "## [Unreleased]\n\n## 0.2.0 - 2027-01-02\n") {
		t.Errorf("the changelog has no date: %v", err)
	}
	modules, err := modulesOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	root := ""
	proxy := t.TempDir()
	tags, err := run(dir, "git", "tag")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range modules {
		if m.dir == "" {
			root = m.path
		}
		if !m.published() {
			continue
		}
		if tag := path.Join(m.dir, version); !strings.Contains("\n"+tags, "\n"+tag+"\n") {
			t.Errorf("there is no tag %s", tag)
		}
		publish(t, proxy, dir, m)
	}
	cache, err := run(".", "go", "env", "GOMODCACHE")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOPROXY", "file://"+proxy+",file://"+filepath.Join(strings.TrimSpace(cache), "cache", "download")+",https://proxy.golang.org")
	t.Setenv("GOMODCACHE", t.TempDir())
	t.Setenv("GOSUMDB", "off")
	t.Setenv("GOFLAGS", "-mod=mod -trimpath -modcacherw")
	bin := t.TempDir()
	t.Setenv("GOBIN", bin)
	for _, m := range modules {
		if !m.published() || strings.HasPrefix(m.dir, "cmd/") {
			continue
		}
		user := t.TempDir()
		if err := os.WriteFile(filepath.Join(user, "go.mod"), []byte("module example.org/user\n\ngo 1.26.0\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := run(user, "go", "get", m.path+"@"+version); err != nil {
			t.Error(err)
			continue
		}
		if said, err := run(user, "go", "list", "-f", "{{.Module.Version}}", m.path); err != nil || strings.TrimSpace(said) != version {
			t.Errorf("%s has %q, %v", m.path, said, err)
		}
	}
	if _, err := run(t.TempDir(), "go", "install", root+"/cmd/redislock@"+version); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(filepath.Join(bin, "redislock"), "version").CombinedOutput(); err != nil || !strings.Contains(string(said), version) {
		t.Errorf("the installed command says %s (%v)", said, err)
	}
}

func TestWhatCannotBeReleasedIsRefused(t *testing.T) {
	dir := clone(t)
	for _, bad := range []string{"", "0.2.0", "v2", "latest"} {
		if err := release(dir, bad, time.Now()); err == nil || !strings.Contains(err.Error(), "no version") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := release(dir, version, time.Now()); err == nil || !strings.Contains(err.Error(), "has changes") {
		t.Errorf("a clone with changes: %v", err)
	}
}

// publish puts a module into a file proxy, in the layout of the module proxy protocol.
func publish(t *testing.T, proxy, dir string, m module) {
	t.Helper()
	at := filepath.Join(proxy, filepath.FromSlash(m.path), "@v")
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(m.dir), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mod), "replace") || strings.Contains(string(mod), "v0.0.0\n") {
		t.Errorf("%s is not fit to be published:\n%s", m.path, mod)
	}
	for name, text := range map[string]string{"list": version + "\n", version + ".info": `{"Version":"` + version + `","Time":"2027-01-02T03:04:05Z"}`, version + ".mod": string(mod)} {
		if err := os.WriteFile(filepath.Join(at, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := os.Create(filepath.Join(at, version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	z := zip.NewWriter(out)
	files, err := run(filepath.Join(dir, filepath.FromSlash(m.dir)), "git", "ls-files", "-z")
	if err != nil {
		t.Fatal(err)
	}
	var apart []string // folders with modules of their own
	all := strings.Split(strings.TrimSuffix(files, "\x00"), "\x00")
	for _, file := range all {
		if path.Base(file) == "go.mod" && file != "go.mod" {
			apart = append(apart, path.Dir(file)+"/")
		}
	}
next:
	for _, file := range all {
		for _, a := range apart {
			if strings.HasPrefix(file, a) {
				continue next
			}
		}
		text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(m.dir), file))
		if err != nil {
			t.Fatal(err)
		}
		w, err := z.Create(m.path + "@" + version + "/" + file)
		if err == nil {
			_, err = w.Write(text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
}
