package redislock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/clock"
	"example.com/redislock/internal/fakenet"
	"example.com/redislock/internal/lease"
	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/turns"
	"example.com/redislock/lua"
)

// Interleavings that need access to the inside: a hook on the connection loses or delays an answer.

// hooked runs a test in fake time. connect makes a Client whose requests pass through the hook, which may be nil.
func hooked(t *testing.T, test func(t *testing.T, m *miniredis.Miniredis, connect func(h *hook, opts ...ClientOption) *Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(10 * time.Second) })
		m := miniredis.NewMiniRedis()
		m.ClockTTL(true)
		t.Cleanup(m.Close)
		test(t, m, func(h *hook, opts ...ClientOption) *Client {
			rdb := redis.NewClient(&redis.Options{
				Addr: "127.0.0.1:6379", Protocol: 2, DisableIdentity: true,
				Dialer: (&fakenet.Network{Dial: m.Dial}).Dialer,
			})
			if h != nil {
				rdb.AddHook(h)
			}
			c, err := New(rdb, opts...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				_ = c.Close(ctx)
				_ = rdb.Close()
			})
			return c
		})
	})
}

// hook sees each command or pipeline, and what it came to.
type hook struct {
	dial     func(next redis.DialHook) redis.DialHook
	single   func(next redis.ProcessHook, ctx context.Context, cmd redis.Cmder) error
	pipeline func(next redis.ProcessPipelineHook, ctx context.Context, cmds []redis.Cmder) error
}

func (h *hook) DialHook(next redis.DialHook) redis.DialHook {
	if h.dial != nil {
		return h.dial(next)
	}
	return next
}

// withoutPubSub cuts each connection that is about to subscribe.
func withoutPubSub(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		return written{conn, func(b []byte) error {
			if bytes.Contains(b, []byte("\r\nsubscribe\r\n")) {
				_ = conn.Close()
				return net.ErrClosed
			}
			return nil
		}}, err
	}
}

// written is a connection of which before sees each write, and may refuse it.
type written struct {
	net.Conn
	before func([]byte) error
}

func (w written) Write(b []byte) (int, error) {
	if err := w.before(b); err != nil {
		return 0, err
	}
	return w.Conn.Write(b)
}

func (h *hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if h.single == nil {
			return next(ctx, cmd)
		}
		return h.single(next, ctx, cmd)
	}
}

func (h *hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if h.pipeline == nil {
			return next(ctx, cmds)
		}
		return h.pipeline(next, ctx, cmds)
	}
}

var errTimeout = &net.OpError{Op: "read", Err: errors.New("i/o timeout")}

func isScript(cmd redis.Cmder, s *lua.Script) bool {
	args := cmd.Args()
	return len(args) > 1 && (args[1] == s.Digest || args[1] == s.Text)
}

