package servertest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// Commands is how often the server executed each command since the start or [Server.ResetStats], by INFO
// commandstats: those inside scripts too, and in lower case.
func (s *Server) Commands(t testing.TB) map[string]int64 {
	t.Helper()
	text, err := s.admin.Info(context.Background(), "commandstats").Result()
	if err != nil {
		t.Fatalf("servertest: %v", err)
	}
	calls := map[string]int64{}
	for line := range strings.Lines(text) {
		// cmdstat_evalsha:calls=3,usec=120,…
		line, found := strings.CutPrefix(strings.TrimSpace(line), "cmdstat_")
		name, rest, _ := strings.Cut(line, ":")
		count, _, _ := strings.Cut(strings.TrimPrefix(rest, "calls="), ",")
		if !found {
			continue
		}
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil {
			t.Fatalf("servertest: commandstats say %q", line)
		}
		calls[name] = n
	}
	return calls
}

// ResetStats sets the counts of [Server.Commands] to zero.
func (s *Server) ResetStats() {
	s.t.Helper()
	if err := s.admin.ConfigResetStat(context.Background()).Err(); err != nil {
		s.t.Fatalf("servertest: %v", err)
	}
}

// info is a field of INFO.
func (s *Server) info(ctx context.Context, section, field string) (string, error) {
	text, err := s.admin.Info(ctx, section).Result()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), field+":"); found {
			return value, nil
		}
	}
	return "", fmt.Errorf("INFO %s of %s lacks %s", section, s.Addr(), field)
}
