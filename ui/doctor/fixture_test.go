package doctor_test

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/redislock/ui/doctor"
)

const prefix = "lock"

// examine examines a server, and checks that every finding is complete.
func examine(t *testing.T, rdb redis.UniversalClient, opts ...doctor.Option) doctor.Report {
	t.Helper()
	began := time.Now()
	r := doctor.Examine(t.Context(), rdb, prefix, opts...)
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %v", took)
	}
	for _, f := range r.Findings {
		switch {
		case f.Check == "" || f.Found == "":
			t.Errorf("a finding says nothing: %+v", f)
		case f.Level == doctor.OK && (f.Why != "" || f.Fix != ""):
			t.Errorf("what is well has a why or a fix: %+v", f)
		case f.Level == doctor.Unknown && f.Fix == "":
			t.Errorf("what is not known has no way to learn it: %+v", f)
		case f.Level >= doctor.Warning && (f.Why == "" || f.Fix == ""):
			t.Errorf("what is wrong has no why or no fix: %+v", f)
		}
	}
	return r
}

// found is the worst finding of a check, or OK if there is none.
func found(r doctor.Report, check string) (worst doctor.Finding) {
	for _, f := range r.Findings {
		if f.Check == check && f.Level >= worst.Level {
			worst = f
		}
	}
	return worst
}

// expect is the finding of a check at a level, with all of these texts somewhere in it.
func expect(t *testing.T, r doctor.Report, check string, level doctor.Level, texts ...string) doctor.Finding {
	t.Helper()
	f := found(r, check)
	if f.Level != level || f.Check == "" {
		t.Errorf("%s is %v, want %v: %+v", check, f.Level, level, f)
	}
	for _, text := range texts {
		if !strings.Contains(f.Found+"\n"+f.Why+"\n"+f.Fix, text) {
			t.Errorf("%s does not say %q: %+v", check, text, f)
		}
	}
	return f
}

// calm fails the test for every danger.
func calm(t *testing.T, r doctor.Report) {
	t.Helper()
	for _, f := range r.Findings {
		if f.Level == doctor.Danger {
			t.Errorf("a danger: %+v", f)
		}
	}
}

// mend runs the command of a fix as it is written, up to the first semicolon or comma.
func mend(t *testing.T, admin *redis.Client, fix string) {
	t.Helper()
	for _, verb := range []string{"CONFIG SET ", "ACL SETUSER "} {
		if at := strings.Index(fix, verb); at >= 0 {
			command := fix[at:]
			if end := strings.IndexAny(command, ";,("); end >= 0 {
				command = command[:end]
			}
			do(t, admin, words(command)...)
			return
		}
	}
	t.Fatalf("no command in %q", fix)
}

// words splits a line into words as redis-cli does, as far as these tests need it.
func words(line string) (all []any) {
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			all = append(all, part)
			continue
		}
		for _, word := range strings.Fields(part) {
			all = append(all, word)
		}
	}
	return all
}

func do(t *testing.T, admin *redis.Client, command ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := admin.Do(ctx, command...).Err(); err != nil {
		t.Fatalf("%v: %v", command, err)
	}
}

// shipped are the arguments that have the effect of the repository's own configuration file.
func shipped(t *testing.T) (args []string) {
	t.Helper()
	file, err := os.Open(filepath.Join("..", "..", "docker", "redis.conf"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if line := strings.TrimSpace(lines.Text()); line != "" && !strings.HasPrefix(line, "#") {
			for i, word := range words(line) {
				if i == 0 {
					word = "--" + word.(string)
				}
				args = append(args, word.(string))
			}
		}
	}
	if len(args) < 6 {
		t.Fatalf("too little in it: %q", args)
	}
	return args
}

// shippedCluster are those of a node of the cluster that the repository starts: docker/node.sh has the same as a shell script.
func shippedCluster(t *testing.T, product string) []string {
	t.Helper()
	script, err := os.ReadFile(filepath.Join("..", "..", "docker", "node.sh"))
	if err != nil {
		t.Fatal(err)
	}
	args := shipped(t)
	for line := range strings.Lines(string(script)) {
		options, found := strings.CutPrefix(strings.TrimSpace(line), `options="`)
		options, _, _ = strings.Cut(options, `"`)
		if more, also := strings.CutPrefix(options, "$options "); found && (!also || product == "redis") {
			args = append(args, strings.Fields(more)...)
		}
	}
	if !slices.Contains(args, "--cluster-node-timeout") {
		t.Fatalf("too little in it: %q", args)
	}
	return args
}
