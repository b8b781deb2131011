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
//   - other goroutines: the world lets one packet, operation or fault happen, waits until all that follows of it is over, and takes up what
//     was written meanwhile in the order of the connections
//   - chance: tokens and pauses are drawn from the seed (internal/random), and so is each delay of the network
//   - the runtime of Go, which chooses among ready cases, and has goroutines give way by the wall clock: the simulation runs in processes
//     of its own, with one P, whose runtime has a few lines changed (runtime_test.go)
//
// Each seed is run twice, and both must have one hash. What is found is said with its kind: an invariant of docs/guarantees.md (I1, I2, …),
// "model" where the server answers otherwise than the model of a lock, "register" where a write was lost, "stuck" where somebody waits for too
// long after the last fault, "growth" and "goroutine" for what is left at the end. Where A1 or A2 of docs/guarantees.md did not hold, since
// the plan had the server lose data or its clock stepped, who asked before that is excused.
//
//	make simulate N=10000    searches
//	make simulate SEED=7     shows one run
//
// All of it is in test files: a package below internal/ does not know the root, and this one drives it.
package simulation
