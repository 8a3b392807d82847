package hook

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"caos/internal/policy"
)

var update = flag.Bool("update", false, "write the generated schemas")

// catalog is the catalog without what only running hooks need.
func catalog(t *testing.T) []*Hook {
	t.Helper()
	p, err := policy.Load()
	if err != nil {
		t.Fatal(err)
	}
	return Catalog(Collaborators{Policies: p})
}

// The committed schemas are those of the Go types, and there is none too many.
func TestSchemas(t *testing.T) {
	want := map[string]bool{}
	for _, h := range catalog(t) {
		for _, which := range []string{"input", "output"} {
			got, err := GenerateSchema(h, which)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Join("schema", SchemaName(h.ID, h.Version, which))
			want[name] = true
			if *update {
				if err := os.WriteFile(name, got, 0o644); err != nil {
					t.Fatal(err)
				}
				continue
			}
			have, err := os.ReadFile(name)
			if err != nil || !bytes.Equal(have, got) {
				t.Errorf("%s is not what the Go types say (%v); run go test ./internal/hook -run TestSchemas -update and read the difference", name, err)
			}
		}
	}
	files, err := filepath.Glob("schema/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !want[f] {
			t.Errorf("%s belongs to no hook", f)
		}
	}
}
