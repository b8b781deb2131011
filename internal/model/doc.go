// Package model is a lock as a plain state machine: the rules of docs/protocol.md, without I/O, clock, layout or speed. Read lock.go
// first, then acquire.go and grant.go; the rules of each request stand in one file.
//
//	Execute(lock, request, instant) ──▶ lock, answer, messages
//
// What a token goes through on the server:
//
//	            ┌──────────── acquire, the lock is free ────────────┐
//	            │                                                   ▼
//	nothing ────┤                                    ┌──▶ hold ── renew, check, confirm ──┐
//	            │                                    │    │  ▲                            │
//	            └─ acquire ──▶ place ── its turn: ───┘    │  └────────────────────────────┘
//	                             │      a claim           │
//	                             │                        ├── renew for the last time ──▶ kept, until its deadline
//	                             │                        ├── a steal ──▶ revoked, until its owner gives it up, or its deadline
//	                             │                        ├── resume ──▶ a hold of another token
//	                             ▼                        ▼
//	                  released (cancelled),     released, lapsed, broken
//	                  or its Client is silent
//	                             └──── a tombstone, where a late copy of the acquire may come ────┘
//
// Time is the server's, and each request reads it once. A deadline that passes changes nothing by itself: the next request that looks
// finds it so. The loss of all data is Forgotten.
//
// # Uses
//
//   - Its tests search all states that it can reach with a few Clients and every fault that a rule is against, with all rules and
//     with any one left out (rules.go, configs_test.go).
//   - An [Acceptor] replays what a server executes, and says where the model answers something else. Package conformance has it listen to
//     embedded servers in the tests of the root, of lua/ and in the simulation, and to real ones in torture.
//   - A [History] makes up what Clients may send, for the tests of the scripts and of their fast paths.
//
// torture/model is a second model, in another language, written apart from this one.
package model
