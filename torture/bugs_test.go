package torture

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// Each patch applies. Whether its bug is found is tested by `make bug`, which takes minutes.
func TestEachBugCanStillBeBroughtBack(t *testing.T) {
	t.Parallel()
	patches, err := filepath.Glob("bugs/*.patch")
	if err != nil || len(patches) == 0 {
		t.Fatalf("%d patches: %v", len(patches), err)
	}
	for _, patch := range patches {
		check := exec.Command("git", "apply", "--check", filepath.Join("torture", patch))
		check.Dir = ".."
		if said, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", patch, err, said)
		}
	}
}
