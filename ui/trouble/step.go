package trouble

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/safetext"
)

// Step is something that can be done. Command is the command for it in a shell; empty if there is none. Warn says what it costs and
// whom it affects, to be read before the command; empty if it costs nothing.
type Step struct {
	Action  Action
	Text    Text
	Command string
	Warn    Text
}

// Action is how much a step changes. Steps are shown in this order, so that nobody breaks a lock before looking.
type Action int

// The actions.
const (
	Look    Action = iota // it changes nothing
	Mend                  // it mends the trouble, and takes nothing from anybody
	Take                  // it takes a lock from its holder
	Forget                // it makes Redis forget something; see [Overview]
	Prevent               // for developers: it keeps the trouble from coming again
)

var actions = [...]struct{ name, heading string }{
	{"look", "Look first: this changes nothing"},
	{"mend", "What mends it"},
	{"take", "If it must be taken away"},
	{"forget", "If it is not wanted any more"},
	{"prevent", "For developers, so that it does not come again"},
}

// String is the action as one word.
func (a Action) String() string { return actions[a].name }

// Heading is the heading above the steps of that action.
func (a Action) Heading() string { return actions[a].heading }

// MarshalText is String, for JSON.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// Overview returns the steps that may be shown among other troubles. A step that makes Redis forget something is not among them: it
// looks like a repair there, and is none. It is shown where the lock or job is shown alone.
func Overview(steps []Step) []Step {
	return slices.DeleteFunc(slices.Clone(steps), func(s Step) bool { return s.Action == Forget })
}

// Line is the command. If it is a redislock command, these flags are added at its end.
func (s Step) Line(flags string) string {
	if flags == "" || !strings.HasPrefix(s.Command, "redislock ") {
		return s.Command
	}
	return s.Command + " " + flags
}

// ranked returns the steps in the order in which they are shown, each of them once.
func ranked(steps ...Step) (out []Step) {
	for _, s := range steps {
		if !slices.ContainsFunc(out, func(is Step) bool { return is.Command == s.Command && (s.Command != "" || is.Text == s.Text) }) {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b Step) int { return cmp.Compare(a.Action, b.Action) })
	return out
}

// theFence explains the word fence. [Explain] keeps only the first of several such explanations.
const theFence = " (the number of the grant, greater each time)"

// lateWrites warns of writes under a hold that may have ended.
const lateWrites = "what it writes then comes too late, and only a database that compares the fence" + theFence + " refuses it"

func lookStep(text Text, command string) Step { return Step{Look, text, command, ""} }

func prevent(text Text) Step { return Step{Prevent, text, "", ""} }

func seeLock(name string) Step { return lookStep("See who has the lock now", show(name)) }

func show(name string) string { return "redislock show " + Typed(name) }

// look is the step that shows what an owner does. The role says what the owner is, such as "which holds it".
func look(o redislock.Owner, role string) Step {
	if role != "" {
		role = ", " + role
	}
	name := "its program"
	if o.Client != "" {
		name = safetext.Text(o.Client)
	}
	if o.PID <= 0 { // anybody may have written the number, and a negative one means a group of processes or all of them
		return lookStep(says("Find the process (%s%s) by its log: Redis does not know its host and number", name, role), "")
	}
	return lookStep(says("On %s, see what process %d does (%s%s), and its log. If ps shows only the heading, the process is gone. If its TIME does not grow, it waits or hangs", safetext.Text(o.Host), o.PID, name, role), fmt.Sprintf("ps -o pid,stat,etime,time,wchan,args -p %d", o.PID))
}

// lookLate is look for an owner that lost its hold and may not know it. It warns not to let the process go on.
func lookLate(o redislock.Owner) Step {
	s := look(o, "which had the lock")
	s.Warn = "If its STAT begins with T it is stopped: do not let it go on (kill -CONT). The lock is not its own any more: " + lateWrites + ". It is safer to end the process"
	return s
}

// goOn is the step that continues a holder which may be stopped, while its hold lasts. There is none if the number of
// the process is not known.
func goOn(o redislock.Owner, until time.Time) []Step {
	if o.PID <= 0 {
		return nil
	}
	return []Step{{
		Mend, "If its STAT begins with T it is stopped: let it go on", fmt.Sprintf("kill -CONT %d", o.PID),
		says("Only before %s, while the lock is its own. Later another may have the lock: "+lateWrites, moment(until)),
	}}
}

// goOnWaiting is the step that continues a waiter which may be stopped.
func goOnWaiting(p redislock.Place) []Step {
	if p.Owner.PID <= 0 {
		return nil
	}
	return []Step{{
		Mend, "If its STAT begins with T it is stopped: let it go on", fmt.Sprintf("kill -CONT %d", p.Owner.PID),
		"It only waits for this lock. See first that it has not lost another one meanwhile: the page of the process, or its log, says so",
	}}
}

func watch(name string) Step {
	const text = "See its changes as they come: none come as long as nothing changes"
	if isPattern(name) {
		return lookStep(text, "redislock watch --name "+Typed(name))
	}
	return lookStep(text, "redislock watch "+Typed(name))
}

// isPattern reports whether redislock watch would read a name as a pattern.
func isPattern(name string) bool { return strings.ContainsAny(name, `*?[\`) }

// askStep is the step that asks the present holders.
func askStep(info redislock.Info) Step {
	return Step{Mend, says("Ask %s for it", holders(info)), "redislock ask " + Typed(info.Name) + " --why '...'", "Nothing is taken: that program decides, and may not heed it"}
}

// breakStep is the step that takes the lock from the present holders.
func breakStep(info redislock.Info, text Text) Step {
	s := breakOf(info.Name, holders(info), text)
	if strings.HasPrefix(info.Name, "elect:") {
		next := "the first candidate leads then"
		if info.Waiting == 0 {
			next = "nobody else stands"
		}
		s.Warn = says("It deposes the leader: %s. ", next) + s.Warn
	}
	return s
}

func breakOf(name, who string, text Text) Step {
	return Step{
		Take, text, "redislock break " + Typed(name) + " --reason '...'",
		says("It takes the lock from %s, whose work may be half done. If that process is paused, it learns of it only when it goes on: "+lateWrites, who),
	}
}

// holders describes the present holders of a lock.
func holders(info redislock.Info) string {
	if len(info.Holds) == 0 {
		return "those who hold it"
	}
	who := Who(present(info).Owner)
	if info.Holders > 1 {
		who += " and " + count(info.Holders-1, "other", "others")
	}
	return who
}
