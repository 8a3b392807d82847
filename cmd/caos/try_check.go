package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"caos"
	"caos/internal/modelfile"
	"caos/internal/registry"
)

// This file looks at the file that somebody tries CAOS with, and does on it the few tests
// that need nothing but the file. The drafts state these tests and no others.

// What the trial calls the file.
const (
	tryModel   = "NN-TRY-001"
	tryVersion = "1.0.0"
)

// maxONNX is what one file of protocol buffers can hold.
const maxONNX = 2 << 30

// readings is how often the file is read to see that its bytes stay the same.
const readings = 3

// subject is the user's file, and what was found out about it.
type subject struct {
	path   string
	name   string // of the artifact
	size   int64
	digest string // "SHA256:…"
	onnx   *modelfile.ONNX
	report *modelfile.Report
	beside []companion // files with weights that the model names
	tests  []registry.VVTest
}

// companion is a file that a model keeps weights in.
type companion struct {
	path, name, digest string
	size               int64
}

// requirement is something that the trial can really test.
type requirement struct{ id, title, why string }

// tryRequirements are what any ONNX file should meet before anybody asks how well it works.
func tryRequirements() []requirement {
	return []requirement{
		{"95-00-03-REQ-T01", "The file is a whole ONNX model", "a file that was cut off or exported in part is found before it is certified, not after"},
		{"95-00-03-REQ-T02", "Its bytes stay the same", "what is frozen is what was verified"},
		{"95-00-03-REQ-T03", "It brings no code and reaches for nothing outside", "loading a model must not run what its maker put there"},
		{"95-00-03-REQ-T04", "It says what goes in and what comes out", "whoever integrates it needs types and shapes"},
		{"95-00-03-REQ-T05", "Its weights are numbers", "a weight that is none makes outputs that are none"},
		{"95-00-03-REQ-T06", "It is of a size that others can load", "a single ONNX file cannot exceed 2 GiB"},
	}
}

