// Package importer reads the files in which a programme kept its records before it had CAOS:
// the industrialisation registry (JSON), the traceability matrix and the production
// readiness table (CSV), the risk register (CSV or YAML).
//
// Reading comes first and touches nothing: Read finds out what the file is, checks all of
// it, and refuses it whole with the line and column of what is wrong. Applying is idempotent.
// What a file states is kept as statements, entry by entry and in the file's words; what the
// there is a noun for is made of it: models, versions, industrialisation records, links, risks.
// A statement proves nothing: a baseline that a file states has no bytes, passes no gate and
// is in nobody's way. A later state of the file changes what the earlier one had stated and
// nobody has changed since, and the earlier statements stay as history.
//
// The report says what was made of the file, what is kept until there is a place for it, and
// what a reader would not expect.
package importer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"sort"
	"strings"
	"unicode/utf8"

	"caos"
	"caos/internal/db"
	"caos/internal/readiness"
	"caos/internal/registry"
)

// Bounds of a file.
const (
	MaxBytes   = 8 << 20 // of the file
	maxEntries = 20_000  // entries or rows
	maxCell    = 4000    // bytes of a text
	maxEntry   = 200 << 10
	maxDepth   = 32      // of JSON
	maxNodes   = 320_000 // values of JSON
	maxLists   = 100     // sections of a registry
	maxNamed   = 1000    // models that an entry names
	maxPart    = 900_000 // bytes that one industrialisation record gets from a file
	maxCopies  = 64 << 20
	maxNotes   = 50 // of one sort
)

// PieceSize is how many entries one transaction takes at most: everybody waits for it. A
// model counts for several.
const PieceSize = 150

// Kind is what a file is.
type Kind string

// The files that are read.
const (
	Registry     Kind = "registry"     // the industrialisation registry
	Traceability Kind = "traceability" // the traceability matrix
	Readiness    Kind = "readiness"    // the production readiness table
	RiskRegister Kind = "risk-register"
)

// Plan is a file that was read and found in order.
type Plan struct {
	Name   string `json:"file"`   // without folders
	Digest string `json:"digest"` // SHA256:… of its bytes
	Kind   Kind   `json:"kind"`

	items  []item
	notes  []string
	latest map[string]string // highest version that the file describes, by model
	naming map[string][]int  // entries of other sections that name a model
	keys   map[registry.StatementKey]bool
}

// Entries is how many entries the file has.
func (p *Plan) Entries() int { return len(p.items) }

// item is an entry of a file: what it states, and what the registry makes of it.
type item struct {
	section string
	entry   string // names it within the section
	line    int
	pointer string
	subject string
	kind    string
	body    []byte // compact JSON

	model  *modelEntry    // of a registry's models
	models []string       // ids of the models that an entry of another section names
	link   *registry.Link // of a matrix
	risk   *readiness.StatedRisk
}

// Options say how a file is applied.
type Options struct {
	Project        string // in which everything is made
	Classification string // of what is made; "" means Internal
	Baseline       string // BL-FCS-2.1.0 or NN-FCS-001@2.1.0: what a readiness table is about; a risk register may be about NN-FCS-001 alone
	DryRun         bool   // Run undoes everything again
	From           int    // first entry of this piece: Report.Next of the piece before
	After          string // Report.After of the piece before

	// Readiness keeps checklists and the risk register; nil if there are none.
	Readiness *readiness.Readiness

	// User says whether there is a user with an id, who then owns the models that name it as
	// owner. Nil means that there is none.
	User func(tx *db.Tx, id string) (bool, error)
}

