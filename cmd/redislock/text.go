package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Names, metadata and reasons are written by others. None of them may break a line, steer the terminal, or make text look
// like something that it is not.

// shown reports whether a character may go to a terminal as it is: not control characters, line separators, and the
// invisible ones that change the direction of text or join what is apart.
func shown(r rune) bool { return unicode.IsPrint(r) }

// oneLine turns what may not go to a terminal into spaces, one for each run of it.
func oneLine(text string) string {
	words := strings.FieldsFunc(strings.ToValidUTF8(text, "�"), func(r rune) bool { return !shown(r) })
	return strings.Join(words, " ")
}

// printable reports whether text may go to a terminal as it is.
func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !shown(r) })
}

// visible is text as it is, or, if that may not go to a terminal, in quotes and with escapes. So is text that begins with a
// quote: it could look like what it is not. Two that differ still do.
func visible(text string) string {
	if !printable(text) || strings.HasPrefix(text, `"`) {
		return strconv.Quote(text)
	}
	return text
}

// shellWord is text as one would type it in a shell.
func shellWord(word string) string {
	if word == "" || strings.HasPrefix(word, "=") || strings.ContainsAny(word, " \t\n\"'\\$&|;<>()*?[]#~`!{}^") {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}

// escapeJSON keeps what may not go to a terminal out of a document of JSON, where it can be in strings only.
func escapeJSON(document []byte) []byte {
	if !bytes.ContainsFunc(document, func(r rune) bool { return r != '\n' && !shown(r) }) {
		return document
	}
	var out bytes.Buffer
	for _, r := range string(document) {
		switch high, low := utf16.EncodeRune(r); {
		case r == '\n' || shown(r):
			out.WriteRune(r)
		case high != unicode.ReplacementChar:
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.Bytes()
}
