package doctor

import (
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

func well(check, format string, args ...any) []Finding {
	return []Finding{{Check: check, Level: OK, Found: fmt.Sprintf(format, args...)}}
}

// unreachable is the one finding about a server that does not answer.
func unreachable(addr string, err error) Finding {
	f := Finding{
		Check: "reachability", Level: Danger, Stops: NoAnswer, Found: fmt.Sprintf("%s does not answer: %v", addr, err),
		Why: "nobody gets a lock, and those who hold one lose it when its lease ends, for it cannot be renewed.",
		Fix: "start it there, see its log and the firewall between, or name another address; one that hangs up at once may be full (maxclients)",
	}
	switch {
	case full(err):
		f.Stops = ""
		f.Found = fmt.Sprintf("%s lets nobody in any more: %v", addr, err)
		f.Why = "who comes now gets no lock, and who reconnects cannot renew his."
		f.Fix = "raise it from a connection that is open, by CONFIG SET maxclients and a greater number, or end some clients; use smaller pools (PoolSize)"
	case fromServer(err) && !alive(err):
		f.Stops = ""
		f.Found = fmt.Sprintf("%s refuses this user: %v", addr, err)
		f.Why = "nobody with these credentials gets a lock."
		f.Fix = "put the right user and password into the URL"
	}
	return f
}

// unasked is the finding of a check that needs INFO, if INFO was not answered. Otherwise it is nil.
func (f *facts) unasked(check string, wants ...string) []Finding {
	if f.infoErr != nil {
		return []Finding{refusal(check, "INFO", "+info", f.infoErr)}
	}
	for _, name := range wants {
		if _, told := f.info[name]; !told {
			return []Finding{{
				Check: check, Level: Unknown, Found: "INFO does not tell it here",
				Fix: "look for it in the documentation or the console of whoever runs this server",
			}}
		}
	}
	return nil
}

// unset is the same for CONFIG GET.
func (f *facts) unset(check string, wants ...string) []Finding {
	if f.configErr != nil {
		return []Finding{refusal(check, "CONFIG GET", "+config|get", f.configErr)}
	}
	for _, name := range wants {
		if _, told := f.config[name]; !told {
			return []Finding{{Check: check, Level: Unknown, Found: "CONFIG GET does not tell it here: the server has no such setting", Fix: "nothing to do, unless a newer version of the server has one"}}
		}
	}
	return nil
}

// refusal is the finding of a check whose request was refused.
func refusal(check, command, right string, err error) Finding {
	u := Finding{Check: check, Level: Unknown, Found: fmt.Sprintf("%s was not answered: %v", command, err), Fix: "try again when the server is idle"}
	switch {
	case redis.HasErrorPrefix(err, "NOPERM"):
		u.Found = "this user may not ask " + command
		u.Fix = "ask as a user with " + right + ", such as an administrator"
	case strings.Contains(strings.ToLower(err.Error()), "unknown command"), strings.Contains(strings.ToLower(err.Error()), "unknown subcommand"):
		u.Found = "the server does not know " + command
		u.Fix = "look for it in the console of whoever runs this server; managed services hide " + command
	case fromServer(err):
		u.Found = fmt.Sprintf("%s was refused: %v", command, err)
		u.Fix = "ask as a user with " + right + ", or look in the console of whoever runs this server"
	}
	return u
}

// set is the command that changes a setting, with a remark on how to keep it over a restart.
func set(name, value string) string {
	if strings.ContainsAny(value, " ") || value == "" {
		value = `"` + value + `"`
	}
	return "CONFIG SET " + name + " " + value + "; then CONFIG REWRITE, or the same in its configuration file, to keep it"
}

// size writes a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d kB", n>>10)
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}

// count writes a number of things, whose plural must end in s.
func count(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
