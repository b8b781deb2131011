package ui

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// sessionLife is how long a session lasts. After that a new login is needed.
	sessionLife = 12 * time.Hour
	// maxSessions is how many sessions there can be. Without a token anybody on this machine can open some.
	maxSessions = 1024
	// keyHeader is the header in which a page sends the key of its session.
	keyHeader = "X-CSRF-Token"
)

// session is the login of a browser. It is kept in this process. It ends after its time, at a logout or with the process,
// and its streams end with it.
//
// A session has two secrets. Scripts cannot read the cookie, but browsers send it to every other port of the host, where
// another program could take it. The key is in the storage of the page, which belongs to its port. The page sends the key
// with each request. So no other site can send requests in its name, and the cookie alone is of no use.
type session struct {
	name  string // a name for the audit
	key   string
	until time.Time
	ended context.Context
	end   context.CancelFunc
}

// sessions has the sessions that have not ended.
type sessions struct {
	mu sync.Mutex
	of map[[sha256.Size]byte]*session // by the hash of the cookie, so that the time of a comparison tells nothing about it
}

// open makes a session that ends with the page, and returns it with its cookie.
func (s *sessions) open(page context.Context) (*session, string) {
	cookie := rand.Text()
	id := sha256.Sum256([]byte(cookie))
	one := &session{name: hex.EncodeToString(id[:4]), key: rand.Text(), until: time.Now().Add(sessionLife)}
	one.ended, one.end = context.WithDeadline(page, one.until)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[[sha256.Size]byte]*session{}
	}
	if len(s.of) >= maxSessions {
		s.makeRoom()
	}
	s.of[id] = one
	context.AfterFunc(one.ended, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.of, id)
	})
	return one, cookie
}

// makeRoom ends one session: of a few that it looks at, the one that would end first.
func (s *sessions) makeRoom() {
	var first *session
	var of [sha256.Size]byte
	looked := 0
	for id, one := range s.of { // the order is random
		if first == nil || one.until.Before(first.until) {
			first, of = one, id
		}
		if looked++; looked == 16 {
			break
		}
	}
	delete(s.of, of) // at once, as otherwise there could be too many
	first.end()
}

// find returns the session of a cookie, if it has not ended.
func (s *sessions) find(cookie string) (*session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.of[sha256.Sum256([]byte(cookie))]
	return one, one != nil && one.ended.Err() == nil
}

// cookieName makes a name of a cookie for this process alone. With one name for all, two pages on one host would end each
// other's sessions. With TLS the name has a prefix for which browsers accept the cookie from this host only.
func cookieName(secure bool) string {
	name := "redislock_ui_" + strings.ToLower(rand.Text()[:10])
	if secure {
		return "__Host-" + name
	}
	return name
}

// session returns the session of a request's cookie.
func (u *UI) session(r *http.Request) (*session, bool) {
	cookie, err := r.Cookie(u.cookie)
	if err != nil {
		return nil, false
	}
	return u.sessions.find(cookie.Value)
}

// hasKey reports whether a request comes from a page of this session.
func (one *session) hasKey(r *http.Request) bool { return equal(r.Header.Get(keyHeader), one.key) }

// welcome opens a session.
func (u *UI) welcome(w http.ResponseWriter) *session {
	one, cookie := u.sessions.open(u.page)
	u.setCookie(w, cookie, int(sessionLife.Seconds()))
	return one
}

func (u *UI) setCookie(w http.ResponseWriter, value string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: u.cookie, Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: u.config.Secure,
	})
}

// authenticated lets a request pass if there is no token, if it comes from a page of a session, or if it has the token. For
// the page itself, which has no data in it, the cookie is enough.
func (u *UI) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if one, ok := u.session(r); u.config.Token == "" || ok && (r.URL.Path == "/" || one.hasKey(r)) {
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
			seeOther(w, "login")
			return
		}
		// Basic is accepted, but the answer does not ask for it, as browsers would then open a dialog of their own over the page.
		w.Header().Set("WWW-Authenticate", `Bearer realm="redislock"`)
		refuse(w, http.StatusUnauthorized, "the token is missing or wrong; log in, or send Authorization: Bearer TOKEN")
	})
}

// sentToken is the token in the header Authorization of a request. With Basic it is the password, under any user
// name.
func sentToken(r *http.Request) (string, bool) {
	if _, password, ok := r.BasicAuth(); ok {
		return password, true
	}
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}

// login opens a session if the token is right. The page finds its key behind the # of the address, which browsers do not
// send.
func (u *UI) login(w http.ResponseWriter, r *http.Request) {
	token := r.PostFormValue("token")
	if u.config.Token != "" {
		switch ok, wait := u.try(r, token); {
		case wait > 0:
			w.Header().Set("Retry-After", seconds(wait))
			seeOther(w, "login?slow="+seconds(wait))
			return
		case !ok:
			seeOther(w, "login?wrong")
			return
		}
	}
	if old, ok := u.session(r); ok { // the new cookie replaces that of the old session
		old.end()
	}
	one := u.welcome(w)
	u.audit(r, one, "login")
	seeOther(w, "./#/enter/"+one.key)
}

// seeOther redirects to a relative address, as the page may be mounted anywhere.
func seeOther(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// logout ends the session, and removes its cookie from the browser.
func (u *UI) logout(w http.ResponseWriter, r *http.Request) {
	if one, ok := u.session(r); ok {
		one.end()
		u.audit(r, one, "logout")
	}
	u.setCookie(w, "", -1)
	seeOther(w, "login")
}

// try checks a token, at a pace at which nobody can guess it. If the caller would have to wait too long, the answer
// says how long, and the token is not checked.
func (u *UI) try(r *http.Request, token string) (ok bool, wait time.Duration) {
	looked := false
	ok, wait = u.slow.try(r.Context(), r.RemoteAddr, func() bool { looked = true; return equal(token, u.config.Token) })
	if looked && !ok {
		u.audit(r, nil, "wrong token")
	}
	return ok, wait
}

func tooMany(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", seconds(wait))
	refuse(w, http.StatusTooManyRequests, "too many wrong tokens; try again in "+seconds(wait)+" s")
}

func seconds(d time.Duration) string { return strconv.Itoa(int((d + time.Second - 1) / time.Second)) }

// equal compares secrets in a time that tells nothing about them, not even their length.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
