package simulation_test

import (
	"slices"
	"strings"
)

// verdict is the error with which the server refuses a command, empty if it does not, and the refusal for the first write of a
// script.
func (s *server) verdict(args []string) (refused failure, within *refusal) {
	for i := range refusals {
		switch r := &refusals[i]; {
		case s.refuse[r.code] == 0:
		case r.refuses == nil && strings.EqualFold(args[0], "subscribe"):
		case r.refuses == nil || slices.Contains(r.refuses, strings.ToUpper(args[0])):
			if s.chance[r.code].IntN(3) > 0 {
				return failure(r.text), nil
			}
		case isScript(args) && s.chance[r.code].IntN(3) > 0:
			within = r
		}
	}
	return "", within
}

func isScript(args []string) bool {
	return strings.EqualFold(args[0], "evalsha") || strings.EqualFold(args[0], "eval")
}

type refusal struct {
	code, text string
	refuses    []string // these commands, also as the first write of a script; nil: everything
}

// refusals are the ways in which a server refuses. Redis checks only the first write of a script: a script that has written goes on.
// Out of memory it refuses commands that may need more memory.
var refusals = []refusal{
	{"LOADING", "LOADING Redis is loading the dataset in memory", nil},
	{"BUSY", "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", nil},
	{"READONLY", "READONLY You can't write against a read only replica.", writing},
	{"MISCONF", "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.", writing},
	{"OOM", "OOM command not allowed when used memory > 'maxmemory'.", []string{"HSET", "SET"}},
}

// writing are the commands of this library that write.
var writing = []string{"HSET", "HDEL", "SET", "DEL", "EXPIRE", "EXPIREAT"}
