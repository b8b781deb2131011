package servertest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxMessage bounds what one request or reply may announce: more is a stream out of step.
const maxMessage = 512 << 20

// message reads one RESP value, of version 2 or 3, whole and nested, and keeps its bytes.
type message struct {
	raw bytes.Buffer
	in  *bufio.Reader
}

// readRequest reads one request, an array of bulk strings, as clients send them: its arguments, the first in lower
// case, and its bytes.
func readRequest(in *bufio.Reader) (args []string, raw []byte, err error) {
	m := message{in: in}
	kind, n, err := m.header()
	if err != nil {
		return nil, nil, err
	}
	if kind != '*' || n < 1 {
		return nil, nil, fmt.Errorf("not a request: %.40q", m.raw.Bytes())
	}
	for range n {
		kind, length, err := m.header()
		if err != nil {
			return nil, nil, atOnce(err)
		}
		if kind != '$' || length < 0 {
			return nil, nil, fmt.Errorf("not a request: %.80q", m.raw.Bytes())
		}
		from := m.raw.Len()
		if err := m.take(length + 2); err != nil {
			return nil, nil, atOnce(err)
		}
		args = append(args, string(m.raw.Bytes()[from:from+length]))
	}
	args[0] = strings.ToLower(args[0])
	return args, m.raw.Bytes(), nil
}

// readReply reads one reply or push and keeps its bytes. A push is what comes without having been asked for: RESP3
// marks them, in RESP2 only the connection tells.
func readReply(in *bufio.Reader) (raw []byte, push bool, err error) {
	m := message{in: in}
	push, err = m.value()
	return m.raw.Bytes(), push, err
}

func (m *message) value() (push bool, err error) {
	kind, n, err := m.header()
	if err != nil {
		return false, err
	}
	parts := 0
	switch kind {
	case '+', '-', ':', '_', ',', '#', '(':
	case '$', '!', '=':
		if n >= 0 {
			return false, atOnce(m.take(n + 2))
		}
	case '*', '~', '>':
		parts = n // -1 is the null array of RESP2
	case '%':
		parts = 2 * n
	case '|': // attributes, in front of the value that they are about
		for range 2 * n {
			if _, err := m.value(); err != nil {
				return false, atOnce(err)
			}
		}
		push, err := m.value()
		return push, atOnce(err)
	default:
		return false, fmt.Errorf("not a reply: %.40q", m.raw.Bytes())
	}
	for range parts {
		if _, err := m.value(); err != nil {
			return false, atOnce(err)
		}
	}
	return kind == '>', nil
}

// header reads a line: a kind, and a number for the kinds that have one.
func (m *message) header() (kind byte, n int, err error) {
	line, err := m.in.ReadBytes('\n')
	m.raw.Write(line)
	if err != nil {
		if len(line) > 0 {
			err = atOnce(err)
		}
		return 0, 0, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return 0, 0, fmt.Errorf("not RESP: %.40q", line)
	}
	if bytes.IndexByte([]byte("$!=*~>%|"), line[0]) < 0 {
		return line[0], 0, nil
	}
	n, err = strconv.Atoi(string(line[1 : len(line)-2]))
	if err != nil || n < -1 || n > maxMessage {
		return 0, 0, fmt.Errorf("not RESP: %.40q", line)
	}
	return line[0], n, nil
}

func (m *message) take(n int) error {
	_, err := io.CopyN(&m.raw, m.in, int64(n))
	return err
}

// atOnce is for an end in the middle of a message.
func atOnce(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
