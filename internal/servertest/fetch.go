package servertest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

const (
	mirror   = "http://deb.debian.org/debian"
	security = "http://deb.debian.org/debian-security"

	unfinished = ".fetch-" // the beginning of the folders that fetches work in
)

var fetching sync.Mutex

// Fetch is how the server of that name is started, as the first arguments of a command, and which version it is. One that
// is not in the cache is fetched there from Debian, with the libraries that it needs, by an apt whose sources, lists and
// packages are its own: nothing of the machine changes, and root is not needed. The error says what is lacking.
func Fetch(name string) (program []string, version string, err error) {
	k, floats, err := find(name)
	if err != nil {
		return nil, "", err
	}
	cache, err := Cache()
	if err != nil {
		return nil, "", err
	}
	dir := k.in(cache)
	program, err = k.program(dir)
	if err != nil {
		if program, err = k.fetch(cache); err != nil {
			return nil, "", fmt.Errorf("servertest: %s cannot be fetched into %s: %w", k.Name, dir, err)
		}
	}
	if version, err = says(program); err != nil {
		return nil, "", fmt.Errorf("servertest: %s in %s cannot be started: %w", k.Name, dir, err)
	}
	if !floats && !strings.HasPrefix(version+".", k.version()+".") {
		return nil, "", fmt.Errorf("servertest: what Debian's %s has is %s %s, not %s: correct AllKnown in internal/servertest/named.go",
			k.suite(), k.product(), version, k.Name)
	}
	return program, version, nil
}

func (k Known) suite() string { return k.suites[len(k.suites)-1] }

// fetch brings a server into the cache.
func (k Known) fetch(cache string) ([]string, error) {
	for _, tool := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%w; it comes from Debian's packages, which needs Debian or Ubuntu", err)
		}
	}
	keys, err := keyring()
	if err != nil {
		return nil, err
	}
	// One at a time, in this process and in others.
	fetching.Lock()
	defer fetching.Unlock()
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(cache, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := lockFile(lock); err != nil {
		return nil, err
	}
	dir := k.in(cache)
	if program, err := k.program(dir); err == nil {
		return program, nil
	}
	left, err := filepath.Glob(filepath.Join(cache, unfinished+"*"))
	if err != nil {
		return nil, err
	}
	for _, work := range left { // of processes that were killed: who holds the lock is alone
		if err := os.RemoveAll(work); err != nil {
			return nil, err
		}
	}
	work, err := os.MkdirTemp(cache, unfinished)
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(work) }()
	packages, err := k.download(work, keys)
	if err != nil {
		return nil, err
	}
	root, keep := filepath.Join(work, "root"), filepath.Join(work, "keep")
	for _, pkg := range packages {
		if said, err := exec.Command("dpkg-deb", "-x", pkg, root).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", filepath.Base(pkg), err, said)
		}
	}
	if err := k.gather(root, keep); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.Rename(keep, dir); err != nil {
		return nil, err
	}
	return k.program(dir)
}

