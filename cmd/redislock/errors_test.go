package main

import (
	"crypto/tls"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/internal/servertest"
)

// cli runs a command in this process, on this Redis and under the fixture's prefix.
func (f *fixture) cli(url string, args ...string) (status int, stdout, stderr string) {
	f.Helper()
	var out, errs strings.Builder
	args = append([]string{args[0], "--redis", url, "--prefix", f.prefix}, args[1:]...)
	status = Run(args, strings.NewReader(""), &out, &errs)
	return status, out.String(), errs.String()
}

// everyCommand are the commands that ask Redis and end by themselves. reads says that a command writes nothing.
var everyCommand = []struct {
	reads bool
	args  []string
}{
	{true, []string{"ls"}},
	{true, []string{"ls", "--output", "json", "a*"}},
	{true, []string{"show", "x"}},
	{true, []string{"watch", "x"}},
	{true, []string{"watch", "x*"}},
	{true, []string{"cron-status", "x"}},
	{true, []string{"cron-status"}},
	{true, []string{"deadlocks"}},
	{true, []string{"break", "--yes", "--reason", "why", "x"}}, // nobody holds x
	{true, []string{"ask", "--why", "why", "x"}},
	{true, []string{"limit", "x"}},
	{false, []string{"limit", "x", "read=1"}},
	{false, []string{"bench", "--duration", "1s"}},
	{false, []string{"run", "x", "--", "true"}},
	{false, []string{"run", "--once", "x", "--", "true"}},
	{false, []string{"run", "--tick", "1h", "x", "--", "true"}},
}

func TestEveryCommandSaysWhatIsWrongWithRedisAndWhatToDo(t *testing.T) {
	t.Parallel()
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	open := servertest.Start(t)
	if err := open.Admin().Do(t.Context(), "acl", "setuser", "little", "on", ">secret", "+@connection", "~*", "&*").Err(); err != nil {
		t.Fatal(err)
	}
	mute := servertest.NewProxy(t, open.Addr())
	mute.Mute()
	pair := servertest.StartReplicated(t, 1)
	f := setUp(t)
	var all sync.WaitGroup
	deadAddr, replica := dead.Addr().String(), pair.Replicas[0].Addr()

	for _, c := range []struct {
		name, url, addr string
		status          int
		next            string
		readsToo        bool // if false, commands that only read still work
	}{
		{"dead", "redis://" + deadAddr, deadAddr, 69, "start it there, or name another by --redis", true},
		{"no socket", "unix:///no/such/socket", "/no/such/socket", 69, "start it there, or name another by --redis", true},
		{"refusing user", "redis://little:secret@" + open.Addr(), open.Addr(), 77, "give its user th", true},
		{"wrong password", "redis://little:not-so-secret@" + open.Addr(), open.Addr(), 77, "put user and password into the URL", true},
		{"half-open", "redis://" + mute.Addr(), mute.Addr(), 69, "something is there and says nothing", true},
		{"TLS is not spoken", "rediss://" + open.Addr(), open.Addr(), 69, "redis://", true},
		{"replica", "redis://" + replica, replica, 69, "it is a replica, which takes no locks", false},
	} {
		for _, command := range everyCommand {
			if command.reads && !c.readsToo {
				continue
			}
			all.Go(func() { // all at once, as most of them wait for an answer that does not come
				began := time.Now()
				status, _, stderr := f.cli(c.url, command.args...)
				if took := time.Since(began); took > reachTime+closeTime+20*time.Second {
					t.Errorf("%s: %v took %v", c.name, command.args, took)
				}
				if status != c.status {
					t.Errorf("%s: %v: exit status %d, want %d", c.name, command.args, status, c.status)
				}
				for _, text := range []string{c.addr, c.next} {
					if !strings.Contains(stderr, text) {
						t.Errorf("%s: %v says %q, want %q", c.name, command.args, stderr, text)
					}
				}
				if strings.Contains(stderr, "secret@") {
					t.Errorf("%s: %v repeats a password: %q", c.name, command.args, stderr)
				}
			})
		}
	}
	all.Wait()
}

func TestMessagesRepeatNoPieceOfAURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"redis://me:hun/ter@host", "redis://me:hun#ter@host", "redis://me:hun%zzter@host", "hun:ter", "redis://me:hunter@ho st", "http://me:hunter@host",
	} {
		for _, topology := range [][]string{nil, {"--cluster"}, {"--sentinel-master", "m"}} {
			var stderr strings.Builder
			status := Run(append([]string{"ls", "--redis", url}, topology...), strings.NewReader(""), &stderr, &stderr)
			if strings.Contains(stderr.String(), "hun") || status != 64 || !strings.Contains(stderr.String(), "--redis cannot be read") {
				t.Errorf("%s %v: %d, %q", url, topology, status, stderr.String())
			}
		}
	}
}

func TestErrorsForProgramsAreJSON(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	status, stdout, stderr := f.cli("unix:///no/such/socket", "ls", "-o", "json")
	if status != 69 || stdout != "" || !strings.HasPrefix(stderr, `{"time":"20`) || !strings.Contains(stderr, `"message":"cannot reach Redis at /no/such/socket`) || !strings.HasSuffix(stderr, ",\"status\":69}\n") {
		t.Errorf("%d, %q, %q", status, stdout, stderr)
	}
}

