package certmagiclock_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"example.com/redislock"
	certmagiclock "example.com/redislock/adapters/certmagic"
)

// instance is one process of the fleet: a Client, a Locker and certmagic, over storage that all share.
type instance struct {
	client *redislock.Client
	locker *certmagiclock.Locker
	cache  *certmagic.Cache
	config *certmagic.Config
}

// setup is what the instances of a test share.
type setup struct {
	dir    string           // the shared storage
	issuer certmagic.Issuer // the same for all
	logger *zap.Logger
	opts   []redislock.Option

	observer redislock.ObserverFunc
}

// start makes an instance, which ends with the test.
func (s setup) start(t testing.TB, rdb redis.UniversalClient) *instance {
	t.Helper()
	i := &instance{}
	if s.observer != nil {
		i.client = newClient(t, rdb, redislock.WithObserver(s.observer))
	} else {
		i.client = newClient(t, rdb)
	}
	i.locker = certmagiclock.New(i.client, s.opts...)
	logger := s.logger
	if logger == nil {
		logger = zap.NewNop()
	}
	i.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return i.config, nil },
		Logger:           logger,
	})
	t.Cleanup(i.cache.Stop)
	i.config = certmagic.New(i.cache, certmagic.Config{
		Storage: certmagiclock.Beside(&certmagic.FileStorage{Path: s.dir}, i.locker),
		Issuers: []certmagic.Issuer{s.issuer},
		OCSP:    certmagic.OCSPConfig{DisableStapling: true},
		Logger:  logger,
	})
	return i
}

// newClient makes a Client that must close without a lock left behind.
func newClient(t testing.TB, rdb redis.UniversalClient, opts ...redislock.ClientOption) *redislock.Client {
	t.Helper()
	client, err := redislock.New(rdb, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := client.Close(ctx); err != nil {
			t.Errorf("a lock was left behind: %v", err)
		}
	})
	return client
}

// authority is a certificate authority in memory, which counts.
type authority struct {
	key    *ecdsa.PrivateKey
	cert   *x509.Certificate
	issued atomic.Int64
	before func(ctx context.Context, nth int64) error // what happens while a certificate is issued; may be nil
	age    func(nth int64) time.Duration              // of a new certificate; may be nil
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(10 * 365 * 24 * time.Hour),
		SubjectKeyId: []byte{1, 2, 3, 4},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key: key, cert: cert}
}

// Issue is certmagic's.
func (a *authority) Issue(ctx context.Context, request *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	nth := a.issued.Add(1)
	if a.before != nil {
		if err := a.before(ctx, nth); err != nil {
			return nil, err
		}
	}
	age := time.Minute
	if a.age != nil {
		age = a.age(nth)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1 + nth), Subject: request.Subject, DNSNames: request.DNSNames,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore: time.Now().Add(-age), NotAfter: time.Now().Add(90*24*time.Hour - age),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, request.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	return &certmagic.IssuedCertificate{Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

// IssuerKey is certmagic's.
func (a *authority) IssuerKey() string { return "test-authority" }

// waiting waits until that many wait for a lock of certmagic's.
func waiting(t testing.TB, client *redislock.Client, key string, n int) {
	t.Helper()
	eventually(t, func() bool {
		info, err := client.Inspect(context.Background(), certmagiclock.Prefix+key)
		if err != nil {
			t.Error(err)
			return true
		}
		return info.Waiting == n
	})
}

func eventually(t testing.TB, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Error("waited in vain")
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// certificates is how many the storage has.
func certificates(t testing.TB, dir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "certificates", "*", "*", "*.crt"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
