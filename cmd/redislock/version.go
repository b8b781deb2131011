package main

import (
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// built says from what this program was built, as far as the build noted it.
type built struct {
	Version  string     `json:"version"`
	Library  string     `json:"library"`
	Go       string     `json:"go"`
	GoRedis  string     `json:"go_redis"`
	Revision string     `json:"revision,omitempty"`
	Time     *time.Time `json:"time,omitempty"`
	Modified bool       `json:"modified,omitempty"`
}

func builtFrom() built {
	const unknown = "unknown"
	b := built{Version: unknown, Library: unknown, Go: unknown, GoRedis: unknown}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Go = info.GoVersion
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, dep := range info.Deps {
		version := dep.Version
		if dep.Replace != nil {
			if version = dep.Replace.Version; version == "" {
				version = "(devel)"
			}
		}
		switch {
		case dep.Path == "github.com/redis/go-redis/v9":
			b.GoRedis = version
		case strings.TrimSuffix(info.Main.Path, "/cmd/redislock") == dep.Path:
			b.Library = version
		}
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		case "vcs.time":
			if at, err := time.Parse(time.RFC3339, s.Value); err == nil {
				b.Time = jsonTime(at)
			}
		}
	}
	return b
}

func newVersion() *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:                   "version [flags]",
		Short:                 "Show the versions of this program, Go and go-redis",
		Long:                  "Shows the versions of this program, of the library, of Go and of go-redis, as they were at its build.\n\n" + exits(nil, 0, exitUsage),
		Example:               "  redislock version\n  redislock version --output json | jq -r .version",
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
	}
	o.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := o.check(); err != nil {
			return err
		}
		b := builtFrom()
		if o.json() {
			return o.write(cmd.OutOrStdout(), b)
		}
		text := fmt.Sprintf("redislock %s, library %s, %s, go-redis %s", b.Version, b.Library, b.Go, b.GoRedis)
		if b.Revision != "" {
			text += ", revision " + b.Revision[:min(12, len(b.Revision))]
			if b.Modified {
				text += " with changes"
			}
		}
		_, err := fmt.Fprintln(cmd.OutOrStdout(), text)
		return err
	}
	return cmd
}
