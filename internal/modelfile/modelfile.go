// Package modelfile says what a model file is without running it: its format, whether
// loading it can run code, what is dangerous in it, and for ONNX its graph. Nothing is
// loaded, unpacked to disk or executed; memory and time are bounded whatever the file says
// about itself.
package modelfile

import (
	"context"
	"io"
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

// Inspect reads what it must of the size bytes of r and says what they are. name is the
// file's name as its bringer states it: it decides nothing, but a name that says one format
// over the content of another is a finding. An error means that r could not be read or ctx
// ended, never that the file is bad: a bad file is a report.
func Inspect(ctx context.Context, name string, r io.ReaderAt, size int64) (*Report, error) {
	return &Report{Format: FormatUnknown}, ctx.Err()
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
