package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"math"
	"text/template"
	"time"

	"example.com/redislock"
	"example.com/redislock/bench/internal/fleet"
	"example.com/redislock/bench/internal/peer"
)

//go:embed scale.md.tmpl
var scaleText string

// planned is how busy a shard is planned to be with renewals. At one half, a renewal of all locks of the shard at once takes a sixth
// of the lease, after which a renewal without an answer is sent once more.
const planned = 0.5

// busiest is how busy a shard may be at most: above it, a queue of requests does not end in useful time.
const busiest = 0.8

const (
	network      = 1e9 / 8 // bytes per second, of a link of 1 Gbit/s: an assumption, said on the page
	locksEach    = 1000    // of a Client: an assumption, said on the page
	resubscribed = 1.0     // seconds within which all Clients have subscribed anew: the longest pause between two attempts
	election     = 1.0     // seconds that a cluster's replicas take to agree: 0.5 to 1 of delay by its specification
	mostDoubt    = 5.0     // seconds within which a Client renews all that it holds after that, or a sixth of the lease if that is less
	manyClients  = 10_000  // of a large fleet
	checkPause   = 1.75    // seconds from one check of a wait to the next: two, less up to a quarter at random

	// What a key outlives its last grant by, in seconds: at the defaults, and at the shortest retention (docs/protocol.md).
	keptFor   = 4600.0
	keptLeast = float64((redislock.DefaultLease + redislock.MinRetention + 100*time.Second) / time.Second)

	standard  = float64(redislock.DefaultLease / time.Second)
	shrink    = 30                     // leases are shorter by this factor in the simulation, and locks fewer: the load is the same
	simulated = 12 * standard / shrink // seconds
)

// scale has the data of the template.
type scale struct {
	Run     *Run
	Cost    fleet.Cost
	figures map[string]float64

	Core    []rate
	Holds   []holdRow
	Limits  []limit
	Sizes   []size
	Needs   []need
	Outages []outage
	Losses  []absence
	Crowds  []crowd
	Proofs  []proof

	LossBusy     float64 // how busy the shard is before the outage
	LossTogether int     // renewals in a request there
	ManyClients  float64

	BacklogSeconds float64 // that the replication backlog of a core as busy as planned has
	Tight          bool    // a default failover takes longer than the default lease bears
	NodeTimeout    float64 // seconds, of a cluster's node by default
	Backlog        float64 // bytes
	Shrink         int
	Kept, Least    float64 // seconds that a free name is remembered: at the defaults, and at the least
	Waits          float64 // names with waiters on a core that is as busy as planned
	Fresh          float64 // fresh names per second, for an example
	Lease          float64 // seconds
	LocksEach      float64
}

type rate struct {
	What           string
	Micros, PerSec float64
	In, Out        float64 // bytes
}

type holdRow struct {
	Lease                 time.Duration
	Alone, Each, Together float64 // locks on a core that is as busy as planned, by how many renewals share a request
}

// limit is a resource of a shard, and how much of it a lock takes.
type limit struct {
	What  string
	Has   string
	Locks float64 // how many locks use it up
	Do    string
}

type use struct {
	What  string
	Share float64
}

type size struct {
	Held, Renewals  float64
	Clients         float64
	Memory          float64 // bytes, on all servers together
	In, Out, Stream float64 // bytes per second, likewise
	Connections     float64 // to each master
	ClientMemory    float64 // bytes
	Shards          int
	Uses            []use // of one master
	First, Next     use   // the resource that is used up first, and the one that is used up next even with enough shards
	Do, DoNext      string
}

type need struct {
	Held   float64
	Shards []int
}

type outage struct {
	Lease time.Duration
	Away  float64
}

// absence is the result of an outage of a shard.
type absence struct {
	Away float64
	fleet.Result
}

// crowd is a fleet of many Clients with a few locks each.
type crowd struct {
	Each, Held, Renewals float64
	Together             int
	Busy                 float64 // cores
	Shards               int
}

type proof struct {
	What    string
	Formula float64
	fleet.Result
}

// figure is the median of a quantity of the section footprint; the page cannot be made without it.
func (s *scale) figure(quantity string, x float64) (float64, error) {
	m := s.Run.median("footprint", peer.Ours, quantity, x)
	if math.IsNaN(m) {
		return 0, fmt.Errorf("scale.md needs %q at %g of the section footprint, which this run has not measured", quantity, x)
	}
	return m, nil
}

