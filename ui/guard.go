package ui

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// policy lets the page load its own files and nothing else, and keeps texts from becoming markup or script: names and
// metadata of locks may be hostile.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// secured sets the headers that every answer has.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// hostChecked refuses a Host that is not of this page. Another site may bind its own name to this address; its pages
// would then have the same origin as this one (DNS rebinding).
func (u *UI) hostChecked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !u.knownHost(r.Host) {
			secured(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				refuse(w, http.StatusForbidden, "this page is not served under that host name; start redislock ui with --host NAME if it should be")
			})).ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (u *UI) knownHost(host string) bool {
	if u.config.AnyHost {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback() || u.config.AnyAddress || slices.ContainsFunc(u.config.Hosts, func(known string) bool {
			other, err := netip.ParseAddr(known)
			return err == nil && addr.Unmap() == other.Unmap()
		})
	}
	return host == "localhost" || host != "" && slices.ContainsFunc(u.config.Hosts, func(known string) bool { return strings.EqualFold(known, host) })
}

// sameSite refuses requests from pages of other sites, also those that only read: such a page could not read the
// answer, but would cause a sweep of the server. A link from elsewhere to the page itself is allowed.
func sameSite(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site := r.Header.Get("Sec-Fetch-Site")
		if strings.HasPrefix(r.URL.Path, "/api/") && site != "" && site != "same-origin" && site != "none" {
			refuse(w, http.StatusForbidden, "this request comes from another site")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// permitted refuses actions unless they are allowed.
func (u *UI) permitted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !u.config.AllowBreak {
			refuse(w, http.StatusForbidden, "this page is read-only; redislock ui --allow-break allows to break locks and to ask holders")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ours refuses requests that do not come from this page, which alone knows the key of its session.
func (u *UI) ours(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one, ok := u.session(r)
		switch mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); {
		case !ok || !one.hasKey(r):
			refuse(w, http.StatusForbidden, "the CSRF token is missing or wrong; load the page again")
		case strings.TrimSpace(mediaType) != "application/json":
			refuse(w, http.StatusUnsupportedMediaType, "the body must be application/json")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// sentence is an answer that says why something was not done.
type sentence struct {
	Error text `json:"error"`
}

func (s sentence) String() string { return string(s.Error) }

// refuse answers with a status and a sentence.
func refuse(w http.ResponseWriter, status int, why string) { answer(w, status, sentence{text(why)}) }

// answer answers with a value as JSON.
func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // an error means that the browser is gone
}
