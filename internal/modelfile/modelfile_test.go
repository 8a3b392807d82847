package modelfile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// testdata/make.py makes every file named here.
func TestInspect(t *testing.T) {
	const none = ""
	for _, c := range []struct {
		file     string
		format   Format
		code     bool
		findings string // "rule SEVERITY" of each, in order, joined by ", "
	}{
		{"mlp.onnx", FormatONNX, false, none},
		{"old-inputs.onnx", FormatONNX, false, none},
		{"branch.onnx", FormatONNX, false, none},
		{"nan.onnx", FormatONNX, false, "onnx-nan MEDIUM"},
		{"custom.onnx", FormatONNX, false, "onnx-custom-operator MEDIUM"},
		{"external.onnx", FormatONNX, false, "onnx-external MEDIUM"},
		{"external-outside.onnx", FormatONNX, false, "onnx-external-outside CRITICAL"},
		{"short-tensor.onnx", FormatONNX, false, "onnx-tensor-size HIGH"},
		{"cut.onnx", FormatUnknown, false, "name-mismatch HIGH"},

		{"data-0.pkl", FormatPickle, true, none},
		{"data-1.pkl", FormatPickle, true, none},
		{"data-2.pkl", FormatPickle, true, none},
		{"data-3.pkl", FormatPickle, true, none},
		{"data-4.pkl", FormatPickle, true, none},
		{"data-5.pkl", FormatPickle, true, none},
		{"array.pkl", FormatPickle, true, none},
		{"attack-0.pkl", FormatPickle, true, "pickle-import CRITICAL"},
		{"attack-1.pkl", FormatPickle, true, "pickle-import CRITICAL"},
		{"attack-2.pkl", FormatPickle, true, "pickle-import CRITICAL"},
		{"attack-3.pkl", FormatPickle, true, "pickle-import CRITICAL"},
		{"attack-4.pkl", FormatPickle, true, "pickle-import CRITICAL"},
		{"attack-5.pkl", FormatPickle, true, "pickle-import CRITICAL"},
		{"attack-eval.pkl", FormatPickle, true, "pickle-import CRITICAL"},
		{"attack-inst.pkl", FormatPickle, true, "pickle-import CRITICAL"},
		{"attack-broken.pkl", FormatPickle, true, "pickle-import CRITICAL, pickle-broken HIGH"},
		{"attack-computed.pkl", FormatPickle, true, "pickle-computed-import CRITICAL"},
		{"attack-memo.pkl", FormatPickle, true, "pickle-import CRITICAL"},
		{"attack-number.pkl", FormatPickle, true, "pickle-computed-import CRITICAL"},
		{"attack-dotted.pkl", FormatPickle, true, "pickle-import CRITICAL"},
		{"attack-extension.pkl", FormatPickle, true, "pickle-extension HIGH"},
		{"attack-second.pkl", FormatPickle, true, "pickle-import CRITICAL"},
		{"unknown-function.pkl", FormatPickle, true, "pickle-import HIGH"},
		{"library-class.pkl", FormatPickle, true, "pickle-class MEDIUM"},
		{"library-function.pkl", FormatPickle, true, "pickle-import HIGH"},
		{"torch-old.pt", FormatPickle, true, none},

		{"torch.pt", FormatPyTorch, true, none},
		{"torch-attack.pt", FormatPyTorch, true, "pickle-import CRITICAL"},
		{"nested.zip", FormatZip, true, "pickle-import CRITICAL"},
		{"deep.zip", FormatZip, false, "nested HIGH"},
		{"traversal.zip", FormatZip, false, "zip-traversal HIGH, zip-traversal HIGH, zip-traversal HIGH"},
		{"symlink.zip", FormatZip, false, "zip-symlink HIGH"},
		{"twice.zip", FormatZip, false, "zip-duplicate HIGH"},
		{"bomb.zip", FormatZip, false, "zip-bomb HIGH"},
		{"overlap.zip", FormatZip, false, "zip-disagrees HIGH, zip-overlap CRITICAL"},
		{"disagrees.zip", FormatZip, false, "zip-disagrees HIGH"},
		{"cut.zip", FormatZip, false, "zip-broken HIGH"},
		{"polyglot.bin", FormatZip, false, "polyglot HIGH"},
		{"arrays.npz", FormatZip, false, none},
		{"attack.pkl.gz", FormatGzip, true, "pickle-import CRITICAL"},
		{"notes.txt.gz", FormatGzip, false, none},
		{"attack.tar", FormatTar, true, "pickle-import CRITICAL, tar-traversal HIGH, tar-link HIGH, tar-special HIGH"},

		{"weights.safetensors", FormatSafetensors, false, none},
		{"cut.safetensors", FormatSafetensors, false, "safetensors-header HIGH"},
		{"floats.npy", FormatNumPy, false, none},
		{"struct.npy", FormatNumPy, false, none},
		{"objects.npy", FormatNumPy, true, "numpy-objects HIGH"},
		{"keras.h5", FormatHDF5, false, none},
		{"keras-lambda.h5", FormatHDF5, true, "keras-lambda CRITICAL"},
		{"model.keras", FormatKeras, false, none},
		{"lambda.keras", FormatKeras, true, "keras-lambda CRITICAL"},
		{"module.keras", FormatKeras, true, "keras-module CRITICAL"},
		{"small.gguf", FormatGGUF, false, none},
		{"template.gguf", FormatGGUF, true, "gguf-template CRITICAL, gguf-template CRITICAL, gguf-template CRITICAL"},
		{"module.tflite", FormatTFLite, false, none},
		{"saved_model.pb", FormatSavedModel, true, none},
		{"saved_model-write.pb", FormatSavedModel, true, "savedmodel-operator HIGH, savedmodel-operator CRITICAL"},
		{"make.py", FormatText, true, none},
	} {
		t.Run(c.file, func(t *testing.T) {
			r := inspectFile(t, c.file)
			var found []string
			for _, f := range r.Findings {
				found = append(found, f.Rule+" "+string(f.Severity))
				if f.Message == "" || f.Remedy == "" {
					t.Errorf("a finding without message or remedy: %+v", f)
				}
			}
			if got := strings.Join(found, ", "); r.Format != c.format || r.Code != c.code || got != c.findings {
				t.Errorf("is %s, code %v, findings %q; want %s, %v, %q", r.Format, r.Code, got, c.format, c.code, c.findings)
				for _, f := range r.Findings {
					t.Log(f)
				}
			}
		})
	}
}

