package redislock_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the transcripts in testdata/transcripts")

// A transcript shows the protocol: a directive, "----", and everything that then happened: each request with its answer, each
// message, each event, and what came of it. A change of the protocol is a difference of transcripts, which one reads.
// go test -run Transcripts -rewrite . writes them anew.
//
//	client NAME                  another process
//	acquire NAME HANDLE LOCK …   in the background; lease=, wait=, steal=, mode=, weight=, max-hold=, no-renewal
//	do NAME LOCK                 takes the lock, and gives it back at once
//	cancel HANDLE                ends the context of its acquire
//	release HANDLE               in the background; after=
//	upgrade HANDLE, downgrade HANDLE, handoff HANDLE, resume NAME HANDLE
//	break NAME LOCK REASON
//	sleep DURATION               lets time pass
//	lose NAME answer SCRIPT      the next answer of that script to that process; lose NAME request SCRIPT
//	refuse NAME SCRIPT ERROR     the next request of that script is answered so
//	repeat NAME SCRIPT           a late copy of the last request of that script reaches Redis
//	deaf NAME, hears NAME        messages to that process are lost; no longer
//	mute NAME                    its connections stay, and nothing gets through
//	die NAME                     its connections end
//	forget                       Redis forgets the scripts; flush: its data; clock DURATION: its clock steps
//	state LOCK                   the lock's hash
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d transcripts: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			embedded(t, 0, func(e *env, _ *fakenet.Network) { got = play(e, string(text)) })
			if got == string(text) {
				return
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("what happens is not what %s says; it is now:\n%s", file, difference(string(text), got))
		})
	}
}

// docs/protocol.md shows some transcripts, each behind a line that names it.
func TestTheProtocolsPageShowsTheTranscriptsAsTheyAre(t *testing.T) {
	page, err := os.ReadFile("docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?s)<!-- transcript: ([a-z-]+) -->\n```text\n(.*?)```\n")
	found := shown.FindAllStringSubmatchIndex(string(page), -1)
	if len(found) == 0 {
		t.Error("the page shows none")
	}
	is := string(page)
	for _, at := range slices.Backward(found) {
		name := string(page[at[2]:at[3]])
		text, err := os.ReadFile("testdata/transcripts/" + name + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		is = is[:at[4]] + string(text) + is[at[5]:]
	}
	if is == string(page) {
		return
	}
	if !*rewrite {
		t.Error("docs/protocol.md shows a transcript as it was: go test -run Transcripts -rewrite .")
	} else if err := os.WriteFile("docs/protocol.md", []byte(is), 0o644); err != nil {
		t.Fatal(err)
	}
}

// difference is what is different, with the directive before it.
func difference(want, got string) string {
	var out strings.Builder
	was, is := strings.Split(want, "\n\n"), strings.Split(got, "\n\n")
	for i := range max(len(was), len(is)) {
		if a, b := at(was, i), at(is, i); a != b {
			fmt.Fprintf(&out, "was:\n%s\nis:\n%s\n\n", a, b)
		}
	}
	return out.String()
}

func at(all []string, i int) string {
	if i < len(all) {
		return all[i]
	}
	return ""
}

// stage is where a transcript is played.
type stage struct {
	*env
	instances map[string]*actor
	handles   map[string]*handle
	tickets   string

	mu    sync.Mutex
	lines []happening
	names map[string]string // what tokens, nonces, channels and fences are called
	count map[byte]int
	began time.Time
}

// handle is an acquire of a transcript, and the lock that came of it.
type handle struct {
	lock   *redislock.Lock
	cancel context.CancelFunc
}

// play plays a transcript, and is the text of what happened.
func play(e *env, text string) string {
	s := &stage{env: e, instances: map[string]*actor{}, handles: map[string]*handle{}, names: map[string]string{}, count: map[byte]int{}, began: time.Now()}
	defer s.end()
	s.load()
	go s.listen()
	synctest.Wait()
	var out strings.Builder
	for block := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n\n") {
		directives, _, recorded := strings.Cut(block, "\n----")
		if !recorded && strings.HasPrefix(block, "#") { // a comment of its own
			fmt.Fprintf(&out, "%s\n\n", block)
			continue
		}
		for line := range strings.SplitSeq(directives, "\n") {
			if words := strings.Fields(line); len(words) > 0 && !strings.HasPrefix(line, "#") {
				s.direct(words)
				settle()
			}
		}
		fmt.Fprintf(&out, "%s\n----\n", directives)
		s.mu.Lock()
		slices.SortStableFunc(s.lines, func(a, b happening) int {
			return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.kind, b.kind), cmp.Compare(a.text, b.text))
		})
		for _, l := range s.lines {
			fmt.Fprintln(&out, l.text)
		}
		s.lines = nil
		s.mu.Unlock()
		fmt.Fprintln(&out)
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}

// happening is something that happened, at some instant. What happens at the same instant is in the order of kinds, and then of texts.
type happening struct {
	at   time.Time
	kind kind
	text string
}

type kind int

const (
	ofMessage kind = iota
	ofRequest
	ofEvent
	ofResult
	ofField
)

func (s *stage) say(k kind, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, happening{time.Now(), k, fmt.Sprintf(format, args...)})
}

// settle lets what a directive began come to its end, as far as that is a matter of packets.
func settle() {
	time.Sleep(8 * time.Millisecond)
	synctest.Wait()
}

// load has Redis know the scripts, as it nearly always does.
func (s *stage) load() {
	for _, name := range scripts {
		_, text := redislock.Script(name)
		if err := s.raw.ScriptLoad(context.Background(), text).Err(); err != nil {
			s.Fatal(err)
		}
	}
}

