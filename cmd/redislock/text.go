package main

import (
	"bytes"
	"fmt"
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
