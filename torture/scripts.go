package torture

import (
	"crypto/sha1" // names scripts as Redis does, not a safeguard
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Scripts are those that change a lock, by the names of their files.
var Scripts = []string{"acquire", "acquire_own", "release", "renew", "check", "convert", "resume", "break"}

// Digest is how a script shows in a request, and its text. It is put together from the files as the library does it:
// pieces are joined, comments and blank lines left out.
func Digest(t testing.TB, script string) (digest, text string) {
	t.Helper()
	var whole strings.Builder
	file, own := strings.CutSuffix(script, "_own")
	join(t, &whole, file, own) // an acquire with a retention of its own is one without the idle path
	sum := sha1.Sum([]byte(whole.String()))
	return hex.EncodeToString(sum[:]), whole.String()
}

func join(t testing.TB, whole *strings.Builder, script string, own bool) {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("..", "lua", script+".lua"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(source)) {
		trimmed := strings.TrimSpace(line)
		if piece, ok := strings.CutPrefix(trimmed, "--@ "); ok {
			if piece != "idle.lua" || !own {
				join(t, whole, strings.TrimSuffix(piece, ".lua"), own)
			}
		} else if trimmed != "" && !strings.HasPrefix(trimmed, "--") {
			whole.WriteString(line)
		}
	}
}

// Requests matches the requests by which a script is run, on whatever key: for the faults of a proxy. A release may be the
// plain command, too, with which its script begins.
func Requests(t testing.TB, script string) func(args []string) bool {
	t.Helper()
	digest, text := Digest(t, script)
	return func(args []string) bool {
		return len(args) > 3 && (args[0] == "evalsha" && args[1] == digest || args[0] == "eval" && args[1] == text) ||
			script == "release" && len(args) == 3 && args[0] == "hdel"
	}
}
