// Package flightdelay holds NN-DLY-001, the demo's model, with the documents that a freeze
// asks for. README.md says what each file is and how it was made.
package flightdelay

import "embed"

// Files are the model, its documents, and the extract of the data it was trained on.
//
//go:embed *.go
var Files embed.FS
