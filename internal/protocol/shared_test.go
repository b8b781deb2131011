package protocol

import (
	"testing"
	"time"
)

func TestASharedRecordSaysWhatWasWritten(t *testing.T) {
	if k := ParseShared(SharedValue("v 1"), time.Minute); k.Text != "v 1" || k.Left != time.Minute || k.Failure != nil {
		t.Errorf("a value: %+v", k)
	}
	f := Failure{Owner: "api\nnode\n1\n", Text: "no answer", Code: "\x00\x01"}
	text, life := SharedFailure(f, Shared{Text: "old", Left: time.Minute}, time.Second)
	if life != time.Minute {
		t.Errorf("a record with a value of a minute lives for %v", life)
	}
	if k := ParseShared(text, life); k.Text != "old" || k.Left != time.Minute || k.Failure == nil || *k.Failure != f {
		t.Errorf("a failure beside a value: %+v", k)
	}
	if k := ParseShared(text, life-time.Second); k.Text != "old" || k.Left != 59*time.Second || k.Failure != nil {
		t.Errorf("the same when the failure is over: %+v", k)
	}
	text, life = SharedFailure(f, Shared{Text: "over"}, 2*time.Second)
	if k := ParseShared(text, life); life != 2*time.Second || k.Text != "" || k.Left != 0 || k.Failure == nil {
		t.Errorf("a failure alone: %+v for %v", k, life)
	}
	for _, bad := range []string{"", "x", "e", "e" + text[1:20], "e             -1" + text[15:], text[:60]} {
		if k := ParseShared(bad, time.Minute); k.Text != "" || k.Left != 0 || k.Failure != nil {
			t.Errorf("%q says %+v", bad, k)
		}
	}
}
