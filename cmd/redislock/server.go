package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/pflag"

	"example.com/redislock"
	"example.com/redislock/cmd/redislock/internal/safetext"
	"example.com/redislock/ui/trouble"
)

const (
	defaultURL = "redis://127.0.0.1:6379"
	// dialTimeout is how long one attempt to connect may take where the URL does not say: go-redis's own five attempts
	// of five seconds, and the library's resends, would leave a person waiting for minutes.
	dialTimeout = 2 * time.Second
)

// server is the Redis that a command uses, and the prefix of its keys.
type server struct {
	url     string
	prefix  string
	cluster bool
	master  string // as Sentinels call it; empty without them
	ca      string // files
	cert    string
	key     string

	context  string // the name of a context that says what the flags do not
	set      *pflag.FlagSet
	place    place // the context, once it was read
	followed bool
}

func (s *server) flags(f *pflag.FlagSet) {
	s.set = f
	f.StringVar(&s.context, "context", "", "take the flags below that are not given from the context of that `NAME`; redislock contexts lists them\n(default $"+contextVariable+")")
	f.StringVar(&s.url, "redis", "", "the Redis to use, as redis://, rediss:// or unix:// `URL`, or HOST:PORT; redis://HOST:PORT/2 is its database 2. Where it has no user and password, those of $REDIS_URL are used if that is the same HOST:PORT\n(default $REDIS_URL, else "+defaultURL+")")
	f.StringVar(&s.prefix, "prefix", redislock.DefaultPrefix, "the beginning of every key, as in the application's WithPrefix")
	s.topologyFlags(f)
}

// topologyFlags say what is at the URL.
func (s *server) topologyFlags(f *pflag.FlagSet) {
	f.BoolVar(&s.cluster, "cluster", false, "the URL is that of a node of a Redis cluster; give further nodes as in redis://one:6379?addr=two:6379")
	f.StringVar(&s.master, "sentinel-master", "", "the URL is that of a Sentinel, which calls the primary `NAME`. The user and password in it are the Sentinel's; give those of the primary as in redis://host:26379?username=me&password=secret")
	f.StringVar(&s.ca, "tls-ca", "", "with rediss://: trust the authorities in this `FILE` instead of those of the system")
	f.StringVar(&s.cert, "tls-cert", "", "with rediss://: the client certificate, from this `FILE`")
	f.StringVar(&s.key, "tls-key", "", "with rediss://: the key of that certificate, from this `FILE`")
}

// arguments are the flags that lead another process to the same place. The URL is not among them, because it may hold a
// password that other users could read there.
func (s *server) arguments() []string {
	args := []string{"--prefix", s.prefix}
	if s.cluster {
		args = append(args, "--cluster")
	}
	for flag, value := range map[string]string{"--sentinel-master": s.master, "--tls-ca": s.ca, "--tls-cert": s.cert, "--tls-key": s.key} {
		if value != "" {
			args = append(args, flag, value)
		}
	}
	return args
}

// again is the flags that lead a person to the same place, as they are typed. A password is not among them: who types the command
// has it in REDIS_URL, or is told that it is missing.
func (s *server) again() string {
	args := []string{}
	if s.place.name != "" && s.context != "" {
		args = append(args, "--context", trouble.Typed(s.context))
	}
	if address := s.address(); address != "" {
		args = append(args, "--redis", address)
	}
	if s.prefix != cmp.Or(s.place.value["prefix"], redislock.DefaultPrefix) || s.place.value["prefix"] != "" && s.context == "" {
		args = append(args, "--prefix", trouble.Typed(s.prefix))
	}
	if s.cluster && s.place.value["cluster"] != "true" {
		args = append(args, "--cluster")
	}
	if s.master != s.place.value["sentinel-master"] {
		args = append(args, "--sentinel-master", trouble.Typed(s.master))
	}
	return strings.Join(args, " ")
}

// address is what --redis takes to lead to the same server, without user and password. It is empty where that flag alone does not lead
// there (a cluster, Sentinels, TLS), and where a context in the flags does.
func (s *server) address() string {
	text, _ := s.source()
	o, err := redis.ParseURL(text)
	switch {
	case s.cluster || s.master != "" || s.tls() || err != nil, s.context != "" && !s.changed("redis"), o.Network == "unix" && o.DB != 0:
		return ""
	}
	address := o.Addr
	if o.DB != 0 {
		address = fmt.Sprintf("redis://%s/%d", address, o.DB)
	}
	if !safetext.Clear(address) {
		return ""
	}
	return trouble.ShellWord(address)
}

// fillIn takes user and password from REDIS_URL, if the URL of --redis has neither and is that of the same server: commands that are
// shown for copying have no password.
func (s *server) fillIn(o *redis.Options) {
	if s.url == "" || o.Username != "" || o.Password != "" {
		return
	}
	same, err := redis.ParseURL(asURL(strings.TrimSpace(os.Getenv("REDIS_URL"))))
	if err == nil && same.Network == o.Network && same.Addr == o.Addr && (same.TLSConfig == nil) == (o.TLSConfig == nil) {
		o.Username, o.Password = same.Username, same.Password
	}
}

