package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"example.com/redislock"
)

const (
	contextVariable  = "REDISLOCK_CONTEXT"
	contextsVariable = "REDISLOCK_CONTEXTS"
)

// place is a named context: where a Redis is, as the flags of the same names say it.
type place struct {
	name  string
	value map[string]string // by the names of flags
}

// placeKeys are the keys of a context.
var placeKeys = []string{"redis", "prefix", "cluster", "sentinel-master", "tls-ca", "tls-cert", "tls-key"}

// contextsFile is where the contexts are.
func contextsFile() string {
	if path := os.Getenv(contextsVariable); path != "" {
		return path
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "redislock", "contexts")
}

// readContexts reads a file of contexts: a [NAME] on a line, and below it lines like redis = URL. A line that begins with # is a
// comment, and a value that is $NAME is that variable of the environment.
func readContexts(path string) (places []place, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		name, inBrackets := strings.CutPrefix(line, "[")
		key, value, pair := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch {
		case line == "", strings.HasPrefix(line, "#"):
		case inBrackets && strings.HasSuffix(name, "]") && strings.TrimSpace(name[:len(name)-1]) != "":
			places = append(places, place{strings.TrimSpace(name[:len(name)-1]), map[string]string{}})
		case !pair || len(places) == 0:
			return nil, fmt.Errorf("line %d is neither [NAME] nor KEY = VALUE below one", n)
		case !known(key):
			return nil, fmt.Errorf("line %d: %q is none of %s", n, key, strings.Join(placeKeys, ", "))
		default:
			if variable, ok := strings.CutPrefix(value, "$"); ok {
				if value = os.Getenv(variable); value == "" {
					value = "$" + variable // it is missed when it is used
				}
			}
			places[len(places)-1].value[key] = value
		}
	}
	return places, lines.Err()
}

func known(key string) bool {
	for _, k := range placeKeys {
		if k == key {
			return true
		}
	}
	return false
}

// follow takes what the flags do not say from the context that is named by --context or the environment, if one is.
func (s *server) follow() error {
	name := cmp.Or(s.context, os.Getenv(contextVariable))
	if name == "" || s.followed {
		return nil
	}
	s.followed = true
	path := contextsFile()
	places, err := readContexts(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return exitWith(exitUsage, "the context %q: there is no file %s; write one with a line [%s] and below it redis = URL", name, path, name)
	case err != nil:
		return exitWith(exitUsage, "the contexts in %s: %v", path, err)
	}
	for _, p := range places {
		if p.name == name {
			return s.takeFrom(p, path)
		}
	}
	return exitWith(exitUsage, "there is no context %q in %s; redislock contexts lists those that it has", name, path)
}

func (s *server) takeFrom(p place, path string) error {
	for key, to := range map[string]*string{"redis": &s.url, "prefix": &s.prefix, "sentinel-master": &s.master, "tls-ca": &s.ca, "tls-cert": &s.cert, "tls-key": &s.key} {
		value := p.value[key]
		if value == "" || s.changed(key) || key == "redis" && s.url != "" {
			continue
		}
		if strings.HasPrefix(value, "$") {
			return exitWith(exitUsage, "the context %q in %s: %s is the variable %s, which is not set", p.name, path, key, value)
		}
		*to = value
	}
	if !s.changed("cluster") {
		switch p.value["cluster"] {
		case "true":
			s.cluster = true
		case "", "false":
		default:
			return exitWith(exitUsage, "the context %q in %s: cluster must be true or false", p.name, path)
		}
	}
	s.place = p
	return nil
}

func (s *server) changed(flag string) bool { return s.set != nil && s.set.Changed(flag) }

const contextsHelp = `Lists the named contexts. A context says where a Redis is, for --context NAME or $REDISLOCK_CONTEXT. Contexts are in the file
$REDISLOCK_CONTEXTS, or else in redislock/contexts in the directory of your configuration (~/.config on Linux):

  [prod]
  redis = rediss://operator@redis.prod.internal:6379/0
  prefix = shop

  [staging]
  # a value may be a variable of the environment
  redis = $STAGING_REDIS_URL
  sentinel-master = locks

The keys are the names of flags: redis, prefix, cluster, sentinel-master, tls-ca, tls-cert and tls-key. A flag overrides the context,
and the context overrides REDIS_URL. If the file has passwords, only you should be able to read it.

`

// contextJSON is a context, without its password.
type contextJSON struct {
	Name    string `json:"name"`
	Current bool   `json:"current"`
	Redis   string `json:"redis"`
	Prefix  string `json:"prefix"`
}

func newContexts() *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:                   "contexts [flags]",
		Short:                 "List the named contexts",
		Long:                  contextsHelp + exits(map[int]string{exitUsage: "the arguments are wrong, or the file cannot be read"}, 0, exitUsage),
		Example:               "  redislock contexts\n  redislock ls --context prod",
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
	}
	o.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		p, err := pageOf(cmd, &o)
		if err != nil {
			return err
		}
		path := contextsFile()
		places, err := readContexts(path)
		if err != nil {
			return exitWith(exitUsage, "the contexts in %s: %v", path, bareFile(err))
		}
		var rows [][]cell
		for _, one := range places {
			c := contextJSON{one.name, one.name == os.Getenv(contextVariable), withoutPassword(one.value["redis"]), cmp.Or(one.value["prefix"], redislock.DefaultPrefix)}
			if o.json() {
				if err := o.write(p, c); err != nil {
					return err
				}
				continue
			}
			mark := ""
			if c.Current {
				mark = "*"
			}
			rows = append(rows, []cell{{mark, plain}, {visible(c.Name), heading}, {visible(c.Redis), plain}, {visible(c.Prefix), plain}})
		}
		if o.json() || len(rows) == 0 {
			return nil
		}
		return p.rows([]string{"", "NAME", "REDIS", "PREFIX"}, rows)
	}
	return cmd
}

func bareFile(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// withoutPassword is a URL as it may be shown, and … for one that cannot be read: any piece of it may be of a password.
func withoutPassword(text string) string {
	if text == "" || strings.HasPrefix(text, "$") {
		return text
	}
	u, err := url.Parse(asURL(text))
	if err != nil || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
		return "…"
	}
	u.RawQuery, u.Fragment = "", ""
	return u.Redacted()
}
