package servertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// StartTLS runs a redis-server that speaks TLS and nothing else, with a certificate of an authority made for it. Its
// default user is off; Connect gives clients that are a user with exactly these rules, such as
// "-@all +get ~k:* resetchannels", and trust that authority.
func StartTLS(t testing.TB, rules string, args ...string) *Server {
	t.Helper()
	dir := t.TempDir()
	authority, err := certify(dir)
	if err != nil {
		t.Fatalf("servertest: certificate: %v", err)
	}
	const password = "not-a-secret"
	who := func(user string) func(*redis.Options) {
		return func(o *redis.Options) {
			o.Username, o.Password = user, password
			o.TLSConfig = &tls.Config{RootCAs: authority, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
		}
	}
	users := append([]string{"--user", "app", "reset", "on", ">" + password}, strings.Fields(rules)...)
	users = append(users, "--user", "operator", "on", ">"+password, "~*", "+@all")
	if !olderThan(t, 6, 2) { // before, rights to channels cannot be told
		users = append(users, "&*")
	}
	users = append(users, "--user", "default", "off")
	s := &Server{t: t, identity: who("app"), operator: who("operator")}
	s.args = append(plain(t, []string{
		"--tls-cert-file", filepath.Join(dir, "server.crt"),
		"--tls-key-file", filepath.Join(dir, "server.key"),
		"--tls-ca-cert-file", filepath.Join(dir, "server.crt"), // wanted, but of no use: clients show no certificate
		"--tls-auth-clients", "no",
	}), append(users, args...)...)
	return s.start()
}

// certify puts the certificate and the key of a server on loopback into a directory, and returns the authority.
func certify(dir string) (*x509.CertPool, error) {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of a test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	root, err := x509.CreateCertificate(rand.Reader, authority, authority, signer.Public(), signer)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server of a test"},
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	signed, err := x509.CreateCertificate(rand.Reader, server, authority, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	for name, block := range map[string]*pem.Block{
		"server.crt": {Type: "CERTIFICATE", Bytes: signed},
		"server.key": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return nil, err
		}
	}
	trusted, err := x509.ParseCertificate(root)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(trusted)
	return pool, nil
}
