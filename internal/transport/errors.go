package transport

import (
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// This file decides what an error means, for all code that sends again or goes on trying. There are three kinds:
//
//   - transient: there was no answer, or the server cannot serve now: it starts, fails over, is busy or full, or cannot write its
//     disk. Nobody has to do anything about the request. It is sent again at once, some times (ask), and [WithFailOpen] counts
//     it as out of reach.
//   - permanent: the same request would fail again, however long one waits: it is about this key, or the server cannot do it.
//   - all others: somebody must mend something first, such as a password that is being changed, a right that is missing, or
//     what a proxy in between says. It is told at once to those who wait for the answer. What must be done although nobody waits
//     for it, such as a release, is tried on for as long as that is promised.

// transients are the codes of a server that cannot serve now. An EXECABORT is none of them: it says that another command of the
// same transaction was refused, and not why.
var transients = []string{
	"LOADING", "BUSY", "READONLY", "MASTERDOWN", "NOREPLICAS", "UNBLOCKED", // it starts, runs a script, fails over
	"CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", // the slot is on its way
	"MISCONF", "OOM", "max number of clients", // a disk, the memory, the connections are full
}

// permanents are the beginnings of answers that stay as they are.
var permanents = []string{
	"unknown command", "unknown subcommand", "wrong number of arguments", "syntax error", "CROSSSLOT", noEngine,
	"Unknown subcommand or wrong number of arguments", // of Redis before 7
}

// noEngine is the error of Valkey from 9.1 on if the module with Lua is not loaded.
const noEngine = "Could not find scripting engine"

// Transient reports whether the same request may succeed if it is sent again at once.
func Transient(err error) bool {
	switch {
	case err == nil, errors.Is(err, redis.ErrClosed), errors.Is(err, ErrClosed):
		return false
	case !Answered(err):
		return true
	}
	return hasCode(err, transients...)
}

// Permanent reports whether the same request would fail again, however long one waits. Of an error of this package it says that
// no more than of what is behind it: whether an [ErrHeld] is the end is for who asked.
func Permanent(err error) bool {
	return errors.Is(err, ErrOrphaned) || errors.Is(err, ErrClosed) || errors.Is(err, ErrServer) || Damaged(err) || hasCode(err, permanents...)
}

// Answered reports whether an error is the server's answer.
func Answered(err error) bool {
	var fromServer redis.Error
	return errors.As(err, &fromServer)
}

// Unsent reports whether a request that failed cannot have reached the server.
func Unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrClosed)
}

// hasCode reports whether an error is an answer of the server with one of these codes. Before Redis 7 that of a command in a
// script is behind the place where it was called: "ERR Error running script (call to f_…): @user_script:1: -OOM command not …".
func hasCode(err error, codes ...string) bool {
	var fromServer redis.Error
	if !errors.As(err, &fromServer) {
		return false
	}
	text := strings.TrimPrefix(fromServer.Error(), "ERR ")
	if strings.HasPrefix(text, "Error running script") {
		if _, inner, ok := strings.Cut(text, ": -"); ok {
			text = strings.TrimPrefix(inner, "ERR ")
		}
	}
	return slices.ContainsFunc(codes, func(code string) bool { return strings.HasPrefix(text, code) })
}

// denials are how an ACL refuses a command inside a script: Redis 7 says "The user executing the script can't run this command
// or subcommand", Redis 8 and Valkey 9 "ACL failure in script: User … has no permissions to run the 'hset' command".
// lua/preflight.lua knows them too.
var denials = []string{"user executing the script", "ACL failure in script", "has no permissions"}

// Refused reports whether an error is the ACL's, of a command or of one inside a script.
func Refused(err error) bool {
	if !Answered(err) {
		return false
	}
	return hasCode(err, "NOPERM") || slices.ContainsFunc(denials, func(text string) bool { return strings.Contains(err.Error(), text) })
}

// damages are signs that a script found in a key what it could not work with: another type, or a text where a number should be,
// which Lua calls an error in a line of "user_script". The last is the text of miniredis.
var damages = []string{"WRONGTYPE Operation", "ERR user_script:", " user_script:", "ERR Error compiling script"}

// Damaged reports whether an error is that of a key that this library has not written.
func Damaged(err error) bool {
	if !Answered(err) || strings.Contains(err.Error(), "Script killed") {
		return false
	}
	return slices.ContainsFunc(damages, func(sign string) bool { return strings.Contains(err.Error(), sign) })
}

// UnknownCommand reports whether the server does not know a command, because it is older.
func UnknownCommand(err error) bool { return hasCode(err, "unknown command") }

// WithoutEngine reports whether the server has no Lua.
func WithoutEngine(err error) bool { return hasCode(err, noEngine) }

// EngineHint says what a server without Lua lacks.
const EngineHint = "from Valkey 9.1 on Lua is a module of its own: install the package that has libvalkeylua.so, and load it (loadmodule in valkey.conf)"

// ErrServer says that the server cannot serve locks to any user.
var ErrServer = errors.New("the server cannot serve locks")

// ErrClosed is the error of a request that is not sent because the Client is closed.
var ErrClosed = errors.New("client closed")

// ErrDraining is the error of an acquire that begins, or waits, while the Client drains. It is an ErrClosed.
var ErrDraining error = drainingError{}

type drainingError struct{}

func (drainingError) Error() string        { return "client draining: it takes no more locks" }
func (drainingError) Is(target error) bool { return target == ErrClosed }

// ErrPermission says that the server's ACL refuses what was asked.
var ErrPermission = errors.New("refused by the server's ACL")
