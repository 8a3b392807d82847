package modelfile

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRulesAreDocumented finds every rule of the source in docs/model-files.md, and no other
// there.
func TestRulesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/model-files.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?:Rule: |add\()"([a-z-]+)"`).FindAllStringSubmatch(string(text), -1) {
			rules[m[1]] = true
		}
	}
	for rule := range rules {
		if !strings.Contains(string(page), "`"+rule+"`") {
			t.Errorf("%s is not in docs/model-files.md", rule)
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(string(page), -1) {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			if !rules[m[1]] {
				t.Errorf("docs/model-files.md has %s, which no code finds", m[1])
			}
		}
	}
	if len(rules) < 30 {
		t.Errorf("only %d rules were found in the source", len(rules))
	}
}
