package protocol

import "time"

// GrantMessage is the content of a message of a grant: fence16 at16 lease8.
type GrantMessage struct {
	Fence string
	At    Micros
	Lease time.Duration
}

func ParseGrant(text string) (g GrantMessage, ok bool) {
	if len(text) != FenceLength+16+8 {
		return g, false
	}
	f := Fields{Values: []any{text[16:32], text[32:]}}
	g = GrantMessage{Fence: text[:FenceLength], At: f.Micros(0), Lease: f.Lease(1).Sub(0)}
	_, err := ParseMicros(g.Fence)
	return g, err == nil && f.Err == nil
}
