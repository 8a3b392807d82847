package dataset

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/codec"
)

// Bounds of a definition.
const (
	maxDefinition = 256 << 10 // bytes of the text
	maxSources    = 100
	maxTransforms = 200
	maxTargets    = 50
	maxEvents     = 10
	maxColumns    = 2000
	maxSQL        = 64 << 10 // bytes of one SELECT
	maxLocation   = 2000
	maxTitle      = 200
	maxText       = 4000 // bytes of a description, of a reason

	maxMemory  = 1 << 40 // bytes
	minMemory  = 64 << 20
	maxThreads = 256
	maxScratch = 64 << 40
	minScratch = 16 << 20
	maxTimeout = 7 * 24 * time.Hour
	minTimeout = time.Second
)

// What a run gets that asks for nothing.
const (
	defaultMemory  = 1 << 30
	defaultThreads = 1 // what every node has
	defaultScratch = 4 << 30
	defaultTimeout = time.Hour
)

// Definition is a pipeline as somebody wrote it. A version never changes.
type Definition struct {
	PipelineID      string `json:"pipeline_id"`      // DP-DLY-001
	PipelineVersion string `json:"pipeline_version"` // X.Y
	Title           string `json:"title"`
	Description     string `json:"description,omitempty"`
	Owner           string `json:"owner,omitempty"` // user id of who answers for it; who registers it if left out
	Project         string `json:"project,omitempty"`
	Classification  string `json:"classification,omitempty"`

	Sources    []Source    `json:"sources"`
	Transforms []Transform `json:"transforms,omitempty"`
	Targets    []Target    `json:"targets"`

	Contract string         `json:"contract,omitempty"` // of targets that name none: 95-00-09-02-004, or 95-00-09-02-004@1.2.0
	Schedule *Schedule      `json:"schedule,omitempty"`
	Events   []Subscription `json:"events,omitempty"`
	Interval string         `json:"interval,omitempty"` // what a run is about: "" nothing in particular, or one of Intervals
	Compute  Compute        `json:"compute,omitzero"`
}

// The intervals that a run can be about.
const (
	IntervalNone     = ""
	IntervalSchedule = "schedule" // from the schedule's last nominal time to this one
	IntervalDay      = "day"      // the calendar day before the run, in the schedule's zone
	IntervalMonth    = "month"    // the calendar month before the run
)

// The formats of sources; targets are parquet or CSV.
const (
	FormatParquet = "parquet"
	FormatCSV     = "csv"
	FormatJSON    = "json"   // one array
	FormatNDJSON  = "ndjson" // an object a line
)

// Source is data that a run reads.
type Source struct {
	Name        string   `json:"name"` // of the table that SQL sees
	URI         string   `json:"uri"`  // file:, s3: or https:; a file, a folder that ends in /, or a pattern with * ; {yyyy} {mm} {dd} {interval}
	Format      string   `json:"format,omitempty"`
	Compression string   `json:"compression,omitempty"` // "" is by content
	Optional    bool     `json:"optional,omitempty"`    // without it a run is PARTIAL
	Columns     []Column `json:"columns,omitempty"`     // expected ones; none means as found
	CSV         *CSV     `json:"csv,omitempty"`
	MaxRejected int64    `json:"max_rejected,omitempty"` // bad rows that are left out and counted; the first beyond them fails
	Reference   bool     `json:"reference,omitempty"`    // looked up by checks of integrity alone
}

// Column is a column of a table.
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type"` // DuckDB's name of it
	Required bool   `json:"required,omitempty"`
}

// CSV says how a CSV source is written; what is left out is found out.
type CSV struct {
	Delimiter       string `json:"delimiter,omitempty"`
	Quote           string `json:"quote,omitempty"`
	Escape          string `json:"escape,omitempty"`
	Null            string `json:"null,omitempty"`
	Header          *bool  `json:"header,omitempty"`
	Encoding        string `json:"encoding,omitempty"`
	DateFormat      string `json:"date_format,omitempty"`
	TimestampFormat string `json:"timestamp_format,omitempty"`
}

