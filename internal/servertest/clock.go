package servertest

import (
	_ "embed"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

//go:embed shim/clock.c
var clockSource []byte

// Clocked is a Server whose clock tests set.
type Clocked struct {
	*Server

	file *os.File
}

// StartWithClock is [Start] for a server with a clock that [Clocked.SetClock] sets. It works on Linux, by a library that
// is compiled here and loaded in front of the C library.
func StartWithClock(t testing.TB, args ...string) *Clocked {
	t.Helper()
	env, file := shim(t)
	c := &Clocked{file: file, Server: &Server{t: t, args: plain(t, args), env: env}}
	c.SetClock(0)
	c.start()
	return c
}

// SetClock makes the server's clock this much ahead of the machine's, or behind it if negative, at once. The first is 0.
// How long things take is measured by another clock, which stays as it is. It survives a restart. Links to replicas and
// idle clients whose timeouts are by this clock end by a step that is longer.
func (c *Clocked) SetClock(ahead time.Duration) {
	c.t.Helper()
	if _, err := c.file.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(ahead)), 0); err != nil {
		c.t.Fatalf("servertest: clock: %v", err)
	}
}

// shim compiles the library. A process with this environment has the clock that the file shifts.
func shim(t testing.TB) (env []string, file *os.File) {
	t.Helper()
	outside(t)
	cc, err := compiler()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	source, library, clock := filepath.Join(dir, "clock.c"), filepath.Join(dir, "clock.so"), filepath.Join(dir, "clock")
	if err := os.WriteFile(source, clockSource, 0o600); err != nil {
		t.Fatalf("servertest: clock: %v", err)
	}
	build := exec.Command(cc, "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("servertest: clock: %v: %s", err, said)
	}
	if file, err = os.OpenFile(clock, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		t.Fatalf("servertest: clock: %v", err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return []string{"LD_PRELOAD=" + library, "SERVERTEST_CLOCK=" + clock}, file
}