func inspectFile(t *testing.T, name string) *Report {
	t.Helper()
	return inspectBytes(t, name, readFile(t, name))
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func inspectBytes(t *testing.T, name string, text []byte) *Report {
	t.Helper()
	r, err := Inspect(t.Context(), name, bytes.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestEveryFileIsInTheTable keeps testdata and TestInspect together: a file that nobody
// looks at shows nothing.
func TestEveryFileIsInTheTable(t *testing.T) {
	text, err := os.ReadFile("modelfile_test.go")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() && !strings.Contains(string(text), `{"`+e.Name()+`"`) {
			t.Errorf("testdata/%s is in no table", e.Name())
		}
	}
}

func TestNamesThatMislead(t *testing.T) {
	attack := readFile(t, "attack-2.pkl")
	for _, c := range []struct {
		name, want string
		content    []byte
	}{
		{"model.onnx", "name-mismatch HIGH", attack},
		{"model.safetensors", "name-mismatch HIGH", attack},
		{"notes.md", "name-mismatch HIGH", attack},
		{"data.csv", "name-mismatch HIGH", []byte("\x7fELF\x02\x01\x01")},
		{"weights.pt", "name-mismatch MEDIUM", readFile(t, "mlp.onnx")},
		{"weights.bin", "", readFile(t, "mlp.onnx")},
		{"MODEL.ONNX", "", readFile(t, "mlp.onnx")},
		{"results.json", "", []byte(`{"a": 1}`)},
		{"results.json", "name-mismatch HIGH", []byte(`{"a": `)},
		{"lib.so", "opaque HIGH", []byte("\x7fELF\x02\x01\x01")},
		{"empty.onnx", "empty HIGH", nil},
	} {
		var found []string
		for _, f := range inspectBytes(t, c.name, c.content).Findings {
			found = append(found, f.Rule+" "+string(f.Severity))
		}
		if c.want != "" && !slices.Contains(found, c.want) || c.want == "" && found != nil {
			t.Errorf("%s: %q, want %q", c.name, found, c.want)
		}
	}
}

func TestReadONNX(t *testing.T) {
	text := readFile(t, "mlp.onnx")
	o, err := ReadONNX(t.Context(), bytes.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	if o.IRVersion != 8 || len(o.Opsets) != 1 || o.Opsets[0] != (Opset{"", 17}) || o.Producer != "make.py" || o.Graph != "mlp" || o.Nodes != 2 || o.Initializers != 2 || o.Parameters != 8 {
		t.Errorf("%+v", o)
	}
	if len(o.Inputs) != 1 || o.Inputs[0].Name != "x" || o.Inputs[0].Type != "float" || !slices.Equal(o.Inputs[0].Shape, []string{"batch", "3"}) {
		t.Errorf("inputs %+v", o.Inputs)
	}
	if len(o.Outputs) != 1 || !slices.Equal(o.Outputs[0].Shape, []string{"batch", "2"}) {
		t.Errorf("outputs %+v", o.Outputs)
	}
	if o.Operators["Gemm"] != 1 || o.Operators["Relu"] != 1 || len(o.Operators) != 2 {
		t.Errorf("operators %v", o.Operators)
	}
	for file, check := range map[string]func(*ONNX) bool{
		"old-inputs.onnx": func(o *ONNX) bool { return len(o.Inputs) == 1 && o.Inputs[0].Name == "x" },
		"branch.onnx":     func(o *ONNX) bool { return o.Operators["Neg"] == 1 && o.Operators["Abs"] == 1 && o.Nodes == 5 },
		"nan.onnx":        func(o *ONNX) bool { return o.NotANumber == 1 && o.Infinite == 1 },
		"external.onnx":   func(o *ONNX) bool { return slices.Equal(o.External, []string{"weights.bin"}) },
	} {
		text := readFile(t, file)
		if o, err := ReadONNX(t.Context(), bytes.NewReader(text), int64(len(text))); err != nil || !check(o) {
			t.Errorf("%s: %+v %v", file, o, err)
		}
	}
}

// TestCut cuts a model at every byte: it is refused or, at the end of a field that nobody
// misses, read; nothing else happens.
func TestCut(t *testing.T) {
	for _, name := range []string{"branch.onnx", "weights.safetensors", "torch.pt", "keras-lambda.h5", "attack-4.pkl", "small.gguf", "attack.pkl.gz", "saved_model-write.pb"} {
		text := readFile(t, name)
		for n := range len(text) {
			if n > 400 && n%37 != 0 {
				continue
			}
			inspectBytes(t, name, text[:n])
		}
	}
}

func TestBlocks(t *testing.T) {
	for _, c := range []struct {
		file, role string
		blocks     int
	}{
		{"mlp.onnx", "inference", 0}, {"data-4.pkl", "trained", 0}, {"data-4.pkl", "inference", 1},
		{"attack-4.pkl", "trained", 1}, {"attack-4.pkl", "inference", 2}, {"custom.onnx", "inference", 0},
	} {
		if got := inspectFile(t, c.file).Blocks(c.role); len(got) != c.blocks {
			t.Errorf("%s as %s: %v, want %d", c.file, c.role, got, c.blocks)
		}
	}
}

// TestReadingFails shows that an error of the file is an error, and no judgement.
func TestReadingFails(t *testing.T) {
	bad := errors.New("disk")
	for _, name := range []string{"mlp.onnx", "torch.pt", "attack-4.pkl", "keras.h5"} {
		if r, err := Inspect(t.Context(), name, failing{bad}, 1000); !errors.Is(err, bad) {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Inspect(ctx, "x.onnx", bytes.NewReader(readFile(t, "mlp.onnx")), 100); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// TestInflationIsBounded reads a gzip file that becomes more than anybody has room for.
func TestInflationIsBounded(t *testing.T) {
	in := &inspector{room: 1 << 20}
	endless := func() io.Reader { return iotest.OneByteReader(zeros{}) }
	r := in.inflated(file{name: "x"}, endless)
	if len(r.Findings) != 1 || r.Findings[0].Severity != High || in.room > 0 {
		t.Errorf("%+v, room %d", r, in.room)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestImports(t *testing.T) {
	for _, c := range []struct {
		module, name string
		want         Severity
	}{
		{"collections", "OrderedDict", ""}, {"torch._utils", "_rebuild_tensor_v2", ""}, {"numpy", "dtype", ""}, {"builtins", "set", ""},
		{"os", "system", Critical}, {"posix", "system", Critical}, {"os.path", "join", Critical}, {"subprocess", "Popen", Critical},
		{"builtins", "eval", Critical}, {"__builtin__", "eval", Critical}, {"builtins", "getattr", Critical}, {"builtins", "print", High},
		{"torch", "os.system", Critical}, {"torch.serialization", "os", Critical}, {"collections", "abc.sys.modules", Critical}, {"torch", "load", Critical}, {"numpy.testing._private.utils", "runstring", Critical},
		{"torch.nn.modules.linear", "Linear", Medium}, {"sklearn.tree._tree", "Tree", Medium}, {"sklearn.tree", "plot_tree", High},
		{"ossify", "make", High}, {"my_package", "Model", High}, {"", "", High}, {"pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked", Medium},
	} {
		if got := judgeImport(c.module, c.name); got != c.want {
			t.Errorf("%s.%s: %q, want %q", c.module, c.name, got, c.want)
		}
	}
}

// FuzzInspect looks at anything. What it must hold: it ends, it does not panic, and what
// it says fits a report.
func FuzzInspect(f *testing.F) {
	entries, err := os.ReadDir("testdata")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		if text, err := os.ReadFile(filepath.Join("testdata", e.Name())); err == nil {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := inspectBytes(t, "model.onnx", text)
		if len(r.Findings) > maxFindings+1 {
			t.Errorf("%d findings", len(r.Findings))
		}
		if r.Format == "" {
			t.Error("no format")
		}
	})
}

// FuzzPickle scans anything as a pickle.
func FuzzPickle(f *testing.F) {
	for _, name := range []string{"data-0.pkl", "data-5.pkl", "attack-0.pkl", "attack-4.pkl", "attack-memo.pkl", "torch-old.pt"} {
		if text, err := os.ReadFile(filepath.Join("testdata", name)); err == nil {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, b := scanPickle(bytes.NewReader(text)), scanPickle(iotest.HalfReader(bytes.NewReader(text)))
		if a.ops != b.ops || len(a.imports) != len(b.imports) || a.computed != b.computed {
			t.Errorf("what is read depends on how it is read: %+v %+v", a, b)
		}
	})
}

// FuzzONNX reads anything as a model.
func FuzzONNX(f *testing.F) {
	for _, name := range []string{"mlp.onnx", "branch.onnx", "external.onnx", "nan.onnx"} {
		if text, err := os.ReadFile(filepath.Join("testdata", name)); err == nil {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := ReadONNX(t.Context(), bytes.NewReader(text), int64(len(text)))
		if err == nil && (o.IRVersion <= 0 || o.Parameters < 0) {
			t.Errorf("%+v", o)
		}
	})
}
