// Package ui is a web page for operators of locks. It begins with the locks that need a person. It shows every lock live, with
// its holders, queue and history, and also processes, cron jobs, elections and the health of the server. It is an [http.Handler]
// without other dependencies. Mount it under any path of your own admin page, behind its login:
//
//	page := ui.New(ui.Config{Client: client, Address: "redis.internal", Prefix: redislock.DefaultPrefix, AnyHost: true, Who: loggedIn})
//	defer page.Close()
//	mux.Handle("/admin/locks/", requireLogin(http.StripPrefix("/admin/locks", page)))
//
// It is read-only unless [Config.AllowBreak] says otherwise. redislock ui serves the same page by itself.
package ui

import (
	"context"
	"net/http"
	"time"

	"example.com/redislock"
	"example.com/redislock/ui/doctor"
	"example.com/redislock/ui/history"
)

// Config says what the page shows, and to whom.
type Config struct {
	// Client is the Client whose prefix is shown.
	Client *redislock.Client
	// Address and Prefix are what the page calls the Redis and the prefix.
	Address, Prefix string
	// Health examines the server. It is called now and then while a page is open. If it is nil, the page says that the server was
	// not examined.
	Health func(context.Context) doctor.Report
	// Explain turns an error of the Client into a sentence that says what to try; nil for the error's own text.
	Explain func(error) string
	// Flags are put at the end of the redislock commands that the page shows for copying. They must lead to the same Redis and
	// prefix, such as "--prefix shop".
	Flags string
	// History records in Redis what the page sees, even while no page is open. It also shows what others have recorded there: who
	// has broken a lock, asked for one, or lost one. With nil, 20 minutes of history are kept in memory, as long as a page is
	// open.
	History *history.Log
	// AllowBreak lets people break locks and ask their holders. Off, those routes answer 403.
	AllowBreak bool
	// Token is the token for the login. If it is empty, there is no login, which is for loopback alone.
	Token string
	// Hosts are the names and addresses beside loopback under which the page may be asked for. AnyAddress also accepts
	// every address that is a number, for a listener on all of them: no name can be bound to another address then.
	Hosts      []string
	AnyAddress bool
	// AnyHost accepts every name. It is for a page behind a login of its own: where nobody is let in without one, a name that was
	// bound to this address gets nothing.
	AnyHost bool
	// Who returns the person of a request, for the history and for the message of a break; nil if the login knows no names. What
	// it returns can be any text.
	Who func(*http.Request) string
	// Audit gets a line, which is safe to show, for each login and logout, each wrong token, and each request to break a lock or
	// to ask its holders, with its result. It is called by many goroutines at once. With nil there is no audit.
	Audit func(line string)
	// Secure says that the page is served by TLS: the cookie is sent by nothing else.
	Secure bool
}

// UI serves the page. [UI.Close] ends it.
type UI struct {
	config   Config
	handler  http.Handler
	cookie   string // the name of the cookie
	sessions sessions
	slow     throttle
	hub      *hub
	page     context.Context // ends with Close
	end      context.CancelFunc
}

// New makes a UI. Nothing is sent to Redis until a browser looks.
func New(config Config) *UI {
	if config.Explain == nil {
		config.Explain = func(err error) string { return err.Error() }
	}
	u := &UI{config: config, cookie: cookieName(config.Secure)}
	u.page, u.end = context.WithCancel(context.Background())
	u.hub = newHub(u.page, config)
	u.handler = u.routes()
	return u
}

// ServeHTTP answers one request.
func (u *UI) ServeHTTP(w http.ResponseWriter, r *http.Request) { u.handler.ServeHTTP(w, r) }

// Close ends all streams and all requests to Redis, and returns when they have ended. Call it before [http.Server.Shutdown],
// which waits for streams.
func (u *UI) Close() {
	u.hub.mu.Lock() // after this nothing new begins
	u.end()
	u.hub.mu.Unlock()
	u.hub.work.Wait()
}

const (
	// answerTime bounds how long a browser may take to read an answer that is not the stream.
	answerTime = 15 * time.Second
	// maxBody is the longest body, in bytes: a name of 512 bytes, escaped, and a reason.
	maxBody = 16 << 10
)

// routes are all routes. Each request is checked in this order: its Host, the site it comes from, its session or
// token.
func (u *UI) routes() http.Handler {
	open, known := http.NewServeMux(), http.NewServeMux()
	files := staticFiles()
	for name, file := range files {
		if name != "index.html" && name != "login.html" {
			open.Handle("GET /static/"+name, file)
		}
	}
	open.Handle("GET /login", files["login.html"])
	open.HandleFunc("POST /login", u.login)
	open.HandleFunc("POST /logout", u.logout)
	open.Handle("/", u.authenticated(known))

	known.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if _, ok := u.session(r); !ok {
			u.welcome(w)
		}
		files["index.html"].ServeHTTP(w, r)
	})
	known.HandleFunc("GET /api/session", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	known.HandleFunc("GET /api/stream", u.stream)
	known.Handle("POST /api/look", u.ours(http.HandlerFunc(u.look)))
	known.Handle("POST /api/break", u.permitted(u.ours(u.act("break", u.breakLock))))
	known.Handle("POST /api/ask", u.permitted(u.ours(u.act("ask", u.askHolders))))

	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusForbidden, "this request comes from another site")
	}))
	return u.hostChecked(secured(sameSite(cross.Handler(bounded(open)))))
}

// bounded limits what a request may cost: the size of its body, and the time of its answer.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime)) // the recorder of a test has no deadline
		next.ServeHTTP(w, r)
	})
}