// Transform is one SELECT over sources and earlier transforms.
type Transform struct {
	Name        string   `json:"name"`            // of the table that later SQL sees
	After       []string `json:"after,omitempty"` // transforms to come first, beside those that the SQL reads
	SQL         string   `json:"sql"`
	Materialise bool     `json:"materialise,omitempty"` // computed once and kept for the run
}

// Target is data that a run publishes.
type Target struct {
	Name        string   `json:"name"`
	URI         string   `json:"uri"`
	From        string   `json:"from"` // a transform or a source
	Format      string   `json:"format,omitempty"`
	Compression string   `json:"compression,omitempty"`
	PartitionBy []string `json:"partition_by,omitempty"`
	OrderBy     []string `json:"order_by,omitempty"`
	Header      *bool    `json:"header,omitempty"`   // CSV: a first line with the columns' names; true if left out
	Optional    bool     `json:"optional,omitempty"` // without it a run is PARTIAL
	Contract    string   `json:"contract,omitempty"` // id or id@version; the definition's if left out
}

// Schedule says when a pipeline runs by itself.
type Schedule struct {
	Cron string `json:"cron"`           // minute hour day month weekday
	Zone string `json:"zone,omitempty"` // IANA name; UTC if left out
}

// Subscription says which event runs a pipeline.
type Subscription struct {
	Type  string         `json:"type"` // or a pattern
	Where map[string]any `json:"where,omitempty"`
}

// Compute is what a run asks of a node. Sizes are written "512 MB" or "1 GiB", times "1h30m".
type Compute struct {
	Memory  string `json:"memory,omitempty"`
	Threads int    `json:"threads,omitempty"`
	Scratch string `json:"scratch,omitempty"`
	Timeout string `json:"timeout,omitempty"`
}

// Limits is a compute request in units, or the most that one may be.
type Limits struct {
	MemoryBytes  int64
	Threads      int
	ScratchBytes int64
	Timeout      time.Duration
}

// ContractOf is the contract of a target as it is referenced: its own, else the
// definition's, "" for none.
func (d *Definition) ContractOf(t Target) string {
	if t.Contract != "" {
		return t.Contract
	}
	return d.Contract
}

// ParseDefinition reads a definition from YAML, or from JSON if contentType says so, and
// fills in what may be left out. It is strict about the text: keys that are not known, or
// stand twice, are Invalid, and Field names the place. Whether the definition can work is
// Lint's to say.
func ParseDefinition(text []byte, contentType string) (Definition, error) {
	var d Definition
	lim := codec.Limits{MaxBytes: maxDefinition, MaxDepth: 10, MaxNodes: 50_000}
	if err := codec.Decode(text, cmp.Or(contentType, "application/yaml"), &d, lim); err != nil {
		return Definition{}, err
	}
	d.fill()
	return d, nil
}

// fill puts in what may be left out, so that a definition reads the same whether somebody
// wrote its defaults or not.
func (d *Definition) fill() {
	for i := range d.Sources {
		s := &d.Sources[i]
		s.Format = cmp.Or(s.Format, formatOf(s.URI))
	}
	for i := range d.Targets {
		t := &d.Targets[i]
		t.Format = cmp.Or(t.Format, formatOf(t.URI), FormatParquet)
		if t.Format == FormatParquet {
			t.Compression = cmp.Or(t.Compression, "zstd")
		}
	}
	if d.Schedule != nil {
		d.Schedule.Zone = cmp.Or(d.Schedule.Zone, "UTC")
	}
	d.Classification = cmp.Or(d.Classification, "Internal")
}

// formatOf tells a format by the end of a URI's path, "" if it says nothing.
func formatOf(uri string) string {
	name, _, _ := strings.Cut(strings.ToLower(uri), "?")
	name = path.Base(name)
	for _, packed := range []string{".gz", ".zst"} {
		name = strings.TrimSuffix(name, packed)
	}
	switch path.Ext(name) {
	case ".parquet":
		return FormatParquet
	case ".csv":
		return FormatCSV
	case ".json":
		return FormatJSON
	case ".ndjson", ".jsonl":
		return FormatNDJSON
	}
	return ""
}

