package simulation_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// The requests of clients and the replies of servers, in RESP2.

// command takes the first command off data; ok is false if the command is not complete.
func command(data []byte) (args []string, rest []byte, ok bool) {
	if len(data) == 0 || data[0] != '*' {
		return nil, data, false
	}
	line, rest, found := bytes.Cut(data[1:], []byte("\r\n"))
	if !found {
		return nil, data, false
	}
	n, _ := strconv.Atoi(string(line))
	for range n {
		line, after, found := bytes.Cut(rest, []byte("\r\n"))
		if !found || len(line) == 0 || line[0] != '$' {
			return nil, data, false
		}
		size, _ := strconv.Atoi(string(line[1:]))
		if len(after) < size+2 {
			return nil, data, false
		}
		args = append(args, string(after[:size]))
		rest = after[size+2:]
	}
	return args, rest, true
}

// value takes the first reply off data: a string, an int64, nil, a slice of them, or a failure.
func value(data []byte) (v any, rest []byte, ok bool) {
	line, rest, found := bytes.Cut(data, []byte("\r\n"))
	if !found || len(line) == 0 {
		return nil, data, false
	}
	text := string(line[1:])
	n, _ := strconv.Atoi(text)
	switch line[0] {
	case '+':
		return text, rest, true
	case '-':
		return failure(text), rest, true
	case ':':
		return int64(n), rest, true
	case '$':
		if n < 0 {
			return nil, rest, true
		}
		if len(rest) < n+2 {
			return nil, data, false
		}
		return string(rest[:n]), rest[n+2:], true
	case '*':
		if n < 0 {
			return nil, rest, true
		}
		all := make([]any, n)
		for i := range all {
			if all[i], rest, ok = value(rest); !ok {
				return nil, data, false
			}
		}
		return all, rest, true
	}
	return nil, data, false
}

// failure is an error reply of the server.
type failure string

func (f failure) wire() []byte { return []byte("-" + string(f) + "\r\n") }

// said is a reply as a text.
func said(v any) string {
	switch v := v.(type) {
	case nil:
		return "nil"
	case failure:
		return "error " + string(v)
	case []any:
		words := make([]string, len(v))
		for i, one := range v {
			words[i] = said(one)
		}
		return "[" + strings.Join(words, " ") + "]"
	case string:
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprint(v)
}
