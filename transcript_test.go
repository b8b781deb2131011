package redislock_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
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

	"github.com/redis/go-redis/v9"

	"example.com/redislock"
	"example.com/redislock/internal/fakenet"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the transcripts in testdata/transcripts")

// A transcript shows the protocol: a directive, "----", and everything that then happened: each request with its answer, each
// message, each event, and the results. A change of the protocol shows as a difference of transcripts. go test -run
// Transcripts -rewrite . writes them anew.
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
	t.Parallel()
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d transcripts: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
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

// difference returns the lines that differ, with the directive before them.
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

// stage is the environment in which a transcript is played.
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

// handle is an acquire of a transcript, and its lock.
type handle struct {
	lock   *redislock.Lock
	cancel context.CancelFunc
}

// play plays a transcript, and returns the text of what happened.
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

// happening is an event at an instant. Events of one instant are sorted by kind, and then by text.
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

// settle waits until everything that a directive began has ended, as far as only packets are needed for that.
func settle() {
	time.Sleep(8 * time.Millisecond)
	synctest.Wait()
}

// load loads the scripts into Redis, which nearly always has them.
func (s *stage) load() {
	for _, name := range scripts {
		_, text := redislock.Script(name)
		if err := s.raw.ScriptLoad(context.Background(), text).Err(); err != nil {
			s.Fatal(err)
		}
	}
}

// listen shows the messages that Redis sends. It subscribes by pattern, which the scripts do not count.
func (s *stage) listen() {
	sub := s.raw.PSubscribe(context.Background(), "redislock:*")
	s.Cleanup(func() { _ = sub.Close() })
	for m := range sub.Channel() {
		if text := s.message(m.Payload); text != "" {
			s.say(ofMessage, "  %s ⇐ %s", s.name('c', m.Channel), text)
		}
	}
}

// direct executes a directive.
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

// machine matches the parts of an error that depend on the machine and the time.
var machine = regexp.MustCompile(` \(pid [^)]*\)| since [-0-9T:.]+Z`)

