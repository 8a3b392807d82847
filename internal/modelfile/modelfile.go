// Package modelfile says what a model file is without running it: its format, whether
// loading it can run code, what is dangerous in it, and for ONNX its graph. Nothing is
// loaded, unpacked to disk or executed; memory and time are bounded whatever the file says
// about itself.
package modelfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Format is what the content of a file is; names and suffixes decide nothing.
type Format string

// The formats that are told apart. Unknown is none of them.
const (
	FormatONNX        Format = "onnx"
	FormatPyTorch     Format = "pytorch-zip" // a zip with a pickle of tensors, as torch.save and torch.jit.save write it
	FormatPickle      Format = "pickle"
	FormatSafetensors Format = "safetensors"
	FormatHDF5        Format = "hdf5"
	FormatKeras       Format = "keras-zip"
	FormatSavedModel  Format = "savedmodel"
	FormatTFLite      Format = "tflite"
	FormatGGUF        Format = "gguf"
	FormatNumPy       Format = "numpy" // .npy
	FormatZip         Format = "zip"
	FormatTar         Format = "tar"
	FormatGzip        Format = "gzip"
	FormatText        Format = "text"
	FormatJSON        Format = "json"
	FormatUnknown     Format = "unknown"
)

// Severity says how much a finding weighs. HIGH and CRITICAL stop a freeze.
type Severity string

// The severities.
const (
	Low      Severity = "LOW"
	Medium   Severity = "MEDIUM"
	High     Severity = "HIGH"
	Critical Severity = "CRITICAL"
)

// Finding is one thing that somebody should know before they load the file.
type Finding struct {
	Rule     string   `json:"rule"` // such as "pickle-import"
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	Remedy   string   `json:"remedy,omitempty"`
}

// Report is what a file is. It is stored with the artifact that the file became.
type Report struct {
	Format   Format         `json:"format"`
	Code     bool           `json:"code"` // loading it can run code that the file brings or names
	Findings []Finding      `json:"findings,omitempty"`
	Summary  map[string]any `json:"summary,omitempty"` // facts by format: counts, versions, names; plain JSON values
}

// The bounds. A file that would need more is told so in a finding, never read on.
const (
	maxFindings  = 100       // of a report
	maxNesting   = 3         // archives in archives
	maxMembers   = 100_000   // of an archive
	maxInflated  = 512 << 20 // bytes inflated for one report, all members together
	maxWhole     = 16 << 20  // bytes of a member or document that is taken into memory
	sniffBytes   = 64 << 10  // of a file, to tell its format
	maxText      = 4 << 10   // bytes of a text that goes into a report
	maxListed    = 200       // names in a list of a summary
	maxNameBytes = 1 << 10   // of a name inside a file
)

// Inspect reads what it must of the size bytes of r and says what they are. name is the
// file's name as its bringer states it: it decides nothing, but a name that says one format
// over the content of another is a finding. An error means that r could not be read or ctx
// ended, never that the file is bad: a bad file is a report.
func Inspect(ctx context.Context, name string, r io.ReaderAt, size int64) (*Report, error) {
	w := &watched{ctx: ctx, r: r}
	in := &inspector{room: maxInflated}
	report := in.look(file{name: name, r: w, size: size})
	in.compareName(name, report, file{name: name, r: w, size: size})
	if w.err != nil {
		return nil, w.err
	}
	return report, ctx.Err()
}

// Blocks are the findings that must stop a freeze of the file in a role: every HIGH and
// CRITICAL one, and code in what production would run.
func (r *Report) Blocks(role string) []Finding {
	var stop []Finding
	for _, f := range r.Findings {
		if f.Severity == High || f.Severity == Critical {
			stop = append(stop, f)
		}
	}
	if role == "inference" && r.Code {
		stop = append(stop, Finding{Rule: "code-in-inference", Severity: High,
			Message: "loading this file can run code, and it is the one that production would load",
			Remedy:  "export the model to a format that holds data only, such as ONNX or safetensors, and attach that as the inference artifact"})
	}
	return stop
}

// add puts a finding into the report, once.
func (r *Report) add(f Finding) {
	if slices.Contains(r.Findings, f) {
		return
	}
	switch {
	case len(r.Findings) < maxFindings:
		r.Findings = append(r.Findings, f)
	case len(r.Findings) == maxFindings:
		r.Findings = append(r.Findings, Finding{Rule: "more-findings", Severity: High, Message: "there is more to say about this file than a report holds",
			Remedy: "read the file's findings with the tool that made it, and mend those listed first"})
	}
}

// fact puts a value into the summary.
func (r *Report) fact(name string, value any) {
	if r.Summary == nil {
		r.Summary = map[string]any{}
	}
	r.Summary[name] = value
}

// watched ends every reading when its context ends, and keeps the first real error of its
// file: a parser below may take it for the end of the data.
type watched struct {
	ctx context.Context
	r   io.ReaderAt
	err error
}

func (w *watched) ReadAt(p []byte, at int64) (int, error) {
	if w.err == nil {
		w.err = w.ctx.Err()
	}
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.r.ReadAt(p, at)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

// inspector looks at one file and at what is inside it.
type inspector struct {
	room int64 // bytes that may still be inflated
}

// file is something to look at; depth counts the archives around it.
type file struct {
	name  string
	r     io.ReaderAt
	size  int64
	depth int
}

func (f file) section(from, n int64) *io.SectionReader { return io.NewSectionReader(f.r, from, n) }

// prefix reads the first n bytes, or what there is.
func (f file) prefix(n int64) []byte {
	b := make([]byte, min(n, max(f.size, 0)))
	got, err := f.r.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil // watched remembers it
	}
	return b[:got]
}

