package redislock

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// glob is a pattern of List as a regular expression.
func glob(pattern string) (*regexp.Regexp, error) {
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
			class := globClass.FindString(rest)
			if class == "" {
				return nil, invalid("the pattern %q: a [ without its ]", pattern)
			}
			out.WriteString(globQuoted.ReplaceAllStringFunc(class, func(pair string) string { return `\x{` + hexOf(pair[1:]) + `}` }))
			rest = rest[len(class):]
			continue
		case '\\':
			if len(rest) == 1 {
				return nil, invalid("the pattern %q: nothing behind the last \\", pattern)
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
	match, err := regexp.Compile(out.String())
	if err != nil {
		return nil, invalid("the pattern %q: %v", pattern, err)
	}
	return match, nil
}

// globClass is a set of characters, without what means something only to regular expressions.
var globClass = regexp.MustCompile(`^\[\^?(?:\\.|[^\]\\\[])+\]`)

// globQuoted is a character of a set that has lost its meaning.
var globQuoted = regexp.MustCompile(`\\(?s:.)`)

// hexOf is the number of a character, as regular expressions have it.
func hexOf(text string) string {
	r, _ := utf8.DecodeRuneInString(text)
	return strconv.FormatInt(int64(r), 16)
}

// literal is what every name that matches a pattern begins with.
func literal(pattern string) string {
	if end := strings.IndexAny(pattern, `*?[\`); end >= 0 {
		return pattern[:end]
	}
	return pattern
}

// quoteGlob has Redis take a text for what it is, in a MATCH.
func quoteGlob(text string) string { return globMeta.Replace(text) }

var globMeta = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)