func take(t *testing.T, c *Client, name string, opts ...Option) *Lock {
	t.Helper()
	l, err := c.Acquire(context.Background(), name, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestI7AMessageBeforeTheLeaseStartsHurtsNoOtherLock(t *testing.T) {
	hooked(t, func(t *testing.T, _ *miniredis.Miniredis, connect func(*hook, ...ClientOption) *Client) {
		c := connect(nil)
		a := take(t, c, "a", WithLease(500*time.Millisecond))
		h := c.newHold(context.Background(), "b", &c.defaults)
		b, nonce := &h.first, protocol.NewToken()[:protocol.NonceLength]
		h.lease.Init(h, lease.Grant{
			Key: c.keys.Lock("b"), Token: protocol.NewToken(), Nonce: nonce, Fence: "0000000000000001",
			Length: time.Minute, Valid: clock.Bound{From: time.Now(), Span: time.Minute}, Granted: time.Now(),
		})
		_ = c.adopt(h)
		c.revoked(h.lease.Token(), nonce, "operator") // before start
		h.lease.Start(false, time.Now())
		if b.Err() == nil {
			t.Error("b counts as held")
		}
		time.Sleep(10 * time.Second)
		if a.Err() != nil {
			t.Errorf("a is not renewed any more: %v", a.Err())
		}
		if err := a.Release(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestI6ErrIsNeverNilPastTheBound(t *testing.T) {
	hooked(t, func(t *testing.T, _ *miniredis.Miniredis, connect func(*hook, ...ClientOption) *Client) {
		l := take(t, connect(nil), "a", WithLease(time.Second))
		l.hold.lease.Stop(fmt.Errorf("%w: test", ErrLost)) // somebody else ends it, and has not come to the context yet
		time.Sleep(2 * time.Second)
		if err := l.Err(); !errors.Is(err, ErrLost) {
			t.Errorf("past the bound: %v", err)
		}
		l.hold.life.Finish(ErrReleased)
		l.hold.client.forget(l.hold)
	})
}

func TestALossAtTheMomentOfTheReleaseIsALoss(t *testing.T) {
	hooked(t, func(t *testing.T, _ *miniredis.Miniredis, connect func(*hook, ...ClientOption) *Client) {
		l := take(t, connect(nil), "a")
		l.hold.lease.Stop(errStale) // the thief's message is being handled, and has not come to the context yet
		if err := l.Err(); !errors.Is(err, ErrStolen) {
			t.Errorf("Err is %v", err)
		}
		if err := l.Release(context.Background()); !errors.Is(err, ErrNotHeld) || !errors.Is(err, ErrStolen) {
			t.Errorf("the release says %v", err)
		}
		if cause := context.Cause(l.Context()); !errors.Is(cause, ErrStolen) {
			t.Errorf("the context ended with %v", cause)
		}
	})
}

func TestAFinalLeaseIsNotRenewedByALateFailure(t *testing.T) {
	hooked(t, func(t *testing.T, _ *miniredis.Miniredis, connect func(*hook, ...ClientOption) *Client) {
		var renewals atomic.Int32
		c := connect(&hook{pipeline: func(next redis.ProcessPipelineHook, ctx context.Context, cmds []redis.Cmder) error {
			if isScript(cmds[0], lua.Renew) {
				if renewals.Add(1) == 1 { // a connection that is mute for a while
					time.Sleep(2 * time.Second)
					cmds[0].SetErr(errTimeout)
					return errTimeout
				}
			}
			return next(ctx, cmds)
		}})
		holder := take(t, connect(nil), "x")
		go func() {
			time.Sleep(time.Second)
			_ = holder.Release(context.Background())
		}()
		l := take(t, c, "x", WithLease(6*time.Second), WithoutRenewal()) // granted as a claim of 5s
		start := time.Now()
		<-l.Context().Done()
		// A claim is made whole after 1.25s, or on the attempt a second later.
		if held := time.Since(start); held > 8500*time.Millisecond {
			t.Errorf("a final lease of 6s was held for %v, with %d renewals", held, renewals.Load())
		}
		_ = l.Release(context.Background())
	})
}

func TestAResentAcquireIsRenewedBeforeWhatIsLeftOfItsLeaseEnds(t *testing.T) {
	hooked(t, func(t *testing.T, _ *miniredis.Miniredis, connect func(*hook, ...ClientOption) *Client) {
		var lost atomic.Bool
		c := connect(&hook{single: func(next redis.ProcessHook, ctx context.Context, cmd redis.Cmder) error {
			err := next(ctx, cmd)
			if isScript(cmd, lua.Acquire) && cmd.Err() == nil && !lost.Swap(true) {
				time.Sleep(5 * time.Second)
				cmd.SetErr(errTimeout)
				return errTimeout
			}
			return err
		}})
		l := take(t, c, "x", WithLease(6*time.Second))
		time.Sleep(30 * time.Second)
		if err := l.Err(); err != nil {
			t.Errorf("lost on a healthy server: %v", err)
		}
		if err := l.Release(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestAHoldThatIsBrokenBeforeItsAnswerCameIsSoughtAnew(t *testing.T) {
	hooked(t, func(t *testing.T, _ *miniredis.Miniredis, connect func(*hook, ...ClientOption) *Client) {
		operator := connect(nil)
		var broken atomic.Bool
		c := connect(&hook{single: func(next redis.ProcessHook, ctx context.Context, cmd redis.Cmder) error {
			err := next(ctx, cmd)
			if isScript(cmd, lua.Acquire) && cmd.Err() == nil && !broken.Swap(true) {
				if _, err := operator.Break(context.Background(), "x", "test"); err != nil {
					t.Error(err)
				}
				cmd.SetErr(errTimeout)
				return errTimeout
			}
			return err
		}})
		l := take(t, c, "x")
		if err := l.Release(context.Background()); err != nil || !broken.Load() {
			t.Errorf("release: %v, broken %v", err, broken.Load())
		}
	})
}

func TestASecondCloseDoesNotHangAfterOneThatTimedOut(t *testing.T) {
	hooked(t, func(t *testing.T, m *miniredis.Miniredis, connect func(*hook, ...ClientOption) *Client) {
		c := connect(nil)
		l := take(t, c, "x")
		m.SetError("LOADING for a while")
		_ = l.Release(context.Background()) // goes on in the background
		short, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		if err := c.Close(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the first Close: %v", err)
		}
		m.SetError("")
		long, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := c.Close(long); err != nil {
			t.Errorf("the second Close: %v", err)
		}
	})
}

func TestWithoutASubscriptionTheChecksServe(t *testing.T) {
	hooked(t, func(t *testing.T, _ *miniredis.Miniredis, connect func(*hook, ...ClientOption) *Client) {
		holder := take(t, connect(nil), "x")
		c := connect(&hook{dial: withoutPubSub})
		go func() {
			time.Sleep(10 * time.Second)
			_ = holder.Release(context.Background())
		}()
		start := time.Now()
		l, err := c.Acquire(context.Background(), "x", WithWait(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 12100*time.Millisecond {
			t.Errorf("served %v after the release, a check is due every 2s", took-10*time.Second)
		}
		if err := l.Release(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestASilentSubscriptionIsKept(t *testing.T) {
	hooked(t, func(t *testing.T, _ *miniredis.Miniredis, connect func(*hook, ...ClientOption) *Client) {
		var subscriptions atomic.Int32
		c := connect(&hook{dial: func(next redis.DialHook) redis.DialHook {
			return func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := next(ctx, network, addr)
				return written{conn, func(b []byte) error {
					if bytes.Contains(b, []byte("\r\nsubscribe\r\n")) {
						subscriptions.Add(1)
					}
					return nil
				}}, err
			}
		}})
		l := take(t, c, "x", WithLease(time.Hour))
		time.Sleep(15 * time.Minute)
		if n := subscriptions.Load(); n != 1 {
			t.Errorf("an idle subscription was made %d times", n)
		}
		if err := l.Release(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestAGrantThatCannotBeReliedOnIsAnErrorAndNoStorm(t *testing.T) {
	hooked(t, func(t *testing.T, m *miniredis.Miniredis, connect func(*hook, ...ClientOption) *Client) {
		if _, err := connect(nil, WithClockMargin(2*time.Second)).Acquire(context.Background(), "x", WithLease(2*time.Second)); !errors.Is(err, ErrInvalid) {
			t.Errorf("a lease within the margin: %v", err)
		}
		slow := connect(&hook{single: func(next redis.ProcessHook, ctx context.Context, cmd redis.Cmder) error {
			err := next(ctx, cmd)
			time.Sleep(200 * time.Millisecond) // a round trip
			return err
		}})
		if _, err := slow.TryAcquire(context.Background(), "x", WithLease(150*time.Millisecond)); err == nil || errors.Is(err, ErrHeld) {
			t.Errorf("a try whose every answer is too late: %v", err)
		}
		before := m.CommandCount()
		if _, err := slow.Acquire(context.Background(), "x", WithLease(150*time.Millisecond), WithWait(10*time.Second)); err == nil {
			t.Error("granted")
		}
		if n := m.CommandCount() - before; n > 400 { // those inside scripts included; a storm has thousands
			t.Errorf("%d commands in 10s for a lock that cannot be had", n)
		}
	})
}

func TestTheBoundOfAWeakLockCountsFromTheFirstAttempt(t *testing.T) {
	hooked(t, func(t *testing.T, _ *miniredis.Miniredis, connect func(*hook, ...ClientOption) *Client) {
		var sets atomic.Int32
		c := connect(&hook{single: func(next redis.ProcessHook, ctx context.Context, cmd redis.Cmder) error {
			err := next(ctx, cmd)
			if cmd.Name() == "set" {
				if sets.Add(1) == 1 {
					time.Sleep(700 * time.Millisecond)
					cmd.SetErr(errTimeout)
					return errTimeout
				}
			}
			return err
		}})
		start := time.Now()
		w, err := c.AcquireWeak(context.Background(), "w", WithLease(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		<-w.Context().Done()
		if believed := time.Since(start); believed > time.Second {
			t.Errorf("believed in for %v, the key lives for a second", believed)
		}
		_ = w.Release(context.Background())
	})
}

func TestFirstKnowsItsOwnWhenErrorsAreMixed(t *testing.T) {
	hooked(t, func(t *testing.T, _ *miniredis.Miniredis, connect func(*hook, ...ClientOption) *Client) {
		var batches atomic.Int32
		c := connect(&hook{pipeline: func(next redis.ProcessPipelineHook, ctx context.Context, cmds []redis.Cmder) error {
			if batches.Add(1) == 1 { // two nodes: one executes and its answer is lost, the other is loading
				_ = next(ctx, cmds[:1])
				cmds[0].SetErr(errTimeout)
				cmds[1].SetErr(serverError("LOADING Redis is loading the dataset in memory"))
				return errTimeout
			}
			return next(ctx, cmds)
		}})
		first, err := c.FirstOf(context.Background(), []string{"a", "b"}, time.Minute)
		if err != nil || !slices.Equal(first, []bool{true, true}) {
			t.Errorf("fresh keys: %v, %v", first, err)
		}
	})
}

type serverError string

func (e serverError) Error() string { return string(e) }
func (serverError) RedisError()     {}

func TestABodyDoesNotBeginAfterALateConfirmation(t *testing.T) {
	hooked(t, func(t *testing.T, _ *miniredis.Miniredis, connect func(*hook, ...ClientOption) *Client) {
		late := true
		c := connect(&hook{single: func(next redis.ProcessHook, ctx context.Context, cmd redis.Cmder) error {
			err := next(ctx, cmd)
			if err == nil && isScript(cmd, lua.Confirm) && late {
				late = false
				time.Sleep(2 * time.Second) // the hold lapses meanwhile
			}
			return err
		}})
		floor := WithFenceFloor(time.Now().Add(time.Minute).UnixMicro())
		err := c.Do(context.Background(), "x", func(ctx context.Context) error {
			l, _ := FromContext(ctx)
			return l.Err()
		}, WithLease(500*time.Millisecond), WithWait(10*time.Second), floor)
		if err != nil || late {
			t.Errorf("%v, a confirmation was late: %v", err, !late)
		}
	})
}

func TestTheArgumentsOfACommandStayAsTheyWereSent(t *testing.T) {
	hooked(t, func(t *testing.T, _ *miniredis.Miniredis, connect func(*hook, ...ClientOption) *Client) {
		type sent struct {
			args []any
			was  string
		}
		var mu sync.Mutex
		var all []sent
		c := connect(&hook{single: func(next redis.ProcessHook, ctx context.Context, cmd redis.Cmder) error {
			mu.Lock()
			all = append(all, sent{cmd.Args(), fmt.Sprint(cmd.Args()...)})
			mu.Unlock()
			return next(ctx, cmd)
		}})
		for range 2 {
			if err := take(t, c, "x").Release(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for _, s := range all {
			if now := fmt.Sprint(s.args...); now != s.was {
				t.Errorf("sent %.60q, later it says %.60q", s.was, now)
			}
		}
	})
}

func TestTheFirstCauseOfANestedHandleStays(t *testing.T) {
	hooked(t, func(t *testing.T, _ *miniredis.Miniredis, connect func(*hook, ...ClientOption) *Client) {
		c := connect(nil)
		outer := take(t, c, "x")
		inner, err := c.Acquire(outer.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		if err := inner.Release(context.Background()); err != nil {
			t.Fatal(err)
		}
		outer.hold.lose(ErrLost)
		if cause := context.Cause(inner.Context()); !errors.Is(cause, ErrReleased) || !errors.Is(inner.Err(), ErrReleased) {
			t.Errorf("the context ended with %v, Err says %v", cause, inner.Err())
		}
		if cause := context.Cause(outer.Context()); !errors.Is(cause, ErrLost) {
			t.Errorf("the outer one with %v", cause)
		}
	})
}

func TestACallerIsLetGoBeforeTheClusterIsKnown(t *testing.T) {
	t.Parallel()
	never := make(chan struct{})
	rdb := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: []string{"127.0.0.1:1"},
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			<-never
			return nil, errTimeout
		},
	})
	c, err := New(rdb)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	answered := make(chan error, 1)
	go func() {
		_, err := c.Acquire(ctx, "x")
		answered <- err
	}()
	select {
	case err := <-answered:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it says %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it still waits")
	}
	close(never)
	closing, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	_ = c.Close(closing)
	_ = rdb.Close()
}

// Go allocates in classes of sizes, and puts 8 bytes in front of what has pointers and more than 512 bytes. An acquisition is an
// acquire under way, and a hold is its result. So an uncontended pair allocates one of each, and every held lock has one hold. A
// field that makes one of them larger than its class makes it as large as the next class, which is 64 to 128 bytes more.
func TestWhatALockIsMadeOfFitsItsSizeClass(t *testing.T) {
	for _, one := range []struct {
		what        string
		size, class uintptr
	}{
		{"acquisition", unsafe.Sizeof(acquisition{}), 448},
		{"hold", unsafe.Sizeof(hold{}), 512},
	} {
		if one.size > 512 {
			one.size += 8
		}
		if one.size > one.class {
			t.Errorf("a %s takes %d bytes, at most %d: put what few need behind a pointer, or what is small together", one.what, one.size, one.class)
		}
	}
}

func TestFloorsAreBoundedAndKeepTheLastNames(t *testing.T) {
	t.Parallel()
	f := newFloors()
	const names = 3 * maxFloors
	for i := range int64(names) {
		f.note(fmt.Sprint(i), 1000+i)
		f.note("busy", i+1)
		f.note("busy", 1) // an older one changes nothing
	}
	if n := len(f.young) + len(f.old); n > 2*maxFloors {
		t.Errorf("%d names are kept, want at most %d", n, 2*maxFloors)
	}
	if got := f.of("busy"); got != names {
		t.Errorf("of a name in use %d is remembered, want %d", got, names)
	}
	for i := int64(names - maxFloors + 2); i < names; i++ {
		if got := f.of(fmt.Sprint(i)); got != 1000+i {
			t.Fatalf("of name %d of %d: %d, want %d", i, names, got, 1000+i)
		}
	}
	if got := f.of("0"); got != 0 {
		t.Errorf("of the first name %d is remembered", got)
	}
	f.note("kept", 5000)
	for i := range maxFloors {
		f.note(fmt.Sprint("other ", i), 1)
	}
	f.note("kept", 1) // it is of the young generation now
	if got := f.of("kept"); got != 5000 {
		t.Errorf("of a name that is used again %d is remembered, want 5000", got)
	}
	f.forget("busy")
	if got := f.of("busy"); got != 0 {
		t.Errorf("forgotten, and %d is remembered", got)
	}
}

func FuzzOwnersSurviveTheJourney(f *testing.F) {
	f.Add("api", "node-3", 12, "line\nbreaks\n\n")
	f.Fuzz(func(t *testing.T, client, host string, pid int, metadata string) {
		_ = parseOwner(client + "\n" + host + "\n" + metadata).String() // whatever it is
		if strings.Contains(client+host, "\n") {
			return // names and hosts are one line: New sees to it
		}
		o := Owner{Client: client, Host: host, PID: pid, Metadata: metadata}
		if got := parseOwner(o.info()); got != o {
			t.Errorf("%+v came back as %+v", o, got)
		}
	})
}

// The texts of a caller go through the scripts, in the record that the scripts parse.
func FuzzNamesAndMetadataSurviveTheScripts(f *testing.F) {
	f.Add("invoice/42", "nightly\nrun", byte(0), "second")
	f.Add("{%}\x00", "\n\n1 0 read read=*\n", byte(1), "\x00")
	f.Add("a b", "%d %s %(", byte(2), strings.Repeat("-", 22))
	rdb := redis.NewClient(&redis.Options{Addr: miniredis.RunT(f).Addr()})
	c, err := New(rdb)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		_ = c.Close(context.Background())
		_ = rdb.Close()
	})
	modes := []Mode{Exclusive, Read, Semaphore(7), NewMode("a.b-c_d", AtMost(3, "a.b-c_d"), CompatibleWith("read"))}
	f.Fuzz(func(t *testing.T, name, metadata string, which byte, second string) {
		if name == "" || len(name) > MaxName || len(metadata) > MaxMetadata || len(second) > MaxMetadata {
			return // refused before anything is sent
		}
		ctx := context.Background()
		m := modes[int(which)%len(modes)]
		var held []*Lock
		for _, text := range []string{metadata, second} {
			l, err := c.Acquire(ctx, name, WithMode(m), WithMetadata(text), WithWait(0))
			if err == nil {
				held = append(held, l)
			} else if m != Exclusive || len(held) == 0 {
				t.Fatal(err)
			}
		}
		info, err := c.Inspect(ctx, name)
		if err != nil || len(info.Holds) != len(held) {
			t.Fatalf("%+v, %v", info, err)
		}
		for i, text := range []string{metadata, second}[:len(held)] {
			if h := info.Holds[i]; h.Owner.Metadata != text || h.Mode != m || h.Fence != held[i].Fence() {
				t.Errorf("%q in %v came back as %+v", text, m, h)
			}
		}
		for _, l := range held {
			if err := l.Release(ctx); err != nil {
				t.Error(err)
			}
		}
	})
}

func FuzzModesSurviveTheJourney(f *testing.F) {
	f.Add("IS", "IX", 3, 2, 0)
	f.Add("a=1,b", "read", -1, 1, 5)
	f.Fuzz(func(t *testing.T, name, other string, most, weight, size int) {
		for _, m := range []Mode{
			NewMode(name, AtMost(most, other), CompatibleWith(name)), Semaphore(size),
			NewMode(name, AtMost(most, other, name), AtGrant(AtMost(size, other))), Read.Beside(CompatibleWith(other), AtMost(most, "read", other)),
		} {
			if m.check(weight) != nil || weight < 1 {
				continue // refused before anything is sent
			}
			line := m.wire.Line(weight, "")
			if strings.Contains(line, "\n") || strings.Count(line, " ") != 3 {
				t.Errorf("the line %q is not one of four words", line)
			}
			if got, w := protocol.ParseMode(line); got != m.wire || w != weight {
				t.Errorf("%+v, weight %d, came back as %+v, %d", m, weight, got, w)
			}
			if again := protocol.EncodeRules(m.wire.ListRules()); again != m.wire.Rules {
				t.Errorf("the rules %q, read and written, are %q", m.wire.Rules, again)
			}
			if !m.covers(weight, m, weight) {
				t.Errorf("%v does not cover itself", m)
			}
		}
		_, _ = protocol.ParseMode(name + " " + other) // whatever it is
	})
}

func FuzzTicketsAreTheirOwnOrInvalid(f *testing.F) {
	f.Add("name", "redislock", "redislock1.AAAA")
	f.Fuzz(func(t *testing.T, name, prefix, garbage string) {
		c, err := New(redis.NewClient(&redis.Options{}), WithPrefix(prefix))
		if err != nil || checkName(name) != nil {
			return
		}
		want := handoff{name: name, token: protocol.NewToken(), fence: time.Unix(1795247725, 0).Format("20060102150405") + "00"}
		if got, err := c.parseTicket(want.ticket(prefix)); err != nil || got != want {
			t.Errorf("%+v came back as %+v, %v", want, got, err)
		}
		if got, err := c.parseTicket(garbage); err == nil && got.ticket(prefix) != garbage {
			t.Errorf("%q was taken for %+v", garbage, got)
		}
	})
}

// I8: neither a panic nor the end of the goroutine, in a hook that sees the confirmation of a grant, leaves the hold behind.
func TestI8AConfirmationThatEndsItsGoroutineLeavesNoHold(t *testing.T) {
	for what, end := range map[string]func(){"a panic": func() { panic("a hook") }, "the end of the goroutine": runtime.Goexit} {
		hooked(t, func(t *testing.T, _ *miniredis.Miniredis, connect func(*hook, ...ClientOption) *Client) {
			c := connect(&hook{single: func(next redis.ProcessHook, ctx context.Context, cmd redis.Cmder) error {
				if isScript(cmd, lua.Confirm) {
					end()
				}
				return next(ctx, cmd)
			}})
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				defer func() { _ = recover() }()
				if _, err := c.Acquire(context.Background(), "a", WithFenceFloor(time.Now().Add(time.Hour).UnixMicro())); err == nil {
					t.Errorf("%s: granted", what)
				}
			}()
			<-ended
			time.Sleep(2 * time.Second)
			if info, err := c.Inspect(context.Background(), "a"); err != nil || len(info.Holds) > 0 {
				t.Errorf("after %s: held by %v, %v", what, info.Holds, err)
			}
		})
	}
}

// A Handoff takes no longer than documented, even if it sends a second request.
func TestAHandoffTakesNoLongerThanItSays(t *testing.T) {
	hooked(t, func(t *testing.T, _ *miniredis.Miniredis, connect func(*hook, ...ClientOption) *Client) {
		var lost, slow atomic.Bool
		c := connect(&hook{single: func(next redis.ProcessHook, ctx context.Context, cmd redis.Cmder) error {
			if slow.Load() && (isScript(cmd, lua.Renew) || isScript(cmd, lua.Keep)) {
				time.Sleep(4 * time.Second)
			}
			err := next(ctx, cmd)
			if isScript(cmd, lua.Acquire) && lost.CompareAndSwap(false, true) {
				cmd.SetErr(io.EOF)
				return io.EOF
			}
			return err
		}})
		l := take(t, c, "a", WithLease(time.Minute))
		if !l.hold.lease.Unanswered() {
			t.Fatal("no reply was lost")
		}
		slow.Store(true)
		begun := time.Now()
		if _, err := l.Handoff(); err == nil {
			t.Error("handed off, though the second request was not answered in time")
		}
		if took := time.Since(begun); took > 6*time.Second {
			t.Errorf("it took %v", took)
		}
		slow.Store(false)
		if err := l.Release(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestSomeReleasesOfANameThatIsWaitedForLeaveAsTheScriptAtOnce(t *testing.T) {
	var w waitedFor
	for range 2 {
		if !w.unlikely("x") {
			t.Error("the command is not tried, and nobody was found waiting")
		}
	}
	w.found("x")
	if !w.unlikely("other") {
		t.Error("the command is not tried for another name")
	}
	scripts := 0
	for !w.unlikely("x") {
		scripts++
	}
	if scripts != scriptsAfterMiss {
		t.Errorf("%d releases left as the script, instead of %d", scripts, scriptsAfterMiss)
	}
}

// Readers that come after their turn was closed begin a new one together, however late one of them is.
func TestAReaderThatBeginsAnewLateFindsThoseWhoDid(t *testing.T) {
	hooked(t, func(t *testing.T, _ *miniredis.Miniredis, connect func(h *hook, opts ...ClientOption) *Client) {
		c := connect(&hook{})
		key, now := turnKey{"x", true}, time.Now()
		arrive := func(t *turn) turns.Action {
			t.mu.Lock()
			defer t.mu.Unlock()
			return t.machine.ArriveReader(now, time.Second, 0)
		}
		old := c.turns.enter(c, key)
		if a := arrive(old); a != turns.Seek {
			t.Fatal(a)
		}
		if again := c.turns.replace(old); again != old {
			t.Error("who asks the server is replaced")
		}
		old.machine.Admitted(turns.Hold{Since: now, Lease: time.Second})
		first := c.turns.replace(old)
		if first == old || c.turns.of(key) != first {
			t.Error("it is not replaced")
		}
		if second := c.turns.replace(old); second != first {
			t.Error("the second who begins anew does so alone")
		}
		c.turns.leave(first)
		c.turns.leave(first) // nobody uses it any more
		third := c.turns.replace(old)
		if third == nil || third == old || c.turns.of(key) != third {
			t.Errorf("the third is with %p", third)
		}
		old.mu.Lock()
		old.machine.LeftReader()
		old.machine.Over()
		old.mu.Unlock()
		if a := arrive(old); a != turns.Replace {
			t.Errorf("where another one has taken its place: %v", a)
		}
		c.turns.leave(third)
		c.turns.leave(old)
		c.turns.leave(old)
		if c.turns.of(key) != nil {
			t.Error("the name is not forgotten")
		}
	})
}