// dial makes the client that flags and environment ask for, and returns its name in messages. Nothing is sent yet.
func (s *server) dial() (rdb redis.UniversalClient, addr string, err error) {
	if err := s.follow(); err != nil {
		return nil, "", err
	}
	text, source := s.source()
	unreadable := func(err error) error {
		return exitWith(exitUsage, "%s cannot be read: %v; it must be like redis://user:password@host:6379/0, rediss://host or unix:///path", source, withoutSecrets(err))
	}
	switch {
	case s.cluster && s.master != "":
		return nil, "", exitWith(exitUsage, "--cluster and --sentinel-master contradict each other: a cluster needs no Sentinel")
	case s.cluster:
		o, err := redis.ParseClusterURL(text)
		if err != nil {
			return nil, "", unreadable(err)
		}
		if err := s.secure(o.TLSConfig); err != nil {
			return nil, "", err
		}
		patient(&o.DialTimeout, &o.DialerRetries)
		return redis.NewClusterClient(o), strings.Join(o.Addrs, ", ") + " (cluster)", nil
	case s.master != "":
		o, err := redis.ParseFailoverURL(text)
		if err != nil {
			return nil, "", unreadable(err)
		}
		if err := s.secure(o.TLSConfig); err != nil {
			return nil, "", err
		}
		o.MasterName = s.master
		patient(&o.DialTimeout, &o.DialerRetries)
		return redis.NewFailoverClient(o), fmt.Sprintf("%s (Sentinel of %q)", strings.Join(o.SentinelAddrs, ", "), s.master) + database(o.DB), nil
	default:
		o, err := redis.ParseURL(text)
		if err != nil {
			return nil, "", unreadable(err)
		}
		if err := s.secure(o.TLSConfig); err != nil {
			return nil, "", err
		}
		s.fillIn(o)
		patient(&o.DialTimeout, &o.DialerRetries)
		return redis.NewClient(o), o.Addr + database(o.DB), nil
	}
}

// source returns the URL, and where it is from. A line of a file has its end with it.
func (s *server) source() (text, source string) {
	text, source = strings.TrimSpace(s.url), "--redis"
	if s.url == "" {
		text, source = cmp.Or(strings.TrimSpace(os.Getenv("REDIS_URL")), defaultURL), "REDIS_URL"
	}
	return asURL(text), source
}

// asURL is a URL as it is. An address alone means what a client of Redis is given for one: host and port, or the path of a socket.
func asURL(text string) string {
	switch {
	case strings.Contains(text, "://"):
		return text
	case strings.HasPrefix(text, "/"):
		return "unix://" + text
	default:
		return "redis://" + text
	}
}

// database is named behind an address, unless it is the one that is meant where none is named.
func database(db int) string {
	if db == 0 {
		return ""
	}
	return fmt.Sprintf(", database %d", db)
}

func (s *server) tls() bool {
	text, _ := s.source()
	return strings.HasPrefix(text, "rediss:")
}

// patient shortens the attempts to connect: the library sends again by itself.
func patient(timeout *time.Duration, retries *int) {
	if *timeout == 0 {
		*timeout = dialTimeout
	}
	*retries = 1
}

// repeated is what net/url and go-redis repeat of a URL.
var repeated = regexp.MustCompile(`\s*"[^"]*"|:.*`)

// withoutSecrets is what is wrong with a URL, without any piece of it: a password with a slash is taken for the port.
func withoutSecrets(err error) string {
	var parse *url.Error
	if errors.As(err, &parse) {
		err = parse.Err
	}
	return repeated.ReplaceAllString(strings.TrimPrefix(err.Error(), "redis: "), "") + " (in a password, / is written %2F, @ is %40, # is %23)"
}

// secure puts the files of the flags into the configuration that rediss:// has made.
func (s *server) secure(config *tls.Config) error {
	switch {
	case s.ca == "" && s.cert == "" && s.key == "":
		return nil
	case config == nil:
		return exitWith(exitUsage, "--tls-ca, --tls-cert and --tls-key are for TLS: the URL must begin with rediss://")
	case (s.cert == "") != (s.key == ""):
		return exitWith(exitUsage, "--tls-cert and --tls-key belong together: give both")
	}
	if s.ca != "" {
		text, err := os.ReadFile(s.ca)
		if err != nil {
			return exitWith(exitUsage, "--tls-ca: %v", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return exitWith(exitUsage, "--tls-ca: %s has no certificate in PEM", s.ca)
		}
	}
	if s.cert != "" {
		pair, err := tls.LoadX509KeyPair(s.cert, s.key)
		if err != nil {
			return exitWith(exitUsage, "--tls-cert and --tls-key: %v", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return nil
}
