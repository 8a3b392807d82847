// Package flightdelay holds NN-DLY-001, the demo's model, with the documents that a freeze
// asks for. README.md says what each file is and how it was made.
package flightdelay

import "embed"

// The model, and what its documents call it.
const (
	ModelID   = "NN-DLY-001"
	Version   = "1.0.0"
	Name      = "Arrival delay of a flight"
	Family    = "DLY"
	Level     = "DAL-D"
	VVReport  = "95-00-07-DLY-002"  // id of the V&V report
	TraceFile = "traceability.csv"  // links, in the shape of the programme's matrix
	RiskFile  = "risk-register.csv" // risks of the model, as caos import reads them
)

// Files are the model, its documents, and the extract of the data it was trained on.
//
//go:embed *.onnx *.safetensors *.yaml *.json *.csv *.md training/*.py training/*.md training/requirements.txt
var Files embed.FS

// Artifact is a file of the version.
type Artifact struct{ File, Role, MediaType, Description string }

// Artifacts lists the files of the version with their roles.
func Artifacts() []Artifact {
	const text, js, table = "text/markdown", "application/json", "text/csv"
	return []Artifact{
		{"model.onnx", "inference", "application/octet-stream", "What production runs: ONNX, opset 17"},
		{"model.safetensors", "trained", "application/octet-stream", "The trained weights, as NumPy arrays"},
		{"features.json", "configuration", js, "The twenty inputs: names, order, clamped ranges"},
		{"airport-statistics.csv", "configuration", table, "Statistics of January and February that the inputs are made of"},
		{"training-dataset.json", "training-dataset", js, "What it was trained on, with digests"},
		{"validation-dataset.json", "validation-dataset", js, "What it was evaluated on, with digests"},
		{"training-log.json", "training-log", js, "Settings and losses"},
		{"conversion.json", "other", js, "How the ONNX file was made from the weights"},
		{"vv-report.json", "test-results", js, "V&V report 95-00-07-DLY-002"},
		{"vv-plan.json", "other", js, "V&V plan 95-00-07-DLY-001"},
		{TraceFile, "traceability-matrix", table, "Requirements, tests and documents"},
		{"safety-assessment.md", "safety-document", text, "Safety assessment 95-00-07-DLY-003"},
		{"model-card.md", "design-document", text, "Model card 95-00-04-DLY-001"},
		{"training/features.py", "architecture", "text/x-python", "Makes the inputs"},
		{"training/train.py", "architecture", "text/x-python", "Layers, loss, training, export"},
		{"training/evaluate.py", "other", "text/x-python", "Runs the V&V plan"},
	}
}

// Document is a file that is registered under an id.
type Document struct{ ID, Version, Kind, Title, File, MediaType string }

// Documents lists the documents, in an order in which they can be registered.
func Documents() []Document {
	const text, js = "text/markdown", "application/json"
	return []Document{
		{"95-00-07-DLY-001", "1.0", "vv-plan", "V&V plan of the arrival delay predictor", "vv-plan.json", js},
		{VVReport, "1.0", "vv-report", "V&V report of NN-DLY-001, 1.0.0", "vv-report.json", js},
		{"95-00-07-DLY-003", "1.0", "safety-assessment", "Safety assessment of NN-DLY-001, 1.0.0", "safety-assessment.md", text},
		{"95-00-07-DLY-004", "1.0", "defect-list", "Known limitations of NN-DLY-001, 1.0.0", "defect-list.json", js},
		{"95-00-07-DLY-005", "1.0", "documentation-review", "Documentation review of NN-DLY-001, 1.0.0", "documentation-review.md", text},
		{"95-00-04-DLY-001", "1.0", "model-card", "Model card of NN-DLY-001, 1.0.0", "model-card.md", text},
	}
}

// Conversion is how the ONNX file was made; conversion.json says the same in full.
type Conversion struct{ From, To, Tool, ToolVersion, Equivalence string }

// Conversions lists the conversions between the artifacts.
func Conversions() []Conversion {
	return []Conversion{{"model.safetensors", "model.onnx", "onnx", "1.23.2", VVReport}}
}