// listen shows the messages that Redis sends. A subscription by pattern is none that the scripts count.
func (s *stage) listen() {
	sub := s.raw.PSubscribe(context.Background(), "redislock:*")
	s.Cleanup(func() { _ = sub.Close() })
	for m := range sub.Channel() {
		if text := s.message(m.Payload); text != "" {
			s.say(ofMessage, "  %s ⇐ %s", s.name('c', m.Channel), text)
		}
	}
}

// direct has something happen.
func (s *stage) direct(words []string) {
	ctx := context.Background()
	one := func(i int) string {
		if i >= len(words) {
			s.Fatalf("%q: a word is missing", words)
		}
		return words[i]
	}
	switch words[0] {
	case "client":
		s.instances[one(1)] = s.begin(one(1))
	case "acquire", "resume":
		s.acquire(words[0], one(1), one(2), words[3:])
	case "do":
		client := s.instances[one(1)].client
		go func() {
			err := client.Do(ctx, one(2), func(ctx context.Context) error { return nil })
			s.say(ofResult, "  %s: %s", one(1), said("done", err))
		}()
	case "cancel":
		s.handles[one(1)].cancel()
	case "release":
		h := s.handles[one(1)]
		after := duration(s, words, "after=")
		go func() { s.say(ofResult, "  %s: %s", words[1], said("released", h.lock.ReleaseAfter(ctx, after))) }()
	case "upgrade":
		h := s.handles[one(1)]
		go func() { s.say(ofResult, "  %s: %s", words[1], said("upgraded", h.lock.Upgrade(ctx))) }()
	case "downgrade":
		h := s.handles[one(1)]
		go func() { s.say(ofResult, "  %s: %s", words[1], said("downgraded", h.lock.Downgrade(ctx))) }()
	case "handoff":
		ticket, err := s.handles[one(1)].lock.Handoff()
		s.tickets = ticket
		s.say(ofResult, "  %s: %s", words[1], said("a ticket", err))
	case "break":
		_, err := s.instances[one(1)].client.Break(ctx, one(2), strings.Join(words[3:], " "))
		s.say(ofResult, "  %s: %s", words[1], said("broken", err))
	case "sleep":
		d, err := time.ParseDuration(one(1))
		if err != nil {
			s.Fatal(err)
		}
		time.Sleep(d)
	case "lose", "refuse", "repeat", "deaf", "hears", "mute", "die":
		s.instances[one(1)].suffer(words)
	case "forget":
		s.raw.ScriptFlush(ctx)
	case "flush":
		s.raw.FlushAll(ctx)
	case "clock":
		d, err := time.ParseDuration(one(1))
		if err != nil {
			s.Fatal(err)
		}
		s.mini.SetTime(time.Now().Add(d))
	case "state":
		s.state(one(1))
	default:
		s.Fatalf("an unknown directive: %q", words)
	}
}

func (s *stage) acquire(what, process, label string, words []string) {
	ctx, cancel := context.WithCancel(context.Background())
	h := &handle{cancel: cancel}
	s.handles[label] = h
	client := s.instances[process].client
	go func() {
		var err error
		if what == "resume" {
			h.lock, err = client.Resume(ctx, s.tickets)
		} else {
			h.lock, err = client.Acquire(ctx, words[0], s.options(words[1:])...)
		}
		if err != nil {
			s.say(ofResult, "  %s: %s", label, said("", err))
			return
		}
		s.say(ofResult, "  %s: holds %s, fence %s", label, h.lock.Name(), s.name('F', fmt.Sprintf("%016d", h.lock.Fence())))
		context.AfterFunc(h.lock.Context(), func() {
			if cause := context.Cause(h.lock.Context()); cause != redislock.ErrReleased {
				s.say(ofResult, "  %s: its context ends: %v", label, cause)
			}
		})
	}()
}

// machine is what an error says of the machine and the time.
var machine = regexp.MustCompile(` \(pid [^)]*\)| since [-0-9T:.]+Z`)

// said is what a call came to.
func said(done string, err error) string {
	if err != nil {
		return "error: " + machine.ReplaceAllString(err.Error(), "")
	}
	return done
}

func duration(s *stage, words []string, prefix string) (d time.Duration) {
	for _, word := range words {
		if text, ok := strings.CutPrefix(word, prefix); ok {
			var err error
			if d, err = time.ParseDuration(text); err != nil {
				s.Fatal(err)
			}
		}
	}
	return d
}

func (s *stage) options(words []string) (opts []redislock.Option) {
	modes := map[string]redislock.Mode{
		"read": redislock.Read, "write": redislock.Write, "semaphore3": redislock.Semaphore(3),
	}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		var d time.Duration
		if key != "mode" && key != "weight" {
			d = duration(s, []string{word}, key+"=")
		}
		switch key {
		case "lease":
			opts = append(opts, redislock.WithLease(d))
		case "wait":
			opts = append(opts, redislock.WithWait(d))
		case "steal":
			opts = append(opts, redislock.WithStealAfter(d))
		case "max-hold":
			opts = append(opts, redislock.WithMaxHold(d))
		case "no-renewal":
			opts = append(opts, redislock.WithoutRenewal())
		case "mode":
			opts = append(opts, redislock.WithMode(modes[value]))
		case "weight":
			n, _ := strconv.Atoi(value)
			opts = append(opts, redislock.WithWeight(n))
		default:
			s.Fatalf("an unknown option %q", word)
		}
	}
	return opts
}

// end lets what is left come to its end.
func (s *stage) end() {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, name := range slices.Sorted(maps.Keys(s.instances)) {
		_ = s.instances[name].client.Close(ended)
		_ = s.instances[name].rdb.Close()
	}
	time.Sleep(2 * time.Minute) // requests under way run into their timeouts
}
