// Package worker runs jobs of caos-worker, the program that holds the data engine: one
// process per job, in a sandbox, on one folder. A Job says what to read, which SELECTs to
// apply and what to write; the worker knows nothing of pipelines and contracts. What comes
// back from it is as untrusted as the data it read: it is bounded, parsed strictly, and
// files are listed and hashed on this side.
package worker

import "time"

// Names of the subfolders of a run's folder.
const (
	InFolder   = "in"  // what the job reads; read-only to the worker
	OutFolder  = "out" // what it writes: out/<output's name>/…
	TempFolder = "tmp" // the engine's temporary files
)

// Job is everything that one run of the worker does, in this order: inputs are made
// tables, steps are made tables or views, outputs are written, queries are answered.
type Job struct {
	MemoryBytes int64          `json:"memory_bytes"`        // of the whole worker process; Run sets it from Limits if 0
	Threads     int            `json:"threads"`             // Run sets it from Limits if 0
	TempBytes   int64          `json:"temp_bytes"`          // most that temporary files may take; Run sets it from Limits if 0
	Variables   map[string]any `json:"variables,omitempty"` // getvariable('name') in SQL; a string in RFC 3339 is a TIMESTAMP in UTC
	Inputs      []Input        `json:"inputs,omitempty"`    // become tables of their names
	Steps       []Statement    `json:"steps,omitempty"`     // in order: a step sees the inputs and the steps before it
	Outputs     []Output       `json:"outputs,omitempty"`   // written to out/
	Queries     []Query        `json:"queries,omitempty"`   // answered in the result
}

// Column is a column with its type in the engine's words, such as "BIGINT" or
// "DECIMAL(10,2)".
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type,omitempty"`     // "" accepts any type
	Required bool   `json:"required,omitempty"` // an empty value in it is a Failure of kind schema
}

// Input is a table made of files.
type Input struct {
	Name        string   `json:"name"`                   // letters, digits and underscores
	Files       []string `json:"files"`                  // relative to in/; a leading "in/" is allowed
	Format      string   `json:"format"`                 // parquet, csv, json (one array) or ndjson
	Compression string   `json:"compression,omitempty"`  // "" by the file's first bytes; none, gzip or zstd; for csv, json and ndjson
	Columns     []Column `json:"columns,omitempty"`      // what must be there; empty takes what is found. More columns than these are kept
	CSV         *CSV     `json:"csv,omitempty"`          // nil is RFC 4180: comma, double quotes, a header, UTF-8
	PartitionBy []string `json:"partition_by,omitempty"` // of Columns, those that are in the names of folders, <column>=<value>/, as Output writes them; parquet and csv
	MaxRejected int64    `json:"max_rejected,omitempty"` // bad rows that are left out and reported; 0 makes the first one a Failure. For csv alone
}

// CSV is the dialect of a CSV file. An empty field is RFC 4180's value.
type CSV struct {
	Delimiter       string `json:"delimiter,omitempty"`        // "," if empty
	Quote           string `json:"quote,omitempty"`            // `"` if empty
	Escape          string `json:"escape,omitempty"`           // `"` if empty
	Null            string `json:"null,omitempty"`             // text that means no value, besides the empty one
	Header          *bool  `json:"header,omitempty"`           // true if nil
	Encoding        string `json:"encoding,omitempty"`         // utf-8 (if empty), utf-16 or latin-1
	DateFormat      string `json:"date_format,omitempty"`      // strptime format of dates
	TimestampFormat string `json:"timestamp_format,omitempty"` // strptime format of times
}

// Statement is exactly one SELECT over the inputs and the statements before it. It may use
// no files, no table function but those that make rows of their arguments (range,
// generate_series, unnest), no settings and no environment.
type Statement struct {
	Name  string `json:"name"`
	SQL   string `json:"sql"`
	Table bool   `json:"table,omitempty"` // computed once and kept; else a view, computed where it is used
}

