package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The pages have the table of servers between these two lines.
const (
	begins = "<!-- servers: make topologies writes this -->\n"
	ends   = "<!-- end of servers -->\n"
)

// document writes the table of the results in a file into the pages that have such a table. The last result of a server
// on a topology counts.
func document(root, out string) error {
	text, err := os.ReadFile(out)
	if err != nil {
		return err
	}
	var all []suite
	for line := range bytes.Lines(text) {
		var s suite
		if err := json.Unmarshal(line, &s); err != nil {
			return fmt.Errorf("%s: %w", out, err)
		}
		all = slices.DeleteFunc(all, func(old suite) bool { return old.Server == s.Server && old.Topology == s.Topology })
		all = append(all, s)
	}
	section := table(all)
	var failed error
	for _, page := range []string{filepath.Join("docs", "servers.md"), filepath.Join("docs", "operations.md")} {
		page = filepath.Join(root, page)
		text, err := os.ReadFile(page)
		if err != nil {
			return err
		}
		before, rest, found := strings.Cut(string(text), begins)
		_, after, whole := strings.Cut(rest, ends)
		if !found || !whole {
			failed = errors.Join(failed, fmt.Errorf("%s has no place for the table of servers", page))
			continue
		}
		failed = errors.Join(failed, os.WriteFile(page, []byte(before+begins+section+ends+after), 0o644))
	}
	return failed
}

// headings are the names of the topologies on the pages.
var headings = map[string]string{
	"server": "one server, RESP3", "resp2": "RESP2", "tls": "TLS and ACL", "sentinel": "Sentinel and ACL", "cluster": "cluster and ACL",
}

// table has a line for each server and a column for each topology.
func table(all []suite) string {
	b := &strings.Builder{}
	b.WriteString("\n| server |")
	for _, t := range differing {
		fmt.Fprintf(b, " %s |", headings[t])
	}
	b.WriteString(" run on |\n|---|" + strings.Repeat("--:|", len(differing)) + "---|\n")
	servers := []string{}
	for _, s := range all {
		if slices.Contains(differing, s.Topology) && !slices.Contains(servers, s.Server) {
			servers = append(servers, s.Server)
		}
	}
	slices.Sort(servers)
	for _, server := range servers {
		product, version, _ := strings.Cut(server, " ")
		fmt.Fprintf(b, "| %s%s %s |", strings.ToUpper(product[:1]), product[1:], version)
		date := ""
		for _, topology := range differing {
			at := slices.IndexFunc(all, func(s suite) bool { return s.Server == server && s.Topology == topology })
			switch {
			case at < 0:
				b.WriteString(" not run |")
				continue
			case all[at].Failed > 0:
				fmt.Fprintf(b, " **%d of %d failed** |", all[at].Failed, all[at].Tests)
			default:
				fmt.Fprintf(b, " %d passed |", all[at].Tests)
			}
			date = max(date, all[at].Date)
		}
		fmt.Fprintf(b, " %s |\n", date)
	}
	b.WriteString("\n")
	return b.String()
}
