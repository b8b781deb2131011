package certmagiclock_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/caddyserver/certmagic"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"example.com/redislock"
	certmagiclock "example.com/redislock/adapters/certmagic"
)

// Five instances of a shop start at the same time and want the certificate of the same name. The files are shared, the
// locks are in Redis.
func Example() {
	server, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	defer server.Close()
	dir, err := os.MkdirTemp("", "certificates")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	var instances sync.WaitGroup
	for range 5 {
		instances.Go(func() {
			rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), DisableIdentity: true})
			defer rdb.Close()
			client, err := redislock.New(rdb)
			if err != nil {
				fmt.Println(err)
				return
			}
			defer client.Close(ctx)

			config := newConfig(certmagic.Config{
				Storage: certmagiclock.Beside(&certmagic.FileStorage{Path: dir}, certmagiclock.New(client)),
				Issuers: []certmagic.Issuer{printing{}}, // in an application: certmagic.ACMEIssuer, the default
				Logger:  zap.NewNop(),
			})
			if err := config.ObtainCertSync(ctx, "shop.example.com"); err != nil {
				fmt.Println(err)
			}
		})
	}
	instances.Wait()
	// Output:
	// issuing a certificate for [shop.example.com]
}

// newConfig gives a configuration a cache of its own, as each process has one.
func newConfig(c certmagic.Config) *certmagic.Config {
	var config *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return config, nil },
		Logger:           zap.NewNop(),
	})
	config = certmagic.New(cache, c)
	return config
}

// printing is an issuer that says what it does.
type printing struct{}

func (printing) IssuerKey() string { return "example" }

func (printing) Issue(_ context.Context, request *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	fmt.Println("issuing a certificate for", request.DNSNames)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: request.DNSNames,
		NotBefore: time.Now(), NotAfter: time.Now().Add(90 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, request.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &certmagic.IssuedCertificate{Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}
