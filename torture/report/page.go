package main

import (
	"fmt"
	"strings"
)

// text is the page.
func (p *page) text() []byte {
	b := &strings.Builder{}
	say := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	say("# Reliability\n")
	say("This page has the results of attacks on the promises of [guarantees.md](guarantees.md), on real servers. `make torture` writes it; no figure")
	say("on it is typed by hand.\n")
	say("| | |\n|---|---|")
	say("| date | %s |", p.date.Format("2006-01-02 15:04 UTC"))
	for _, v := range p.versions {
		say("| %s | %s |", v[0], v[1])
	}
	p.matrix(say)
	p.checked(say)
	p.model(say)
	say("\n%s", strings.TrimSuffix(p.simulation, "\n"))
	p.suites(say)
	p.found(say)
	return []byte(b.String())
}

type sayer = func(format string, args ...any)

func (p *page) matrix(say sayer) {
	say("\n## Faults\n")
	if len(p.rows) == 0 {
		say("Not run.")
		return
	}
	say("Times are in ms. *Stall*: the longest time for which a caller waited for a lock that nobody held. *Recovery*: the time from a fault to the")
	say("next grant of a lock that the fault was about; it includes the lease of a holder that died. *Refused*: the late writes that the guarded")
	say("resource refused by their fence. *Windows*: how often two holders relied on one lock because a server had lost data, and the longest such")
	say("time in ms.\n")
	say("| fault | processes | operations | grants | faults | violations | longest stall | recovery p50 | p99 | refused | windows |")
	say("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range p.rows {
		windows := "none"
		if r.Physics != "" {
			windows = fmt.Sprintf("%d, %.0f", r.Windows, r.Window)
		}
		say("| %s | %d | %d | %d | %d | %d | %.0f | %.0f | %.0f | %d | %s |", r.Fault, r.Workers, r.Operations, r.Grants, r.Faults, len(r.Violations),
			r.Stall, r.P50, r.P99, r.Refused, windows)
	}
	say("\nWhat is promised under each fault:\n")
	for _, r := range p.rows {
		line := fmt.Sprintf("* **%s.** %s", r.Fault, r.Promise)
		if r.Physics != "" {
			line += " *Not promised, and measured:* " + r.Physics
		}
		if r.Remark != "" {
			line += " " + r.Remark
		}
		say("%s", line)
	}
	for _, r := range p.rows {
		for _, v := range r.Violations {
			say("\n**Violation** (%s): %s", r.Fault, v)
		}
	}
}

func (p *page) checked(say sayer) {
	say("\n## What is checked in every row\n")
	say("Each worker is a process. It logs each call and each answer with its time. The workers write to a register in another process, which refuses")
	say("a write whose fence is lower than one that it has seen. The logs are checked for this:\n")
	say("* No two holds that exclude each other overlap in server time. A hold counts from its grant to the last sign of its holder, or to its deadline if the holder died.")
	say("* Each grant has a greater fence than those before it, and the register accepted no fence that is lower than an earlier one.")
	say("* The history of each lock is linearizable. Porcupine checks this, with the end of a lease as an operation of its own.")
	say("* No caller waited longer than the row's bound for a lock that nobody held, and each fault was followed by a grant.")
	say("* At the end there is no hold, no place in a queue, no key without an expiry, and no goroutine of the library in any process. Each Client closes.")
}

func (p *page) model(say sayer) {
	say("\n## The model\n")
	if len(p.models) == 0 {
		say("Not run.")
		return
	}
	say("[torture/model](../torture/model/README.md) is a model of hand-over, claim, cancel, expiry, check, resend, late copies and tombstones. The model")
	say("checker spin visits every state of it. With all rules no promise is broken in any state. Without any one of the rules a promise must be broken.\n")
	say("| configuration | rule removed | states | depth | broken promise |\n|---|---|--:|--:|---|")
	for _, m := range p.models {
		rule, broken := m.RuleRemoved, "none"
		if rule == "" {
			rule = "none"
		}
		if m.Errors > 0 {
			broken = fmt.Sprintf("%d errors, first `%s`", m.Errors, m.Violated)
			if m.Errors == 1 {
				broken = fmt.Sprintf("`%s`", m.Violated)
			}
		}
		say("| %s | %s | %d | %d | %s |", m.Configuration, rule, m.States, m.Depth, broken)
	}
}

func (p *page) suites(say sayer) {
	say("\n## Topologies\n")
	if len(p.topologies) == 0 {
		say("Not run.")
		return
	}
	say("All behaviour tests were run on each topology.\n")
	say("| topology | tests | failed | seconds | |\n|---|--:|--:|--:|---|")
	for _, t := range p.topologies {
		say("| %s | %d | %d | %.0f | %s |", t.Topology, t.Tests, t.Failed, t.Seconds, t.Note)
	}
}

func (p *page) found(say sayer) {
	say("\n## Bugs found in this library\n")
	if len(p.bugs) == 0 {
		say("None so far.")
		return
	}
	say("All of them are fixed. The command puts a bug back into a copy of the repository, and runs the test that finds it.\n")
	say("| bug | found by | command |\n|---|---|---|")
	for _, b := range p.bugs {
		module, test, _ := strings.Cut(b.test, " ")
		say("| %s | `%s` (%s) | `make bug NAME=%s` |", b.what, test, map[bool]string{true: "root module", false: module}[module == "."], b.name)
	}
}
