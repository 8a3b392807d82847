package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Attached is the worker's argument when CAOS runs it.
const Attached = "--attached"

// Phases of a job.
const (
	PhaseStart  = "start"
	PhaseInput  = "input"
	PhaseStep   = "step"
	PhaseOutput = "output"
	PhaseQuery  = "query"
)

// Formats and compressions.
const (
	Parquet   = "parquet"
	CSVFormat = "csv"
	JSON      = "json"
	NDJSON    = "ndjson"

	NoCompression = "none"
	Gzip          = "gzip"
	Zstd          = "zstd"
	Snappy        = "snappy"
)

// Bounds of a job.
const (
	maxJob       = 16 << 20 // bytes of its JSON
	maxStatement = 1 << 20
	maxInputs    = 200
	maxFiles     = 10_000
	maxSteps     = 500
	maxOutputs   = 200
	maxQueries   = 2_000
	maxVariables = 100
	maxColumns   = 2_000
	maxName      = 200
	// maxAnswer is the most rows that a query can be answered with.
	maxAnswer   = 100_000
	leastMemory = 64 << 20
)

var (
	tableName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)
	outputName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$`)
	// inFile excludes what the engine takes for a pattern.
	inFile = regexp.MustCompile(`^[^*?\[\]{}\x00-\x1f\\'"]+$`)
	// typeName is wide enough for STRUCT(a INTEGER, b DECIMAL(10,2)[]) and too narrow to
	// end a cast.
	typeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_ ,()\[\]]*$`)
)

// ReadJob reads one job and checks its form: names, counts, sizes. What SQL may say is
// checked where the engine's parser is. The error is a *Failure.
func ReadJob(r io.Reader) (*Job, error) {
	limited := &io.LimitedReader{R: r, N: maxJob + 1}
	line, err := readLine(limited)
	if limited.N <= 0 {
		return nil, refuse("", "the job has more than %d bytes", maxJob)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, refuse("", "the job cannot be read: %v", err)
	}
	return ParseJob(line)
}

// readLine reads to the end of a line, or to the end if the job is written over several:
// a job ends where its JSON value does, and CAOS writes it in one line.
func readLine(r io.Reader) ([]byte, error) {
	dec := json.NewDecoder(r)
	var raw json.RawMessage
	err := dec.Decode(&raw)
	return raw, err
}

// ParseJob parses a job and checks its form.
func ParseJob(text []byte) (*Job, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var job Job
	if err := dec.Decode(&job); err != nil {
		return nil, refuse("", "the job is not what a job is: %v", err)
	}
	if err := job.check(); err != nil {
		return nil, err
	}
	return &job, nil
}

func refuse(name, format string, args ...any) error {
	return &Failure{Kind: KindRefused, Phase: PhaseStart, Name: name, Message: fmt.Sprintf(format, args...)}
}

// check says whether the form of a job is right, and brings names of files to one form.
func (j *Job) check() error {
	switch {
	case j.MemoryBytes < leastMemory:
		return refuse("", "a job needs %d MiB of memory at least", leastMemory>>20)
	case j.Threads < 1 || j.Threads > 1024:
		return refuse("", "a job has 1 to 1,024 threads, not %d", j.Threads)
	case j.TempBytes < 0:
		return refuse("", "temporary files cannot have %d bytes", j.TempBytes)
	case len(j.Inputs) > maxInputs, len(j.Steps) > maxSteps, len(j.Outputs) > maxOutputs, len(j.Queries) > maxQueries, len(j.Variables) > maxVariables:
		return refuse("", "a job has %d inputs, %d steps, %d outputs, %d queries and %d variables at most", maxInputs, maxSteps, maxOutputs, maxQueries, maxVariables)
	}
	for name := range j.Variables {
		if !tableName.MatchString(name) {
			return refuse(name, "a variable's name is letters, digits and underscores")
		}
	}
	names := map[string]bool{}
	table := func(name string) error {
		if !tableName.MatchString(name) {
			return refuse(name, "a table's name is letters, digits and underscores, at most 63")
		}
		if lower := strings.ToLower(name); names[lower] || strings.HasPrefix(lower, "caos_") {
			return refuse(name, "the name is taken")
		}
		names[strings.ToLower(name)] = true
		return nil
	}
	for i := range j.Inputs {
		if err := errors.Join(table(j.Inputs[i].Name), j.Inputs[i].check()); err != nil {
			return firstOf(err)
		}
	}
	for _, s := range j.Steps {
		if err := errors.Join(table(s.Name), statement(s.Name, s.SQL)); err != nil {
			return firstOf(err)
		}
	}
	return j.checkAnswers()
}

func (j *Job) checkAnswers() error {
	seen := map[string]bool{}
	for _, o := range j.Outputs {
		if err := o.check(); err != nil {
			return err
		}
		if lower := strings.ToLower(o.Name); seen[lower] {
			return refuse(o.Name, "two outputs have this name")
		} else {
			seen[lower] = true
		}
	}
	asked := map[string]bool{}
	for _, q := range j.Queries {
		switch {
		case q.Name == "" || len(q.Name) > maxName || !utf8.ValidString(q.Name):
			return refuse("", "a query has a name of at most %d bytes", maxName)
		case asked[q.Name]:
			return refuse(q.Name, "two queries have this name")
		case q.MaxRows < 0 || q.MaxRows > maxAnswer:
			return refuse(q.Name, "a query is answered with at most %d rows", maxAnswer)
		}
		asked[q.Name] = true
		if err := statement(q.Name, q.SQL); err != nil {
			return err
		}
	}
	return nil
}

func firstOf(err error) error {
	var f *Failure
	errors.As(err, &f)
	return f
}

func statement(name, sql string) error {
	if strings.TrimSpace(sql) == "" || len(sql) > maxStatement || !utf8.ValidString(sql) || strings.ContainsRune(sql, 0) {
		return refuse(name, "a statement is UTF-8 text of 1 to %d bytes", maxStatement)
	}
	return nil
}

func (in *Input) check() error {
	if len(in.Files) == 0 || len(in.Files) > maxFiles {
		return refuse(in.Name, "an input has 1 to %d files", maxFiles)
	}
	for i, name := range in.Files {
		clean := strings.TrimPrefix(name, InFolder+"/")
		if clean == "" || path.IsAbs(clean) || path.Clean(clean) != clean || clean == ".." || strings.HasPrefix(clean, "../") || clean == "." ||
			len(clean) > 1024 || !utf8.ValidString(clean) || !inFile.MatchString(clean) {
			return refuse(in.Name, "%q is not the name of a file in in/; names have no *, ?, brackets, quotes or backslashes", name)
		}
		in.Files[i] = clean
	}
	if !slices.Contains([]string{Parquet, CSVFormat, JSON, NDJSON}, in.Format) {
		return refuse(in.Name, "the format is parquet, csv, json or ndjson, not %q", in.Format)
	}
	compressions := []string{"", NoCompression, Gzip, Zstd}
	if in.Format == Parquet {
		compressions = []string{"", NoCompression, Gzip, Zstd, Snappy} // a Parquet file says itself how it is compressed
	}
	switch {
	case !slices.Contains(compressions, in.Compression):
		return refuse(in.Name, "the compression is none, gzip or zstd, not %q", in.Compression)
	case in.MaxRejected < 0 || in.MaxRejected > 1_000_000:
		return refuse(in.Name, "0 to 1,000,000 rows may be rejected")
	case len(in.PartitionBy) > 0 && in.Format != Parquet && in.Format != CSVFormat:
		return refuse(in.Name, "columns come from the names of folders in parquet and csv alone")
	case slices.ContainsFunc(in.PartitionBy, func(name string) bool {
		return !slices.ContainsFunc(in.Columns, func(c Column) bool { return c.Name == name && c.Type != "" })
	}):
		return refuse(in.Name, "a column from the names of folders is one of the expected columns, with its type")
	case in.MaxRejected > 0 && in.Format != CSVFormat:
		return refuse(in.Name, "bad rows can be left out of csv alone")
	case in.CSV != nil && in.Format != CSVFormat:
		return refuse(in.Name, "a CSV dialect says nothing about %s", in.Format)
	case len(in.Columns) > maxColumns:
		return refuse(in.Name, "at most %d columns can be expected", maxColumns)
	}
	for _, c := range in.Columns {
		if c.Name == "" || len(c.Name) > maxName || !utf8.ValidString(c.Name) || strings.ContainsRune(c.Name, 0) {
			return refuse(in.Name, "a column's name has 1 to %d bytes", maxName)
		}
		if c.Type != "" && (len(c.Type) > 10_000 || !typeName.MatchString(c.Type)) {
			return refuse(in.Name, "the column %q is expected to be of type %q, which is none", c.Name, c.Type)
		}
	}
	return in.CSV.check(in.Name)
}

func (c *CSV) check(name string) error {
	if c == nil {
		return nil
	}
	for what, value := range map[string]string{"delimiter": c.Delimiter, "quote": c.Quote, "escape": c.Escape} {
		if len(value) > 4 || what != "delimiter" && len(value) > 1 || strings.ContainsAny(value, "\x00\r\n") {
			return refuse(name, "the %s of CSV is one character, not %q", what, value)
		}
	}
	for what, value := range map[string]string{"null": c.Null, "date_format": c.DateFormat, "timestamp_format": c.TimestampFormat} {
		if len(value) > maxName || !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
			return refuse(name, "%s has at most %d bytes", what, maxName)
		}
	}
	if !slices.Contains([]string{"", "utf-8", "utf-16", "latin-1"}, strings.ToLower(c.Encoding)) {
		return refuse(name, "the encoding is utf-8, utf-16 or latin-1, not %q", c.Encoding)
	}
	c.Encoding = strings.ToLower(c.Encoding)
	return nil
}

func (o *Output) check() error {
	compressions := map[string][]string{
		Parquet:   {"", NoCompression, Gzip, Zstd, Snappy},
		CSVFormat: {"", NoCompression, Gzip, Zstd},
	}
	allowed, ok := compressions[o.Format]
	switch {
	case !outputName.MatchString(o.Name):
		return refuse(o.Name, "an output's name is letters, digits, dots, hyphens and underscores, at most 63")
	case !ok:
		return refuse(o.Name, "the format is parquet or csv, not %q", o.Format)
	case !slices.Contains(allowed, o.Compression):
		return refuse(o.Name, "the compression of %s is one of %s, not %q", o.Format, strings.Join(allowed[1:], ", "), o.Compression)
	case len(o.PartitionBy)+len(o.OrderBy) > 50:
		return refuse(o.Name, "an output is partitioned and ordered by at most 50 columns")
	}
	return nil
}
