package memo

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"example.com/redislock/internal/clock"
)

func minute() clock.Bound { return clock.Bound{From: time.Now(), Span: time.Minute} }

func TestASuccessIsKnownUntilItIsOverOrReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Memo
		if !m.Remember("a", m.Now(), minute()) || !m.Remember("b", m.Now(), minute()) {
			t.Error("what was seen just now is not certain")
		}
		m.Forget("a")
		if known, _ := m.Known("a"); known {
			t.Error("known after its reset")
		}
		if known, certain := m.Known("b"); !known || !certain {
			t.Errorf("b: known %v, certain %v", known, certain)
		}
		time.Sleep(time.Minute)
		if known, _ := m.Known("b"); known {
			t.Error("known after it is over")
		}
	})
}

// A value that was read before a reset, or before a subscription that may have missed a reset, is not certain
// afterwards.
func TestWhatWasReadBeforeAResetIsNotBelieved(t *testing.T) {
	var m Memo
	since := m.Now()
	m.Forget("other")
	m.Remember("a", since, minute())
	if known, _ := m.Known("a"); known {
		t.Error("a success is known that may have been reset since it was read")
	}
	since = m.Now()
	m.Doubt()
	if m.Remember("a", since, minute()) {
		t.Error("certain, though a reset may have been missed since it was read")
	}
	if known, certain := m.Known("a"); !known || certain {
		t.Errorf("known %v, certain %v", known, certain)
	}
}

func TestADoubtMakesAllUncertainAndHasAFewLookedUp(t *testing.T) {
	var m Memo
	for i := range maxChecked {
		m.Remember(fmt.Sprint(i), m.Now(), minute())
	}
	if names := m.Doubt(); len(names) != maxChecked {
		t.Errorf("%d are looked up at once", len(names))
	}
	m.Remember("one more", m.Now(), minute())
	if names := m.Doubt(); len(names) != 0 {
		t.Errorf("%d are looked up at once, though there are many", len(names))
	}
	for i := range most {
		m.Remember(fmt.Sprint("many", i), m.Now(), minute())
	}
	if len(m.done) > most {
		t.Errorf("%d are remembered", len(m.done))
	}
}

func TestOneLookAtANameIsUnderWayAtATime(t *testing.T) {
	var m Memo
	if looked, done := m.Look("a"); done != nil {
		t.Error("a name that is not known is looked up")
	} else {
		<-looked
	}
	for _, test := range []struct {
		name           string
		found          bool
		err            error
		known, certain bool
	}{
		{"found", true, nil, true, true},
		{"not found", false, nil, false, false},
		{"no answer", false, errors.New("no answer"), true, false},
	} {
		m.Remember("a", m.Now(), minute())
		m.Doubt()
		looked, done := m.Look("a")
		again, second := m.Look("a")
		if done == nil || second != nil || again != looked {
			t.Fatalf("%s: two looks at once", test.name)
		}
		done(test.found, minute(), test.err)
		<-looked
		if known, certain := m.Known("a"); known != test.known || certain != test.certain {
			t.Errorf("%s: known %v, certain %v", test.name, known, certain)
		}
	}
	m.Remember("a", m.Now(), minute())
	_, done := m.Look("a")
	m.Forget("a")
	m.Remember("a", m.Now(), minute())
	done(false, clock.Bound{}, nil)
	if known, _ := m.Known("a"); !known {
		t.Error("a look from before a reset has spoilt what is known since")
	}
}