// Output is a table that is written to files below out/<Name>/.
type Output struct {
	Name        string   `json:"name"`
	From        string   `json:"from"`                   // an input or a step
	Format      string   `json:"format"`                 // parquet or csv
	Compression string   `json:"compression,omitempty"`  // parquet: snappy (if empty), zstd, gzip, none; csv: none (if empty), gzip, zstd
	PartitionBy []string `json:"partition_by,omitempty"` // columns; a folder per value, <column>=<value>/
	OrderBy     []string `json:"order_by,omitempty"`     // columns, ascending, nulls last
	Header      *bool    `json:"header,omitempty"`       // csv: a first line with the columns' names; true if nil
}

// Query is a SELECT whose rows come back in the result.
type Query struct {
	Name    string `json:"name"`
	SQL     string `json:"sql"`
	MaxRows int    `json:"max_rows"` // 0 is 1,000; at most 100,000
}

// Result is what a job did.
type Result struct {
	Inputs    []InputResult   `json:"inputs,omitempty"`
	Steps     []StepResult    `json:"steps,omitempty"`
	Outputs   []OutputResult  `json:"outputs,omitempty"`
	Queries   map[string]Rows `json:"queries,omitempty"` // by the query's name
	PeakBytes int64           `json:"peak_bytes"`        // largest resident memory of the worker
	Seconds   float64         `json:"seconds"`           // from start to end of its process
}

// InputResult is what an input was found to be.
type InputResult struct {
	Name     string   `json:"name"`
	Rows     int64    `json:"rows"`     // without the rejected ones
	Rejected int64    `json:"rejected"` // rows left out
	Bytes    int64    `json:"bytes"`    // of the files as they are
	Columns  []Column `json:"columns"`
	Rejects  []Reject `json:"rejects,omitempty"` // the first 100
}

// Reject is one row that was left out.
type Reject struct {
	File    string `json:"file"`
	Line    int64  `json:"line"`
	Column  string `json:"column,omitempty"`
	Message string `json:"message"`
}

// StepResult is what a step made.
type StepResult struct {
	Name    string   `json:"name"`
	Rows    int64    `json:"rows"` // -1 for a view
	Columns []Column `json:"columns"`
	Seconds float64  `json:"seconds"`
}

// OutputResult is what was written.
type OutputResult struct {
	Name    string   `json:"name"`
	Rows    int64    `json:"rows"`
	Bytes   int64    `json:"bytes"`
	Columns []Column `json:"columns"`
	Files   []File   `json:"files"` // sorted by path; read and hashed on this side of the sandbox
}

// File is one written file.
type File struct {
	Path   string `json:"path"` // relative to the run's folder, with slashes: out/<output>/…
	Bytes  int64  `json:"bytes"`
	Digest string `json:"digest"` // SHA256:<hex>
}

// Rows is the answer to a query. A cell is nil, bool, string, or a JSON number; in Go a
// number is a json.Number. Decimals and integers beyond 2^53 are strings, as are NaN,
// Infinity and -Infinity; times are RFC 3339, dates 2006-01-02.
type Rows struct {
	Columns   []Column `json:"columns"`
	Rows      [][]any  `json:"rows"`
	Truncated bool     `json:"truncated,omitempty"` // there were more than MaxRows
}

// Progress is where a job is. Percent is -1 where it is not known.
type Progress struct {
	Phase      string  `json:"phase"` // start, input, step, output or query
	Name       string  `json:"name,omitempty"`
	Rows       int64   `json:"rows"`
	Bytes      int64   `json:"bytes"`
	TotalBytes int64   `json:"total_bytes"`
	Percent    float64 `json:"percent"`
}

// Limits is what a run may take, held by the operating system as well as by the engine.
type Limits struct {
	MemoryBytes  int64         // of the process; 0 is 1 GiB
	Threads      int           // 0 is 1
	ScratchBytes int64         // of the run's folder, in/ included; 0 is 4 GiB
	Timeout      time.Duration // from start to end; 0 is an hour
}
