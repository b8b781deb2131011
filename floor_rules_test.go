package redislock

import (
	"fmt"
	"testing"
)

func TestFloorsAreBoundedAndKeepTheLastNames(t *testing.T) {
	f := newFloors()
	const names = 3 * maxFloors
	for i := range int64(names) {
		f.note(fmt.Sprint(i), 1000+i)
		f.note("busy", i+1)
		f.note("busy", 1) // an older one changes nothing
	}
	if n := len(f.young) + len(f.old); n > 2*maxFloors {
		t.Errorf("%d names are kept, want at most %d", n, 2*maxFloors)
	}
	if got := f.of("busy"); got != names {
		t.Errorf("of a name in use %d is remembered, want %d", got, names)
	}
	for i := int64(names - maxFloors + 2); i < names; i++ {
		if got := f.of(fmt.Sprint(i)); got != 1000+i {
			t.Fatalf("of name %d of %d: %d, want %d", i, names, got, 1000+i)
		}
	}
	if got := f.of("0"); got != 0 {
		t.Errorf("of the first name %d is remembered", got)
	}
	f.note("kept", 5000)
	for i := range maxFloors {
		f.note(fmt.Sprint("other ", i), 1)
	}
	f.note("kept", 1) // it is of the young generation now
	if got := f.of("kept"); got != 5000 {
		t.Errorf("of a name that is used again %d is remembered, want 5000", got)
	}
	f.forget("busy")
	if got := f.of("busy"); got != 0 {
		t.Errorf("forgotten, and %d is remembered", got)
	}
}
