package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/pflag"

	"example.com/redislock"
)

const (
	defaultURL = "redis://127.0.0.1:6379"
	// dialTimeout is how long one attempt to connect may take where the URL does not say: go-redis's own five attempts
	// of five seconds, and the library's resends, would leave a person waiting for minutes.
	dialTimeout = 2 * time.Second
	// reachTime is how long Redis may take for its first answer. Where nothing comes back at all, not even a refusal,
	// the resends of the library go on for much longer.
	reachTime = 5 * time.Second
	// closeTime bounds how long the program stays for what is to be given back in the background.
	closeTime = 2 * time.Second
)

// server is the Redis that a command uses, and the prefix of its keys.
type server struct {
	url    string
	prefix string
}

func (s *server) flags(f *pflag.FlagSet) {
	f.StringVar(&s.url, "redis", "", "the Redis to use, as redis://, rediss:// or unix:// `URL`\n(default $REDIS_URL, else "+defaultURL+")")
	f.StringVar(&s.prefix, "prefix", redislock.DefaultPrefix, "what every key begins with, as in the application's WithPrefix")
}

// options are those of the flag, of the environment, or of the default. A URL may hold a password, so no message
// repeats it.
func (s *server) options() (*redis.Options, error) {
	source, text := "--redis", s.url
	if text == "" {
		source, text = "REDIS_URL", os.Getenv("REDIS_URL")
	}
	if text == "" {
		text = defaultURL
	}
	opts, err := redis.ParseURL(text)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err
		}
		return nil, exitWith(exitUsage, "%s cannot be read: %v; it must be like redis://user:password@host:6379/0, rediss://host or unix:///path", source, err)
	}
	if opts.DialTimeout == 0 {
		opts.DialTimeout = dialTimeout
	}
	opts.DialerRetries = 1 // the library sends again by itself
	return opts, nil
}

// link is a Client on a Redis and what messages call it.
type link struct {
	client *redislock.Client
	rdb    *redis.Client
	addr   string
}

// connect makes a Client. Nothing is sent yet; options that cannot work are a usage error.
func (s *server) connect(opts ...redislock.ClientOption) (*link, error) {
	o, err := s.options()
	if err != nil {
		return nil, err
	}
	rdb := redis.NewClient(o)
	client, err := redislock.New(rdb, append(opts, redislock.WithPrefix(s.prefix))...)
	if err != nil {
		_ = rdb.Close() // it was never used
		return nil, exitWith(exitUsage, "%s", inFlags(err))
	}
	return &link{client: client, rdb: rdb, addr: o.Addr}, nil
}

// close gives back what is still under way, within closeTime.
func (l *link) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	_ = l.client.Close(ctx) // what is not through by then lapses by its lease
	_ = l.rdb.Close()
}

// reach sees whether Redis answers, in time. What it does not let us do is left to the first lock to find out, which
// names all of it.
func (l *link) reach(ctx context.Context, name string) error {
	bounded, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	switch _, err := l.client.Inspect(bounded, name); {
	case errors.Is(err, redislock.ErrPermission):
		return nil
	case bounded.Err() != nil && ctx.Err() == nil && err != nil:
		return fmt.Errorf("no answer within %v", reachTime)
	default:
		return err
	}
}

// dry says what is wrong with a call's options, without Redis: under a context that has ended it sends nothing, and its
// error is about nothing else that matters.
func (l *link) dry(call func(context.Context) error) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := call(ctx); errors.Is(err, redislock.ErrInvalid) {
		return l.explain(err)
	}
	return nil
}

// explain makes an error of the library one that ends the program: which of the three it was, contended, refused or
// unreachable, and what to do about it.
func (l *link) explain(err error) error {
	var fromServer redis.Error
	switch cause := withoutOperation(err); {
	case errors.Is(err, redislock.ErrInvalid):
		return exitWith(exitUsage, "%s", inFlags(err))
	case errors.Is(err, redislock.ErrPermission):
		return exitWith(exitDenied, "Redis at %s: %v; give its user the rights that redislock.ACL(prefix) prints", l.addr, cause)
	case redis.HasErrorPrefix(err, "NOAUTH"), redis.HasErrorPrefix(err, "WRONGPASS"), redis.HasErrorPrefix(err, "NOPERM"):
		return exitWith(exitDenied, "Redis at %s: %v; put user and password into the URL of --redis or REDIS_URL", l.addr, cause)
	case errors.Is(err, redislock.ErrLost):
		return exitWith(exitUnavailable, "%v, before the command began; see whether Redis at %s answers in time", cause, l.addr)
	case errors.As(err, &fromServer):
		return exitWith(exitUnavailable, "Redis at %s cannot serve: %v; see its log", l.addr, cause)
	default:
		return exitWith(exitUnavailable, "cannot reach Redis at %s: %v; start it there, or name another by --redis URL or REDIS_URL", l.addr, cause)
	}
}

// withoutOperation is what the library's "redislock: acquire "name":" is in front of.
func withoutOperation(err error) error {
	if strings.HasPrefix(err.Error(), "redislock: ") {
		if cause := errors.Unwrap(err); cause != nil {
			return cause
		}
	}
	return err
}

// inFlags says what is wrong with an option in the words of the command line.
func inFlags(err error) string {
	text := strings.TrimPrefix(fmt.Sprint(withoutOperation(err)), redislock.ErrInvalid.Error()+": ")
	return strings.NewReplacer("WithLease(", "--lease (", "WithWait(", "--wait (", "WithStealAfter(", "--steal-after (",
		"WithMaxHold(", "--at-most (", "WithPrefix(", "--prefix (", "WithAtLeast(", "--at-least (", "WithAtMost(", "--at-most (", "WithRetry(", "--retry (", "WithForget(", "--forget (").Replace(text)
}