// ScalePage is docs/scale.md.
func (r *Run) ScalePage() ([]byte, error) {
	s := &scale{Run: r, figures: map[string]float64{}}
	if err := s.read(); err != nil {
		return nil, err
	}
	s.compute()
	s.crowd()
	s.lose()
	s.prove()
	page, err := template.New("scale").Funcs(template.FuncMap{
		"n": number, "whole": thousands, "count": func(v int) string { return thousands(float64(v)) }, "f": func(name string) float64 { return s.figures[name] },
		"pct": percent, "bytes": size1024, "ms": func(v float64) string { return number(v * 1e3) }, "div": func(a, b float64) float64 { return a / b },
		"mul": func(a, b float64) float64 { return a * b }, "rough": rough, "known": func(v float64) bool { return !math.IsNaN(v) }, "span": span,
	}).Parse(scaleText)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = page.Execute(&out, s)
	return out.Bytes(), err
}

// read takes the figures from the log.
func (s *scale) read() error {
	for name, at := range map[string]struct {
		quantity string
		x        float64
	}{
		"renewal alone":    {"server CPU µs per renewal", 1},
		"renewal together": {"server CPU µs per renewal", fleet.MaxBatch},
		"renewal script":   {"server script µs per renewal", fleet.MaxBatch},
		"replicated":       {"server CPU µs per renewal, with a replica", fleet.MaxBatch},
		"renewal in":       {"bytes to the server per renewal", 0},
		"renewal out":      {"bytes from the server per renewal", 0},
		"stream":           {"replication bytes per renewal", 0},
		"pair alone":       {"server CPU µs per pair", 1},
		"pair":             {"server CPU µs per pair", 256},
		"pair in":          {"bytes to the server per pair", 256},
		"pair out":         {"bytes from the server per pair", 256},
		"hand-off":         {"server CPU µs per hand-off", 32},
		"hand-off in":      {"bytes to the server per hand-off", 32},
		"hand-off out":     {"bytes from the server per hand-off", 32},
		"per request":      {"renewals per request", 1500},
		"client CPU":       {"client CPU µs per renewal, as they come", 1500},
		"connections":      {"connections of a Client that renews", 1500},
		"check":            {"server CPU µs per check", 2000},
		"lock":             {"server bytes per lock", 20000},
		"free name":        {"server bytes per free name", 20000},
		"waiter":           {"server bytes per waiter", 5000},
		"connection":       {"server bytes per connection", 500},
		"connect":          {"server CPU µs per connection", 500},
	} {
		var err error
		if s.figures[name], err = s.figure(at.quantity, at.x); err != nil {
			return err
		}
	}
	// This is measured elsewhere, and may be missing.
	s.figures["KiB per lock"] = s.Run.median("holding", peer.Ours, "KiB per lock", 100_000)
	s.figures["trip"] = s.Run.median("pair", floorPing, "µs per pair", 0) / 2
	if math.IsNaN(s.figures["trip"]) {
		s.figures["trip"] = 0
	}
	alone, together := s.figures["renewal alone"], s.figures["renewal together"]
	request := max(0, alone-together) / (1 - 1.0/fleet.MaxBatch)
	s.Cost = fleet.Cost{
		Request: request / 1e6, Renewal: (min(alone, together) - request/fleet.MaxBatch) / 1e6,
		Pair: s.figures["pair"] / 1e6, Handoff: s.figures["hand-off"] / 1e6,
		Release: s.figures["pair"] / 2e6,
	}
	return nil
}

// percent writes a share.
func percent(v float64) string {
	if v < 0.001 {
		return "< 0.1 %"
	}
	if v < 0.1 {
		return fmt.Sprintf("%.1f %%", 100*v)
	}
	if v >= 2 {
		return "**" + number(v) + " times**"
	}
	return thousands(100*v) + " %"
}

// size1024 writes bytes.
func size1024(v float64) string {
	for _, unit := range []string{"bytes", "KiB", "MiB", "GiB"} {
		if v < 1024 {
			return number(v) + " " + unit
		}
		v /= 1024
	}
	return number(v) + " TiB"
}

// rough writes a large number with two significant digits.
func rough(v float64) string {
	if v <= 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return number(v)
	}
	unit := math.Pow(10, math.Floor(math.Log10(v))-1)
	return thousands(math.Floor(v/unit+1e-9) * unit)
}

// span writes a duration without the zeros behind it.
func span(d time.Duration) string {
	if d >= time.Minute && d%time.Minute == 0 {
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%g s", d.Seconds())
}
