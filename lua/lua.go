// Package lua has the scripts that change a lock, and loads them. Each is one file, with its keys, arguments and reply on top;
// a line such as "--@ rules.lua" stands for a piece that several have, and names such as HOLD_SINCE for the layout of
// a value (layout.lua). docs/protocol.md says how they work together.
package lua

import (
	"crypto/sha1" // names scripts as Redis does, not a safeguard
	"embed"
	"encoding/hex"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

//go:embed *.lua
var sources embed.FS

var embedded = newLoader(sources)

// Script is a Lua script as it is sent: by its digest, and whole when the server does not know it.
type Script struct {
	// Name is that of its file.
	Name string
	// Text is what the server runs, and Digest what it knows it by.
	Text, Digest string
	// Boxed is the digest, as an argument of a command.
	Boxed any
	// Head is the command that the script begins with, where that may be sent alone; else nil.
	Head any
	// Keys is how many there are; with two, the first of the arguments is the second.
	Keys int
}

// The scripts, the only state of the package.
var (
	Acquire     = Load("acquire")
	AcquireOwn  = Load("acquire", "fast_acquire") // with a retention of its own, which that fast path would not keep
	Release     = Load("release")
	Renew       = Load("renew")
	Keep        = Load("keep")
	Check       = Load("check")
	Break       = Load("break")
	Confirm     = Load("confirm")
	Convert     = Load("convert")
	Resume      = Load("resume")
	Inspect     = Load("inspect")
	Watch       = Load("watch")
	Ask         = Load("ask")
	Limit       = Load("limit")
	Record      = Load("record")
	Recall      = Load("recall")
	Erase       = Load("erase")
	Preflight   = Load("preflight")
	Probe       = Load("probe")
	WeakRelease = Load("weak_release")
)

// Load joins a script with the pieces that it names, leaving out those in without, and puts the layout in the place of its
// names. A script that is not there cannot be built: Load panics.
func Load(name string, without ...string) *Script { return embedded.load(name, without) }

// LoadFrom is [Load] of other files, such as those of an earlier version.
func LoadFrom(files fs.FS, name string, without ...string) *Script {
	return newLoader(files).load(name, without)
}

func (l *loader) load(name string, without []string) *Script {
	var text strings.Builder
	l.include(&text, name, without)
	for range strings.Count(text.String(), layer) {
		text.WriteString("end)()\n")
	}
	sum := sha1.Sum([]byte(text.String()))
	s := &Script{Name: name, Text: text.String(), Digest: hex.EncodeToString(sum[:]), Keys: 1}
	s.Boxed = s.Digest
	if strings.Contains(s.Text, "KEYS[2]") {
		s.Keys = 2
	}
	if name == "release" {
		s.Head = "hdel"
	}
	return s
}

// Commands are those that the script uses, for the message when an ACL refuses one. They are looked for only then: it
// takes milliseconds, and a program that starts has no use for them.
func (s *Script) Commands() (used []string) {
	for _, call := range usedCommand.FindAllStringSubmatch(s.Text, -1) {
		if command := strings.ToLower(call[1]); !slices.Contains(used, command) {
			used = append(used, command)
		}
	}
	return used
}

var usedCommand = regexp.MustCompile(`(?:call|try)\('([A-Z]+)'`)

// TooOld is what [Preflight] replies, alone, where the server is older than its scripts can be run on.
const TooOld = "older than Redis 6.0"
