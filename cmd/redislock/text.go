package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/charmbracelet/x/ansi"

	"example.com/redislock/cmd/redislock/internal/safetext"
)

// Names, metadata and reasons are written by others. None of them may break a line, steer the terminal, or make text look
// like something that it is not. Who prints for people takes a [readable] lock or run, in which every such text is
// encoded already; what comes from a server's message is encoded as part of the sentence.

// oneLine is a sentence on one line, with escapes for what may not go to a terminal.
func oneLine(text string) string {
	return safetext.Escape(strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), " "))
}

// visible is text as it is, or, if that may not go to a terminal, in quotes and with escapes. Two that differ still do.
func visible(text string) string { return safetext.Text(text) }

// wrapped is a paragraph as lines of at most width columns. A word without a blank is not cut.
func wrapped(text string, width int) (lines []string) {
	line, used := "", 0
	for _, word := range strings.Fields(text) {
		w := ansi.StringWidth(word)
		if line != "" && used+1+w > width {
			lines, line, used = append(lines, line), "", 0
		}
		if line != "" {
			line, used = line+" ", used+1
		}
		line, used = line+word, used+w
	}
	return append(lines, line)
}

// cutMiddle is a text in at most width columns: what does not fit is left out of its middle, for names often differ at their ends.
func cutMiddle(text string, width int) string {
	w := ansi.StringWidth(text)
	if w <= width || width < 5 {
		return text
	}
	first := (width - 1) / 2
	return ansi.Truncate(text, first, "") + "…" + ansi.TruncateLeft(text, w-(width-1-first), "")
}

// cutOwner is an owner in at most width columns: its name is cut in the middle first, then its host is left out. The number of the
// process stays whole.
func cutOwner(text string, width int) string {
	parts := ownerParts.FindStringSubmatch(text)
	if parts == nil || ansi.StringWidth(text) <= width {
		return cutMiddle(text, width)
	}
	name, pid, host, rest := parts[1], parts[2], parts[3], parts[4]
	const least = 8
	for _, tail := range []string{" (" + pid + host + ")" + rest, " (" + pid + ")" + rest, " (" + pid + ")"} {
		if left := width - ansi.StringWidth(tail); left >= least {
			return cutMiddle(name, left) + tail
		}
	}
	return cutMiddle(name, max(5, width-ansi.StringWidth(pid)-1)) + " " + pid
}

// ownerParts are the name of an owner, its process, its host, and what is said of it further.
var ownerParts = regexp.MustCompile(`^(.*) \((pid \d+)( on [^)]*)?\)(.*)$`)

// escapeJSON keeps what may not go to a terminal out of a document of JSON, where it can be in strings only.
func escapeJSON(document []byte) []byte {
	if !bytes.ContainsFunc(document, func(r rune) bool { return r != '\n' && safetext.Hidden(r) }) {
		return document
	}
	var out bytes.Buffer
	for _, r := range string(document) {
		switch high, low := utf16.EncodeRune(r); {
		case r == '\n' || !safetext.Hidden(r):
			out.WriteRune(r)
		case high != unicode.ReplacementChar:
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.Bytes()
}
