// Package simulation runs whole Clients against the real scripts in an embedded server, in fake time, and one number decides everything
// that happens. So a run that shows a fault can be shown again, and made smaller.
//
//	seed ──▶ plan: who does what, when; what befalls whom (plan_test.go)
//	           │
//	           ▼                    one thing at each virtual instant, and quiet before the next (world_test.go)
//	Client ⇒ conn ⇒ ┌───────┐ ⇒ session ⇒ server, each script answered by internal/model, too (server_test.go)
//	Client ⇐ conn ⇐ │ world │ ⇐ session ⇐   │
//	                └───────┘ what lasts of the faults: weather_test.go
//	           │
//	           ▼
//	history: its hash, and its text (history_test.go, text_test.go); what the bodies must not see (checks_test.go)
//
// What decides nothing:
//
//   - other goroutines: the world lets one packet, operation or fault happen, waits until all that follows of it is over, and
//     takes up what was written meanwhile in the order of the connections
//   - chance: tokens and pauses are drawn from the seed (internal/random), and so is each delay of the network
//   - the runtime of Go, which chooses among ready cases, and has goroutines give way by the wall clock: the simulation runs in processes
//     of its own, with one P, whose runtime has a few lines changed (runtime_test.go)
//
// A fault befalls at some time, or soon after something that matters: a grant, a hand-over, a release (aimed_test.go). A process can be
// stopped with its timers, as by SIGSTOP: each goroutine is marked with its process, and the timers that it sets wait (runtime_test.go).
// A server that cannot write, or has no memory, refuses the first write of a script, as Redis does, and never a later one
// (refusals_test.go). A stranger sends false messages on the channels (forge_test.go).
//
// One seed in eight is of a quorum (quorum_test.go): three servers, or five, and processes with a Client for each and a Locker over them.
// Faults are of one node, of the way of one process to it, or divide the network; clocks may differ from the beginning. The checks are
// in quorumchecks_test.go; their kinds are Q1 to Q6 of docs/guarantees.md.
//
// In one seed of sixteen locks are held while others are waited for, in any order and with a deadlock check, and paths are locked
// (tangle_test.go): the youngest of a circle breaks it, and nobody else; a path is had whole or not at all.
//
// In another seed of sixteen processes wait for each other, and the semaphore has a limit that changes (together_test.go): never
// more have come than the limit that was in force, a latch opens when all is counted, the parties of a barrier are told the same,
// and nobody waits for a condition while there is something for it. Half of these seeds have rounds in which exactly as many
// signals are given as callers wait, most without faults: one signal too few leaves somebody waiting.
//
// In one of four plans most acquires of an exclusive lock take it in turns, and have it linger.
//
// Each seed is run twice, and both must have one hash. What is found is said with its kind: an invariant of docs/guarantees.md
// (I1, I2, …), "model" where the server answers otherwise than the model of a lock, "register" where a write was lost, "answer"
// where a call says what is not so, "bound" where it takes too long, "circle", "path", "limit", "latch", "barrier" and "signal"
// where one is not as it is to be, "stuck" where somebody waits for too long after the last fault, "growth" and "goroutine" for
// what is left at the end. Where A1 or A2 of docs/guarantees.md did not hold, since the plan had the server lose data or its
// clock stepped, who asked before that is excused.
//
//	make simulate N=10000    searches
//	make simulate SEED=7     shows one run
//	make simulate BUGS=all   brings bugs back, one at a time, and says after how many seeds each is found (bugs_test.go)
//	make simulate LOAD=1000  compares the hashes of runs on a busy machine with those of the same seeds alone
//
// What was found is kept as a plan, with a run that shows it, in testdata/findings (findings_test.go).
//
// All of it is in test files: a package below internal/ does not know the root, and this one drives it.
package simulation