// said is the result of a call.
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
		if key != "mode" && key != "weight" && key != "max-queue" {
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
		case "max-queue":
			n, _ := strconv.Atoi(value)
			opts = append(opts, redislock.WithMaxQueue(n))
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

// end ends everything that is left.
func (s *stage) end() {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, name := range slices.Sorted(maps.Keys(s.instances)) {
		_ = s.instances[name].client.Close(ended)
		_ = s.instances[name].rdb.Close()
	}
	time.Sleep(2 * time.Minute) // requests under way run into their timeouts
}

// actor is a process of a transcript: a hook shows its requests, and what befalls it is in its hook and its connections.
type actor struct {
	stage  *stage
	name   string
	rdb    *redis.Client
	client *redislock.Client
	number int // of the process, from 1

	mu      sync.Mutex
	channel string // its wake channel
	mute    bool
	deaf    bool
	dead    bool
	conns   []net.Conn
	nets    []*fakenet.Network  // of each connection
	lost    map[string][]string // "answer" or "request" of each of the next, by script
	refused map[string]string   // the error, by script
	last    map[string][]any    // the arguments of the last request, by script
}

func (s *stage) begin(name string) *actor {
	i := &actor{stage: s, name: name, number: len(s.instances) + 1, lost: map[string][]string{}, refused: map[string]string{}, last: map[string][]any{}}
	i.rdb = redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", Protocol: 2, DisableIdentity: true, Dialer: i.dial})
	i.rdb.AddHook(i)
	var err error
	i.client, err = redislock.New(i.rdb, redislock.WithName(name), redislock.WithJitter(func(d time.Duration) time.Duration { return d / 2 }), redislock.WithObserver(redislock.ObserverFunc(func(e redislock.Event) {
		i.say(ofEvent, "  %s: event %v %s", name, e.Kind, e.Name)
	})))
	if err != nil {
		s.Fatal(err)
	}
	i.warm()
	return i
}

// say adds a line, unless the process has died: what it still tries is not shown.
func (i *actor) say(k kind, format string, args ...any) {
	i.mu.Lock()
	dead := i.dead
	i.mu.Unlock()
	if !dead {
		i.stage.say(k, format, args...)
	}
}

// warm has the process connect, subscribe, and know the scripts, which is not shown.
func (i *actor) warm() {
	i.stage.mu.Lock()
	count, names := maps.Clone(i.stage.count), maps.Clone(i.stage.names)
	i.stage.mu.Unlock()
	for range 2 { // the second finds all connections made
		if err := i.client.Do(context.Background(), "warm", func(context.Context) error {
			settle()
			return nil
		}); err != nil {
			i.stage.Fatal(err)
		}
		settle()
	}
	i.stage.mu.Lock()
	defer i.stage.mu.Unlock()
	i.stage.lines, i.stage.count, i.stage.names = nil, count, names
	i.stage.names["c"+i.channel] = i.name
}

// suffer lets a fault happen to the process.
func (i *actor) suffer(words []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch words[0] {
	case "lose":
		i.lost[words[3]] = append(i.lost[words[3]], words[2])
	case "refuse":
		i.refused[words[2]] = strings.Join(words[3:], " ")
	case "repeat":
		args := slices.Clone(i.last[words[2]])
		answer := i.stage.raw.Do(context.Background(), args...)
		i.stage.say(ofRequest, "  %s ⇝ %s\n    %s", i.name, i.stage.request(args), i.stage.answer(words[2], answer))
	case "deaf", "hears":
		i.deaf = words[0] == "deaf"
	case "mute":
		i.mute = true
		for _, n := range i.nets {
			n.Cut()
		}
	case "die":
		i.dead = true
		for _, conn := range i.conns {
			_ = conn.Close()
		}
	}
}

func (i *actor) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dead {
		return nil, errors.New("the process has died")
	}
	// Each connection has a delay of its own, so that no two packets arrive at the same instant.
	n := &fakenet.Network{Dial: i.stage.mini.Dial, Delay: time.Millisecond + time.Duration(i.number)*100*time.Microsecond + time.Duration(len(i.conns))*time.Microsecond}
	if i.mute {
		n.Cut()
	}
	conn, err := n.Dialer(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	i.nets = append(i.nets, n)
	i.conns = append(i.conns, conn)
	return &connection{Conn: conn, instance: i}, nil
}

// connection loses messages to a subscription while its process is deaf.
type connection struct {
	net.Conn
	instance  *actor
	mu        sync.Mutex
	subscribe bool
}

func (c *connection) Write(data []byte) (int, error) {
	if bytes.Contains(data, []byte("subscribe")) {
		if at := bytes.Index(data, []byte("redislock:c:")); at >= 0 {
			c.instance.mu.Lock()
			c.instance.channel = string(data[at : at+len("redislock:c:")+22])
			c.instance.mu.Unlock()
		}
		c.mu.Lock()
		c.subscribe = true
		c.mu.Unlock()
	}
	return c.Conn.Write(data)
}

func (c *connection) Read(data []byte) (int, error) {
	for {
		n, err := c.Conn.Read(data)
		c.mu.Lock()
		subscribe := c.subscribe
		c.mu.Unlock()
		c.instance.mu.Lock()
		deaf := c.instance.deaf
		c.instance.mu.Unlock()
		if err != nil || !deaf || !subscribe {
			return n, err
		}
	}
}

// DialHook changes nothing.
func (i *actor) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook shows single requests.
func (i *actor) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return i.pass([]redis.Cmder{cmd}, func() error { return next(ctx, cmd) })
	}
}

// ProcessPipelineHook shows those that leave together.
func (i *actor) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return i.pass(cmds, func() error { return next(ctx, cmds) })
	}
}

// serverError is an error reply of a server.
type serverError string

func (e serverError) Error() string { return string(e) }
func (serverError) RedisError()     {}

func (i *actor) pass(cmds []redis.Cmder, next func() error) error {
	fate := map[redis.Cmder]error{}
	silent := error(nil)
	i.mu.Lock()
	for _, cmd := range cmds {
		script := scriptOf(cmd.Args())
		i.last[script] = slices.Clone(cmd.Args())
		lost := ""
		if next := i.lost[script]; len(next) > 0 {
			lost, i.lost[script] = next[0], next[1:]
		}
		switch {
		case lost == "request":
			silent = errors.New("i/o timeout")
		case i.refused[script] != "":
			silent = serverError(i.refused[script])
			delete(i.refused, script)
		case lost == "answer":
			fate[cmd] = errors.New("i/o timeout")
		}
	}
	i.mu.Unlock()
	var err error
	if silent == nil {
		err = next()
	}
	for _, cmd := range cmds {
		if script := scriptOf(cmd.Args()); script == "hello" || script == "probe" { // they say nothing of a lock
			continue
		}
		request := i.stage.request(cmd.Args())
		answer := i.stage.answer(scriptOf(cmd.Args()), cmd)
		if err != nil && len(cmds) == 1 { // it is not in the command yet
			answer = err.Error()
		}
		if failed := fate[cmd]; failed != nil {
			answer += ", and the answer is lost"
			cmd.SetErr(failed)
			err = failed
		}
		if silent != nil {
			answer = silent.Error()
			cmd.SetErr(silent)
			err = silent
		}
		i.say(ofRequest, "  %s → %s\n    %s", i.name, request, answer)
	}
	return err
}

