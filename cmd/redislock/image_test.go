//go:build !windows

package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"
)

const repository = "../.."

// instructions are the lines of a Dockerfile, each as an instruction and the rest.
func instructions(t *testing.T, path string) (all [][2]string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		all = append(all, [2]string{name, rest})
	}
	return all
}

// TestTheImageHasAProgramThatNeedsNothingElse follows the Dockerfile as far as is possible without a container engine. It builds the
// program in the same way, and runs it in an otherwise empty root.
func TestTheImageHasAProgramThatNeedsNothingElse(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the image is for Linux")
	}
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "redislock")
	var stages []string
	var entry, user string
	built := false
	for _, in := range instructions(t, filepath.Join(repository, "docker", "Dockerfile")) {
		switch in[0] {
		case "FROM":
			stages = append(stages, strings.Fields(in[1])[0])
		case "RUN":
			if !strings.Contains(in[1], " -o /redislock .") {
				t.Fatalf("RUN %s: this test does not know it", in[1])
			}
			cmd := exec.Command("sh", "-c", strings.Replace(in[1], "-o /redislock .", "-o "+program+" .", 1))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", in[1], err, out)
			}
			built = true
		case "ENTRYPOINT":
			entry = in[1]
		case "USER":
			user = in[1]
		case "WORKDIR":
			if place, ours := strings.CutPrefix(in[1], "/src/"); ours {
				if _, err := os.Stat(filepath.Join(repository, place, "main.go")); err != nil {
					t.Error(err)
				}
			}
		case "COPY", "ENV":
		default:
			t.Errorf("%s: this test does not know it", in[0])
		}
	}
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(text))[1]
	if !built || !slices.Equal(stages, []string{"golang:" + version, "scratch"}) || entry != `["/usr/local/bin/redislock"]` || user == "" || strings.HasPrefix(user, "0") || strings.HasPrefix(user, "root") {
		t.Errorf("stages %v, entry point %s, user %s", stages, entry, user)
	}
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if libraries, err := file.ImportedLibraries(); err != nil || len(libraries) > 0 || slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Errorf("the program is not static: it needs %v, %v", libraries, err)
	}
	cmd := exec.Command("/redislock", "version")
	cmd.Env = []string{}
	if os.Geteuid() == 0 { // the new root has nothing but the program
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
		cmd.Dir = "/"
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	} else {
		cmd.Path = program
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) {
		cmd = exec.Command(program, "version")
		out, err = cmd.CombinedOutput()
	}
	if err != nil || !bytes.Contains(out, []byte("redislock")) {
		t.Errorf("%v: %s", err, out)
	}
}

// TestTheManifestOfThePageStartsIt starts the page with the arguments of the manifest, and sends the requests of the
// probes.
func TestTheManifestOfThePageStartsIt(t *testing.T) {
	t.Parallel()
	file, err := os.Open(filepath.Join(repository, "docker", "ui.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	type ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
		TargetPort    any `yaml:"targetPort"`
	}
	type probe struct {
		HTTPGet struct {
			Path string
			Port any
		} `yaml:"httpGet"`
	}
	decoder := yaml.NewDecoder(file)
	for {
		var document struct {
			Kind string
			Spec struct {
				Replicas int
				Selector map[string]any
				Ports    ports
				Template struct {
					Metadata struct{ Labels map[string]string }
					Spec     struct {
						Containers []struct {
							Args           []string
							Env            []struct{ Name string }
							Ports          ports
							ReadinessProbe probe `yaml:"readinessProbe"`
							LivenessProbe  probe `yaml:"livenessProbe"`
						}
					}
				}
			}
		}
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch document.Kind {
		case "Service":
			if document.Spec.Ports[0].TargetPort != "http" {
				t.Errorf("the Service leads to %v", document.Spec.Ports[0].TargetPort)
			}
		case "Deployment":
			c := document.Spec.Template.Spec.Containers[0]
			if document.Spec.Replicas != 1 || c.Ports[0].Name != "http" || c.Ports[0].ContainerPort != 8047 {
				t.Errorf("%+v", document.Spec)
			}
			f := setUp(t)
			args := slices.Clone(c.Args)
			at := slices.Index(args, "0.0.0.0:8047")
			if at < 0 {
				t.Fatalf("it listens elsewhere: %v", args)
			}
			args[at] = "0.0.0.0:0"
			p := f.start(append(args, "--prefix", f.prefix, "--token", "a-token-of-some-length")...)
			url := strings.TrimSuffix(p.line(), "/")
			for _, probe := range []probe{c.ReadinessProbe, c.LivenessProbe} {
				req, err := http.NewRequestWithContext(t.Context(), "GET", url+probe.HTTPGet.Path, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Host = "10.1.2.3:8047" // the kubelet uses the address of the pod
				answer, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = answer.Body.Close()
				if answer.StatusCode != 200 || probe.HTTPGet.Port != "http" {
					t.Errorf("the probe of %s: %d", probe.HTTPGet.Path, answer.StatusCode)
				}
			}
			names := ""
			for _, env := range c.Env {
				names += env.Name + " "
			}
			if names != "REDIS_URL "+tokenVariable+" " {
				t.Errorf("its environment: %s", names)
			}
			p.signal(unix.SIGTERM)
			p.ends(0, "travel unencrypted")
		default:
			t.Errorf("a %s", document.Kind)
		}
	}
}
