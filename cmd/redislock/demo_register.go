package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
)

// register is a resource that protects itself by fences, as a database does with "UPDATE … WHERE fence <= ?": a file with the
// greatest fence it has seen. A writer with a smaller fence is too late and is refused.
type register struct{ path string }

// write reports whether the register took the write, and the greatest fence it has seen.
func (r register) write(fence int64) (taken bool, greatest int64, err error) {
	f, err := os.OpenFile(r.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, 0, err
	}
	defer f.Close()
	if err := flock(f); err != nil { // until Close
		return false, 0, fmt.Errorf("lock %s: %w", r.path, err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return false, 0, err
	}
	if len(text) > 0 {
		if greatest, err = strconv.ParseInt(string(text), 10, 64); err != nil {
			return false, 0, fmt.Errorf("%s holds %q: %w", r.path, text, err)
		}
	}
	if fence < greatest {
		return false, greatest, nil
	}
	_, err = f.WriteAt(fmt.Appendf(nil, "%020d", fence), 0)
	return err == nil, fence, err
}
