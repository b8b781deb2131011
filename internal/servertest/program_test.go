package servertest

import (
	"context"
	"testing"
)

func TestAProgramsServersEndWithIt(t *testing.T) {
	t.Parallel()
	var addr string
	if err := Program(func(p testing.TB) {
		s := Start(p)
		addr = s.Addr()
		if err := s.Admin().Ping(context.Background()).Err(); err != nil {
			p.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if connect(t, addr, nil).Ping(context.Background()).Err() == nil {
		t.Error("the server still answers")
	}
}

func TestAProgramsFirstFailureIsItsError(t *testing.T) {
	t.Parallel()
	after := false
	err := Program(func(p testing.TB) {
		p.Errorf("the %s", "first")
		p.Fatal("the second")
		after = true
	})
	if err == nil || err.Error() != "the first" {
		t.Errorf("the error is %v", err)
	}
	if after {
		t.Error("Fatal returned")
	}
}
