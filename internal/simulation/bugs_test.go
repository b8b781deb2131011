package simulation_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var bring = flag.String("bugs", "", "bring these bugs back, one at a time, and say after how many seeds each is found: all, or names with commas between")

// bug is a bug that the library had, or would have without a rule. It is given as the right line and the wrong one, without the file,
// so that the line is found again when files are moved.
type bug struct {
	name, what string
	was, is    string
	seed       uint64 // the seed of a bug that the simulation itself has found
	mended     string // the commit that mended it
}

// bugs are the bugs that the simulation must find.
var bugs = slices.Concat(singleBugs, quorumBugs)

var singleBugs = []bug{
	{"no-own-resends", "go-redis sends a request again by itself, and nobody knows that a copy of it may be on its way", "func (Command) NoRetry() bool { return true }", "func (Command) NoRetry() bool { return false }", 0, ""},
	{"no-tombstone", "a token that is given up leaves nothing against a late copy of its acquire", "if ARGV[2] == 'tombstone' then lay_tombstone(token, '') end", "", 0, ""},
	{"unanswered-forgotten", "an attempt without an answer counts as never sent", "	if !Answered(err) && !Unsent(err) {\n		c.Answer.Unanswered = true\n	}\n", "", 0, ""},
	{"late-reply-kept", "a grant that comes when its caller has gone is not given back (a tombstone refuses it, unless the server has forgotten the tombstone)", "			if a.Err == nil {\n				undo()\n			}\n", "\t\t\t_ = undo\n", 0, ""},
	{"place-kept", "a wait that is cancelled keeps its place in the queue", "bool { return a.Joined || a.Granted || a.Unanswered || a.Asking }", "bool { return a.Granted || a.Unanswered || a.Asking }", 0, ""},
	{"same-token", "a wait that lost its place comes back under the same token", "	q.token, q.nonce = token, nonce\n", "	if q.token != nil {\n		token, nonce = q.token.(string), q.nonce\n	}\n	q.token, q.nonce = token, nonce\n", 0, ""},
	{"bound-from-the-answer", "the bound of a lock is counted from the answer, not from the request", "	return Within(sent, deadline.Sub(now), margin)\n", "	return Within(time.Now(), deadline.Sub(now), margin)\n", 0, ""},
	{"bound-too-late", "a lease is relied on a little longer than the server keeps it", "	return Bound{From: from, Span: span - margin - span/1000}\n", "	return Bound{From: from, Span: span + margin + span/10}\n", 0, ""},
	{"no-acknowledgement", "a stolen hold is gone at once, and not when its owner has given it up", "    stale.state, stale.changed, touched = 'r', true, true\n", "    drop(stale)\n", 0, ""},
	{"renewal-of-the-revoked", "the owner of a stolen hold goes on renewing it", "if hold.state ~= 'r' then return hold end", "if true then return hold end", 0, ""},
	{"claim-for-whole", "a grant by message is believed for the whole lease", "min(g.Lease, protocol.Claim, w.lease)", "max(g.Lease, w.lease)", 0, ""},
	{"fence-is-the-clock", "a fence is the server's time alone, and falls with it", "local function next_fence() return fence < now and now or time16(fence + 1) end", "local function next_fence() return now end", 0, ""},
	{"body-panics", "a panic in the body of Do leaves the lock held", "	defer func() { // also when fn panics\n		err = both(err, lossOf(wrapOp(\"release\", name, l.finish(ctx, true, 0))))\n	}()\n	return true, fn(l.under(ctx))\n", "	err = fn(l.under(ctx))\n	return true, both(err, lossOf(wrapOp(\"release\", name, l.finish(ctx, true, 0))))\n", 0, ""},
	{"release-with-the-context", "a release whose context has ended is not sent", "	ctx = detached(ctx)\n", "	if ctx.Err() != nil {\n		return Answer{Err: ctx.Err()}\n	}\n	ctx = detached(ctx)\n", 0, ""},
	{"observer-panics", "a panic of the observer on a goroutine of the Client ends the process", "if p := recover(); p != nil {\n\t\t\tfault", "if p := any(nil); p != nil {\n\t\t\tfault", 0, ""},
	{"keep-forgets", "ReleaseAfter of a lock that the server has lost leaves nothing against a late copy of its acquire", "if r.Status == \"revoked\" || r.Status == \"gone\" && h.lease.Unanswered() {", "if r.Status == \"revoked\" {", 0, ""},
	{"no-checks", "a waiter sends no checks, so nobody finds out that a message was lost", "	if leaves {\n		cfg.Sender.Enqueue(", "	if false {\n		cfg.Sender.Enqueue(", 0, ""},
	{"patience", "an acquire whose time is over waits for its clean-up", "	case <-ctx.Done():\n	}\n	if q.Unanswered {\n		return\n	}\n	patience.Reset(endedPatience)\n", "	}\n", 40277, "115fe57"},
	{"known-read-again", "a check of several waits reads fields twice, and takes a hold in the short form for one that does not exist", "    if cache[field] == nil then cache[field] = values[i] end", "    cache[field] = values[i]", 3095863173, "6846b2f"},
	{"weight-counts-as-one", "a hold of weight k counts as one", "held[added.name] = (held[added.name] or 0) + mode.weight", "held[added.name] = (held[added.name] or 0) + 1", 0, ""},
	{"no-expiry", "the key of a new name has no expiry", "  call('EXPIRE', key, KEEP_TEXT)\n", "", 0, ""},
	{"locks-out-of-order", "AcquireAll takes its locks in the order in which they are given", "slices.Compact(slices.Sorted(slices.Values(names)))", "slices.Clone(names)", 0, ""},
}

