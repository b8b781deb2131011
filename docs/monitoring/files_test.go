// Package monitoring tests the dashboard and the alert rules of this folder against what adapters/prometheus exports.
package monitoring

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"

	"example.com/redislock"
	prometheuslock "example.com/redislock/adapters/prometheus"
)

// rules are the alert rules, as Prometheus reads them.
func rules(t testing.TB) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile("redislock.rules.yml", false, model.UTF8Validation)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var all []rulefmt.Rule
	for _, g := range groups.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("no rules")
	}
	return all
}

// dashboard is what the tests want to know of one.
type dashboard struct {
	Title      string
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
	Panels []struct {
		ID          int
		Title       string
		Description string
		Datasource  struct{ UID string }
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ Expr, LegendFormat string }
		FieldConfig struct{ Defaults struct{ Unit string } }
	}
}

func readDashboard(t testing.TB) dashboard {
	t.Helper()
	text, err := os.ReadFile("redislock.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// exported are the names of all series of adapters/prometheus, with their labels.
func exported(t testing.TB) map[string][]string {
	t.Helper()
	o, err := prometheuslock.New()
	if err != nil {
		t.Fatal(err)
	}
	o.Observe(redislock.Event{Kind: redislock.EventAsked, Name: "n"})
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(o)
	found := map[string][]string{}
	for _, s := range scrape(t, registry) {
		var names []string
		s.labels.Range(func(l labels.Label) { names = append(names, l.Name) })
		found[s.labels.Get(model.MetricNameLabel)] = names
	}
	return found
}

// check sees that an expression names only what there is.
func check(t *testing.T, expr string, known map[string][]string) {
	t.Helper()
	parsed, err := parser.ParseExpr(expr)
	if err != nil {
		t.Errorf("%v in %s", err, expr)
		return
	}
	var have []string
	selectors := 0
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		v, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		selectors++
		names, ok := known[v.Name]
		if !ok {
			t.Errorf("there is no %q, in %s", v.Name, expr)
		}
		have = append(have, names...)
		for _, m := range v.LabelMatchers {
			if !slices.Contains(names, m.Name) {
				t.Errorf("%s has no label %q, in %s", v.Name, m.Name, expr)
			}
			if of := prometheuslock.LabelValues(m.Name); of != nil {
				for _, value := range strings.Split(m.Value, "|") {
					if !slices.Contains(of, value) {
						t.Errorf("%s is never %q, in %s", m.Name, value, expr)
					}
				}
			}
		}
		return nil
	})
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if a, ok := node.(*parser.AggregateExpr); ok {
			for _, name := range a.Grouping {
				if !slices.Contains(have, name) {
					t.Errorf("nothing has a label %q, in %s", name, expr)
				}
			}
		}
		return nil
	})
	if selectors == 0 {
		t.Errorf("no metric in %s", expr)
	}
}

func TestRulesNameOnlyWhatIsExported(t *testing.T) {
	known := exported(t)
	label := regexp.MustCompile(`\$labels\.(\w+)`)
	for _, r := range rules(t) {
		check(t, r.Expr, known)
		for name, text := range r.Annotations {
			for _, used := range label.FindAllStringSubmatch(text, -1) {
				optional := used[1] == "lock" && strings.Contains(text, "{{ with $labels.lock }}") // WithLabel
				if !optional && !slices.Contains([]string{"job", "instance", "kind"}, used[1]) {
					t.Errorf("%s of %s has the label %q", name, r.Alert, used[1])
				}
			}
		}
	}
}

func TestEveryAlertSaysWhatToDo(t *testing.T) {
	for _, r := range rules(t) {
		if !slices.Contains([]string{"warning", "critical"}, r.Labels["severity"]) {
			t.Errorf("%s has the severity %q", r.Alert, r.Labels["severity"])
		}
		if r.Annotations["summary"] == "" || len(r.Annotations["description"]) < 80 {
			t.Errorf("%s does not say enough: %q", r.Alert, r.Annotations)
		}
		if want := "/docs/operations.md#" + strings.ToLower(r.Alert); !strings.HasSuffix(r.Annotations["runbook_url"], want) {
			t.Errorf("the runbook of %s is %q, want …%s", r.Alert, r.Annotations["runbook_url"], want)
		}
	}
}

func TestTheDashboardNamesOnlyWhatIsExported(t *testing.T) {
	known := exported(t)
	d := readDashboard(t)
	filled := strings.NewReplacer("$__rate_interval", "5m", "$__range", "6h", "$job", "app", "$instance", "a")
	legend := regexp.MustCompile(`\{\{(\w+)\}\}`)
	shown := map[string]bool{}
	for _, p := range d.Panels {
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("panel %q lacks a description, a unit, the data source or a query", p.Title)
		}
		for _, target := range p.Targets {
			check(t, filled.Replace(target.Expr), known)
			if !strings.Contains(target.Expr, `job=~"$job", instance=~"$instance"`) {
				t.Errorf("panel %q does not heed the variables: %s", p.Title, target.Expr)
			}
			for _, used := range legend.FindAllStringSubmatch(target.LegendFormat, -1) {
				if !strings.Contains(target.Expr, "by ("+used[1]+")") {
					t.Errorf("panel %q: %s does not keep %q for its legend", p.Title, target.Expr, used[1])
				}
			}
			for name := range known {
				if strings.Contains(target.Expr, name+"{") {
					shown[strings.TrimSuffix(name, "_bucket")] = true
				}
			}
		}
	}
	for name := range known { // what is measured can be seen
		if strings.HasSuffix(name, "_sum") || strings.HasSuffix(name, "_count") {
			continue
		}
		if !shown[strings.TrimSuffix(name, "_bucket")] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

func TestTheDashboardIsWhole(t *testing.T) {
	d := readDashboard(t)
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
	}
	if !slices.Equal(variables, []string{"datasource", "job", "instance"}) {
		t.Errorf("variables %q", variables)
	}
	ids := map[int]string{}
	cells := map[[2]int]string{}
	for _, p := range d.Panels {
		if other, known := ids[p.ID]; known {
			t.Errorf("%q and %q have the same id", p.Title, other)
		}
		ids[p.ID] = p.Title
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, taken := cells[[2]int{x, y}]; taken || x >= 24 {
					t.Fatalf("%q lies on %q, or beyond the page", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
	}
}
