package protocol

import (
	"encoding/base64"

	"example.com/redislock/internal/random"
)

// Tokens and nonces are asked of the system each time, and never kept in a buffer: two processes that go on from one
// snapshot of a machine must not have the same, since a token is used for one wait only.

// The lengths of what is written in keys and messages, in characters.
const (
	TokenLength = 22  // characters of 128 bits
	NonceLength = 16  // characters of 96 bits
	FenceLength = 16  // digits
	TurnsMark   = '~' // what the nonce of a hold begins with whose owner takes turns: TURNS of lua/layout.lua
	tokenBytes  = 16
	nonceBytes  = 12
)

// NewToken names a wait. It is used once.
func NewToken() string {
	var bits [tokenBytes]byte
	random.Read(bits[:])
	var text [TokenLength]byte
	base64.RawURLEncoding.Encode(text[:], bits[:])
	return string(text[:])
}

// NewTokenAndNonce returns a token, and a nonce that only a reader of the lock's key can know.
func NewTokenAndNonce() (token, nonce string) {
	var bits [tokenBytes + nonceBytes]byte
	random.Read(bits[:])
	var text [TokenLength + NonceLength]byte
	base64.RawURLEncoding.Encode(text[:TokenLength], bits[:tokenBytes])
	base64.RawURLEncoding.Encode(text[TokenLength:], bits[tokenBytes:])
	both := string(text[:])
	return both[:TokenLength], both[TokenLength:]
}
