package servertest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

const howTo = "servertest: redis-server is not on the PATH: apt-get update && apt-get install -y redis-server"

// find is where redis-server is. It is installed where it is missing and the test may: a test that is skipped proves
// nothing.
func find(t testing.TB) string {
	t.Helper()
	path, err := located()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var located = sync.OnceValues(func() (string, error) {
	const name = "redis-server"
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return "", errors.New(howTo)
	}
	// Other test binaries may be about to do the same.
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "servertest-install.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", fmt.Errorf("%s (%w)", howTo, err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("%s (%w)", howTo, err)
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, args := range [][]string{{"update"}, {"install", "-y", name}} {
		cmd := exec.Command("apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if said, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s (%w: %s)", howTo, err, said)
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", errors.New(howTo)
	}
	return path, nil
})