// Digest is that of the definition's canonical JSON: comments and layout of the text are not
// in it.
func (d *Definition) Digest() (string, error) {
	text, err := codec.Canonical(d)
	if err != nil {
		return "", fmt.Errorf("dataset: digest of %.60q: %w", d.PipelineID, err)
	}
	return digestOf(text), nil
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "SHA256:" + hex.EncodeToString(sum[:])
}

// Request is the compute request in units, with what was left out filled in.
func (c Compute) Request() (Limits, error) {
	l := Limits{MemoryBytes: defaultMemory, Threads: defaultThreads, ScratchBytes: defaultScratch, Timeout: defaultTimeout}
	for _, size := range []struct {
		field, text string
		into        *int64
		least, most int64
	}{
		{"compute.memory", c.Memory, &l.MemoryBytes, minMemory, maxMemory},
		{"compute.scratch", c.Scratch, &l.ScratchBytes, minScratch, maxScratch},
	} {
		if size.text == "" {
			continue
		}
		n, err := ParseSize(size.text)
		if err != nil {
			return l, caos.AsError(err).WithField(size.field)
		}
		if n < size.least || n > size.most {
			return l, caos.Errorf(caos.Invalid, "%.40q is not between %s and %s", size.text, FormatSize(size.least), FormatSize(size.most)).WithField(size.field).
				WithHint("write a size such as 1 GiB")
		}
		*size.into = n
	}
	if c.Threads != 0 {
		if c.Threads < 1 || c.Threads > maxThreads {
			return l, caos.Errorf(caos.Invalid, "%d threads are not between 1 and %d", c.Threads, maxThreads).WithField("compute.threads").
				WithHint("leave it out for %d", defaultThreads)
		}
		l.Threads = c.Threads
	}
	if c.Timeout != "" {
		t, err := time.ParseDuration(c.Timeout)
		if err != nil || len(c.Timeout) > 40 || t < minTimeout || t > maxTimeout {
			return l, caos.Errorf(caos.Invalid, "%.40q is not a time between %v and %v", c.Timeout, minTimeout, maxTimeout).WithField("compute.timeout").
				WithHint("write a time such as 90s, 30m or 1h30m")
		}
		l.Timeout = t
	}
	return l, nil
}

var size = regexp.MustCompile(`^([0-9]{1,18})(\.[0-9]{1,6})? ?([A-Za-z]{1,3})?$`)

// units are the sizes that people write; letters count in either case.
var units = [...]struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
}

// ParseSize reads a size in bytes: "1048576", "512 MB" (10^6), "1.5 GiB" (2^30). What is not
// a whole number of bytes is rounded down.
func ParseSize(s string) (int64, error) {
	bad := caos.Errorf(caos.Invalid, "%.40q is not a size", s).WithHint("write a number and a unit, such as 512 MB or 1 GiB")
	m := size.FindStringSubmatch(s)
	if m == nil {
		return 0, bad
	}
	factor := int64(1)
	if m[3] != "" {
		factor = 0
		for _, u := range units {
			if strings.EqualFold(u.name, m[3]) {
				factor = u.bytes
			}
		}
	}
	if factor == 0 || factor == 1 && m[2] != "" {
		return 0, bad
	}
	whole, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || whole > (1<<62)/factor {
		return 0, caos.Errorf(caos.Invalid, "%.40q is more than any machine has", s).WithHint("write a size such as 1 GiB")
	}
	n := whole * factor
	if m[2] != "" {
		part, err := strconv.ParseFloat("0"+m[2], 64)
		if err != nil {
			return 0, bad
		}
		n += int64(part * float64(factor))
	}
	return n, nil
}

// FormatSize writes a size as people do: "1 GiB", "512 MB", or bytes where no unit fits.
func FormatSize(n int64) string {
	for _, u := range units {
		if n >= u.bytes && n%u.bytes == 0 && u.bytes > 1 {
			return strconv.FormatInt(n/u.bytes, 10) + " " + u.name
		}
	}
	return strconv.FormatInt(n, 10) + " B"
}
