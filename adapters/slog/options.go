package sloglock

import (
	"fmt"
	"log/slog"
	"time"

	"example.com/redislock"
)

// DefaultLongWait is how long a wait must be for its end to be logged as information, unless [WithLongWait] says
// otherwise.
const DefaultLongWait = 5 * time.Second

// Option shapes an [Observer]. A value that cannot work makes [New] fail with [redislock.ErrInvalid].
type Option func(*settings) error

type settings struct {
	longWait time.Duration
	levels   map[redislock.EventKind]slog.Leveler
}

// WithLongWait sets how long a wait must be for its end, by a grant or not, to be logged as information. The end of a
// shorter wait is for debugging. With 0 all of them are information. The default is [DefaultLongWait].
func WithLongWait(d time.Duration) Option {
	return func(s *settings) error {
		if d < 0 {
			return invalid("WithLongWait(%v): must not be negative", d)
		}
		s.longWait = d
		return nil
	}
}

// WithLevel logs all events of a kind at that level, failed or not. A [slog.LevelVar] can change the level at any time. At
// a level that is not enabled in the logger, the events are left out.
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
