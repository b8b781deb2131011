// Package glob has the patterns of Redis, as KEYS and SCAN take them, for names that are looked through here.
package glob

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Compile makes a pattern a regular expression. An empty one matches everything.
func Compile(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		pattern = "*"
	}
	var out strings.Builder
	out.WriteString("(?s)^")
	for rest := pattern; rest != ""; {
		switch rest[0] {
		case '*':
			out.WriteString(".*")
		case '?':
			out.WriteString(".")
		case '[':
			set := class.FindString(rest)
			if set == "" {
				return nil, errors.New("a [ without its ]")
			}
			out.WriteString(quoted.ReplaceAllStringFunc(set, func(pair string) string { return `\x{` + hexOf(pair[1:]) + `}` }))
			rest = rest[len(set):]
			continue
		case '\\':
			if len(rest) == 1 {
				return nil, errors.New(`nothing behind the last \`)
			}
			rest = rest[1:]
			fallthrough
		default:
			end := 1 + strings.IndexAny(rest[1:], `*?[\`)
			if end == 0 {
				end = len(rest)
			}
			out.WriteString(regexp.QuoteMeta(rest[:end]))
			rest = rest[end:]
			continue
		}
		rest = rest[1:]
	}
	out.WriteString("$")
	return regexp.Compile(out.String())
}

// class is a set of characters, without what means something only to regular expressions.
var class = regexp.MustCompile(`^\[\^?(?:\\.|[^\]\\\[])+\]`)

// quoted is a character of a set that has lost its meaning.
var quoted = regexp.MustCompile(`\\(?s:.)`)

// hexOf is the number of a character, as regular expressions have it.
func hexOf(text string) string {
	r, _ := utf8.DecodeRuneInString(text)
	return strconv.FormatInt(int64(r), 16)
}

// Literal is what every name that matches a pattern begins with.
func Literal(pattern string) string {
	if end := strings.IndexAny(pattern, `*?[\`); end >= 0 {
		return pattern[:end]
	}
	return pattern
}

// Quote has Redis take a text for what it is, in a MATCH.
func Quote(text string) string { return meta.Replace(text) }

var meta = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)