// Read finds out what a file is and reads it. Errors are Invalid or TooLarge, and their text
// names the file, the line and the column (both from 1, in bytes).
func Read(name string, data []byte) (*Plan, error) {
	sum := sha256.Sum256(data)
	p := &Plan{Name: baseName(name), Digest: "SHA256:" + hex.EncodeToString(sum[:])}
	s := &source{name: p.Name, data: data}
	if p.Name == "" || len(p.Name) > 200 || !utf8.ValidString(p.Name) || strings.ContainsFunc(p.Name, control) {
		return nil, caos.Errorf(caos.Invalid, "the file has no usable name").WithField("name").WithHint("up to 200 bytes without control characters")
	}
	if len(data) > MaxBytes {
		return nil, caos.Errorf(caos.TooLarge, "%s has %d bytes, the limit is %d", p.Name, len(data), MaxBytes).WithHint("divide the file")
	}
	if err := s.text(); err != nil {
		return nil, err
	}
	var err error
	switch first := bytes.TrimLeft(s.data, " \t\r\n"); {
	case len(first) == 0:
		return nil, s.at(0, "", "the file is empty")
	case first[0] == '{' || first[0] == '[':
		err = readRegistry(s, p)
	case isRiskYAML(p.Name, s.data):
		err = readRiskYAML(s, p)
	default:
		err = readTable(s, p)
	}
	if err != nil {
		return nil, err
	}
	p.keys = make(map[registry.StatementKey]bool, len(p.items))
	for _, it := range p.items {
		p.keys[registry.StatementKey{Section: it.section, Entry: it.entry}] = true
		if it.model != nil && it.model.Baseline != "" {
			p.keys[registry.StatementKey{Section: it.section, Entry: it.entry + baselineEntry}] = true
		}
	}
	return p, nil
}

// baselineEntry is what the name of a model's entry ends in that states a baseline.
const baselineEntry = " baseline"

func baseName(name string) string {
	b := path.Base(strings.ReplaceAll(name, `\`, "/"))
	if b == "." || b == "/" || b == ".." {
		return ""
	}
	return b
}

func control(r rune) bool { return r < 0x20 || r == 0x7f || r == 0x2028 || r == 0x2029 }

// source is the text of a file.
type source struct {
	name  string
	data  []byte
	bom   bool  // a byte order mark was taken off
	lines []int // where each line begins; made by place
}

// text refuses what is not UTF-8 and takes a byte order mark off.
func (s *source) text() error {
	switch {
	case bytes.HasPrefix(s.data, []byte("\xff\xfe")), bytes.HasPrefix(s.data, []byte("\xfe\xff")):
		return s.at(0, "", "the file is UTF-16").WithHint("save it as UTF-8")
	case bytes.HasPrefix(s.data, []byte("PK\x03\x04")):
		return s.at(0, "", "the file is a workbook or another archive").WithHint("save the sheet as CSV in UTF-8")
	case bytes.HasPrefix(s.data, []byte("\xef\xbb\xbf")):
		s.data, s.bom = s.data[3:], true
	}
	for i := 0; i < len(s.data); {
		r, n := utf8.DecodeRune(s.data[i:])
		if r == utf8.RuneError && n == 1 {
			return s.at(i, "", "byte %#02x is not UTF-8", s.data[i]).WithHint("save it as UTF-8")
		}
		if r == 0 {
			return s.at(i, "", "a NUL byte: the file is not text")
		}
		i += n
	}
	return nil
}

// place returns the line and column of an offset, both from 1.
func (s *source) place(offset int) (line, column int) {
	if s.lines == nil {
		s.lines = []int{0}
		for i, c := range s.data {
			if c == '\n' {
				s.lines = append(s.lines, i+1)
			}
		}
	}
	i := sort.SearchInts(s.lines, offset+1) - 1
	return i + 1, offset - s.lines[i] + 1
}

// at refuses the file for what is at an offset.
func (s *source) at(offset int, field, format string, args ...any) *caos.Error {
	line, column := s.place(offset)
	return s.where(line, column, field, format, args...)
}

func (s *source) where(line, column int, field, format string, args ...any) *caos.Error {
	return caos.Errorf(caos.Invalid, "%s, line %d, column %d: %s", s.name, line, column, fmt.Sprintf(format, args...)).WithField(field)
}

// refuse is at for an error that something else found.
func (s *source) refuse(offset int, field string, err error) error {
	line, column := s.place(offset)
	return s.refuseAt(line, column, field, err)
}

func (s *source) refuseAt(line, column int, field string, err error) error {
	e := caos.AsError(err)
	out := s.where(line, column, field, "%s", e.Message)
	out.Kind, out.Hint = e.Kind, e.Hint
	return out
}

// notes are what is noted of one sort: the first ones, and how many there are.
type notes struct {
	list []string
	more int
}

func (n *notes) add(format string, args ...any) {
	if len(n.list) == maxNotes {
		n.more++
		return
	}
	n.list = append(n.list, fmt.Sprintf(format, args...))
}

func (n *notes) all() []string {
	if n.more == 0 {
		return n.list
	}
	return append(n.list[:len(n.list):len(n.list)], fmt.Sprintf("and %d more of this sort", n.more))
}

// clip shortens a text for a message.
func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
