package redislock

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"example.com/redislock/internal/safetext"
)

// The longest name of a Client, and of its host, in bytes.
const maxClientName, maxHost = 128, 255

// Owner says who holds a lock or waits for it. Its texts are as others wrote them: String is what may be shown.
type Owner struct {
	// Client is the name given by [WithName].
	Client string
	// Host and PID are where it runs.
	Host string
	PID  int
	// Metadata is what [WithMetadata] said.
	Metadata string
	// Trace is what [WithTrace] said of the call that asked for the lock.
	Trace string
}

// String is like "api (pid 12 on node-3): import of 2026-11-21", on one line. What cannot be shown, such as control characters
// and what changes the direction of text, is escaped.
func (o Owner) String() string {
	if o == (Owner{}) {
		return "someone"
	}
	text := fmt.Sprintf("%s (pid %d on %s)", o.Client, o.PID, o.Host)
	if o.Metadata != "" {
		text += ": " + o.Metadata
	}
	return safetext.Escape(text)
}

// myself is the owner that this process is, under that name or its own.
func myself(name string) Owner {
	host, _ := os.Hostname() // for people; an unknown one is shown as such
	if name == "" {
		name = plainText(program(os.Args), maxClientName)
	}
	return Owner{Client: name, Host: plainText(host, maxHost), PID: os.Getpid()}
}

// program is the name of a program that was started with these arguments. Whoever starts it chooses them, and may give none.
func program(args []string) string {
	if len(args) > 0 && args[0] != "" {
		return filepath.Base(args[0])
	}
	path, _ := os.Executable()
	return filepath.Base(path)
}

// plainText is a text as a name has it: no longer than that many bytes, and without control characters, which would be taken
// for the end of the line that it travels in.
func plainText(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	for len(text) > most {
		_, last := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-last]
	}
	return text
}

// info is the form in which an Owner travels: a line each for client, host and pid, with the trace behind that if there is one, and the metadata.
func (o Owner) info() string {
	text := o.Client + "\n" + o.Host + "\n" + strconv.Itoa(o.PID)
	if o.Trace != "" {
		text += " " + o.Trace
	}
	return text + "\n" + o.Metadata
}

func parseOwner(info string) Owner {
	parts := strings.SplitN(info, "\n", 4)
	if len(parts) < 4 {
		return Owner{Metadata: info}
	}
	number, trace, _ := strings.Cut(parts[2], " ")
	pid, _ := strconv.Atoi(number) // a text for people: what is no number is shown as 0
	return Owner{Client: parts[0], Host: parts[1], PID: pid, Trace: trace, Metadata: parts[3]}
}
