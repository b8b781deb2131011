// Package protocol has the data that a Client and Redis exchange, as values: keys and channels, tokens, requests, replies,
// messages, and the server's time. It does no I/O and reads no clock. docs/protocol.md describes it, and lua/ is the other side.
//
//	names, tokens ──▶ request ──▶ (lua/) ──▶ Reply, Fields ──▶ a grant, a place, a refusal
//	                                   └───▶ Message ──▶ a hint, believed only within what a true one can say (I9)
//
// If a value cannot be read, the result is an error that names the key (I11), never a zero value.
package protocol

import (
	"strconv"
	"strings"
)

// Keys has the keys and channels of a prefix. The braces keep all of one name on one shard.
type Keys string

// The kinds of keys beside locks, behind the prefix.
const WeakKind, DedupeKind, RecordKind = ":w", ":d", ":r"

// Lock is where a lock lives.
func (k Keys) Lock(name string) string { return k.of("", name) }

// Weak is where a weak lock lives, dedupe a key of First, record what is remembered of a name.
func (k Keys) Weak(name string) string   { return k.of(WeakKind, name) }
func (k Keys) Dedupe(name string) string { return k.of(DedupeKind, name) }
func (k Keys) Record(name string) string { return k.of(RecordKind, name) }

// Announced is where a job is announced that has no record yet. The key is beside that of the record. So a user with the right to
// one has the right to the other, and one scan finds both.
func (k Keys) Announced(name string) string { return k.Record(name) + AnnouncedTail }

// AnnouncedTail is what follows the brace in Announced.
const AnnouncedTail = ":announced"

func (k Keys) of(kind, name string) string { return string(k) + kind + ":{" + Escape(name) + "}" }

// Probe is a key that no name maps to: '%' is always followed by a code.
func (k Keys) Probe() string { return string(k) + ":{%}" }

// ProbeAt is one of several keys of the probe, on a cluster in slots of their own. The first is Probe.
func (k Keys) ProbeAt(number int) string { return string(k) + ":" + probeTag(number) }

func probeTag(number int) string {
	if number == 0 {
		return "{%}"
	}
	return "{%-" + strconv.Itoa(number) + "}"
}

// IsProbe reports whether what stands between the braces of a key is that of the probe.
func IsProbe(escaped string) bool { return escaped == "%" || strings.HasPrefix(escaped, "%-") }

// Wake is the channel of one Client, by its token.
func (k Keys) Wake(token string) string { return string(k) + ":c:" + token }

// Broadcasts is the channel of all Clients of the prefix.
func (k Keys) Broadcasts() string { return string(k) + ":n" }

// Changes is the channel on which the watchers of a lock are told that it has changed (lua/state.lua).
func (k Keys) Changes(name string) string { return string(k) + ":n:{" + Escape(name) + "}" }

// LockChannel is the wake channel of one Client for one lock, in the slot of the lock (lua/state.lua).
func LockChannel(wake, name string) string { return wake + ":{" + Escape(name) + "}" }

// ProbeChannel is LockChannel for a key of the probe.
func ProbeChannel(wake string, number int) string { return wake + ":" + probeTag(number) }

// Escape makes names with braces and percent signs safe inside the braces of a hash tag, and keeps different names
// different.
var Escape = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D").Replace

// Unescape is the name that was escaped.
var Unescape = strings.NewReplacer("%25", "%", "%7B", "{", "%7D", "}").Replace
