package redislock

import (
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/lua"
)

// Script is a script's digest and text, by the name of its file. It is for tests that tell requests apart on their
// way to the server, or that load scripts beforehand.
func Script(name string) (digest, text string) {
	s := map[string]*lua.Script{
		"acquire": lua.Acquire, "acquire_own": lua.AcquireOwn, "release": lua.Release, "renew": lua.Renew, "keep": lua.Keep,
		"check": lua.Check, "break": lua.Break, "inspect": lua.Inspect, "watch": lua.Watch, "ask": lua.Ask, "limit": lua.Limit, "preflight": lua.Preflight,
		"probe": lua.Probe, "convert": lua.Convert, "resume": lua.Resume, "weak_release": lua.WeakRelease, "record": lua.Record,
		"recall": lua.Recall, "confirm": lua.Confirm, "erase": lua.Erase,
	}[name]
	return s.Digest, s.Text
}

// Wire is a mode as it is sent to Redis.
func Wire(m Mode) protocol.Mode { return m.wire }

// Brief is how long a hold may have lasted for its release to try the plain command first.
const Brief = briefHold

// WithJitter sets the random part of the times of a Client's checks.
func WithJitter(jitter func(time.Duration) time.Duration) ClientOption {
	return func(c *config) error {
		c.jitter = jitter
		return nil
	}
}
