package evidence

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"caos"
)

// Limits bounds what reading an artifact may cost. Zero fields mean defaults.
type Limits struct {
	MaxBytes int64 // of an artifact; 1 GiB
	MaxValue int   // bytes of one value inside it: a line, a string, an XML text; 4 MiB
	MaxDepth int   // nesting of JSON and XML; 64
	MaxItems int   // tests, findings, rows or lines; 10,000,000
}

func (l Limits) filled() Limits {
	if l.MaxBytes <= 0 {
		l.MaxBytes = 1 << 30
	}
	if l.MaxValue <= 0 {
		l.MaxValue = 4 << 20
	}
	if l.MaxDepth <= 0 {
		l.MaxDepth = 64
	}
	if l.MaxItems <= 0 {
		l.MaxItems = 10_000_000
	}
	return l
}

// Summary is what reading an artifact found. Fields that do not apply to its type are
// left out of the JSON.
type Summary struct {
	Format  Format  `json:"format"`
	Verdict Verdict `json:"verdict"`
	Tool    string  `json:"tool,omitempty"` // as the artifact names it

	Tests   *Tests   `json:"tests,omitempty"`   // TEST_RESULT: junit, json
	Results *Results `json:"results,omitempty"` // TEST_RESULT: sarif
	Series  *Series  `json:"series,omitempty"`  // METRIC
	Lines   int      `json:"lines,omitempty"`   // LOG and text documents
	Rows    int      `json:"rows,omitempty"`    // tables: data rows without the header

	// Requirements that the report itself names for its tests, with what those tests say.
	Requirements map[string]Verdict `json:"requirements,omitempty"`
}

// Tests counts the tests of a report. IDs and FailedIDs are cut at 64 KiB together;
// Omitted says how many ids that left out.
type Tests struct {
	Total     int      `json:"total"`
	Passed    int      `json:"passed"`
	Failed    int      `json:"failed"` // failures and errors
	Skipped   int      `json:"skipped"`
	FailedIDs []string `json:"failed_ids,omitempty"`
	IDs       []string `json:"ids,omitempty"`
	Omitted   int      `json:"omitted,omitempty"`

	room int
}

// Results counts the findings of an analysis by level, suppressed ones apart.
type Results struct {
	Error      int `json:"error"`
	Warning    int `json:"warning"`
	Note       int `json:"note"`
	None       int `json:"none"`
	Suppressed int `json:"suppressed"`
	Runs       int `json:"runs"`
}

// Series describes the columns of a metric series.
type Series struct {
	Points  int            `json:"points"`
	Time    string         `json:"time"` // name of the column or member that orders the points
	Metrics []MetricColumn `json:"metrics"`
}

