package hook

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"caos/internal/policy"
)

// Whoever asks why is told who could clear a gate: an action that the policies do not have
// would tell them that nobody can.
func TestClearingsNameActions(t *testing.T) {
	set, err := policy.Load()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`clearing\{action: "([^"]+)"`)
	found := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			if found++; !slices.Contains(set.Actions(), m[1]) {
				t.Errorf("%s: no policy knows the action %s", name, m[1])
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d clearings were found: is the pattern still right?", found)
	}
}
