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
// It has three uses: the tests of this package search all states that it can reach with a few Clients, with each rule and without;
// an [Acceptor] replays what a server executes, and says where the model answers something else (internal/conformance listens to
// embedded servers for it); and the tests of lua/ have it beside the scripts in random histories. torture/model is a second model, in
// another language, written apart from this one.
package model