// MetricColumn is one measured quantity, in the unit that the artifact's maker gave it.
type MetricColumn struct {
	Name   string  `json:"name"`
	Points int     `json:"points"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Mean   float64 `json:"mean"`
}

// add counts one test.
func (t *Tests) add(id string, v Verdict) {
	if t.room == 0 {
		t.room = 64 << 10
	}
	t.Total++
	switch v {
	case Passed:
		t.Passed++
	case Failed:
		t.Failed++
	default:
		t.Skipped++
	}
	id = clip(id, 200)
	if len(id)+8 > t.room {
		t.Omitted++
		return
	}
	t.room -= len(id) + 8
	if v == Failed {
		t.FailedIDs = append(t.FailedIDs, id)
	}
	t.IDs = append(t.IDs, id)
}

// verdict is PASSED only if something ran and nothing failed.
func (t *Tests) verdict() Verdict {
	if t.Failed == 0 && t.Passed > 0 {
		return Passed
	}
	return Failed
}

// reading is one artifact while it is read.
type reading struct {
	ctx context.Context
	lim Limits
	src *source
	out Summary
}

// Input is an artifact to be read.
type Input struct {
	Content io.ReadSeeker
	Name    string // the name it came under, a hint at its format
	Format  Format // "" to find it out
}

// Validate reads an artifact as evidence of type t. The error is a *caos.Error, Invalid
// or TooLarge, about the field artifact_uri; whatever its size the artifact is read in
// pieces.
func Validate(ctx context.Context, t Type, in Input, lim Limits) (Summary, error) {
	lim = lim.filled()
	r, format := in.Content, in.Format
	size, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return Summary{}, caos.Wrap(caos.Unavailable, err, "the artifact cannot be read")
	}
	if size == 0 {
		return Summary{}, refuse("the artifact is empty")
	}
	if size > lim.MaxBytes {
		return Summary{}, caos.Errorf(caos.TooLarge, "the artifact has %d bytes, more than %d", size, lim.MaxBytes).WithField("artifact_uri")
	}
	head := make([]byte, min(size, 4096))
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return Summary{}, caos.Wrap(caos.Unavailable, err, "the artifact cannot be read")
	}
	if _, err := io.ReadFull(r, head); err != nil {
		return Summary{}, caos.Wrap(caos.Unavailable, err, "the artifact cannot be read")
	}
	if format == "" {
		if format, err = sniff(t, head, in.Name); err != nil {
			return Summary{}, err
		}
	}
	if !slices.Contains(t.Formats(), format) {
		return Summary{}, wrongFormat(t, format)
	}
	if c := compressed(head); c != "" {
		return Summary{}, refuse("the artifact is compressed (%s)", c).WithHint("send it uncompressed, so that what is signed is what is read")
	}
	start := int64(0)
	if format != PDF && bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		start = 3 // a byte order mark, as some tools write it
	}
	if _, err := r.Seek(start, io.SeekStart); err != nil {
		return Summary{}, caos.Wrap(caos.Unavailable, err, "the artifact cannot be read")
	}
	rd := &reading{ctx: ctx, lim: lim, src: newSource(ctx, r, lim, format != PDF), out: Summary{Format: format, Verdict: Recorded}}
	if err := rd.read(t, format); err != nil {
		return Summary{}, rd.explain(err)
	}
	return rd.out, nil
}

func (rd *reading) read(t Type, f Format) error {
	switch {
	case f == JUnit:
		return rd.junit()
	case f == SARIF:
		return rd.sarif()
	case t == TestResult && f == JSON:
		return rd.testsJSON()
	case t == Metric && f == CSV:
		return rd.metricCSV()
	case t == Metric:
		return rd.metricJSON(f == NDJSON)
	case f == NDJSON:
		return rd.logNDJSON()
	case f == Text || f == Markdown:
		return rd.text()
	case f == CSV:
		return rd.table()
	case f == JSON:
		return rd.anyJSON()
	case f == HTML:
		return rd.html()
	case f == PDF:
		return rd.pdf()
	}
	return wrongFormat(t, f)
}

// explain makes every error one about the artifact. What the source refused (size, UTF-8,
// the end of ctx) comes out of parsers wrapped or as text, so it is asked first.
func (rd *reading) explain(err error) error {
	if rd.src.failed != nil {
		err = rd.src.failed
	}
	var e *caos.Error
	if !errors.As(err, &e) {
		e = refuse("the artifact is not well-formed %s: %s", rd.out.Format, clip(err.Error(), 200))
	}
	if e.Field == "" {
		e = e.WithField("artifact_uri")
	}
	return e
}

// refuse makes the error for an artifact that is not what it should be.
func refuse(format string, args ...any) *caos.Error {
	return caos.Errorf(caos.Invalid, format, args...).WithField("artifact_uri")
}

// sniff finds the format of an artifact of type t by the end of its name, else by its
// first bytes. Reading it as that format is the test of the guess.
func sniff(t Type, head []byte, name string) (Format, error) {
	if c := compressed(head); c != "" {
		return "", refuse("the artifact is compressed (%s)", c).WithHint("send it uncompressed, so that what is signed is what is read")
	}
	if bytes.HasPrefix(head, []byte("%PDF-")) {
		return PDF, nil
	}
	body := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	if f := byName(name); slices.Contains(t.Formats(), f) && (f != JSON || t != TestResult) {
		return f, nil
	}
	lower := bytes.ToLower(body[:min(len(body), 1024)])
	jsonish := bytes.HasPrefix(body, []byte("{")) || bytes.HasPrefix(body, []byte("["))
	switch {
	case bytes.HasPrefix(lower, []byte("<!doctype html")) || bytes.HasPrefix(lower, []byte("<html")):
		return HTML, nil
	case t == TestResult && bytes.HasPrefix(body, []byte("<")):
		return JUnit, nil
	case t == TestResult && jsonish:
		if bytes.Contains(head, []byte("sarif")) || bytes.Contains(head, []byte(`"runs"`)) {
			return SARIF, nil
		}
		return JSON, nil
	case t == TestResult:
		return "", refuse("the artifact is neither JUnit XML nor SARIF nor JSON").
			WithHint("test results are read as JUnit XML, SARIF 2.1.0 or JSON; other files are DOCUMENT or LOG")
	case jsonish && severalObjects(body) && t != Document:
		return NDJSON, nil
	case jsonish && !severalObjects(body) && t != Log:
		return JSON, nil
	case t == Metric:
		return CSV, nil
	}
	return Text, nil
}

// byName returns the format that the end of a name stands for, "" if for none.
func byName(name string) Format {
	i := strings.LastIndexByte(name, '.')
	switch strings.ToLower(name[i+1:]) {
	case "xml":
		return JUnit
	case "sarif":
		return SARIF
	case "json":
		return JSON
	case "ndjson", "jsonl":
		return NDJSON
	case "csv":
		return CSV
	case "txt", "log":
		return Text
	case "md", "markdown":
		return Markdown
	case "pdf":
		return PDF
	case "html", "htm":
		return HTML
	}
	return ""
}

// severalObjects reports whether the first line is an object by itself and another follows.
func severalObjects(body []byte) bool {
	first, rest, ok := bytes.Cut(body, []byte("\n"))
	first, rest = bytes.TrimSpace(first), bytes.TrimSpace(rest)
	return ok && len(first) > 1 && first[0] == '{' && first[len(first)-1] == '}' && (len(rest) == 0 || rest[0] == '{')
}

// compressed names the compression or archive format that the bytes begin with.
func compressed(head []byte) string {
	for magic, name := range map[string]string{
		"\x1f\x8b": "gzip", "PK\x03\x04": "zip", "PK\x05\x06": "zip", "BZh": "bzip2", "\xfd7zXZ\x00": "xz",
		"\x28\xb5\x2f\xfd": "zstd", "7z\xbc\xaf\x27\x1c": "7z", "\x04\x22\x4d\x18": "lz4", "Rar!": "rar", "\x1f\x9d": "compress",
	} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return name
		}
	}
	return ""
}

func indexed(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
