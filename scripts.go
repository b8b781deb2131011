package redislock

import (
	"crypto/sha1" // names scripts as Redis does, not a safeguard
	"embed"
	"encoding/hex"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

//go:embed lua/*.lua
var sources embed.FS

// script is a Lua script as it is sent: by its digest, and whole when the server does not know it.
type script struct {
	name, text, digest string
	boxed              any // the digest, as an argument
	head               any // the command that it begins with, where that may be sent alone; else nil
	keys               int // with two, the first of the arguments is the second
}

// The scripts, the only state of the package.
var (
	scriptAcquire     = load("acquire")
	scriptAcquireOwn  = load("acquire", "idle") // with a retention of its own: the idle path would not keep it
	scriptRelease     = load("release")
	scriptRenew       = load("renew")
	scriptCheck       = load("check")
	scriptBreak       = load("break")
	scriptConfirm     = load("confirm")
	scriptConvert     = load("convert")
	scriptResume      = load("resume")
	scriptInspect     = load("inspect")
	scriptWatch       = load("watch")
	scriptAsk         = load("ask")
	scriptRecord      = load("record")
	scriptRecall      = load("recall")
	scriptErase       = load("erase")
	scriptPreflight   = load("preflight")
	scriptProbe       = load("probe")
	scriptWeakRelease = load("weak_release")
)

// load joins a script with the pieces it names by lines such as "--@ shared.lua", leaving out those in without, and
// drops comments and blank lines, which the server would only have to store.
func load(name string, without ...string) *script {
	var text strings.Builder
	include(&text, sources, name, without)
	sum := sha1.Sum([]byte(text.String()))
	s := &script{name: name, text: text.String(), digest: hex.EncodeToString(sum[:]), keys: 1}
	s.boxed = s.digest
	if strings.Contains(s.text, "KEYS[2]") {
		s.keys = 2
	}
	if name == "release" {
		s.head = "hdel"
	}
	return s
}

// commands are those that the script uses, for the message when an ACL refuses one. They are looked for only then: it
// takes milliseconds, and a program that starts has no use for them.
func (s *script) commands() (used []string) {
	for _, call := range usedCommand.FindAllStringSubmatch(s.text, -1) {
		if command := strings.ToLower(call[1]); !slices.Contains(used, command) {
			used = append(used, command)
		}
	}
	return used
}

var usedCommand = regexp.MustCompile(`(?:call|try)\('([A-Z]+)'`)

func include(text *strings.Builder, files fs.FS, name string, without []string) {
	for _, w := range without {
		if w == name {
			return
		}
	}
	source, err := fs.ReadFile(files, "lua/"+name+".lua")
	if err != nil {
		panic(err) // a script that is not embedded cannot be built
	}
	for line := range strings.Lines(string(source)) {
		trimmed := strings.TrimSpace(line)
		if piece, ok := strings.CutPrefix(trimmed, "--@ "); ok {
			include(text, files, strings.TrimSuffix(piece, ".lua"), without)
		} else if trimmed != "" && !strings.HasPrefix(trimmed, "--") {
			text.WriteString(line)
		}
	}
}
