package report

import (
	"math"
	"strings"
	"testing"

	"example.com/redislock/bench/internal/measure"
)

// The invented renewal takes 20 µs alone and 10 µs in a request of 256.
func TestScaleIsComputedFromTheFigures(t *testing.T) {
	t.Parallel()
	s := &scale{Run: invented(), figures: map[string]float64{}}
	if err := s.read(); err != nil {
		t.Fatal(err)
	}
	s.compute()
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got/want-1) > 1e-6 {
			t.Errorf("%s: %v, not %v", what, got, want)
		}
	}
	near("locks of a core, alone", s.Holds[0].Alone, 0.5*10/20e-6)
	near("locks of a core, together", s.Holds[0].Together, 0.5*10/10e-6)
	near("memory of a master", s.Limits[1].Locks, 4*(1<<30)/450.0)
	near("Clients of a master", s.Limits[3].Locks, 10000/10*1000)
	for i, want := range []struct {
		first, next string
		shards      int
	}{
		{byProcessor, "", 1},
		{byProcessor, "", 3}, // 100,000 renewals per second, of a Client 31 or fewer in a request: 10.3 to 11 µs each, twice
		{byProcessor, byConnections, 400},
	} {
		z := s.Sizes[i]
		if z.First.What != want.first || z.Next.What != want.next || z.Shards != want.shards {
			t.Errorf("%v locks: %+v", z.Held, z)
		}
	}
	near("outage", s.Outages[1].Away, 20-1-0.5*10/20e-6*10e-6)
	if s.Tight {
		t.Error("16.5 s are enough for a timeout of 15 s and a second")
	}
}

func TestThePageOfScaleHasNoHoles(t *testing.T) {
	t.Parallel()
	page, err := invented().ScalePage()
	if err != nil {
		t.Fatal(err)
	}
	for _, hole := range []string{"NaN", "<no value>", "%!", "Inf"} {
		if strings.Contains(string(page), hole) {
			t.Errorf("the page has %q", hole)
		}
	}
}

func TestScaleSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	r := invented()
	r.change(t, measure.Key{Section: "footprint", Subject: "redislock", Quantity: "server bytes per lock", X: 20000})
	if err := r.Write(t.TempDir()); err == nil || !strings.Contains(err.Error(), "server bytes per lock") {
		t.Errorf("%v", err)
	}
}

func TestNumbersAreShort(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{
		0: "0", 0.00123: "0.0012", 0.5: "0.500", 1.234: "1.23", 45.67: "45.7", 999.9: "1,000", 1234567: "1,234,567", -1234: "-1,234",
	} {
		if got := number(v); got != want {
			t.Errorf("%v is written %q, not %q", v, got, want)
		}
	}
	if got := rough(27345); got != "27,000" {
		t.Error(got)
	}
	if got := size1024(3 << 30); got != "3.00 GiB" {
		t.Error(got)
	}
}
