package registry_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"caos"
	"caos/internal/registry"
)

// refusal checks that a parser's error is one that a caller can act on.
func refusal(t *testing.T, err error) {
	t.Helper()
	var e *caos.Error
	if !errors.As(err, &e) || e.Kind != caos.Invalid && e.Kind != caos.TooLarge {
		t.Fatalf("refused with %v", err)
	}
}

// again checks that what was read is written and read as the same thing.
func again[T any](t *testing.T, v *T, parse func([]byte) (*T, error)) {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	back, err := parse(raw)
	if err != nil {
		t.Fatalf("%s\nwas read and is refused: %v", raw, err)
	}
	if !reflect.DeepEqual(back, v) {
		t.Fatalf("%s\nis read as %+v", raw, back)
	}
}

func FuzzParseVVReport(f *testing.F) {
	f.Add([]byte(yamlReport))
	f.Add([]byte(report("PASSED", test("T-1", "PASSED", `,"value":1e-300,"operator":"==","threshold":-0`), test("T-2", "ERROR", ""))))
	f.Add([]byte(`{"tests":[{"value":NaN}]}`))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := registry.ParseVVReport(data)
		if err != nil {
			refusal(t, err)
			return
		}
		again(t, v, registry.ParseVVReport)
	})
}

func FuzzParseDefectList(f *testing.F) {
	f.Add([]byte(defects))
	f.Add([]byte("model_id: NN-FCS-001\nmodel_version: 2.1.0\ndefects: []\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := registry.ParseDefectList(data)
		if err != nil {
			refusal(t, err)
			return
		}
		again(t, v, registry.ParseDefectList)
	})
}

func FuzzParseVVPlan(f *testing.F) {
	f.Add([]byte(`{"model_id":"NN-FCS-001","requirements":[{"requirement_id":"REQ-1","title":"x","more":1}]}`))
	f.Add([]byte("requirements:\n- requirement_id: A\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := registry.ParseVVPlan(data)
		if err != nil {
			refusal(t, err)
			return
		}
		if v != nil {
			again(t, v, registry.ParseVVPlan)
		}
	})
}

func FuzzArtifactName(f *testing.F) {
	f.Add("onnx/model.onnx")
	f.Add("../x")
	f.Fuzz(func(t *testing.T, name string) {
		if registry.CheckArtifactName("name", name) == nil {
			safeName(t, name)
		}
	})
}

// safeName checks that a name stays below a folder, by the rules of the standard library and
// not by those that accepted it.
func safeName(t *testing.T, name string) {
	t.Helper()
	if !filepath.IsLocal(name) || !fs.ValidPath(name) || path.Clean(name) != name || strings.ContainsAny(name, "\\:*?\"<>|\x00") || len(name) > 200 {
		t.Fatalf("%q was accepted", name)
	}
}
