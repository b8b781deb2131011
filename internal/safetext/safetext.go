// Package safetext decides which characters of a text that others wrote may be shown as they are, in an error, on a terminal
// and on a page. Names, metadata, reasons and the names of modes are written by others: none of them may steer the terminal, break a
// line, change the direction of what stands beside it, or look like another text because a part of it cannot be seen.
//
// There is one rule for this, [Hidden]. It is applied where text comes in, so that no output can forget it. Letters of different
// scripts that look alike, such as the Latin and the Cyrillic a, are not told apart.
package safetext

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Hidden reports whether a character must not be shown as it is: control characters, line separators, what changes the
// direction of text, what has no width, spaces other than U+0020, characters that nobody has assigned, and letters and
// signs that are blank.
func Hidden(r rune) bool {
	return !unicode.IsPrint(r) || r > unicode.MaxLatin1 && unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, blank)
}

// blank are characters with a width that have nothing to be seen, and are not among the default ignorable ones.
var blank = &unicode.RangeTable{
	R16: []unicode.Range16{{Lo: 0x2800, Hi: 0x2800, Stride: 1}}, // the Braille pattern without dots
	R32: []unicode.Range32{
		{Lo: 0x13441, Hi: 0x13442, Stride: 1}, // Egyptian blanks
		{Lo: 0x16fe4, Hi: 0x16fe4, Stride: 1}, // the Khitan filler
		{Lo: 0x1d159, Hi: 0x1d159, Stride: 1}, // the musical null notehead
	},
}

// Clear reports whether a text can be shown as it is: it is UTF-8, has no [Hidden] character, and no space or accent at an
// end where it could not be seen or would change what is beside it.
func Clear(text string) bool {
	for at, r := range text {
		if hiddenAt(text, at, r) {
			return false
		}
	}
	return true
}

// hiddenAt reports whether the character at this place cannot be shown as it is. Two spaces in a row are not hidden here: a
// terminal shows both.
func hiddenAt(text string, at int, r rune) bool {
	switch {
	case r == utf8.RuneError:
		_, size := utf8.DecodeRuneInString(text[at:])
		return size == 1 // else it is the character itself
	case r == ' ':
		return at == 0 || at == len(text)-1
	case Hidden(r):
		return true
	case r > unicode.MaxLatin1 && unicode.Is(unicode.M, r): // it would be set on what is before it
		return at == 0 || text[at-1] == ' '
	}
	return false
}

// Text is a text as it is if it is [Clear] and does not begin with a quotation mark, or else in quotes with escapes, as
// [strconv.Unquote] reads them. Two texts that differ still do.
func Text(text string) string {
	if Clear(text) && !strings.HasPrefix(text, `"`) {
		return text
	}
	var b strings.Builder
	b.WriteByte('"')
	for at, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == ' ':
			b.WriteByte(' ') // the quotes show where it is
		default:
			write(&b, text, at, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// Escape is a text with escapes for what cannot be shown, and nothing else changed: for a sentence that has names in it. It is a
// single line. A text may look like the escape of another one; [Text] is for names that have to be told apart.
func Escape(text string) string {
	if Clear(text) {
		return text
	}
	var b strings.Builder
	for at, r := range text {
		if r == ' ' {
			b.WriteByte(' ')
		} else {
			write(&b, text, at, r)
		}
	}
	return b.String()
}

// write writes the character at this place of a text, or its escape.
func write(b *strings.Builder, text string, at int, r rune) {
	switch {
	case !hiddenAt(text, at, r):
		b.WriteRune(r)
	case r == utf8.RuneError:
		fmt.Fprintf(b, `\x%02x`, text[at])
	case r == '\n':
		b.WriteString(`\n`)
	case r == '\r':
		b.WriteString(`\r`)
	case r == '\t':
		b.WriteString(`\t`)
	case r < 0x80:
		fmt.Fprintf(b, `\x%02x`, r)
	case r > 0xffff:
		fmt.Fprintf(b, `\U%08x`, r)
	default:
		fmt.Fprintf(b, `\u%04x`, r)
	}
}
