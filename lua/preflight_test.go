package lua_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"example.com/redislock/internal/servertest"
	"example.com/redislock/lua"
)

// A user that lacks a right gets the error before the first lock, in whatever words the server refuses a command inside a
// script.
func TestThePreflightKnowsEveryWordingOfARefusal(t *testing.T) {
	rdb := servertest.Start(t).Connect()
	for _, wording := range []string{
		"NOPERM this user has no permissions to run the '%s' command or its subcommand",
		"ERR The user executing the script can't run this command or subcommand script: 3c5e, on @user_script:4.",
		"ERR ACL failure in script: User app has no permissions to run the '%s' command script: 3c5e, on @user_script:4.",
	} {
		for _, command := range lua.Preflight.Commands() {
			answer := wording
			if strings.Contains(wording, "%s") {
				answer = fmt.Sprintf(wording, command)
			}
			forged := fmt.Sprintf("local real = redis\nlocal redis = {setresp = real.setresp, pcall = function(command, ...)\n"+
				"if string.lower(command) == %q then return {err = %q} end\nreturn real.pcall(command, ...)\nend}\n", command, answer)
			said, err := rdb.Eval(t.Context(), forged+lua.Preflight.Text, []string{"redislock:{%}"}, "c", "n", "s").StringSlice()
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(said, func(s string) bool { return strings.HasPrefix(s, command+": ") }) {
				t.Errorf("%s, refused by %q: the preflight says %q", command, answer, said)
			}
		}
	}
	said, err := rdb.Eval(t.Context(), lua.Preflight.Text, []string{"redislock:{%}"}, "c", "n").StringSlice()
	if err != nil || len(said) > 0 {
		t.Errorf("who may do everything is told %q, %v", said, err)
	}
}

// Redis before 6.0 has no setresp.
func TestThePreflightSaysThatAServerIsTooOld(t *testing.T) {
	rdb := servertest.Start(t).Connect()
	said, err := rdb.Eval(t.Context(), "local redis = {pcall = redis.pcall}\n"+lua.Preflight.Text, []string{"redislock:{%}"}, "c", "n").StringSlice()
	if err != nil || !slices.Equal(said, []string{lua.TooOld}) {
		t.Errorf("it says %q, %v", said, err)
	}
	if n := rdb.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys are left", n)
	}
}
