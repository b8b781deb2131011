package protocol

import (
	"encoding/base64"
	"testing"
	"testing/cryptotest"
)

// Two processes that go on from one snapshot have the same memory. They get different tokens because the system gives
// them different bits, and no bits were drawn before. So here, where the system gives the same bits again, the token
// must be the same too.
func TestTokensAreDrawnFreshFromTheSystem(t *testing.T) {
	for name, draw := range map[string]func() string{
		"token":           NewToken,
		"token and nonce": func() string { token, nonce := NewTokenAndNonce(); return token + nonce },
	} {
		cryptotest.SetGlobalRandom(t, 1)
		first := draw()
		if second := draw(); second == first {
			t.Errorf("%s: %s twice", name, first)
		}
		cryptotest.SetGlobalRandom(t, 1)
		if again := draw(); again != first {
			t.Errorf("%s: %s, then %s of the same bits: some were kept", name, first, again)
		}
	}
}

func TestEveryBitOfATokenIsRandom(t *testing.T) {
	bits := func(text string) []byte {
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	var ones, zeros [tokenBytes + nonceBytes]byte
	for range 64 {
		token, nonce := NewTokenAndNonce()
		if len(token) != 22 || len(nonce) != 16 {
			t.Fatalf("%q, %q", token, nonce)
		}
		for i, b := range append(bits(token), bits(nonce)...) {
			ones[i], zeros[i] = ones[i]|b, zeros[i]|^b
		}
	}
	for i := range ones {
		if ones[i] != 0xff || zeros[i] != 0xff { // by chance once in 2^54
			t.Errorf("byte %d: some bits are always the same: %08b, %08b", i, ones[i], zeros[i])
		}
	}
}