// onTopology runs each command on a deployment, and expects the answers that one server gives.
func (f *fixture) onTopology(url string, flags ...string) {
	f.Helper()
	for _, c := range []struct {
		status int
		says   string
		args   []string
	}{
		{0, "", []string{"run", "x", "--", "true"}},
		{0, "", []string{"run", "--tick", "1h", "job", "--", "true"}},
		{0, "x: free", []string{"show", "x"}},
		{0, "x\t-\t-\t-\t-\t0\t-\n", []string{"ls", "--all", "x"}},
		{0, "job: ran in ", []string{"cron-status", "job"}},
		{0, "job\tran\t", []string{"cron-status"}},
		{1, "nobody holds x", []string{"break", "--yes", "--reason", "why", "x"}},
		{1, "nobody holds x", []string{"ask", "--why", "why", "x"}},
		{0, "at most 1 read, until", []string{"limit", "x", "read=1"}},
		{0, "hand_off\t", []string{"bench", "--duration", "1s", "--yes"}},
	} {
		args := append([]string{c.args[0]}, flags...)
		status, stdout, stderr := f.cli(url, append(args, c.args[1:]...)...)
		if status != c.status || !strings.Contains(stdout+stderr, c.says) {
			f.Errorf("%v: exit status %d, want %d and %q; %q, %q", c.args, status, c.status, c.says, stdout, stderr)
		}
	}
}

func TestCommandsWorkOnACluster(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	c := servertest.StartCluster(t, 2)
	f.onTopology("redis://"+c.Masters[0].Addr()+"?addr="+c.Masters[1].Addr(), "--cluster")
	// Without the flag some locks are on other masters.
	said := ""
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		if status, _, stderr := f.cli("redis://"+c.Masters[0].Addr(), "run", name, "--", "true"); status != 0 {
			said = stderr
		}
	}
	if !strings.Contains(said, "add --cluster") {
		t.Errorf("without --cluster it says %q", said)
	}
	if status, _, stderr := f.cli(f.url, "show", "--cluster", "x"); status != 69 || !strings.Contains(stderr, "leave --cluster away") {
		t.Errorf("with --cluster on a single server: %d, %q", status, stderr)
	}
}

func TestCommandsWorkWithSentinel(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	w := servertest.StartSentinel(t)
	url := "redis://" + w.Sentinels[0].Addr() + "?addr=" + w.Sentinels[1].Addr()
	f.onTopology(url, "--sentinel-master", servertest.MasterName)
	for name, c := range map[string][]string{
		"another name": {url, w.Sentinels[0].Addr(), `"nobody"`, "sentinel masters"},
		"no Sentinel":  {f.url, strings.TrimPrefix(f.url, "redis://"), "sentinel"},
	} {
		status, _, stderr := f.cli(c[0], "show", "--sentinel-master", "nobody", "x")
		for _, text := range c[1:] {
			if status != 69 || !strings.Contains(stderr, text) {
				t.Errorf("%s: %d, %q, want %q", name, status, stderr, text)
			}
		}
	}
	refuses(t, []string{"ls", "--cluster", "--sentinel-master", "m"}, "--cluster and --sentinel-master contradict each other")
}

func TestCommandsWorkWithTLS(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	dir := t.TempDir()
	s := servertest.StartTLS(t, "+@all ~* &*", "--dir", dir)
	// The certificate authority is made for the server, and not stored. The client of the test has it.
	config := redis.Options{}
	s.Connect(func(o *redis.Options) { config = *o })
	url := "rediss://" + config.Username + ":" + config.Password + "@" + s.Addr()
	if status, _, stderr := f.cli(url, "show", "x"); status != 69 || !strings.Contains(stderr, "--tls-ca FILE") || !strings.Contains(stderr, s.Addr()) {
		t.Errorf("an unknown authority: %d, %q", status, stderr)
	}
	if status, _, stderr := f.cli("redis://"+s.Addr(), "show", "x"); status != 69 || !strings.Contains(stderr, "rediss://") {
		t.Errorf("without TLS: %d, %q", status, stderr)
	}
	if status, _, stderr := f.cli(url+"?skip_verify=true", "show", "x"); status != 1 {
		t.Errorf("without looking at the certificate: %d, %q", status, stderr)
	}
	conn, err := tls.Dial("tcp", s.Addr(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	shown := conn.ConnectionState().PeerCertificates[0] // a certificate that is trusted itself needs no authority
	_ = conn.Close()
	trusted := filepath.Join(dir, "trusted.pem")
	if err := os.WriteFile(trusted, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: shown.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := f.cli(url, "run", "--tls-ca", trusted, "x", "--", "true"); status != 0 {
		t.Errorf("with --tls-ca: %d, %q", status, stderr)
	}
	none := filepath.Join(dir, "none.pem")
	if err := os.WriteFile(none, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, []string{"ls", "--redis", url, "--tls-ca", none}, "no certificate in PEM")
	refuses(t, []string{"ls", "--redis", url, "--tls-ca", none + "x"}, "--tls-ca: ", "no such file")
	refuses(t, []string{"ls", "--redis", url, "--tls-cert", none}, "--tls-cert and --tls-key belong together")
	refuses(t, []string{"ls", "--redis", url, "--tls-cert", none, "--tls-key", none}, "--tls-cert and --tls-key: ")
	refuses(t, []string{"ls", "--redis", f.url, "--tls-ca", none}, "must begin with rediss://")
}