// Tokens are T1, T2, … in the order in which they are first seen, fences F1, F2, …, and so on: what is drawn at random, and what
// is the time, is not shown.

var scripts = func() map[string]string {
	names := map[string]string{}
	for _, name := range []string{
		"acquire", "acquire_own", "release", "renew", "keep", "check", "break", "inspect", "watch", "ask", "preflight", "probe", "convert", "resume",
		"weak_release", "record", "recall", "confirm", "erase",
	} {
		names[digest(name)] = name
	}
	return names
}()

// scriptOf is the script of a request, or its command.
func scriptOf(args []any) string {
	command := fmt.Sprint(args[0])
	switch command {
	case "evalsha":
		return scripts[fmt.Sprint(args[1])]
	case "eval":
		text := fmt.Sprint(args[1])
		for _, name := range scripts {
			_, source := redislock.Script(name)

			if source == text {
				return name
			}
		}
	}
	return command
}

// name is what a text of a kind is called.
func (s *stage) name(kind byte, text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := string(kind) + text
	if s.names[key] == "" {
		s.count[kind]++
		s.names[key] = fmt.Sprintf("%c%d", kind, s.count[kind])
	}
	return s.names[key]
}

// called names a channel by its process, once that is known.
func (s *stage) called(channel, process string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names["c"+channel] = process
}

var digits16 = regexp.MustCompile(`^[0-9]{16}$`)

// request is a request in words.
func (s *stage) request(args []any) string {
	script := scriptOf(args)
	words := make([]string, 0, len(args))
	for _, arg := range args {
		words = append(words, fmt.Sprint(arg))
	}
	whole := ""
	if words[0] == "eval" {
		whole = " (whole)"
	}
	if words[0] != "evalsha" && words[0] != "eval" {
		return script + " " + strings.Join(s.texts(words[1:]), " ")
	}
	if script == "check" { // the channel, how it hears, when it would steal, and the tokens
		return script + whole + " " + strings.Join(s.texts(words[7:]), " ")
	}
	return script + whole + " " + strings.Join(s.texts(words[4:]), " ")
}

func (s *stage) texts(words []string) (texts []string) {
	for _, word := range words {
		texts = append(texts, s.text(word))
	}
	return texts
}

var asked = regexp.MustCompile(`(?s)^(@[0-9]{16}.{8})?( *[0-9]+)( *[0-9]+)([A-Za-z0-9_-]{16})([csu-])(redislock:c:[^\n]*)\n([^\n]*)\n(.*)$`)

// text is one argument, element or value in words.
func (s *stage) text(word string) string {
	switch {
	case word == "":
		return "·"
	case digits16.MatchString(word):
		return s.fence(word)
	case len(word) == 22 && token.MatchString(word):
		return s.name('T', word)
	case strings.HasPrefix(word, "redislock:c:"):
		return s.name('c', word)
	case len(word) > 16 && asked.MatchString(word):
		return s.asked(word)
	case strings.Count(word, "\n") == 3: // who it is
		client, _, _ := strings.Cut(word, "\n")
		return client
	case len(word) == 16 && strings.TrimLeft(word[:8], " 0123456789")+strings.TrimLeft(word[8:], " 0123456789") == "":
		ms, _ := strconv.Atoi(strings.TrimSpace(word[:8]))
		return "lease=" + (time.Duration(ms) * time.Millisecond).String()
	}
	return word
}

