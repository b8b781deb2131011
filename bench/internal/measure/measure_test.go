package measure

import (
	"encoding/json"
	"math"
	"testing"
)

func TestQuantilesAndFairness(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		got, want float64
	}{
		{Median([]float64{3, 1, 2}), 2},
		{Median([]float64{4, 1, 2, 3}), 2.5},
		{Quantile([]float64{1, 2, 3, 4, 5}, 0), 1},
		{Quantile([]float64{5, 4, 3, 2, 1}, 1), 5},
		{Jain([]float64{7, 7, 7}), 1},
		{Jain([]float64{9, 0, 0, 0}), 0.25},
	} {
		if math.Abs(c.got-c.want) > 1e-9 {
			t.Errorf("%v, not %v", c.got, c.want)
		}
	}
	if !math.IsNaN(Median(nil)) || !math.IsNaN(Jain(nil)) {
		t.Error("nothing has a median or a fairness")
	}
}

func TestALogIsTheSameAfterAFile(t *testing.T) {
	t.Parallel()
	var l Log
	k := Key{"pair", "a", "µs", 2}
	l.Add(k, 1, 3)
	l.Add(Key{"pair", "b", "µs", 1}, 5)
	l.Add(k, 2)
	text, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	var again Log
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if m := again.Median(k); m != 2 {
		t.Errorf("the median is %v", m)
	}
	if s := again.Subjects("pair"); len(s) != 2 || s[0] != "a" {
		t.Errorf("subjects %v", s)
	}
	if x := again.Xs("pair", "µs"); len(x) != 2 || x[0] != 1 {
		t.Errorf("places %v", x)
	}
}

func TestEverybodyTakesEachTurn(t *testing.T) {
	t.Parallel()
	var order string
	Interleave(3, []string{"a", "b", "c"}, func(s string) { order += s })
	if order != "abcbcacab" {
		t.Error(order)
	}
}
