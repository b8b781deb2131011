package main

import (
	"encoding/json"
	"io"

	"github.com/spf13/pflag"
)

// output is how a command shows what it found: as text for people, or as JSON for programs.
type output struct{ format string }

func (o *output) flags(f *pflag.FlagSet) {
	f.StringVarP(&o.format, "output", "o", "text", "how to show the result: text or json")
}

// check is a usage error for a format that there is not.
func (o *output) check() error {
	if o.format != "text" && o.format != "json" {
		return exitWith(exitUsage, "--output (%s): must be text or json", o.format)
	}
	return nil
}

func (o *output) json() bool { return o.format == "json" }

// write writes one JSON document on a line of its own.
func (o *output) write(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }
