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
	say("What came out when the promises of [guarantees.md](guarantees.md) were attacked, on real servers. `make torture` writes this page; no")
	say("figure on it is typed by hand.\n")
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
	say("Times in ms. *Stall*: the longest that somebody waited for a lock that nobody had. *Recovery*: from a fault to the next grant of a lock that")
	say("it was about; that contains the lease of a holder that died. *Refused*: late writes that the guarded resource refused by their fence.")
	say("*Windows*: times in which two relied on one lock because a server had lost what it knew, and the longest of them in ms.\n")
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
	say("\nWhat is promised there:\n")
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
	say("Workers are processes of their own. They write each call and each answer to a log with its time, and use a register in another process, which takes")
	say("no write whose fence is lower than one it has seen. From the logs:\n")
	say("* no two holds that exclude each other at one server time, from the grant until the last sign of the holder, or the deadline of one that died;")
	say("* each grant has a greater fence than those before it, and the register accepted none that falls;")
	say("* the history of each lock is linearizable, checked by porcupine with the end of a lease as an operation of its own;")
	say("* nobody waited for longer than the row's bound for a lock that nobody had, and each fault was followed by a grant;")
	say("* at the end no hold, no place in a queue and no key without an expiry is left, no goroutine in any process, and each Client closes.")
}

func (p *page) model(say sayer) {
	say("\n## The model\n")
	if len(p.models) == 0 {
		say("Not run.")
		return
	}
	say("Hand-over, claim, cancel, expiry, check, resend, late copies and tombstones as a model ([torture/model](../torture/model/README.md)), of which")
	say("spin looks at every state. With all rules no promise is broken in any; without any one of the rules one has to be.\n")
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
	say("The full behaviour suite on each.\n")
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
	say("All are fixed. The command brings one back in a copy of the repository, and runs the test that finds it.\n")
	say("| bug | found by | command |\n|---|---|---|")
	for _, b := range p.bugs {
		module, test, _ := strings.Cut(b.test, " ")
		say("| %s | `%s` (%s) | `make bug NAME=%s` |", b.what, test, map[bool]string{true: "root module", false: module}[module == "."], b.name)
	}
}
