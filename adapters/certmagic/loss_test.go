package certmagiclock_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"example.com/redislock"
	certmagiclock "example.com/redislock/adapters/certmagic"
	"example.com/redislock/internal/servertest"
	"example.com/redislock/redislocktest"
)

// journal is what certmagic logs.
type journal struct {
	mu    sync.Mutex
	lines []string
	hear  func(message string) // before certmagic goes on; may be nil
}

func (j *journal) logger() *zap.Logger {
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg"})
	core := zapcore.NewCore(encoder, zapcore.AddSync(j), zapcore.InfoLevel)
	return zap.New(core, zap.Hooks(func(e zapcore.Entry) error {
		if j.hear != nil {
			j.hear(e.Message)
		}
		return nil
	}))
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, string(line))
	return len(line), nil
}

func (j *journal) has(parts ...string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range j.lines {
		found := true
		for _, part := range parts {
			found = found && strings.Contains(line, part)
		}
		if found {
			return true
		}
	}
	return false
}

// An attempt whose lock was lost does not go on; a later one takes the lock anew. Certmagic's pauses between its
// attempts, of minutes, pass in fake time.
func TestARetryAfterALossGoesOnUnderANewLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := redislocktest.New(t)
		log := &journal{}
		ca := newAuthority(t)
		s := setup{dir: t.TempDir(), issuer: ca, logger: log.logger()}
		first := s.start(t, server.Connect())
		var fences []int64
		fence := func() int64 {
			info, err := server.Client.Inspect(context.Background(), certmagiclock.Prefix+issueLock)
			if err != nil || len(info.Holds) != 1 {
				t.Errorf("not one hold while the certificate is issued: %+v, %v", info.Holds, err)
				return 0
			}
			return info.Holds[0].Fence
		}
		ca.before = func(ctx context.Context, nth int64) error {
			fences = append(fences, fence())
			if nth > 1 {
				return nil
			}
			if _, err := server.Client.Break(ctx, certmagiclock.Prefix+issueLock, "wrong account"); err != nil {
				t.Error(err)
			}
			return errors.New("order is not valid")
		}

		began := time.Now()
		if err := first.config.ObtainCertAsync(context.Background(), domain); err != nil {
			t.Error(err)
		}
		if len(fences) != 2 || fences[1] <= fences[0] {
			t.Errorf("issued under the fences %d: want two, the second greater", fences)
		}
		if !log.has("will retry", "unable to renew lock lease", "wrong account", `"attempt":2`) {
			t.Errorf("the loss is not in certmagic's log: %q", log.lines)
		}
		if took := time.Since(began); took < 3*time.Minute || took > 4*time.Minute {
			t.Errorf("took %v: want the pauses of two failed attempts, 1 and 2 minutes", took)
		}
		if log.has("unable to unlock") {
			t.Errorf("the new lock was not given back: %q", log.lines)
		}
	})
}

func TestAnAttemptWithoutItsLockIssuesNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server := servertest.Start(t)
	operator := newClient(t, server.Connect())
	log := &journal{}
	ca := newAuthority(t)
	stolen := make(chan struct{}, 1)
	s := setup{dir: t.TempDir(), issuer: ca, logger: log.logger(), observer: func(e redislock.Event) {
		if e.Kind == redislock.EventStolen {
			stolen <- struct{}{}
		}
	}}
	log.hear = func(message string) {
		switch message {
		case "lock acquired": // and before the first attempt
			if _, err := operator.Break(ctx, certmagiclock.Prefix+issueLock, "maintenance"); err != nil {
				t.Error(err)
			}
			<-stolen
		case "will retry":
			cancel()
		}
	}
	if err := s.start(t, server.Connect()).config.ObtainCertAsync(ctx, domain); err == nil {
		t.Error("a certificate without a lock")
	}
	if n := ca.issued.Load(); n != 0 {
		t.Errorf("%d certificates were issued without the lock", n)
	}
	if !log.has("unable to unlock", "not held", "maintenance") {
		t.Errorf("the release of a lost lock is not in certmagic's log: %q", log.lines)
	}
}

// certmagic calls such a lock stale: its instance died, or cannot reach Redis any more.
func TestTheLockOfAVanishedInstanceGoesToTheNext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server := servertest.Start(t)
	proxy := servertest.NewProxy(t, server.Addr())
	ca := newAuthority(t)
	log := &journal{}
	s := setup{dir: t.TempDir(), issuer: ca, logger: log.logger(), opts: []redislock.Option{redislock.WithLease(time.Second)}}
	first := s.start(t, proxy.Connect(func(o *redis.Options) { o.ReadTimeout = 100 * time.Millisecond }))
	second := s.start(t, server.Connect())
	ca.before = func(ctx context.Context, nth int64) error {
		if nth > 1 {
			return nil
		}
		proxy.Mute()
		if err := second.config.ObtainCertSync(ctx, domain); err != nil {
			t.Error(err)
		}
		proxy.Unmute()
		return errors.New("the authority does not answer")
	}
	if err := first.config.ObtainCertSync(ctx, domain); err == nil {
		t.Error("the first obtained a certificate")
	}
	if n := ca.issued.Load(); n != 2 {
		t.Errorf("%d attempts to issue, not 2", n)
	}
	if !log.has("unable to unlock", "lock lost") {
		t.Errorf("the loss is not in certmagic's log: %q", log.lines)
	}
}
