package redislock

import (
	"testing"
	"unsafe"
)

// Go allocates in classes of sizes, and puts 8 bytes in front of what has pointers and more than 512 bytes. An acquisition is an
// acquire on its way and a hold is what comes of it, so an uncontended pair allocates one of each, and every held lock is
// one of the latter: a field that makes one of them larger than its class makes it as large as the next, by 64 to 128 bytes
// at once.
func TestWhatALockIsMadeOfFitsItsSizeClass(t *testing.T) {
	for _, one := range []struct {
		what        string
		size, class uintptr
	}{
		{"acquisition", unsafe.Sizeof(acquisition{}), 768},
		{"hold", unsafe.Sizeof(hold{}), 512},
	} {
		if one.size > 512 {
			one.size += 8
		}
		if one.size > one.class {
			t.Errorf("a %s takes %d bytes, at most %d: put what few need behind a pointer, or what is small together", one.what, one.size, one.class)
		}
	}
}
