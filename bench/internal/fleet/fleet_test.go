package fleet

import (
	"math"
	"testing"
)

// some are invented costs, as the formulas are true for any.
var some = Cost{Request: 12e-6, Renewal: 8e-6, Pair: 20e-6, Handoff: 50e-6}

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got/want-1) > within {
		t.Errorf("%s: the simulation says %.6g, the formula %.6g", what, got, want)
	}
}

func TestFormulasAndSimulationAgree(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]Fleet{
		"each renewal alone":       {Held: 20000, Lease: 1.5, Shards: 2, Together: 1, Trip: 1e-3, Cost: some},
		"together":                 {Held: 70000, Lease: 1.5, Shards: 2, Together: 50, Trip: 1e-3, Cost: some},
		"with pairs and hand-offs": {Held: 20000, Lease: 3, Shards: 3, Together: 4, Pairs: 30000, Handoffs: 9000, Trip: 1e-4, Cost: some},
		"nearly idle":              {Held: 300, Lease: 3, Shards: 1, Together: 1, Trip: 1e-3, Cost: some},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := f.Simulate(4*f.Lease, Trouble{}, 1)
			near(t, "utilisation", r.Utilisation, f.Utilisation(), 0.03)
			near(t, "mean latency", r.Mean, f.MeanLatency(), 0.08)
			near(t, "renewals", float64(r.Renewals), f.Renewals()*(4*f.Lease-f.Lease/3), 0.03)
			if r.Lost > 0 || r.Resent > 0 {
				t.Errorf("%d lost, %d sent again", r.Lost, r.Resent)
			}
		})
	}
}

// At the limit of 0.8 all renewals are in time, and with 1.3 times as many locks they are not.
func TestTheLimitIsOne(t *testing.T) {
	t.Parallel()
	f := Fleet{Lease: 0.6, Shards: 1, Together: 1, Pairs: 500, Trip: 1e-3, Cost: some}
	const long = 15 // leases
	f.Held = math.Floor(f.Limit(0.8))
	near(t, "utilisation there", f.Utilisation(), 0.8, 0.001)
	if r := f.Simulate(long*f.Lease, Trouble{}, 2); r.Lost > 0 || r.Resent > 0 || r.Max > f.Lease/20 {
		t.Errorf("at the limit: %+v", r)
	}
	f.Held = math.Floor(1.3 * f.Held)
	if r := f.Simulate(long*f.Lease, Trouble{}, 2); r.Lost == 0 || r.Max < f.Lease/2 {
		t.Errorf("past the limit: %+v", r)
	}
	if !math.IsInf(f.MeanLatency(), 1) {
		t.Error("past the limit a latency has an end")
	}
}

func TestAnOutageThatIsShortEnoughCostsNoLock(t *testing.T) {
	t.Parallel()
	f := Fleet{Held: 60000, Lease: 3, Shards: 1, Together: MaxBatch, Trip: 1e-3, Cost: some}
	const spread = 0.1
	bound := f.Outage(spread)
	if bound < 1 || bound > 2 {
		t.Fatalf("the bound is %v", bound)
	}
	for part, lose := range map[float64]bool{0.97: false, 1.3: true} {
		r := f.Simulate(6*f.Lease, Trouble{At: 2 * f.Lease, For: part * bound, Spread: spread}, 3)
		if (r.Lost > 0) != lose {
			t.Errorf("away for %.2f of the bound: %+v", part, r)
		}
	}
}

func TestWhatIsLostIsGivenBack(t *testing.T) {
	t.Parallel()
	costs := some
	costs.Release = 10e-6
	f := Fleet{Held: 60000, Lease: 3, Shards: 1, Together: 30, Each: 1000, Trip: 1e-3, Cost: costs}
	r := f.Simulate(8*f.Lease, Trouble{At: 2 * f.Lease, For: f.Lease, Spread: 0.1, Doubt: 0.5}, 3)
	if r.Lost < 55000 || r.GivenBack != r.Lost {
		t.Errorf("of %v locks %d were lost in an outage of a lease, and %d given back", f.Held, r.Lost, r.GivenBack)
	}
	if work := 60000 * 10e-6; r.Queue > work || r.Calm == 0 || r.Calm > work+1 {
		t.Errorf("%v s of work waited, until %v s after it", r.Queue, r.Calm)
	}
	if r := f.Simulate(8*f.Lease, Trouble{At: 2 * f.Lease, For: f.Lease / 6, Spread: 0.1, Doubt: 0.5}, 3); r.Lost > 0 || r.GivenBack > 0 {
		t.Errorf("in a short one: %+v", r)
	}
}

func TestRenewalsThatAreDueSoonAfterOneAnotherShareARequest(t *testing.T) {
	for _, c := range []struct {
		locks  float64
		shards int
		want   int
	}{{1, 1, 1}, {31, 1, 1}, {1000, 1, 31}, {1000, 6, 5}, {1e6, 1, MaxBatch}} {
		if got := Together(c.locks, c.shards); got != c.want {
			t.Errorf("%v locks on %d shards: %d in a request, want %d", c.locks, c.shards, got, c.want)
		}
	}
}

func TestSmallFleetsNeedOneShard(t *testing.T) {
	t.Parallel()
	f := Fleet{Held: 10, Lease: 30, Shards: 7, Cost: some}
	if n := f.Needed(0.5); n != 1 {
		t.Errorf("%d shards", n)
	}
	f.Held = f.Limit(0.5) // of seven
	if n := f.Needed(0.5); n != 7 {
		t.Errorf("%d shards, not the seven", n)
	}
	f.Pairs = 1e9
	if l := f.Limit(0.5); l != 0 {
		t.Errorf("%v locks beside too many pairs", l)
	}
}

func TestTheSameSeedGivesTheSameResult(t *testing.T) {
	t.Parallel()
	f := Fleet{Held: 2000, Lease: 1, Shards: 2, Together: 3, Pairs: 1000, Handoffs: 100, Trip: 1e-3, Cost: some}
	if a, b := f.Simulate(3, Trouble{}, 4), f.Simulate(3, Trouble{}, 4); a != b {
		t.Errorf("%+v, %+v", a, b)
	}
}