// examine reads the file as often as the tests need. A file that cannot be tried is
// refused, with what to do about it. progress is written to as the file is read.
func examine(ctx context.Context, path string, progress io.Writer) (*subject, error) {
	info, err := os.Stat(path) // first: opening a pipe would wait for a writer
	switch {
	case err != nil:
		return nil, unreadable(path, err)
	case info.IsDir():
		return nil, usage("%s is a folder", path).WithField("MODEL").WithHint("name the ONNX file in it, such as %s", filepath.Join(path, "model.onnx"))
	case !info.Mode().IsRegular():
		return nil, usage("%s is no regular file", path).WithField("MODEL").WithHint("name an ONNX file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer f.Close()
	s := &subject{path: path, name: filepath.Base(path), size: info.Size()}
	if registry.CheckArtifactName("name", s.name) != nil {
		s.name = "model.onnx"
	}
	if s.report, err = modelfile.Inspect(ctx, filepath.Base(path), f, s.size); err != nil {
		return nil, err
	}
	if err := untriable(filepath.Base(path), s.report); err != nil {
		return nil, err
	}
	if s.onnx, err = modelfile.ReadONNX(ctx, f, s.size); err != nil {
		return nil, caos.AsError(err).WithField("MODEL")
	}
	different, err := s.hash(ctx, f, progress)
	if err != nil {
		return nil, err
	}
	missing, err := s.findBeside(ctx)
	if err != nil {
		return nil, err
	}
	s.tests = s.results(different, missing)
	return s, nil
}

// untriable refuses what is no ONNX model, with the way to one.
func untriable(name string, r *modelfile.Report) error {
	if r.Format == modelfile.FormatONNX {
		return nil
	}
	what, hint := "is of no format that is known here", "caos try takes an ONNX model: export one from the framework that trained it"
	switch r.Format {
	case modelfile.FormatPickle:
		what, hint = "is a pickle: a program that runs when it is loaded", "export the model to ONNX in the place where it was trained, with torch.onnx.export or skl2onnx, and try that"
	case modelfile.FormatPyTorch:
		what, hint = "is a PyTorch archive, which holds a pickle", "export it with torch.onnx.export(model, example_inputs, 'model.onnx') and try that"
	case modelfile.FormatSafetensors:
		what, hint = "holds weights and not what is computed with them", "export the model to ONNX from the framework that has its layers"
	case modelfile.FormatHDF5, modelfile.FormatKeras:
		what, hint = "is a Keras model or an HDF5 file", "export it with model.export('model.onnx', format='onnx') or tf2onnx and try that"
	case modelfile.FormatSavedModel:
		what, hint = "is a TensorFlow SavedModel, whose graph can read and write files", "convert it: python -m tf2onnx.convert --saved-model FOLDER --output model.onnx"
	case modelfile.FormatTFLite:
		what, hint = "is a TensorFlow Lite model", "convert it: python -m tf2onnx.convert --tflite FILE --output model.onnx"
	case modelfile.FormatGGUF:
		what, hint = "is a GGUF file of a language model", "export the model to ONNX, for example with optimum-cli export onnx"
	case modelfile.FormatZip, modelfile.FormatTar, modelfile.FormatGzip:
		what, hint = "is an archive ("+string(r.Format)+")", "unpack it where nothing depends on it, and try the ONNX file in it"
	case modelfile.FormatNumPy, modelfile.FormatText, modelfile.FormatJSON:
		what = "holds " + string(r.Format) + ", not a model"
	}
	for _, f := range r.Findings {
		if f.Rule == "empty" {
			what, hint = "is empty", "was the export written to its end? "+f.Remedy
		}
	}
	worst := worstOf(r.Findings)
	switch {
	case worst == nil || worst.Rule == "empty":
	case r.Format == modelfile.FormatUnknown && worst.Rule == "name-mismatch":
		what, hint = "cannot be tried: "+worst.Message, "export the model again; a file that was cut off, or only renamed, looks like this"
	default:
		what += fmt.Sprintf("; %s: %s", worst.Severity, worst.Message)
		if worst.Severity == modelfile.Critical || r.Format == modelfile.FormatZip {
			hint = "do not open it; find out where it came from. caos try takes an ONNX model"
		}
	}
	return usage("%s %s", name, what).WithField("MODEL").WithHint("%s", hint)
}

// worstOf is the gravest finding that would stop a freeze, nil if none would.
func worstOf(list []modelfile.Finding) *modelfile.Finding {
	for _, severity := range []modelfile.Severity{modelfile.Critical, modelfile.High} {
		for i := range list {
			if list[i].Severity == severity {
				return &list[i]
			}
		}
	}
	return nil
}

// hash reads the file several times and counts the readings that gave other bytes.
func (s *subject) hash(ctx context.Context, f *os.File, progress io.Writer) (different int, err error) {
	for i := range readings {
		digest, n, err := digestFrom(ctx, f, progress)
		switch {
		case err != nil:
			return 0, unreadable(s.path, err)
		case i == 0:
			s.digest = digest
		case digest != s.digest:
			different++
		}
		if n != s.size {
			return 0, caos.Errorf(caos.Conflict, "%s changes while it is read: it had %d bytes and has %d", s.path, s.size, n).WithField("MODEL").WithHint("wait until whatever writes it is done")
		}
	}
	return different, nil
}

func digestFrom(ctx context.Context, f *os.File, progress io.Writer) (string, int64, error) {
	h := sha256.New()
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	n, err := io.Copy(io.MultiWriter(h, progress), &stoppable{ctx, io.NewSectionReader(f, 0, info.Size())})
	return "SHA256:" + hex.EncodeToString(h.Sum(nil)), n, err
}

// stoppable ends a reading when its context ends.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s *stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.r.Read(p)
}

// findBeside looks for the files that the model keeps weights in. Only those in the model's
// own folder are ever opened.
func (s *subject) findBeside(ctx context.Context) (missing []string, err error) {
	root, err := os.OpenRoot(filepath.Dir(s.path))
	if err != nil {
		return nil, unreadable(s.path, err)
	}
	defer root.Close()
	for _, name := range s.onnx.External {
		name = strings.TrimPrefix(filepath.ToSlash(name), "./")
		if registry.CheckArtifactName("name", name) != nil || name == s.name {
			missing = append(missing, name)
			continue
		}
		c, err := s.openBeside(ctx, root, name)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			missing = append(missing, name)
		default:
			s.beside = append(s.beside, c)
		}
	}
	return missing, nil
}

// openBeside hashes a file of the model's folder.
func (s *subject) openBeside(ctx context.Context, root *os.Root, name string) (c companion, err error) {
	info, err := root.Stat(filepath.FromSlash(name))
	if err != nil {
		return c, err
	}
	if !info.Mode().IsRegular() || info.Size() == 0 {
		return c, errors.New("not a file with bytes in it")
	}
	f, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return c, err
	}
	defer f.Close()
	c = companion{path: filepath.Join(filepath.Dir(s.path), filepath.FromSlash(name)), name: name}
	c.digest, c.size, err = digestFrom(ctx, f, io.Discard)
	return c, err
}

