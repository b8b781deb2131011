package conformance

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/redislock/internal/protocol"
	"example.com/redislock/internal/servertest"
	"example.com/redislock/lua"
)

func TestARealServerIsHeardByWhatItsScriptsExecute(t *testing.T) {
	s := servertest.Start(t)
	rdb := s.Connect()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	reported := make(chan error, 10)
	m, err := Monitor(conn, func(err error) { reported <- err })
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	heard := func(n int) {
		t.Helper()
		for until := time.Now().Add(10 * time.Second); ; {
			_ = rdb.Ping(context.Background()).Err() // a script has ended when the next command begins
			accepted, _ := m.Accepted()
			if accepted >= n {
				return
			}
			if time.Now().After(until) {
				t.Fatalf("%d were heard, and not %d", accepted, n)
			}
		}
	}
	other := strings.Repeat("u", 22)
	run(t, rdb, lua.Acquire, token, request)
	run(t, rdb, lua.Acquire, other, request)
	run(t, rdb, lua.Check, "channel", "u", "", other)
	run(t, rdb, lua.Release, token)
	run(t, rdb, lua.Release, other)
	run(t, rdb, lua.Acquire, token, request)
	heard(6)
	select {
	case err := <-reported:
		t.Fatal(err)
	default:
	}
	if l := m.States(key); len(l) != 1 || len(l[0].Holds) != 1 {
		t.Errorf("the lock is %v", l)
	}
	m.Acceptor.Lost(key) // this is reported, but it is not true
	run(t, rdb, lua.Acquire, other, request)
	heard(7)
	select {
	case err := <-reported:
		if !strings.Contains(err.Error(), "fence") {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a difference is not reported")
	}
}

func TestATicketThatIsWrittenAgainIsNotTakenForTheTimeOfTheScript(t *testing.T) {
	const began, now, ticket, set = 1796046119961444, 1796046119961470, 1796046119892336, 1796046119000000
	h := heard{at: []protocol.Micros{began, now + 9}}
	text := func(times ...int) (texts []string) {
		for _, t := range times {
			texts = append(texts, "c"+strconv.Itoa(t)+"   30000")
		}
		return texts
	}
	for _, c := range []struct {
		texts []string
		first protocol.Micros
	}{
		{text(ticket), began},
		{text(ticket, now, ticket), now},
		{text(set), began},
		{nil, began},
	} {
		if got := h.times(c.texts); got[0] != c.first {
			t.Errorf("of %q the likeliest is %d, want %d", c.texts, got[0], c.first)
		}
	}
}
