package redislocktest_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"example.com/redislock/redislocktest"
)

// another is a test inside of a test. It may fail.
type another struct {
	testing.TB
	cleanups []func()
	failures []string
}

func (a *another) Cleanup(f func()) { a.cleanups = append(a.cleanups, f) }

func (a *another) Errorf(format string, args ...any) {
	a.failures = append(a.failures, fmt.Sprintf(format, args...))
}

func TestALockThatIsNotReleasedIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &another{TB: t}
		server := redislocktest.New(a)
		if _, err := server.Client.Acquire(t.Context(), "forgotten"); err != nil {
			t.Fatal(err)
		}
		for i := range a.cleanups {
			a.cleanups[len(a.cleanups)-1-i]()
		}
		if len(a.failures) != 1 || !strings.Contains(a.failures[0], `not released: "forgotten" held since 2000-01-01T00:00:00`) {
			t.Errorf("the test failed with %q", a.failures)
		}
	})
}