var token = regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`)

// asked is a request as it is written in the hash.
func (s *stage) asked(word string) string {
	m := asked.FindStringSubmatch(word)
	lease := m[2] + m[3]
	ms, _ := strconv.Atoi(strings.TrimSpace(lease[:8]))
	client, _, _ := strings.Cut(m[8], "\n")
	s.called(m[6], client)
	text := fmt.Sprintf("(%v", time.Duration(ms)*time.Millisecond)
	if m[7] != "" {
		text += ", " + s.mode(m[7])
	}
	if m[5] == "-" {
		return text + ")"
	}
	return text + ", waits)"
}

// mode is the mode of a request.
func (s *stage) mode(text string) string {
	words := strings.Fields(text)
	for i, word := range words {
		if token.MatchString(word) {
			words[i] = s.name('T', word)
		}
	}
	return strings.Join(words, " ")
}

// fence is a time that was given as a fence, or one that is not shown.
func (s *stage) fence(word string) string {
	s.mu.Lock()
	name := s.names["F"+word]
	s.mu.Unlock()
	if name != "" {
		return name
	}
	return "time"
}

// answer is the answer of a script in words.
func (s *stage) answer(script string, cmd redis.Cmder) string {
	if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
		return err.Error()
	}
	c, ok := cmd.(interface{ Val() any })
	if !ok {
		return ""
	}
	switch value := c.Val().(type) {
	case string:
		if script == "acquire" && digits16.MatchString(value) {
			return "granted " + s.name('F', value)
		}
		switch script {
		case "renew":
			return "renewed"
		case "keep":
			return "kept"
		}
		return s.text(value)
	case []any:
		return s.elements(script, value)
	default:
		return fmt.Sprint(value)
	}
}

func (s *stage) elements(script string, values []any) string {
	words := make([]string, len(values))
	for i, value := range values {
		words[i] = fmt.Sprint(value)
	}
	if len(words) == 0 {
		return "nothing"
	}
	switch words[0] {
	case "granted":
		return fmt.Sprintf("granted %s for %s ms", s.name('F', words[2]), strings.TrimSpace(words[4]))
	case "waiting":
		return fmt.Sprintf("waiting, %s", s.holder(words[3:]))
	case "held":
		return s.holder(words[2:])
	case "full":
		return "full, " + s.holder(words[2:])
	}
	if script == "check" {
		text := s.holder(words[2:7])
		for _, state := range words[8:] {
			if len(state) == 40 {
				state = fmt.Sprintf("granted %s for %s ms", s.name('F', state[:16]), strings.TrimSpace(state[32:]))
			}
			text += ", " + state
		}
		return text
	}
	return strings.Join(s.texts(words), " ")
}

// holder is the holder in a reply, in words.
func (s *stage) holder(words []string) string {
	if words[0] == "" {
		return fmt.Sprintf("free, %s wait", words[2])
	}
	client, _, _ := strings.Cut(words[3], "\n")
	return fmt.Sprintf("held by %s, %s hold, %s wait", client, words[4], words[2])
}

// message is a message in words.
func (s *stage) message(payload string) string {
	switch {
	case len(payload) == 1+22+16+16+8 && payload[0] == 'g':
		return fmt.Sprintf("granted %s %s for %s ms", s.name('T', payload[1:23]), s.name('F', payload[23:39]), strings.TrimSpace(payload[55:]))
	case len(payload) >= 39 && payload[0] == 's':
		return strings.TrimSpace(fmt.Sprintf("revoked %s %s", s.name('T', payload[1:23]), payload[39:]))
	case payload == "p":
		return ""
	}
	return payload
}

// state shows the hash of a lock.
func (s *stage) state(lock string) {
	all := s.raw.HGetAll(context.Background(), "redislock:{"+lock+"}").Val()
	lines := []string{}
	for field, value := range all {
		switch {
		case field == "f":
			lines = append(lines, "  f  "+s.name('F', value))
		case len(field) == 22:
			lines = append(lines, fmt.Sprintf("  hold %s %s", s.name('T', field), s.text(value)))
		case len(field) == 23 && field[0] == 'h' && len(value) > 101:
			lines = append(lines, fmt.Sprintf("  hold %s since %s fence %s state %s %s", s.name('T', field[1:]), s.text(value[44:60]), s.text(value[60:76]), value[100:101], s.text(value[101:])))
		case len(field) == 23 && field[0] == 'w' && len(value) > 60:
			lines = append(lines, fmt.Sprintf("  place %s %s", s.name('T', field[1:]), s.text(value[60:])))
		case len(field) == 23 && field[0] == 't' && len(value) >= 60:
			lines = append(lines, strings.TrimRight(fmt.Sprintf("  tombstone %s %s", s.name('T', field[1:]), value[60:]), " "))
		case field == "s" || field == "q" || field == "t":
			lines = append(lines, fmt.Sprintf("  %s  from %s to %s, %s", field, s.name('T', value[:22]), s.name('T', value[22:44]), value[44:]))
		case field[0] == 'c':
			lines = append(lines, fmt.Sprintf("  c  %s has %s places", s.name('c', field[1:]), value[17:]))
		default:
			lines = append(lines, "  "+field)
		}
	}
	slices.Sort(lines)
	if len(lines) == 0 {
		lines = []string{"  nothing"}
	}
	for _, line := range lines {
		s.say(ofField, "%s", line)
	}
}
