package redislock

import (
	"crypto/rand"
	"encoding/base64"
)

// Tokens and nonces are asked of the system each time, and never kept in a buffer: two processes that go on from one
// snapshot of a machine must not have the same, since a token is used for one wait only.

const (
	tokenLength = 22 // characters of 128 bits
	nonceLength = 16 // characters of 96 bits
	tokenBytes  = 16
	nonceBytes  = 12
)

// newToken names a wait. It is used once.
func newToken() string {
	var bits [tokenBytes]byte
	_, _ = rand.Read(bits[:]) // it does not fail: it ends the program instead
	var text [tokenLength]byte
	base64.RawURLEncoding.Encode(text[:], bits[:])
	return string(text[:])
}

// newTokenAndNonce is a token, and what only a reader of the lock's key can know beside it.
func newTokenAndNonce() (token, nonce string) {
	var bits [tokenBytes + nonceBytes]byte
	_, _ = rand.Read(bits[:])
	var text [tokenLength + nonceLength]byte
	base64.RawURLEncoding.Encode(text[:tokenLength], bits[:tokenBytes])
	base64.RawURLEncoding.Encode(text[tokenLength:], bits[tokenBytes:])
	both := string(text[:])
	return both[:tokenLength], both[tokenLength:]
}
