package contract

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDocs reads every example of the documentation: an example that is refused is wrong.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/data-contracts.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 6 {
		t.Fatalf("%d examples", len(blocks))
	}
	for _, b := range blocks {
		doc := b[1]
		if !strings.HasPrefix(doc, "apiVersion") {
			doc = "apiVersion: v3.1.0\nkind: DataContract\nid: 95-00-09-02-004\nversion: 1.0.0\nstatus: active\nschema:\n- name: data\n  " +
				strings.ReplaceAll(strings.TrimSpace(doc), "\n", "\n  ") + "\n"
		}
		if _, err := Parse([]byte(doc)); err != nil {
			t.Errorf("%#v\n%s", err, doc)
		}
	}
	for _, name := range append(customNames(), append(operatorNames(), statisticNames()...)...) {
		if !strings.Contains(string(text), name) {
			t.Errorf("%s is not documented", name)
		}
	}
	ge, err := os.ReadFile("../../docs/imports-great-expectations.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(expectationMappers()); n < 40 || !strings.Contains(string(ge), "compound_columns_to_be_unique") {
		t.Errorf("%d expectations", n)
	}
}
