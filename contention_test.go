package redislock

import (
	"fmt"
	"testing"
)

func TestANameIsQuietAgainAfterSomeReleasesThatFoundNobody(t *testing.T) {
	t.Parallel()
	c := newContention()
	c.met("a", false)
	if c.has("a") {
		t.Fatal("nobody was met")
	}
	c.met("a", true)
	for range calm - 1 {
		c.met("a", false)
		c.met("b", false)
	}
	if !c.has("a") || c.has("b") {
		t.Errorf("a has a crowd: %v, b: %v", c.has("a"), c.has("b"))
	}
	c.met("a", false)
	if c.has("a") || c.some.Load() || len(c.names) > 0 {
		t.Errorf("%d names are remembered", len(c.names))
	}
}

func TestCrowdsAreBounded(t *testing.T) {
	t.Parallel()
	c := newContention()
	for i := range 3 * maxContended {
		c.met(fmt.Sprint(i), true)
		if len(c.names) > maxContended {
			t.Fatalf("%d names are remembered", len(c.names))
		}
	}
	if !c.has(fmt.Sprint(3*maxContended - 1)) {
		t.Error("the last one is forgotten")
	}
}
