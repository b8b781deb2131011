package servertest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The newest server of each product is unpacked from Debian's packages, once, and runs beside the machine's own,
// alone, with replicas and as a cluster.
func TestServersAreStartedByTheirNames(t *testing.T) {
	t.Parallel()
	for name, field := range map[string]string{"valkey newest": "valkey_version", "redis newest": "redis_version", "": "redis_version"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			as, want := Named(t, name), ""
			if name != "" {
				var err error
				if _, want, err = Fetch(name); err != nil {
					t.Fatal(err)
				}
			}
			s := Start(as)
			got, err := s.info(ctx, "server", field)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(got, want) {
				t.Errorf("it is %s, not %s", got, want)
			}
			for shape, servers := range map[string][]*Server{
				"Sentinel": StartSentinel(as).Servers, "a cluster": StartCluster(as, 3).Masters, "replicas": StartReplicated(as, 1).Replicas,
			} {
				for _, s := range servers {
					if is, err := s.info(ctx, "server", field); is != got {
						t.Errorf("%s has %s, %v beside %s", shape, is, err, got)
					}
				}
			}
		})
	}
}

func TestANameThatNobodyKnowsIsAnErrorThatSaysWhichThereAre(t *testing.T) {
	t.Parallel()
	_, _, err := Fetch("valkey 3")
	if err == nil || !strings.Contains(err.Error(), `"valkey 3"`) || !strings.Contains(err.Error(), "valkey 9.1") {
		t.Error(err)
	}
}

// If the mirror cannot be reached, the error says so, and nothing is left of the attempt.
func TestWithoutANetworkItSaysWhatIsLacking(t *testing.T) {
	naming(t)
	cache := t.TempDir()
	if err := os.Mkdir(filepath.Join(cache, unfinished+"of one that was killed"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv(CacheVariable, cache)
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	_, _, err := Fetch("redis 8.0")
	if err == nil || !strings.Contains(err.Error(), "redis 8.0 cannot be fetched into "+cache) || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Error(err)
	}
	left, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range left {
		if entry.Name() != ".lock" {
			t.Errorf("%s is left", entry.Name())
		}
	}
}

// Tests that name a server are left out if the environment says so, and only then. A program that is no test gets an
// error.
func TestWhereNoServerIsFetchedThatIsSaid(t *testing.T) {
	outside(t)
	t.Setenv(CacheVariable, t.TempDir())
	left := func() bool {
		p := &program{}
		done := make(chan struct{})
		go func() {
			defer close(done)
			Named(p, "redis 8.0")
			p.Error("it goes on")
		}()
		<-done
		return !p.Failed()
	}
	if left() {
		t.Error("it is left out where it could be fetched")
	}
	t.Setenv(CacheVariable, Off)
	if !left() {
		t.Error("it is not left out")
	}
	if _, _, err := Fetch("redis 8.0"); err == nil || !strings.Contains(err.Error(), CacheVariable+"="+Off) {
		t.Error(err)
	}
}

// A server that tests share also runs the version that was named.
func TestASharedServerKeepsItsName(t *testing.T) {
	t.Parallel()
	if got := nameOf(&lasting{TB: &named{t, "valkey 8.0"}}); got != "valkey 8.0" {
		t.Errorf("it is %q", got)
	}
}
