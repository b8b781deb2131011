package fence

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Header carries fences in a request, and in the refusal of a stale one the greatest that was seen. Its value is a decimal
// number, with the name of its lock behind it, percent-encoded: "1795219200000000;lock=account%2F7". Several are in several
// values, or in one with commas between them. A number without a name counts for any resource of the request. It identifies a
// writer and does not authenticate it: anybody who may send requests may send any fence.
const Header = "Redislock-Fence"

// maxSent is how many fences a request may have.
const maxSent = 32

// format writes a fence as a value of the header.
func format(f Fence) string {
	number := strconv.FormatInt(f.Number, 10)
	if f.Lock == "" {
		return number
	}
	return number + ";lock=" + url.QueryEscape(f.Lock)
}

// parse reads the values of the header. The answer is false if any of them is no fence, if there are too many, or if two
// are of the same lock.
func parse(values []string) (fences []Fence, ok bool) {
	named := map[string]bool{}
	for _, value := range values {
		for text := range strings.SplitSeq(value, ",") {
			f, ok := parseOne(strings.TrimSpace(text))
			if !ok || named[f.Lock] || len(fences) == maxSent {
				return nil, false
			}
			named[f.Lock] = true
			fences = append(fences, f)
		}
	}
	return fences, len(fences) > 0
}

// parseOne reads one fence: 1 to 16 digits that a lock can have, and the name of the lock if there is one.
func parseOne(text string) (f Fence, ok bool) {
	number, name, named := strings.Cut(text, ";lock=")
	if strings.Trim(number, "0123456789") != "" {
		return f, false
	}
	var err error
	if f.Number, err = strconv.ParseInt(number, 10, 64); err != nil || Validate(f.Number) != nil {
		return f, false
	}
	if named {
		f.Lock, err = url.QueryUnescape(name)
	}
	return f, err == nil && named == (f.Lock != "")
}

// sendable returns the fences that a request carries.
func sendable(req *http.Request, fences []Fence, names func(*http.Request) []string) []Fence {
	if names == nil {
		return fences
	}
	var chosen []Fence
	for _, name := range names(req) {
		if number, ok := pick(fences, name); ok {
			chosen = append(chosen, Fence{name, number})
		}
	}
	return chosen
}