// results makes tests of what was found. Each states what was counted; none says more.
func (s *subject) results(different int, missing []string) []registry.VVTest {
	o := s.onnx
	stops, broken, code := 0, 0, 0
	for _, f := range s.report.Findings {
		switch {
		case f.Rule == "onnx-tensor-size" || f.Rule == "onnx-two-graphs" || f.Rule == "onnx-no-result":
			broken++
		case f.Severity == modelfile.High || f.Severity == modelfile.Critical:
			stops++
		}
	}
	if s.report.Code {
		code++
	}
	untyped, unshaped, open := 0, 0, 0
	for _, t := range slices.Concat(o.Inputs, o.Outputs) {
		if t.Name == "" || t.Type == "unstated" || t.Type == "undefined" {
			untyped++
		}
		if t.Shape == nil {
			open++
		}
	}
	for _, t := range o.Inputs {
		if t.Shape == nil && t.Type != "sequence" && t.Type != "map" {
			unshaped++
		}
	}
	var out []registry.VVTest
	for _, t := range []measurement{
		{1, "The file reads as ONNX to its last byte and computes something", "nodes of the graph", float64(o.Nodes), ">", 0,
			fmt.Sprintf("IR version %d, %s, made by %s", o.IRVersion, opsetsOf(o), orDash(strings.TrimSpace(o.Producer+" "+o.ProducerVersion)))},
		{1, "Every tensor has the bytes that its shape needs, and the graph is one", "contradictions", float64(broken), "==", 0, ""},
		{1, "Every file that holds weights of the model is there", "files that are missing", float64(len(missing)), "==", 0, strings.Join(missing, ", ")},
		{2, fmt.Sprintf("Read %d times it gives one SHA-256", readings), "readings that differ from the first", float64(different), "==", 0, s.digest},
		{3, "A scan finds nothing dangerous in it", "findings that are HIGH or CRITICAL", float64(stops), "==", 0, ""},
		{3, "Loading it runs no code of its own", "operators that call code outside the graph", float64(code), "==", 0, ""},
		{4, "Every input and output has a name and a type of element", "without", float64(untyped), "==", 0, endsOf(o)},
		{4, "Every input has a shape", "inputs without", float64(unshaped), "==", 0, plural(open, "input or output states", "inputs and outputs state") + " no shape at all"},
		{5, "No weight in the file is something else than a number", "weights that are not a number", float64(o.NotANumber), "==", 0,
			fmt.Sprintf("%d weights and %d constants; %d are infinite, which models use as a mask", o.Parameters, o.Constants, o.Infinite)},
		{6, "It is smaller than a file of protocol buffers can be", "bytes", float64(s.size), "<", maxONNX, ""},
	} {
		out = append(out, t.test(len(out)+1))
	}
	return out
}

// measurement is a test before its result is known.
type measurement struct {
	requirement   int // its place in tryRequirements, from 1
	title, metric string
	value         float64
	operator      string
	threshold     float64
	note          string
}

// test says what the measured value means.
func (m measurement) test(n int) registry.VVTest {
	t := registry.VVTest{TestID: fmt.Sprintf("TRY-T%02d", n), Title: m.title, RequirementIDs: []string{tryRequirements()[m.requirement-1].id}, Result: "FAILED",
		Metric: m.metric, Value: &m.value, Operator: m.operator, Threshold: &m.threshold, Note: clip(clean(m.note))}
	if map[string]bool{"==": m.value == m.threshold, ">": m.value > m.threshold, "<": m.value < m.threshold}[m.operator] {
		t.Result = "PASSED"
	}
	return t
}

// clip bounds a note that is made from a file's own words.
func clip(s string) string { return cut(s, 1500) }

// passed counts the tests that passed.
func (s *subject) passed() (n int) {
	for _, t := range s.tests {
		if t.Result == "PASSED" {
			n++
		}
	}
	return n
}

func opsetsOf(o *modelfile.ONNX) string {
	var out []string
	for _, s := range o.Opsets {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s opset %d", s.Domain, s.Version)))
	}
	if len(out) == 0 {
		return "no opset stated"
	}
	return strings.Join(out, ", ")
}

func tensorOf(t modelfile.Tensor) string {
	switch {
	case t.Shape == nil:
		return fmt.Sprintf("%s (%s)", t.Name, t.Type)
	case len(t.Shape) == 0:
		return fmt.Sprintf("%s (%s, one number)", t.Name, t.Type)
	}
	return fmt.Sprintf("%s (%s, %s)", t.Name, t.Type, strings.Join(t.Shape, " × "))
}

// endsOf lists inputs and outputs, the first of many.
func endsOf(o *modelfile.ONNX) string {
	words := func(list []modelfile.Tensor) string {
		var out []string
		for _, t := range list[:min(len(list), 8)] {
			out = append(out, tensorOf(t))
		}
		if n := len(list) - len(out); n > 0 {
			out = append(out, fmt.Sprintf("and %d more", n))
		}
		return orDash(strings.Join(out, ", "))
	}
	return clean("in: " + words(o.Inputs) + "; out: " + words(o.Outputs))
}

// operatorsOf lists the operators, the most frequent first.
func operatorsOf(o *modelfile.ONNX, most int) string {
	type op struct {
		name string
		n    int64
	}
	var list []op
	for name, n := range o.Operators {
		list = append(list, op{name, n})
	}
	slices.SortFunc(list, func(a, b op) int {
		if a.n != b.n {
			return int(b.n - a.n)
		}
		return strings.Compare(a.name, b.name)
	})
	var out []string
	for _, x := range list[:min(len(list), most)] {
		out = append(out, fmt.Sprintf("%d %s", x.n, x.name))
	}
	if n := len(list) - len(out); n > 0 {
		out = append(out, fmt.Sprintf("and %d other kinds", n))
	}
	return clean(strings.Join(out, ", "))
}
