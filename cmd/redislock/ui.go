package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"example.com/redislock/ui"
	"example.com/redislock/ui/doctor"
	"example.com/redislock/ui/history"
)

const (
	defaultListen = "127.0.0.1:8047"
	// tokenVariable is where the token may come from, beside a file: a command line is no secret.
	tokenVariable = "REDISLOCK_UI_TOKEN"
	// shortToken is how long a token should be, in bytes.
	shortToken = 16
	// maxTokenFile bounds what is read of a file that is no token.
	maxTokenFile = 4096
	// endTime is how long requests under way may take after a signal.
	endTime = 3 * time.Second
)

const uiHelp = `Serves a web page that shows the locks of a prefix live: who holds them and who waits, for how long, what happened in the last minutes,
cron jobs, elections, and the health of the server. The page needs nothing but this program. It looks at Redis only while a page is
open: about every second, less often if there are many locks. For that the user of --redis needs the right +scan besides those that
redislock.ACL(prefix) prints.

Without --allow-break nobody can break locks by the page, or ask their holders to give them up.

Without --listen it listens on ` + defaultListen + `, where only this machine, but every user of it, can reach the page. Any
address but loopback needs a token. People type it once, and programs send it as "Authorization: Bearer TOKEN". Take a long random
one, such as that of: openssl rand -hex 32. Protect it by --listen-cert and --listen-key, or by a proxy that serves TLS.

On standard error it writes a line, with the time and the address, for each login and logout, each wrong token, each request to break a
lock or to ask its holders, with the reason and the result, and each fault of a connection. A session ends after 12 hours, by a logout,
or when the program ends.

With --history it looks all the time, and records what it sees in a stream in Redis, PREFIX:h. So the history is there when the page is
opened after an event, or this program was restarted. The stream has at most about 20,000 entries, of which the page shows those of the
last 24 hours. It expires 24 hours after the last entry. It also has each redislock break and redislock ask with its user and reason,
and the losses of applications that use the Observer of package ui/history. Times in which nothing was recorded are shown as unseen. The
user of --redis needs "+xadd +xrange +pexpire ~PREFIX:h" for that. If the user of redislock break, ask or top lacks these rights, the
history does not have those commands.

It runs until SIGINT or SIGTERM.

`

const uiExample = `  redislock ui
  redislock ui --listen 127.0.0.1:0 --redis redis://cache.example.com:6379 --allow-break
  redislock ui --listen 0.0.0.0:8047 --host locks.example.com --token-file /run/secrets/redislock-ui --listen-cert cert.pem --listen-key key.pem`

// uiServer is the command.
type uiServer struct {
	server
	listen     string
	hosts      []string
	token      string
	tokenFile  string
	cert, key  string
	allowBreak bool
	history    bool
}

func newUI() *cobra.Command {
	u := &uiServer{}
	cmd := &cobra.Command{
		Use:                   "ui [flags]",
		Short:                 "Show all locks live in the browser",
		Long:                  uiHelp + exits(nil, 0, exitUsage, exitUnavailable, exitDenied),
		Example:               uiExample,
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
	}
	u.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return u.run(cmd.OutOrStdout(), cmd.ErrOrStderr()) }
	return cmd
}

func (u *uiServer) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&u.listen, "listen", defaultListen, "`ADDRESS` to listen on; without a host it is loopback, and port 0 is a free port")
	f.StringSliceVar(&u.hosts, "host", nil, "a further host `NAME` by which browsers reach the page, such as that of a proxy")
	f.BoolVar(&u.allowBreak, "allow-break", false, "let users of the page break locks, and ask holders to give them up")
	f.BoolVar(&u.history, "history", false, "record what happens, even while no page is open, for 24 hours in Redis, in the stream PREFIX:h")
	f.StringVar(&u.tokenFile, "token-file", "", "`FILE` with the token that users of the page must know (default $"+tokenVariable+")")
	f.StringVar(&u.token, "token", "", "the `TOKEN` itself; a file is better, because others on this machine can read a command line")
	f.StringVar(&u.cert, "listen-cert", "", "serve by TLS, with the certificate in this PEM `FILE`")
	f.StringVar(&u.key, "listen-key", "", "PEM `FILE` with the key of that certificate")
	u.server.flags(f)
}