// overlay returns the file of the bug, and its text with the bug.
func (b bug) overlay() (file, text string, err error) {
	var found []string
	err = filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{"simulation", "model", "torture", "cmd", "bench", "adapters", "docs", "examples", ".git"}, d.Name()) {
			return filepath.SkipDir
		}
		if d.IsDir() || strings.HasSuffix(path, "_test.go") || !strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, ".lua") {
			return nil
		}
		data, err := os.ReadFile(path)
		for range strings.Count(string(data), b.was) {
			found, text = append(found, path), string(data)
		}
		return err
	})
	if err != nil {
		return "", "", err
	}
	if len(found) != 1 {
		return "", "", fmt.Errorf("the bug %s is for one line %q, which is in %v", b.name, b.was, found)
	}
	file, err = filepath.Abs(found[0])
	return file, strings.Replace(text, b.was, b.is, 1), err
}

// Each bug can be brought back: its right line is in the code.
func TestEachBugCanBeBroughtBack(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		return
	}
	for _, b := range bugs {
		if _, _, err := b.overlay(); err != nil {
			t.Error(err)
		}
	}
}

// found is the result of the search for a bug.
type found struct {
	Name, What string
	Seeds      int    // how many it took; 0: it was not found
	Seed       uint64 // the one that found it
	By         string
	Again      bool // the kept plan finds it too
	Operations int  // in the plan that was made smaller
	Faults     int
	Took       time.Duration
}

// TestSimulationFindsEachBug brings bugs back, one at a time. It takes minutes, so it runs only with -bugs all.
func TestSimulationFindsEachBug(t *testing.T) {
	if *bring == "" || os.Getenv(childEnv) != "" {
		t.Skip("it is asked for: -bugs all")
	}
	most, first := 3000, uint64(1)
	if *count != 0 {
		most = *count
	}
	if *base != 0 {
		first = *base
	}
	var all []found
	for _, b := range bugs {
		if *bring != "all" && !slices.Contains(strings.Split(*bring, ","), b.name) {
			continue
		}
		f := found{Name: b.name, What: b.what}
		path, err := build(t.TempDir(), b)
		if err != nil {
			t.Errorf("%s: %v", b.name, err)
			continue
		}
		began := time.Now()
		begin, step := first, uint64(1)
		if b.quorum() { // seeds of the other worlds cannot show it
			begin, step = (first+quorumEvery-1)/quorumEvery*quorumEvery, quorumEvery
		}
		seeds := func(seed uint64) int { return int((seed-begin)/step) + 1 }
		searchEach(path, order{Times: 2}, begin, most, step, 1, func(o outcome, err error) {
			if err == nil && !o.found() {
				return
			}
			if f.Seeds != 0 && o.Seed > f.Seed {
				return
			}
			f.Seed, f.Seeds = o.Seed, seeds(o.Seed)
			switch {
			case err != nil:
				f.By = "the process ends"
				if f.Seed == 0 { // the seed is in the error
					_, _ = fmt.Sscanf(err.Error(), "seed %d:", &f.Seed)
					f.Seeds = seeds(f.Seed)
				}
			case o.Result.Hash != o.Again:
				f.By = "two runs differ"
			default:
				f.By = o.Result.Findings[0]
				f.Operations, f.Faults = len(o.Small.Ops), len(o.Small.Faults)
				if p, err := keptPlan(b.name); *record && b.seed != 0 && p == nil && err == nil {
					if err := keepFinding(b, o); err != nil {
						t.Error(err)
					}
				}
			}
		})
		f.Took = time.Since(began)
		if f.Again, err = showsAgain(path, b); err != nil {
			t.Errorf("%s: the plan that is kept: %v", b.name, err)
		}
		if f.Seeds == 0 && !f.Again { // a rare bug is found by its plan
			t.Errorf("%s is not found in %d seeds: %s", b.name, most, b.what)
		}
		t.Logf("%-26s after %4d seeds, in %5v: %.200s", f.Name, f.Seeds, f.Took.Round(time.Second), strings.ReplaceAll(f.By, "\n", " "))
		all = append(all, f)
		if *record {
			keep(t, bugsFile, joined(t, all))
		}
	}
}

// joined has the present results, and the earlier results of the other bugs.
func joined(t *testing.T, now []found) (all []found) {
	var before recorded[[]found]
	if err := load(bugsFile, &before); err != nil {
		t.Error(err)
	}
	for _, b := range bugs {
		is := func(f found) bool { return f.Name == b.name }
		if i := slices.IndexFunc(now, is); i >= 0 {
			all = append(all, now[i])
		} else if i := slices.IndexFunc(before.Result, is); i >= 0 {
			all = append(all, before.Result[i])
		}
	}
	return all
}
