package protocol

// ReleaseArgs are the arguments of a release; tombstone leaves a tombstone against late copies of the acquire. last is the last fence
// of a grant within the process, empty if there was none.
func ReleaseArgs(token string, tombstone bool, last string) []any {
	args := []any{token}
	if tombstone {
		args = append(args, "tombstone")
	}
	if last != "" {
		args = append(append(args, "")[:2], last)
	}
	return args
}

// ParseRelease reads what was given up, whether waiters remain to whom the lock may be granted, and what the hash says of a hold
// that was not found.
func ParseRelease(value any) (what string, more bool, found Remains, err error) {
	if n, ok := value.(int64); ok && n == 1 {
		return "hold", false, found, nil
	}
	f, err := FieldsOf(value)
	if err != nil {
		return "", false, found, err
	}
	what, more = f.Text(0), f.Int(1) > 0
	if what == "none" {
		found = Remains{Note: f.Text(2), Fence: f.Text(3)}
	}
	return what, more, found, f.Err
}

// Remains are what the hash says of a hold that is not there any more.
type Remains struct {
	Note  string // why it was broken; empty if no tombstone says so
	Fence string // the last one of the name; empty if the name has none
}