// download has apt fetch the package, and all that it depends on, as for a machine that has nothing.
func (k Known) download(work, keys string) (packages []string, err error) {
	var sources strings.Builder
	for _, suite := range k.suites {
		fmt.Fprintf(&sources, "deb [signed-by=%s] %s %s main\n", keys, mirror, suite)
		switch suite {
		case "bullseye", "bookworm", "trixie":
			fmt.Fprintf(&sources, "deb [signed-by=%s] %s %s-security main\n", keys, security, suite)
		}
	}
	state, archives := filepath.Join(work, "state"), filepath.Join(work, "cache", "archives")
	for _, dir := range []string{filepath.Join(state, "lists", "partial"), filepath.Join(archives, "partial")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	list, status := filepath.Join(work, "sources.list"), filepath.Join(work, "status")
	if err := errors.Join(os.WriteFile(list, []byte(sources.String()), 0o644), os.WriteFile(status, nil, 0o644)); err != nil {
		return nil, err
	}
	apt := func(args ...string) error {
		for _, option := range []string{
			"Dir::State=" + state, "Dir::State::status=" + status, "Dir::Cache=" + filepath.Join(work, "cache"),
			"Dir::Etc::SourceList=" + list, "Dir::Etc::SourceParts=/dev/null",
			"Dir::Etc::Preferences=/dev/null", "Dir::Etc::PreferencesParts=/dev/null",
			"APT::Architecture=" + architecture(), "APT::Architectures=" + architecture(),
			"APT::Sandbox::User=root", // who may read the folder; nobody else is asked for
			"Acquire::Languages=none", "Acquire::Retries=2",
			// The lists of suites that move are good for a week, those of a mirror that has stopped for longer: their signature
			// is what counts.
			"Acquire::Check-Valid-Until=false",
		} {
			args = append(args, "-o", option)
		}
		cmd := exec.Command("apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w: %s", args[0], err, complaints(said))
		}
		return nil
	}
	// Without Error-Mode a mirror that is not reached is a warning.
	if err := apt("update", "-q", "-o", "APT::Update::Error-Mode=any"); err != nil {
		return nil, err
	}
	if err := apt("install", "-q", "-y", "--download-only", "--no-install-recommends", "-t", k.suite(), k.pkg); err != nil {
		return nil, err
	}
	return filepath.Glob(filepath.Join(archives, "*.deb"))
}

// complaints are the lines of apt that say what is wrong.
func complaints(said []byte) string {
	var lines []string
	for line := range bytes.Lines(said) {
		if bytes.HasPrefix(line, []byte("E: ")) || bytes.HasPrefix(line, []byte("W: ")) {
			lines = append(lines, string(bytes.TrimSpace(line)))
		}
	}
	return strings.Join(lines, "; ")
}

// architecture is Debian's name of this one.
func architecture() string {
	switch runtime.GOARCH {
	case "386":
		return "i386"
	case "arm":
		return "armhf"
	case "ppc64le":
		return "ppc64el"
	}
	return runtime.GOARCH
}

// gather copies the program, its loader and the libraries that it is linked to out of what was unpacked. The program has the
// name by which it is to be called: one file is server and checker, by that.
func (k Known) gather(root, keep string) error {
	if err := os.MkdirAll(keep, 0o755); err != nil {
		return err
	}
	var loader string
	dirs := map[string]bool{}
	if err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := filepath.Base(path)
		if strings.HasPrefix(name, "ld-linux") && loader == "" {
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() { // some are links to where it is on a whole machine
				loader = path
			}
		}
		if strings.Contains(name, ".so") {
			dirs[filepath.Dir(path)] = true
		}
		return nil
	}); err != nil {
		return err
	}
	if loader == "" {
		return errors.New("the packages have no ld-linux")
	}
	var path []string
	for dir := range dirs {
		path = append(path, dir)
	}
	binary := filepath.Join(root, "usr", "bin", k.product()+"-check-rdb")
	out, err := exec.Command(loader, "--library-path", strings.Join(path, ":"), "--list", binary).CombinedOutput()
	if err != nil {
		return fmt.Errorf("what %s is linked to: %w: %s", filepath.Base(binary), err, out)
	}
	files := map[string]string{filepath.Base(loader): loader, k.product() + "-server": binary}
	for line := range strings.Lines(string(out)) {
		// libssl.so.3 => /…/usr/lib/x86_64-linux-gnu/libssl.so.3 (0x…)
		name, at, found := strings.Cut(strings.TrimSpace(line), " => ")
		at, _, _ = strings.Cut(at, " (")
		if found && strings.HasPrefix(at, root) && !strings.HasPrefix(filepath.Base(name), "ld-linux") {
			files[name] = at
		}
	}
	for name, from := range files {
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(keep, name), content, 0o755); err != nil {
			return err
		}
	}
	return nil
}
