package servertest_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"example.com/redislock/internal/servertest"
)

func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }

// login starts a session by a DSN, and returns the kind of the server's answer: 'R' accepts.
func login(dsn string) (kind byte, err error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return 0, err
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return 0, err
	}
	// https://www.postgresql.org/docs/current/protocol-message-formats.html, StartupMessage
	hello := binary.BigEndian.AppendUint32(make([]byte, 4), 3<<16)
	for _, text := range []string{"user", u.User.Username(), "database", u.Path[1:], ""} {
		hello = append(append(hello, text...), 0)
	}
	binary.BigEndian.PutUint32(hello, uint32(len(hello)))
	if _, err := conn.Write(hello); err != nil {
		return 0, err
	}
	answer := make([]byte, 1)
	_, err = io.ReadFull(conn, answer)
	return answer[0], err
}

func TestAPostgresLetsInAndEndsWithItsTest(t *testing.T) {
	t.Parallel()
	var dsn string
	t.Run("inner", func(t *testing.T) {
		dsn = servertest.StartPostgres(t).DSN()
		if kind, err := login(dsn); kind != 'R' || err != nil {
			t.Errorf("it answers %q, %v", kind, err)
		}
	})
	if _, err := login(dsn); err == nil {
		t.Error("the server outlived its test")
	}
}

func TestTestsShareAPostgres(t *testing.T) {
	t.Parallel()
	var first, second *servertest.Postgres
	t.Run("first", func(t *testing.T) { first = servertest.SharedPostgres(t) })
	t.Run("second", func(t *testing.T) { second = servertest.SharedPostgres(t) })
	if second == nil {
		return // it says so itself
	}
	if kind, err := login(second.DSN()); first != second || kind != 'R' || err != nil {
		t.Errorf("it answers %q, %v; one server: %v", kind, err, first == second)
	}
}

func TestAMariaDBGreetsAndEndsWithItsTest(t *testing.T) {
	t.Parallel()
	var addr string
	greeting := func() (string, error) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return "", err
		}
		// https://mariadb.com/kb/en/connection/, initial handshake packet: a header of four bytes, 10, the version
		greeting := make([]byte, 32)
		_, err = io.ReadFull(conn, greeting)
		return string(greeting[4:]), err
	}
	t.Run("inner", func(t *testing.T) {
		m := servertest.StartMariaDB(t)
		_, addr, _ = strings.Cut(m.DSN(""), "(")
		addr, _, _ = strings.Cut(addr, ")")
		if text, err := greeting(); !strings.HasPrefix(text, "\n") || !strings.Contains(text, ".") || err != nil {
			t.Errorf("it says %q, %v", text, err)
		}
	})
	if _, err := greeting(); err == nil {
		t.Error("the server outlived its test")
	}
}
