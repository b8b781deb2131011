package redislock

import "time"

// Script is a script's digest and text, by the name of its file: for tests that tell requests apart on their way to
// the server, or load scripts beforehand.
func Script(name string) (digest, text string) {
	s := map[string]*script{
		"acquire": scriptAcquire, "acquire_own": scriptAcquireOwn, "release": scriptRelease, "renew": scriptRenew,
		"check": scriptCheck, "break": scriptBreak, "inspect": scriptInspect, "watch": scriptWatch, "ask": scriptAsk, "preflight": scriptPreflight,
		"probe": scriptProbe, "convert": scriptConvert, "resume": scriptResume, "weak_release": scriptWeakRelease, "record": scriptRecord,
		"recall": scriptRecall, "confirm": scriptConfirm, "erase": scriptErase,
	}[name]
	return s.digest, s.text
}

// Brief is how long a hold may have been so that its release tries the plain command first.
const Brief = brief

// WithJitter decides what is random in the times of a Client's checks.
func WithJitter(jitter func(time.Duration) time.Duration) ClientOption {
	return func(c *config) error {
		c.jitter = jitter
		return nil
	}
}
