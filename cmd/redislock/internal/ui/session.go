package ui

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// sessionLife is after which time a session must be opened anew.
const sessionLife = 12 * time.Hour

// cookieName makes a name for this process alone: cookies know no port, and two pages of one host would end each other's
// sessions. With TLS, browsers take a cookie of such a name from this very host alone.
func cookieName(secure bool) string {
	name := "redislock_ui_" + strings.ToLower(rand.Text()[:10])
	if secure {
		return "__Host-" + name
	}
	return name
}

// A session is a random text and an end, signed with the key of this process: "random.end.signature". So none need be
// kept, and none survives the process.

// session is the session of a request, if it has one that is ours and not over.
func (u *UI) session(r *http.Request) (string, bool) {
	cookie, err := r.Cookie(u.cookie)
	if err != nil {
		return "", false
	}
	signed, signature, _ := cutLast(cookie.Value, ".")
	_, end, _ := strings.Cut(signed, ".")
	until, err := strconv.ParseInt(end, 10, 64)
	return cookie.Value, err == nil && time.Now().Unix() < until && equal(signature, u.sign("session", signed))
}

// welcome opens a session where there is none.
func (u *UI) welcome(w http.ResponseWriter, r *http.Request) {
	if _, ok := u.session(r); ok {
		return
	}
	signed := rand.Text() + "." + strconv.FormatInt(time.Now().Add(sessionLife).Unix(), 10)
	u.setCookie(w, signed+"."+u.sign("session", signed), int(sessionLife.Seconds()))
}

func (u *UI) setCookie(w http.ResponseWriter, value string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: u.cookie, Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: u.config.Secure,
	})
}

// csrf is the token that a page of this session sends along.
func (u *UI) csrf(session string) string { return u.sign("csrf", session) }

func (u *UI) sign(purpose, text string) string {
	mac := hmac.New(sha256.New, u.key)
	fmt.Fprintf(mac, "%s\n%s", purpose, text)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// authenticated lets those pass who need no token, have a session, or send the token along.
func (u *UI) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := u.session(r); ok || u.config.Token == "" {
			next.ServeHTTP(w, r)
			return
		}
		token, sent := sentToken(r)
		if sent {
			switch ok, wait := u.try(r, token); {
			case ok:
				next.ServeHTTP(w, r)
				return
			case wait > 0:
				tooMany(w, wait)
				return
			}
		}
		if !sent && r.URL.Path == "/" {
			http.Redirect(w, r, "/login", http.StatusSeeOther)
			return
		}
		// Basic is accepted but not asked for: browsers would open a dialog of their own over the page.
		w.Header().Set("WWW-Authenticate", `Bearer realm="redislock"`)
		refuse(w, http.StatusUnauthorized, "the token is missing or wrong; log in, or send Authorization: Bearer TOKEN")
	})
}

// sentToken is the token of a request's Authorization; with Basic, the password under any user.
func sentToken(r *http.Request) (string, bool) {
	if _, password, ok := r.BasicAuth(); ok {
		return password, true
	}
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}

// login opens a session for who knows the token.
func (u *UI) login(w http.ResponseWriter, r *http.Request) {
	token := r.PostFormValue("token")
	if u.config.Token != "" {
		switch ok, wait := u.try(r, token); {
		case wait > 0:
			w.Header().Set("Retry-After", seconds(wait))
			http.Redirect(w, r, "/login?slow="+seconds(wait), http.StatusSeeOther)
			return
		case !ok:
			http.Redirect(w, r, "/login?wrong", http.StatusSeeOther)
			return
		}
	}
	u.welcome(w, r)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// logout forgets the session in this browser.
func (u *UI) logout(w http.ResponseWriter, r *http.Request) {
	u.setCookie(w, "", -1)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// try compares a token with ours, at a pace that does not let anybody guess it. Who would have to wait too long is told
// how long, and the token is not looked at.
func (u *UI) try(r *http.Request, token string) (ok bool, wait time.Duration) {
	return u.slow.try(r.Context(), r.RemoteAddr, func() bool { return equal(token, u.config.Token) })
}

func tooMany(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", seconds(wait))
	refuse(w, http.StatusTooManyRequests, "too many wrong tokens; try again in "+seconds(wait)+" s")
}

func seconds(d time.Duration) string { return strconv.Itoa(int((d + time.Second - 1) / time.Second)) }

// equal compares secrets in a time that tells nothing about them, not even the length.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
