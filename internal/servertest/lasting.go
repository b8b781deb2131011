package servertest

import (
	"os"
	"slices"
	"sync"
	"testing"
)

// lasting is a test whose cleanup comes at the end of the binary.
type lasting struct {
	testing.TB

	mu       sync.Mutex
	cleanups []func()
}

// Lasting stands for a test when servers are started that are to outlive it, for other tests to use: they end with
// [Main], without which it fails. Who shares them sees to it that tests do not meet in them. Once the test is over a
// failure of one of their methods is a panic.
func Lasting(t testing.TB) testing.TB {
	t.Helper()
	l := &lasting{TB: t}
	ending.mu.Lock()
	defer ending.mu.Unlock()
	if !ending.main {
		t.Fatal("servertest: a shared server needs func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }")
	}
	ending.stops = append(ending.stops, l.stop)
	return l
}

func (l *lasting) Cleanup(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cleanups = append(l.cleanups, f)
}

func (l *lasting) TempDir() string {
	l.Helper()
	dir, err := os.MkdirTemp("", "servertest-")
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = os.RemoveAll(dir) }) // in the system's temporary directory
	return dir
}

func (l *lasting) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range slices.Backward(l.cleanups) {
		f()
	}
}
