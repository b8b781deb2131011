package main

import (
	"encoding/json"
	"net"
	"strings"
	"testing"

	"example.com/redislock/internal/servertest"
	"example.com/redislock/ui/doctor"
)

func (f *fixture) doctor(url string, args ...string) *program {
	f.Helper()
	return f.start(append([]string{"doctor", "--redis", url, "--prefix", f.prefix}, args...)...)
}

func TestDoctorSaysWhatIsWrongAndExitsWithIt(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	s := servertest.Start(t, "--appendonly", "yes", "--tcp-keepalive", "0")
	url := "redis://" + s.Addr()

	out := f.doctor(url).ends(0)
	for _, text := range []string{
		"Redis at " + s.Addr() + ", for locks under " + f.prefix, "warning  tcp-keepalive: off\n", "\n         why  ",
		"\n         fix  CONFIG SET tcp-keepalive 300;", "\nok       role: primary\n", "\n0 danger, ",
	} {
		if !strings.Contains(out, text) {
			t.Errorf("it does not say %q: %s", text, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Errorf("colours in a pipe: %q", out)
	}
	f.doctor(url, "--strict").ends(1)

	if err := s.Admin().ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.Admin().ConfigSet(t.Context(), "maxmemory", "100mb").Err(); err != nil {
		t.Fatal(err)
	}
	out = f.doctor(url).ends(1)
	if danger, warning, ok := strings.Index(out, "\ndanger   eviction policy"), strings.Index(out, "\nwarning  "), strings.Index(out, "\nok       "); danger < 0 || warning < danger || ok < warning {
		t.Errorf("not from bad to good: %s", out)
	}

	var report struct {
		Address, Prefix string
		Findings        []struct{ Check, Level, Found, Why, Fix string }
	}
	out = f.doctor(url, "--output", "json").ends(1)
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Address != s.Addr() || report.Prefix != f.prefix {
		t.Fatalf("%v: %s", err, out)
	}
	if worst := report.Findings[0]; worst.Level != "danger" || worst.Check != "eviction policy" || !strings.HasPrefix(worst.Fix, "CONFIG SET maxmemory-policy noeviction") {
		t.Errorf("%+v", worst)
	}
	f.doctor(url, "--replicas", "1").ends(1)
}

func TestDoctorOfAFullServerLooksBeforeItChangesAndSaysThatTheLockWasRefused(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	s := servertest.Start(t, "--maxmemory-policy", "noeviction")
	if err := s.Admin().Set(t.Context(), "ballast", strings.Repeat("x", 4<<20), 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.Admin().ConfigSet(t.Context(), "maxmemory", "1mb").Err(); err != nil {
		t.Fatal(err)
	}
	out := f.doctor("redis://" + s.Addr()).ends(1)
	at := 0
	for _, text := range []string{
		"danger   memory: full, most acquires are refused: ", "\n         why  ", "\n         look first, this changes nothing: ", " --bigkeys\n",
		"\n         fix  raise its limit", "\n         note ", " CONFIG SET maxmemory ", "\ndanger   lock: refused: OOM",
	} {
		i := strings.Index(out[at:], text)
		if i < 0 {
			t.Fatalf("%q is not in its place: %s", text, out)
		}
		at += i
	}
}

func TestDoctorOfAServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.doctor("unix://"+f.path("no.sock")).ends(69, "cannot reach Redis at "+f.path("no.sock"), "--redis URL")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	f.doctor("redis://"+listener.Addr().String()+"?read_timeout=1m").ends(69, listener.Addr().String(), "no answer within")
	s := servertest.Start(t, "--requirepass", "geheim")
	f.doctor("redis://"+s.Addr()).ends(77, s.Addr(), "NOAUTH", "password")
	f.doctor("redis://:wrong@"+s.Addr()).ends(77, s.Addr(), "WRONGPASS")
}

func TestDoctorRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.doctor(f.url, "--output", "yaml").ends(64, "--output (yaml)")
	f.doctor(f.url, "--replicas", "-1").ends(64, "--replicas (-1)")
	f.doctor(f.url, "--clock-margin", "-1s").ends(64, "--clock-margin (-1s)")
	f.doctor(f.url, "NAME").ends(64, "NAME")
	f.start("doctor", "--redis", f.url, "--prefix", "a{b").ends(64, "--prefix")
	f.doctor("http://x").ends(64, "--redis")
}

// The texts of the server may come from others.
func TestDoctorsReportCannotSteerTheTerminal(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	hostile := "a\x1b[35m\nok  all is well" // a colour that the doctor does not use
	err := printReport(&text, doctor.Report{Address: hostile, Prefix: hostile, Findings: []doctor.Finding{
		{Check: hostile, Node: hostile, Level: doctor.Danger, Found: hostile, Why: hostile, Fix: hostile},
	}})
	if err != nil || strings.Contains(text.String(), "\x1b[35m") || strings.Contains(text.String(), "\nok  all") {
		t.Errorf("%q, %v", text.String(), err)
	}
}

func TestDoctorExaminesAWholeClusterFromOneNode(t *testing.T) {
	t.Parallel()
	c := servertest.StartCluster(t, 3, func(c *servertest.ClusterConfig) { c.Args = []string{"--appendonly", "yes"} })
	f := setUp(t)
	one := c.Masters[1]
	if err := one.Admin().ConfigSet(t.Context(), "tcp-keepalive", "0").Err(); err != nil {
		t.Fatal(err)
	}
	out := f.doctor("redis://" + c.Masters[0].Addr()).ends(0)
	if !strings.Contains(out, "tcp-keepalive: off\n         at   "+one.Addr()+"\n") || strings.Count(out, " role: primary\n") != 1 {
		t.Errorf("%s", out)
	}
	one.Kill()
	f.doctor("redis://" + c.Masters[0].Addr()).ends(1)
}
