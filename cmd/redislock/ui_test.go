package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/redislock/ui/history"
)

// uiPage starts "redislock ui" on a free port, and returns it with its address.
func (f *fixture) uiPage(args ...string) (p *program, url string) {
	f.Helper()
	p = f.start(append([]string{"ui", "--prefix", f.prefix, "--listen", ":0"}, args...)...)
	return p, p.line()
}

// answers asks for a page and checks the status.
func (f *fixture) answers(client *http.Client, url string, want int, token string) string {
	f.Helper()
	req, err := http.NewRequestWithContext(f.Context(), "GET", url, nil)
	if err != nil {
		f.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	got, err := client.Do(req)
	if err != nil {
		f.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil || got.StatusCode != want {
		f.Errorf("%s: %d, %v, want %d: %s", url, got.StatusCode, err, want, text)
	}
	return string(text)
}

func TestUIServesUntilASignal(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		f := setUp(t)
		p, url := f.uiPage()
		if !strings.HasPrefix(url, "http://127.0.0.1:") {
			t.Fatalf("it listens on %s", url)
		}
		if page := f.answers(http.DefaultClient, url, 200, ""); !strings.Contains(page, "<title>Locks") {
			t.Errorf("it serves %s", page)
		}
		// An open page does not delay the end.
		req, _ := http.NewRequestWithContext(t.Context(), "GET", url+"api/stream", nil)
		stream, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		p.signal(sig)
		if text, err := io.ReadAll(stream.Body); err != nil || !strings.Contains(string(text), "event: bye") {
			t.Errorf("the page is told %q, %v", text, err)
		}
		_ = stream.Body.Close()
		p.ends(0)
	}
}

func TestUIIsNotForEverybodyWithoutAToken(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	write := func(name, text string) string {
		t.Helper()
		if err := os.WriteFile(f.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return f.path(name)
	}
	const token = "correct-horse-battery-staple"
	refused := func(says string, args ...string) {
		t.Helper()
		f.start(append([]string{"ui", "--prefix", f.prefix}, args...)...).ends(64, says)
	}
	refused("needs a token", "--listen", "0.0.0.0:0")
	refused("needs a token", "--listen", "[::]:0")
	refused("needs a token", "--listen", "example.com:80")
	refused("must be like", "--listen", "nonsense")
	refused("it is empty", "--listen", "0.0.0.0:0", "--token-file", write("empty", "\n"))
	refused("no such file", "--listen", "0.0.0.0:0", "--token-file", f.path("nothing"))
	refused("no blanks", "--listen", "0.0.0.0:0", "--token", "a b")
	refused("give one", "--token", token, "--token-file", write("token", token+"\n"))
	refused("go together", "--listen-cert", f.path("token"))
	f.start("ui", "--redis", "redis://127.0.0.1:1", "--prefix", f.prefix).ends(69, "cannot reach Redis at 127.0.0.1:1")

	p, url := f.uiPage("--token-file", f.path("token"))
	f.answers(http.DefaultClient, url+"api/session", 401, "")
	f.answers(http.DefaultClient, url+"api/session", 401, "wrong")
	p.says("audit: wrong token from=127.0.0.1:")
	f.answers(http.DefaultClient, url+"api/session", 204, token)
	other := f.start("ui", "--prefix", f.prefix, "--listen", strings.Trim(strings.TrimPrefix(url, "http://"), "/"))
	other.ends(69, "name another address by --listen")
	p.signal(syscall.SIGTERM)
	if p.ends(0, "wrong token"); strings.Contains(p.stderr.String(), token) {
		t.Error("it tells the token")
	}
}

func TestUISpeaksTLS(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	pool := certificate(f)
	p, url := f.uiPage("--listen", "0.0.0.0:0", "--listen-cert", f.path("cert"), "--listen-key", f.path("key"), "--token", "correct-horse-battery-staple")
	if !strings.HasPrefix(url, "https://127.0.0.1:") {
		t.Fatalf("it listens on %s", url)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	f.answers(&http.Client{Transport: transport}, url+"login", 200, "")
	transport.CloseIdleConnections()
	// A request without TLS gets an answer.
	if got, err := http.Get(strings.Replace(url, "https:", "http:", 1)); err == nil {
		_ = got.Body.Close()
	}
	p.says("TLS handshake error")
	p.signal(syscall.SIGTERM)
	p.ends(0, "TLS handshake error")
}

// certificate writes a certificate for loopback, and returns a pool that trusts it.
func certificate(f *fixture) *x509.CertPool {
	f.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		f.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert": {Type: "CERTIFICATE", Bytes: der}, "key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(f.path(name), pem.EncodeToMemory(block), 0o600); err != nil {
			f.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return pool
}

func TestWhoBreaksOrAsksIsInTheHistoryIfThereIsOne(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	entries := func() (all []history.Entry) {
		if err := history.Open(f.rdb, f.prefix).Read(t.Context(), "", func(e history.Entry) { all = append(all, e) }); err != nil {
			t.Fatal(err)
		}
		return all
	}
	f.hold("w")
	f.wants(0, []string{"break", "--yes", "--reason", "nobody keeps a history", "w"})
	if all := entries(); len(all) != 0 {
		t.Errorf("a history began by itself: %+v", all)
	}
	p, _ := f.uiPage("--history")
	for deadline := time.Now().Add(time.Minute); len(entries()) == 0 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
	}
	lock := f.hold("x")
	f.wants(0, []string{"ask", "--why", "the hotfix", "x"})
	f.wants(0, []string{"break", "--yes", "--reason", "stuck", "x"})
	told := map[string]history.Entry{}
	for _, e := range entries() {
		if e.Told {
			told[e.Kind] = e
		}
	}
	if e := told["asked"]; e.Name != "x" || e.Why != "the hotfix" || e.By != person() {
		t.Errorf("asked: %+v", e)
	}
	if e := told["broken"]; e.Name != "x" || e.Why != "stuck" || e.By != person() || e.Fence != lock.Fence() {
		t.Errorf("broken: %+v", e)
	}
	p.signal(syscall.SIGTERM)
	p.ends(0)
}
