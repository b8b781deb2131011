package torture

import (
	"testing"

	"example.com/redislock/lua"
)

// Scripts are the scripts that change a lock, by the names of their files.
var Scripts = []string{"acquire", "acquire_own", "release", "renew", "keep", "check", "convert", "resume", "break"}

// Digest returns the digest of a script, which is in its requests, and its text.
func Digest(t testing.TB, script string) (digest, text string) {
	t.Helper()
	s := lua.AcquireOwn
	if script != "acquire_own" {
		s = lua.Load(script)
	}
	return s.Digest, s.Text
}

// Requests matches the requests that run a script, on any key. It is for the faults of a proxy. A release may also be the
// plain command with which its script begins.
func Requests(t testing.TB, script string) func(args []string) bool {
	t.Helper()
	digest, text := Digest(t, script)
	return func(args []string) bool {
		return len(args) > 3 && (args[0] == "evalsha" && args[1] == digest || args[0] == "eval" && args[1] == text) ||
			script == "release" && len(args) == 3 && args[0] == "hdel"
	}
}
