package servertest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// installed looks for something that tests need, and installs the Debian packages that bring it where it is missing and
// the test may: a test that is skipped proves nothing. It looks once.
func installed(pkg string, look func() (string, error)) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		path, err := look()
		if err == nil {
			return path, nil
		}
		if _, none := exec.LookPath("apt-get"); none != nil || os.Geteuid() != 0 {
			return "", howTo(pkg, err)
		}
		// Other test binaries may be about to do the same.
		lock, err := os.OpenFile(filepath.Join(os.TempDir(), "servertest-install.lock"), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return "", howTo(pkg, err)
		}
		defer lock.Close()
		if err := lockFile(lock); err != nil {
			return "", howTo(pkg, err)
		}
		if path, err := look(); err == nil {
			return path, nil
		}
		install := append([]string{"install", "-y", "--no-install-recommends"}, strings.Fields(pkg)...)
		for _, args := range [][]string{{"update"}, install} {
			cmd := exec.Command("apt-get", args...)
			cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
			if said, err := cmd.CombinedOutput(); err != nil {
				return "", howTo(pkg, fmt.Errorf("%w: %s", err, said))
			}
		}
		if path, err = look(); err != nil {
			return "", howTo(pkg, err)
		}
		return path, nil
	})
}

func howTo(pkg string, err error) error {
	return fmt.Errorf("servertest: %w: apt-get update && apt-get install -y --no-install-recommends %s", err, pkg)
}

// outside is called before a test starts a process. With -short it ends the test, as all that need more than their own
// process are left out then (`make quick`).
func outside(t testing.TB) {
	t.Helper()
	if testing.Testing() && testing.Short() {
		t.Skip("it needs another process")
	}
}

// naming is called before a test has a server of a certain name. Where none is fetched, it ends the test: that is asked for
// ([Off]).
func naming(t testing.TB) {
	t.Helper()
	outside(t)
	if testing.Testing() && os.Getenv(CacheVariable) == Off {
		t.Skip(CacheVariable + "=" + Off + ", and it names a server")
	}
}

// server is how the server that a test wants is started, as the first arguments of a command, or the end of the test.
func server(t testing.TB) []string {
	t.Helper()
	outside(t)
	if name := nameOf(t); name != machines {
		program, _, err := Fetch(name)
		if err != nil {
			t.Fatal(err)
		}
		return program
	}
	path, err := redisServer()
	if err != nil {
		t.Fatal(err)
	}
	return []string{path}
}

var redisServer = installed("redis-server", func() (string, error) { return exec.LookPath("redis-server") })

// keyring has the keys of Debian's archive. apt takes no list and no package that they do not vouch for.
var keyring = installed("debian-archive-keyring", func() (string, error) {
	const path = "/usr/share/keyrings/debian-archive-keyring.gpg"
	_, err := os.Stat(path)
	return path, err
})

// compiler is a C compiler.
var compiler = installed("gcc libc6-dev", func() (string, error) { return exec.LookPath("gcc") })

// postgresBin is the directory of PostgreSQL's programs. Debian does not put them on the PATH.
var postgresBin = installed("postgresql", func() (string, error) {
	var dirs []string
	if path, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	versions, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	for _, dir := range append(dirs, versions...) {
		_, initdb := exec.LookPath(filepath.Join(dir, "initdb"))
		_, postgres := exec.LookPath(filepath.Join(dir, "postgres"))
		if initdb == nil && postgres == nil {
			return dir, nil
		}
	}
	return "", errors.New("neither the PATH nor /usr/lib/postgresql has initdb and postgres")
})

var mariadbd = installed("mariadb-server-core", func() (string, error) {
	path, err := exec.LookPath("mariadbd")
	if err != nil { // Debian keeps it from ordinary users' PATH
		return exec.LookPath("/usr/sbin/mariadbd")
	}
	return path, nil
})
