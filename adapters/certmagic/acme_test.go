package certmagiclock_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"go.uber.org/zap"

	"example.com/redislock/internal/servertest"
)

// acmeServer is a certificate authority in this process that speaks ACME and accepts every name.
type acmeServer struct {
	url      string
	roots    *x509.CertPool
	accounts atomic.Int64 // registrations asked for
	orders   atomic.Int64
}

func startACME(t *testing.T) *acmeServer {
	t.Helper()
	t.Setenv("PEBBLE_VA_ALWAYS_VALID", "1")
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	t.Setenv("PEBBLE_AUTHZREUSE", "0")
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	profiles := map[string]ca.Profile{"default": {Description: "the only one"}}
	authority := ca.New(quiet, store, "", "ecdsa", 0, 1, profiles)
	front := wfe.New(quiet, store, va.New(quiet, 80, 443, false, "", store), authority, []string{"ca.example.com"}, false, false, 1, 1)
	handler := front.Handler()
	s := &acmeServer{roots: x509.NewCertPool()}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/sign-me-up":
			s.accounts.Add(1)
		case "/order-plz":
			s.orders.Add(1)
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL + wfe.DirectoryPath
	s.roots.AddCert(server.Certificate())
	return s
}

// Instances that want different names obtain them at the same time, under one account.
func TestOverACMEOneAccountAndOneOrderForEachName(t *testing.T) {
	acme := startACME(t)
	server := servertest.Start(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	const names = 3
	s := setup{dir: t.TempDir(), issuer: newAuthority(t)} // replaced below
	var all sync.WaitGroup
	for n := range 2 * names { // two instances for each name
		i := s.start(t, server.Connect())
		i.config.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(i.config, certmagic.ACMEIssuer{
			CA: acme.url, TrustedRoots: acme.roots, Email: "ops@example.com", Agreed: true, Logger: zap.NewNop(),
			AltHTTPPort: freePort(t), ListenHost: "127.0.0.1", DisableTLSALPNChallenge: true,
		})}
		all.Go(func() {
			name := fmt.Sprintf("shop-%d.example.com", n%names)
			if err := i.config.ObtainCertSync(ctx, name); err != nil {
				t.Error(err)
			}
			if _, err := i.config.CacheManagedCertificate(ctx, name); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := acme.accounts.Load(); n != 1 {
		t.Errorf("%d accounts were asked for, not 1", n)
	}
	if n := acme.orders.Load(); n != names {
		t.Errorf("%d orders, not %d", n, names)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