// run serves until a signal.
func (u *uiServer) run(stdout, stderr io.Writer) error {
	host, err := u.place()
	if err != nil {
		return err
	}
	token, err := u.secret()
	if err != nil {
		return err
	}
	addr, _ := netip.ParseAddr(host)
	switch loopback := host == "localhost" || addr.IsLoopback(); {
	case token == "" && !loopback:
		return exitWith(exitUsage, "--listen (%q): anything but loopback needs a token; put a long random one into a file and name it by --token-file, or into $%s", u.listen, tokenVariable)
	case !loopback && u.cert == "":
		say(stderr, "the token and what the page shows travel unencrypted unless something in front of it speaks TLS; --listen-cert and --listen-key do too")
	}
	if token != "" && len(token) < shortToken {
		say(stderr, "the token is short, and may be guessed; make one with: openssl rand -hex 32")
	}
	config, err := u.listenTLS()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	l, err := u.connect()
	if err != nil {
		return err
	}
	defer l.close()
	if err := l.reach(ctx, "ui"); err != nil && ctx.Err() == nil {
		return l.explain(err)
	}
	listener, err := net.Listen("tcp", u.listen)
	if err != nil {
		return exitWith(exitUnavailable, "cannot listen on %s: %v; name another address by --listen, for example --listen 127.0.0.1:0 for a free port", u.listen, bare(err))
	}
	log := &uiLog{w: stderr}
	var kept *history.Log
	if u.history {
		kept = history.Open(l.rdb, u.prefix)
	}
	page := ui.New(ui.Config{
		History: kept,
		Client:  l.client, Address: l.addr, Prefix: u.prefix, Flags: u.again(), Health: func(ctx context.Context) doctor.Report { return doctor.Examine(ctx, l.rdb, u.prefix) }, AllowBreak: u.allowBreak, Token: token,
		Explain:    func(err error) string { return oneLine(l.explain(err).Error()) },
		Audit:      log.audit,
		Hosts:      append(u.hosts, host),
		AnyAddress: addr.IsUnspecified(), Secure: config != nil,
	})
	scheme := "http"
	if config != nil {
		scheme = "https"
	}
	_, _ = fmt.Fprintf(stdout, "%s://%s/\n", scheme, shownAddress(listener.Addr())) // who reads it may be gone
	return serve(ctx, page, listener, config, log)
}

// serve serves the page until ctx ends, and then ends what is under way.
func serve(ctx context.Context, page *ui.UI, listener net.Listener, config *tls.Config, log *uiLog) error {
	srv := &http.Server{
		Handler:           page,
		TLSConfig:         config,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          stdlog.New(log, "", 0),
	}
	failed := make(chan error, 1)
	go func() {
		if config != nil {
			failed <- srv.ServeTLS(listener, "", "")
		} else {
			failed <- srv.Serve(listener)
		}
	}()
	var err error
	select {
	case err = <-failed:
		err = exitWith(exitUnavailable, "cannot serve any more: %v", err)
	case <-ctx.Done():
	}
	page.Close()
	bounded, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	if srv.Shutdown(bounded) != nil {
		_ = srv.Close() // they had their time
	}
	return err
}

// uiLog is what redislock ui says while it serves: a line each, from many goroutines.
type uiLog struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *uiLog) audit(line string) { l.say("audit: " + line) }

// Write takes in what the HTTP server complains of: a line, or that of a panic, which has several.
func (l *uiLog) Write(text []byte) (int, error) {
	for line := range strings.Lines(string(text)) {
		l.say(line)
	}
	return len(text), nil
}

func (l *uiLog) say(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	say(l.w, "%s %s", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), line)
}

// place is the host to listen on, with --listen made whole.
func (u *uiServer) place() (host string, err error) {
	host, port, err := net.SplitHostPort(u.listen)
	if err != nil {
		return "", exitWith(exitUsage, "--listen (%q): %v; it must be like %s", u.listen, bare(err), defaultListen)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	u.listen = net.JoinHostPort(host, port)
	return host, nil
}

// secret is the token, empty if none is asked for.
func (u *uiServer) secret() (string, error) {
	token, source := u.token, "--token"
	switch {
	case u.token != "" && u.tokenFile != "":
		return "", exitWith(exitUsage, "--token and --token-file contradict each other: give one")
	case u.tokenFile != "":
		file, err := os.Open(u.tokenFile)
		if err != nil {
			return "", exitWith(exitUsage, "--token-file: %v", err)
		}
		defer file.Close()
		text, err := io.ReadAll(io.LimitReader(file, maxTokenFile+1))
		if err != nil || len(text) > maxTokenFile {
			return "", exitWith(exitUsage, "--token-file %s: it must be a file with a token of at most %d bytes", u.tokenFile, maxTokenFile)
		}
		token, source = strings.TrimSpace(string(text)), "--token-file"
		if token == "" {
			return "", exitWith(exitUsage, "--token-file %s: it is empty", u.tokenFile)
		}
	case u.token == "":
		token, source = strings.TrimSpace(os.Getenv(tokenVariable)), "$"+tokenVariable
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", exitWith(exitUsage, "%s: a token has letters, digits and signs, no blanks", source)
	}
	return token, nil
}

// listenTLS is how to serve by TLS, nil for not at all.
func (u *uiServer) listenTLS() (*tls.Config, error) {
	if u.cert == "" && u.key == "" {
		return nil, nil
	}
	if u.cert == "" || u.key == "" {
		return nil, exitWith(exitUsage, "--listen-cert and --listen-key go together")
	}
	pair, err := tls.LoadX509KeyPair(u.cert, u.key)
	if err != nil {
		return nil, exitWith(exitUsage, "--listen-cert, --listen-key: %v", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}, nil
}

// shownAddress is where a browser finds it.
func shownAddress(addr net.Addr) string {
	at, ok := addr.(*net.TCPAddr)
	if ok && at.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", fmt.Sprint(at.Port))
	}
	return addr.String()
}

// bare is the cause of a network error, without the operation and the address.
func bare(err error) error {
	var op *net.OpError
	var parse *net.AddrError
	switch {
	case errors.As(err, &op):
		return op.Err
	case errors.As(err, &parse):
		return errors.New(parse.Err)
	}
	return err
}
