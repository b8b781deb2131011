package monitoring

import (
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"

	prometheuslock "example.com/redislock/adapters/prometheus"
)

// expand is an annotation as Prometheus sends it, of an alert with these labels.
func expand(t *testing.T, text string, labels, external map[string]string) string {
	t.Helper()
	data := template.AlertTemplateData(labels, external, "", promql.Sample{F: 1})
	text = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$value := .Value}}" + text
	out, err := template.NewTemplateExpander(t.Context(), text, "alert", data, model.Time(time.Now().UnixMilli()), nil, nil, nil).Expand()
	if err != nil {
		t.Errorf("%v in %s", err, text)
	}
	return out
}

// The page is told by its address what to show.
func TestEveryAlertLeadsToThePage(t *testing.T) {
	read := func(file string, what string) (all []string) {
		text, err := os.ReadFile("../../ui/static/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(what).FindAllStringSubmatch(string(text), -1) {
			all = append(all, found[1])
		}
		return all
	}
	pages, keys := read("app.js", `\['(\w*)', \w+Page\]`), read("locks.js", `says\.set\('(\w+)'`)
	kinds := append(read("store.js", `'(plain|cron|elect|once|share|tick)'`), read("locks.js", `(lock|election): '(?:plain|elect)'`)...)
	for _, kind := range prometheuslock.LabelValues("kind") {
		if !slices.Contains(kinds, kind) {
			t.Errorf("the page does not know the kind %q of %q", kind, kinds)
		}
	}
	external := map[string]string{"redislock_page": "https://admin.example.com/locks"}
	for _, r := range rules(t) {
		for _, lock := range []string{"", "invoice & more#1"} {
			labels := map[string]string{"job": "app", "instance": "a", "kind": "election"}
			if lock != "" {
				labels["lock"] = lock
			}
			address := expand(t, r.Annotations["page_url"], labels, external)
			where, ok := strings.CutPrefix(address, "https://admin.example.com/locks/#/")
			page, query, _ := strings.Cut(where, "?")
			values, err := url.ParseQuery(query)
			if !ok || err != nil || !slices.Contains(pages, page) || strings.Contains(address, " ") {
				t.Errorf("%s leads to %q: %v", r.Alert, address, err)
			}
			for key := range values {
				if !slices.Contains(keys, key) {
					t.Errorf("%s: the page knows no %q of %q", r.Alert, key, keys)
				}
			}
			if q := values.Get("q"); q != "" && q != lock || q == "" && lock != "" && strings.Contains(r.Annotations["page_url"], "lock }}") {
				t.Errorf("%s searches for %q, want %q", r.Alert, q, lock)
			}
			if none := expand(t, r.Annotations["page_url"], labels, nil); none != "" {
				t.Errorf("%s: without an address it leads to %q", r.Alert, none)
			}
		}
	}
}
