package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	// slowCommand is how long a command must block the server to show in the waits of all locks.
	slowCommand = 100 * time.Millisecond
	// recent is how long a slow command is reported.
	recent = time.Hour
)

// slowCommands checks which commands have lately blocked the server. The log has arguments, which may be secret, so
// only the names of commands are shown.
func slowCommands(f *facts) []Finding {
	const check = "slow commands"
	if f.slowErr != nil {
		return []Finding{refusal(check, "SLOWLOG GET", "+slowlog|get", f.slowErr)}
	}
	now := time.Now().Add(f.time.ahead)
	var worst time.Duration
	names, others := map[string]bool{}, map[string]bool{} // all, and those of other programs than redislock
	n := int64(0)
	for _, entry := range f.slow {
		if entry.Duration < slowCommand || now.Sub(entry.Time) > recent || len(entry.Args) == 0 {
			continue
		}
		n++
		worst = max(worst, entry.Duration)
		name := strings.ToUpper(entry.Args[0])
		if f.own(entry.Args) {
			names[name+" (redislock's)"] = true
			continue
		}
		names[name], others[name] = true, true
	}
	if n == 0 {
		return well(check, "none took longer than %v in the last hour, as far as its log goes", slowCommand)
	}
	fix := "SLOWLOG GET shows when they ran and which clients sent them"
	for _, name := range slices.Sorted(maps.Keys(others)) {
		fix += "; " + quicker(name)
	}
	if len(names) > len(others) {
		fix += "; redislock's own take a few milliseconds at most: if they are slow, the machine of Redis has too little processor time, or swaps"
	}
	return []Finding{{
		Check: check, Level: Warning,
		Found: fmt.Sprintf("%s took longer than %v in the last hour, the longest %s: %s", count(n, "command"), slowCommand, short(worst), strings.Join(slices.Sorted(maps.Keys(names)), ", ")),
		Why:   "a server does one thing at a time: meanwhile no lock is granted, renewed or released.",
		Fix:   fix,
	}}
}

// own reports whether a command is about a key under the prefix of the locks, or searches for such keys.
func (f *facts) own(args []string) bool {
	if f.prefix == "" {
		return false
	}
	is := func(i int) bool { return i < len(args) && strings.HasPrefix(args[i], f.prefix+":") }
	switch strings.ToUpper(args[0]) {
	case "EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO":
		return is(3)
	case "SCAN":
		return is(1 + slices.IndexFunc(args, func(arg string) bool { return strings.EqualFold(arg, "match") }))
	default:
		return is(1)
	}
}

// quicker is the advice for a slow command of another program.
func quicker(name string) string {
	switch name {
	case "KEYS":
		return "use SCAN for KEYS"
	case "DEL":
		return "use UNLINK for DEL"
	case "FLUSHALL", "FLUSHDB":
		return "give " + name + " the word ASYNC"
	case "SCAN", "HSCAN", "SSCAN", "ZSCAN":
		return "give " + name + " a smaller COUNT"
	case "EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO":
		return "have the script of " + name + " do less at a time"
	default:
		return "have " + name + " do less at a time, or use another server for it"
	}
}
