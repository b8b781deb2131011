package simulation_test

import (
	"crypto/sha1" // for the digests of scripts, as in Redis, and not for security
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"example.com/redislock/lua"
)

// The text of a run for a person: tokens are T1, T2, … in the order in which they are first seen, channels are named by their process,
// and server times are seconds from the beginning.

// scripts are their names, by digest.
var scripts = sync.OnceValue(func() map[string]string {
	names := map[string]string{}
	for _, s := range []*lua.Script{
		lua.Acquire, lua.AcquireOwn, lua.Release, lua.Renew, lua.Check, lua.Break, lua.Confirm, lua.Convert, lua.Resume, lua.Inspect,
		lua.Watch, lua.Ask, lua.Record, lua.Recall, lua.Erase, lua.Keep, lua.Preflight, lua.Probe, lua.WeakRelease, lua.Limit,
	} {
		names[s.Digest] = s.Name
	}
	return names
})

// scriptOf is the script of a request, or its command.
func scriptOf(args []string) string {
	switch command := strings.ToLower(args[0]); {
	case command == "evalsha" && len(args) > 1:
		return scripts()[args[1]]
	case command == "eval" && len(args) > 1:
		sum := sha1.Sum([]byte(args[1]))
		return scripts()[hex.EncodeToString(sum[:])]
	default:
		return command
	}
}

// request is a request in words.
func request(args []string) string {
	if !isScript(args) || len(args) < 4 {
		return strings.Join(args, " ")
	}
	text := scriptOf(args)
	if strings.EqualFold(args[0], "eval") {
		text += " (whole)"
	}
	return text + " " + strings.Join(quoted(args[3:]), " ")
}

func quoted(words []string) []string {
	all := make([]string, len(words))
	for i, word := range words {
		all[i] = word
		if word == "" || strings.ContainsAny(word, "\n\x00") || strings.Contains(word, "  ") {
			all[i] = strconv.Quote(word)
		}
	}
	return all
}

// machine matches texts that differ from one process to the next: the number of the process, and the name of the
// host.
var machine = func() *strings.Replacer {
	host, _ := os.Hostname()
	pid := strconv.Itoa(os.Getpid())
	return strings.NewReplacer(host+"\n"+pid, "\n1", "(pid "+pid+" on "+host+")", "(a process)", "(pid "+pid+" on "+host+",", "(a process,", host+`\n`+pid, `\n1`, `"Host":"`+host+`","PID":`+pid+`,`, `"PID":1,`, `\"Host\":\"`+host+`\",\"PID\":`+pid+`,`, `\"PID\":1,`)
}()

var (
	channel = regexp.MustCompile(`redislock:c:([A-Za-z0-9_-]{22})`)
	token   = regexp.MustCompile(`(^|[^A-Za-z0-9_-])([g-]?)([A-Za-z0-9_-]{22})($|[^A-Za-z0-9_-])`)
	time16  = regexp.MustCompile(`0?9[4-9][0-9]{13}`)
)

// names are the names of tokens and channels in a text.
type names map[string]string

func (n names) call(kind, what string) string {
	if n[what] == "" {
		n["#"+kind] += "|"
		n[what] = fmt.Sprintf("%s%d", kind, len(n["#"+kind]))
	}
	return n[what]
}

// readable turns a line of a history into one for a person.
func (h *history) readable(line string, n names) string {
	line = channel.ReplaceAllStringFunc(line, func(s string) string { return n.call("wake", s) })
	for range 2 { // twice, as neighbouring matches share the text between them
		line = token.ReplaceAllStringFunc(line, func(s string) string {
			m := token.FindStringSubmatch(s)
			return m[1] + m[2] + n.call("T", m[3]) + m[4]
		})
	}
	return time16.ReplaceAllStringFunc(line, func(s string) string {
		micros, _ := strconv.ParseInt(strings.TrimLeft(s, "0"), 10, 64)
		return h.fence(micros)
	})
}

// fence is a fence or a time of the server as seconds from the beginning.
func (h *history) fence(micros int64) string {
	return fmt.Sprintf("@%.6f", float64(micros-h.began.UnixMicro())/1e6)
}
