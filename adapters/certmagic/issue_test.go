package certmagiclock_test

import (
	"context"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"

	"example.com/redislock"
	"example.com/redislock/internal/servertest"
)

const domain = "shop.example.com"

const issueLock = "issue_cert_" + domain

// The main promise: many instances want one certificate, and it is issued once.
func TestOfManyInstancesOneObtainsTheCertificate(t *testing.T) {
	t.Parallel()
	for name, obtain := range map[string]func(*certmagic.Config, context.Context, string) error{
		"in the foreground":             (*certmagic.Config).ObtainCertSync,
		"in the background, by retries": (*certmagic.Config).ObtainCertAsync,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const fleet = 8
			server := servertest.Start(t)
			ca := newAuthority(t)
			s := setup{dir: t.TempDir(), issuer: ca}
			var instances []*instance
			for range fleet {
				instances = append(instances, s.start(t, server.Connect()))
			}
			ca.before = func(context.Context, int64) error { // all others are here by now
				waiting(t, instances[0].client, issueLock, fleet-1)
				return nil
			}

			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			var all sync.WaitGroup
			for _, i := range instances {
				all.Go(func() {
					if err := obtain(i.config, ctx, domain); err != nil {
						t.Error(err)
						return
					}
					if _, err := i.config.CacheManagedCertificate(ctx, domain); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()

			if n := ca.issued.Load(); n != 1 {
				t.Errorf("%d certificates were issued, not 1", n)
			}
			if n := certificates(t, s.dir); n != 1 {
				t.Errorf("the storage has %d certificates, not 1", n)
			}
			if _, err := os.Stat(filepath.Join(s.dir, "locks")); !os.IsNotExist(err) {
				t.Errorf("the storage's own locks were used: %v", err)
			}
		})
	}
}

func TestOfManyInstancesOneRenewsTheCertificate(t *testing.T) {
	t.Parallel()
	const fleet = 5
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server := servertest.Start(t)
	ca := newAuthority(t)
	s := setup{dir: t.TempDir(), issuer: ca}
	var instances []*instance
	for range fleet {
		instances = append(instances, s.start(t, server.Connect()))
	}
	ca.age = func(nth int64) time.Duration {
		if nth == 1 {
			return 80 * 24 * time.Hour // of the 90 days: due
		}
		return time.Minute
	}
	if err := instances[0].config.ObtainCertSync(ctx, domain); err != nil {
		t.Fatal(err)
	}
	ca.before = func(context.Context, int64) error {
		waiting(t, instances[0].client, issueLock, fleet-1)
		return nil
	}
	var all sync.WaitGroup
	for _, i := range instances {
		all.Go(func() {
			if err := i.config.RenewCertSync(ctx, domain, false); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := ca.issued.Load(); n != 2 {
		t.Errorf("%d certificates were issued, not the first and one renewal", n)
	}
}

// advised is an authority which also says when to renew (ARI).
type advised struct {
	*authority
	asked chan struct{} // an instance asks
	reply chan struct{} // closed when it may have its answer
}

func window() acme.RenewalInfo {
	var info acme.RenewalInfo
	info.SuggestedWindow.Start = time.Now().Add(30 * 24 * time.Hour)
	info.SuggestedWindow.End = info.SuggestedWindow.Start.Add(24 * time.Hour)
	info.UniqueIdentifier = "the-certificate"
	return info
}

func (a *advised) GetRenewalInfo(context.Context, certmagic.Certificate) (acme.RenewalInfo, error) {
	a.asked <- struct{}{}
	<-a.reply
	info := window()
	after := time.Now().Add(time.Hour)
	info.RetryAfter = &after
	return info, nil
}

// certmagic's maintenance asks the authority about renewal under a TryLock. An instance that does not get the lock
// goes on without the answer.
func TestWhoDoesNotGetATryLockGoesOnAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server := servertest.Start(t)
	ca := &advised{authority: newAuthority(t), asked: make(chan struct{}, 10), reply: make(chan struct{})}
	s := setup{dir: t.TempDir(), issuer: withMetadata{ca}}
	var instances []*instance
	for range 4 {
		i := s.start(t, server.Connect())
		if err := i.config.ObtainCertSync(ctx, domain); err != nil {
			t.Fatal(err)
		}
		if _, err := i.config.CacheManagedCertificate(ctx, domain); err != nil {
			t.Fatal(err)
		}
		instances = append(instances, i)
	}

	var first sync.WaitGroup
	first.Go(func() {
		if err := instances[0].cache.RenewManagedCertificates(ctx); err != nil {
			t.Error(err)
		}
	})
	<-ca.asked
	for _, i := range instances[1:] { // returns although the first is not through
		if err := i.cache.RenewManagedCertificates(ctx); err != nil {
			t.Error(err)
		}
	}
	close(ca.reply)
	first.Wait()
	if n := 1 + len(ca.asked); n != 1 {
		t.Errorf("the authority was asked %d times, not once", n)
	}
}

// withMetadata gives certificates the metadata of ACME, so that certmagic asks about their renewal.
type withMetadata struct{ *advised }

func (a withMetadata) Issue(ctx context.Context, request *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	issued, err := a.advised.Issue(ctx, request)
	if err == nil {
		info := window()
		issued.Metadata = acme.Certificate{RenewalInfo: &info}
	}
	return issued, err
}

func TestWhoGivesUpWaitingLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	server := servertest.Start(t)
	ca := newAuthority(t)
	s := setup{dir: t.TempDir(), issuer: ca}
	first, second := s.start(t, server.Connect()), s.start(t, server.Connect())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ca.before = func(context.Context, int64) error {
		gaveUp := make(chan error)
		go func() { gaveUp <- second.config.ObtainCertSync(ctx, domain) }()
		waiting(t, first.client, issueLock, 1)
		cancel()
		if err := <-gaveUp; err == nil {
			t.Error("the second did not wait for its turn")
		}
		waiting(t, first.client, issueLock, 0)
		return nil
	}
	if err := first.config.ObtainCertSync(context.Background(), domain); err != nil {
		t.Error(err)
	}
	if n := ca.issued.Load(); n != 1 {
		t.Errorf("%d certificates were issued, not 1", n)
	}
}

// The test is not parallel, as CleanUpOwnLocks unlocks everything that the process has locked.
func TestCleanUpOwnLocksFreesThem(t *testing.T) {
	server := servertest.Start(t)
	ca := newAuthority(t)
	s := setup{dir: t.TempDir(), issuer: ca, opts: []redislock.Option{redislock.WithLease(time.Hour)}}
	first, second := s.start(t, server.Connect()), s.start(t, server.Connect())
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ca.before = func(ctx context.Context, nth int64) error {
		if nth > 1 {
			return nil
		}
		certmagic.CleanUpOwnLocks(ctx, zap.NewNop()) // the process is about to end
		if err := second.config.ObtainCertSync(ctx, domain); err != nil {
			t.Error(err)
		}
		return errors.New("the process ends here")
	}
	if err := first.config.ObtainCertSync(ctx, domain); err == nil {
		t.Error("the first obtained a certificate")
	}
	if n := certificates(t, s.dir); n != 1 {
		t.Errorf("the storage has %d certificates, not 1", n)
	}
}

func TestCleanStorageIsDoneByOneAtATime(t *testing.T) {
	t.Parallel()
	server := servertest.Start(t)
	s := setup{dir: t.TempDir(), issuer: newAuthority(t)}
	i := s.start(t, server.Connect())
	other := s.start(t, server.Connect())
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := other.locker.Lock(ctx, "storage_clean"); err != nil {
		t.Fatal(err)
	}
	cleaned := make(chan error, 1)
	go func() {
		cleaned <- certmagic.CleanStorage(ctx, i.config.Storage, certmagic.CleanStorageOptions{Logger: zap.NewNop()})
	}()
	waiting(t, other.client, "storage_clean", 1)
	if err := other.locker.Unlock(ctx, "storage_clean"); err != nil {
		t.Error(err)
	}
	if err := <-cleaned; err != nil {
		t.Error(err)
	}
}
