package sloglock

import (
	"fmt"
	"log/slog"
	"time"

	"example.com/redislock"
)

// DefaultLongWait is from which wait on the end of one is information, unless [WithLongWait] says otherwise.
const DefaultLongWait = 5 * time.Second

// Option shapes an [Observer]. A value that cannot work makes [New] fail with [redislock.ErrInvalid].
type Option func(*settings) error

type settings struct {
	longWait time.Duration
	levels   map[redislock.EventKind]slog.Leveler
}

// WithLongWait sets from which wait on a grant, or a wait that was given up, is logged as information; shorter ones are for
// debugging. 0 makes all of them information. The default is [DefaultLongWait].
func WithLongWait(d time.Duration) Option {
	return func(s *settings) error {
		if d < 0 {
			return invalid("WithLongWait(%v): must not be negative", d)
		}
		s.longWait = d
		return nil
	}
}

// WithLevel has all events of a kind logged at that level, however they went. A [slog.LevelVar] can change it at any time,
// and a level that the logger does not take leaves the kind out.
func WithLevel(kind redislock.EventKind, level slog.Leveler) Option {
	return func(s *settings) error {
		if _, known := messages[kind]; !known {
			return invalid("WithLevel(%v): there are no such events", kind)
		}
		if level == nil {
			return invalid("WithLevel(%v, nil)", kind)
		}
		if s.levels == nil {
			s.levels = map[redislock.EventKind]slog.Leveler{}
		}
		s.levels[kind] = level
		return nil
	}
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("redislock: slog: %w: %s", redislock.ErrInvalid, fmt.Sprintf(format, args...))
}