// look says what f is.
func (in *inspector) look(f file) *Report {
	r := &Report{Format: FormatUnknown}
	if f.size <= 0 {
		r.add(Finding{Rule: "empty", Severity: High, Message: "the file is empty", Remedy: "attach the file itself; an export or an upload that failed often leaves an empty one"})
		return r
	}
	head := f.prefix(sniffBytes)
	switch kind := sniff(head, f.size); kind {
	case FormatZip:
		in.zip(f, r)
	case FormatGzip:
		in.gzip(f, r)
	case FormatTar:
		in.tar(f, r)
	case FormatPickle:
		in.pickle(f, r)
	case FormatSafetensors:
		in.safetensors(f, r)
	case FormatHDF5:
		in.hdf5(f, r)
	case FormatGGUF:
		in.gguf(f, r)
	case FormatNumPy:
		in.numpy(f, r)
	case FormatTFLite:
		r.Format = FormatTFLite
	default:
		in.noMagic(f, head, r)
	}
	return r
}

// noMagic tells the formats that begin with nothing of their own.
func (in *inspector) noMagic(f file, head []byte, r *Report) {
	if in.onnx(f, r) || in.savedModel(f, r) {
		return
	}
	if in.oldPickle(f, head, r) {
		return
	}
	if what := foreign(head); what != "" {
		r.Code = strings.HasPrefix(what, "program")
		r.fact("content", what)
		r.add(Finding{Rule: "opaque", Severity: High, Message: fmt.Sprintf("the content is %s, which cannot be looked into here", what),
			Remedy: "attach the model itself in a format that holds data only"})
		return
	}
	if end, _ := findEnd(f); end != nil {
		in.zip(f, r)
		return
	}
	if !isText(head) {
		return
	}
	r.Format = FormatText
	if strings.HasPrefix(string(head), "#!") || scriptName(f.name) {
		r.Code = true
	}
	if f.size <= maxWhole && json.Valid(f.prefix(f.size)) {
		r.Format = FormatJSON
	}
}

// claims says which formats a suffix promises. Suffixes that promise data only matter most:
// somebody may trust them.
var claims = []struct {
	suffix string
	data   bool
	are    []Format
}{
	{".onnx", true, []Format{FormatONNX}},
	{".safetensors", true, []Format{FormatSafetensors}},
	{".npy", true, []Format{FormatNumPy}},
	{".npz", true, []Format{FormatZip}},
	{".h5", true, []Format{FormatHDF5}},
	{".hdf5", true, []Format{FormatHDF5}},
	{".keras", true, []Format{FormatKeras, FormatHDF5}},
	{".gguf", true, []Format{FormatGGUF}},
	{".tflite", true, []Format{FormatTFLite}},
	{".json", true, []Format{FormatJSON}},
	{".pt", false, []Format{FormatPyTorch, FormatPickle, FormatTar}},
	{".pth", false, []Format{FormatPyTorch, FormatPickle, FormatTar}},
	{".zip", false, []Format{FormatZip, FormatPyTorch, FormatKeras}},
}

// plainNames are suffixes of documents and tables, which people open without a thought.
var plainNames = []string{".csv", ".tsv", ".md", ".txt", ".log", ".yaml", ".yml", ".xml", ".html"}

// compareName finds a name that says something else than the content.
func (in *inspector) compareName(name string, r *Report, f file) {
	lower := strings.ToLower(name)
	for _, c := range claims {
		if f.size <= 0 || !strings.HasSuffix(lower, c.suffix) || slices.Contains(c.are, r.Format) {
			continue
		}
		found := Finding{Rule: "name-mismatch", Severity: Medium, Message: fmt.Sprintf("the name ends in %s but the content is %s", c.suffix, describe(r.Format)),
			Remedy: "give the file the name of what it is, or make it again if it is not what it should be"}
		if c.data {
			found.Severity = High
		}
		if c.suffix == ".onnx" {
			if _, err := readONNX(f.r, f.size); err != nil {
				found.Message += ": " + messageOf(err)
			}
		}
		r.add(found)
		return
	}
	binary := r.Format != FormatText && r.Format != FormatJSON && r.Format != FormatUnknown || r.Summary["content"] != nil
	for _, suffix := range plainNames {
		if strings.HasSuffix(lower, suffix) && binary {
			r.add(Finding{Rule: "name-mismatch", Severity: High, Message: fmt.Sprintf("the name ends in %s but the content is %s", suffix, describe(r.Format)),
				Remedy: "give the file the name of what it is"})
		}
	}
}

func describe(f Format) string {
	if f == FormatUnknown {
		return "of no known format"
	}
	return string(f)
}

// clip bounds a text from a file and makes it printable.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(c rune) rune {
		if c < ' ' && c != '\n' && c != '\t' || c == 0x7f {
			return '\uFFFD'
		}
		return c
	}, s)
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}

// plain turns a struct into plain JSON values, as they come back from a store.
func plain(v any) map[string]any {
	text, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	var m map[string]any
	if json.Unmarshal(text, &m) != nil {
		return nil
	}
	return m
}
