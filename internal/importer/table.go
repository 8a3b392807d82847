package importer

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"caos"
	"caos/internal/registry"
)

// The columns of the two tables.
func matrixColumns() []string {
	return []string{"Source_ID", "Source_Type", "Target_ID", "Target_Type", "Relationship", "Rationale", "Status", "Last_Verified", "Verified_By"}
}

func readinessColumns() []string {
	return []string{"Category", "Item", "Status", "Owner", "Target_Date", "Notes"}
}

// The sections under which the rows of the tables are kept.
const (
	matrixSection    = "traceability"
	readinessSection = "production_readiness_table"
)

const maxColumns = 64

// table is a CSV file being read: RFC 4180, a comma between cells, a header, as many cells
// in every row.
type table struct {
	*source
	plan    *Plan
	csv     *csv.Reader
	header  []string
	at      map[string]int // column by name
	fields  []string       // of a risk register: what each column means, "" for nothing known
	row     []string
	unsafe  notes // about cells that a spreadsheet would run
	unknown notes // about columns that are not known
	size    int   // bytes of all entries
}

// readTable finds out which table it is and reads it.
func readTable(s *source, p *Plan) error {
	t := &table{source: s, plan: p, csv: csv.NewReader(bytes.NewReader(s.data))}
	t.csv.ReuseRecord = true
	if err := t.lines(); err != nil {
		return err
	}
	if err := t.readHeader(); err != nil {
		return err
	}
	var read func(seen map[string]int) error
	switch {
	case t.has("Source_ID", "Target_ID", "Relationship"):
		p.Kind, read = Traceability, t.linkRow
		if err := t.columns(matrixColumns()); err != nil {
			return err
		}
	case t.has("Category", "Item"):
		p.Kind, read = Readiness, t.readinessRow
		if err := t.columns(readinessColumns()); err != nil {
			return err
		}
	case readsAsRisks(t.header):
		p.Kind, read = RiskRegister, t.riskRow
		if err := t.riskColumns(); err != nil {
			return err
		}
	default:
		return t.where(1, 1, "", "this is none of the files that are read").
			WithHint("a traceability matrix begins with %s; a readiness table with %s; a risk register has the columns risk_id, title, likelihood and impact; a registry is JSON",
				strings.Join(matrixColumns(), ","), strings.Join(readinessColumns(), ","))
	}
	if err := t.rows(read); err != nil {
		return err
	}
	if len(p.items) == 0 {
		return t.where(2, 1, "", "the table has a header and no rows").WithHint("nothing can be imported from it")
	}
	if s.bom {
		p.notes = append(p.notes, "the file begins with a byte order mark, which was passed over")
	}
	p.notes = append(append(p.notes, t.unknown.all()...), t.unsafe.all()...)
	return nil
}

// lines refuses a line that is longer than a row can be: it would be cut into a million cells
// before anything else is seen.
func (t *table) lines() error {
	const most = maxColumns * (maxCell + 10)
	for at := 0; at < len(t.data); {
		n := bytes.IndexByte(t.data[at:], '\n')
		if n < 0 {
			n = len(t.data) - at
		}
		if n > most {
			return t.source.at(at, "", "the line has %d bytes, the limit is %d", n, most)
		}
		at += n + 1
	}
	return nil
}

func (t *table) readHeader() error {
	row, err := t.csv.Read()
	if err != nil {
		return t.broken(err)
	}
	t.header, t.at = slices.Clone(row), map[string]int{}
	for i, name := range t.header {
		t.at[name] = i
	}
	return nil
}

func (t *table) has(names ...string) bool {
	return !slices.ContainsFunc(names, func(n string) bool { _, ok := t.at[n]; return !ok })
}

// columns refuses a header with names that are none or are there twice, or without a known
// column, and notes those that are not known.
func (t *table) columns(known []string) error {
	if len(t.header) > maxColumns {
		return t.where(1, 1, "", "%d columns, more than %d", len(t.header), maxColumns)
	}
	for i, name := range t.header {
		line, column := t.csv.FieldPos(i)
		if name == "" || len(name) > 64 || strings.ContainsFunc(name, control) {
			return t.where(line, column, clip(name), "the name of column %d has 1 to 64 bytes without control characters", i+1)
		}
		if slices.Contains(t.header[:i], name) {
			return t.where(line, column, name, "the column %s is there twice", name).WithHint("remove one of the two")
		}
	}
	for _, name := range known {
		if !t.has(name) {
			return t.where(1, 1, name, "the column %s is missing", name).WithHint("the header is %s", strings.Join(known, ","))
		}
	}
	for _, name := range t.header {
		if !slices.Contains(known, name) {
			t.unknown.add("line 1: the column %s is not known; it is kept in the statements", name)
		}
	}
	return nil
}

// rows reads every row and checks what all cells have in common.
func (t *table) rows(read func(seen map[string]int) error) error {
	seen := map[string]int{}
	for {
		row, err := t.csv.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return t.broken(err)
		}
		t.row = row
		if len(t.plan.items) == maxEntries {
			return t.cell(0, "the table has more than %d rows", maxEntries).WithHint("divide the file")
		}
		for i, text := range row {
			if len(text) > maxCell {
				return t.cell(i, "the cell has %d bytes, the limit is %d", len(text), maxCell)
			}
			if strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 && r != '\n' && r != '\t' || r == 0x7f }) {
				return t.cell(i, "the cell has a control character")
			}
			t.spreadsheet(i, text)
		}
		if err := read(seen); err != nil {
			return err
		}
	}
}

// spreadsheet notes a cell that a spreadsheet would take for a formula. It stays as it is:
// here it is text, and a changed cell would not be what the file states.
func (t *table) spreadsheet(i int, text string) {
	if !formula(text) {
		return
	}
	line, column := t.csv.FieldPos(i)
	t.unsafe.add("line %d, column %d: %s begins with %q; it is kept as it is, but a spreadsheet would run it as a formula",
		line, column, t.header[i], text[:1])
}

// formula reports whether a spreadsheet would run a text.
func formula(text string) bool {
	if text == "" || !strings.ContainsRune("=+-@\t", rune(text[0])) {
		return false
	}
	_, err := strconv.ParseFloat(text, 64)
	return err != nil
}

// broken refuses a file that is no CSV.
func (t *table) broken(err error) error {
	if errors.Is(err, io.EOF) {
		return t.where(1, 1, "", "the file is empty")
	}
	var p *csv.ParseError
	if !errors.As(err, &p) {
		return caos.Wrap(caos.Internal, err, "%s cannot be read", t.name)
	}
	switch {
	case errors.Is(p.Err, csv.ErrFieldCount):
		return t.where(p.StartLine, 1, "", "the row has %d cells, the header has %d", len(t.lastRow(p.StartLine)), len(t.header)).
			WithHint("put cells that have commas of their own in double quotes")
	case errors.Is(p.Err, csv.ErrBareQuote):
		return t.where(p.Line, p.Column, "", "a double quote inside a cell that does not begin with one").
			WithHint("put the cell in double quotes, and write each of its own twice")
	case errors.Is(p.Err, csv.ErrQuote):
		return t.where(p.Line, p.Column, "", "a cell in double quotes, begun in line %d, does not end as one", p.StartLine).
			WithHint("close it with a double quote, and write each of its own twice")
	}
	return t.where(p.Line, p.Column, "", "%v", p.Err)
}

// lastRow reads a row whose length is wrong by itself, to say how long it is.
func (t *table) lastRow(line int) []string {
	offset := t.lineStart(line)
	c := csv.NewReader(bytes.NewReader(t.data[offset:]))
	row, err := c.Read()
	if err != nil {
		return nil
	}
	return row
}

func (s *source) lineStart(line int) int {
	s.place(0)
	return s.lines[min(max(line-1, 0), len(s.lines)-1)]
}

// cell refuses the file for what is in a cell of the row.
func (t *table) cell(i int, format string, args ...any) *caos.Error {
	line, column := t.csv.FieldPos(i)
	return t.where(line, column, t.header[i], format, args...)
}

func (t *table) get(name string) string { return t.row[t.at[name]] }

// needed refuses a row in which one of the cells is empty.
func (t *table) needed(names ...string) error {
	for _, name := range names {
		if strings.TrimSpace(t.get(name)) == "" {
			return t.cell(t.at[name], "the cell is empty")
		}
	}
	return nil
}

// line refuses a cell that is longer than a line of so many bytes.
func (t *table) line(most int, names ...string) error {
	for _, name := range names {
		if text := t.get(name); len(text) > most || strings.ContainsFunc(text, control) {
			return t.cell(t.at[name], "one line of at most %d bytes belongs here", most)
		}
	}
	return nil
}

// day refuses a cell that is neither a day nor empty.
func (t *table) day(name string) error {
	if err := registry.CheckDate("", t.get(name)); err != nil {
		e := caos.AsError(err)
		return t.cell(t.at[name], "%s", e.Message).WithHint("%s", e.Hint)
	}
	return nil
}

// once refuses a second row with a key.
func (t *table) once(seen map[string]int, key, what string, i int) error {
	line, _ := t.csv.FieldPos(0)
	if first := seen[key]; first > 0 {
		return t.cell(i, "%s is in line %d already", what, first).WithHint("remove one of the two rows")
	}
	seen[key] = line
	return nil
}

// item makes an entry of the row: an object of its cells in the order of the columns.
func (t *table) item(it item) error {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, name := range t.header {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := quote(name)
		value, err2 := quote(t.row[i])
		if err := errors.Join(err, err2); err != nil {
			return caos.Wrap(caos.Internal, err, "%s: a row cannot be copied", t.name)
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	it.body = b.Bytes()
	t.size += b.Len() + 1
	switch {
	case b.Len() > maxEntry:
		return t.cell(0, "the row has %d bytes, the limit is %d", b.Len(), maxEntry)
	case t.plan.Kind == Readiness && t.size > maxPart:
		return t.cell(0, "the table has more than %d bytes, too many for an industrialisation record", maxPart).WithHint("divide the file")
	}
	it.line, _ = t.csv.FieldPos(0)
	it.pointer = "line " + strconv.Itoa(it.line)
	t.plan.items = append(t.plan.items, it)
	return nil
}

// quote is a string as JSON, with < and & as they are.
func quote(s string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(s)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// linkRow reads a row of a traceability matrix.
func (t *table) linkRow(seen map[string]int) error {
	l := &registry.Link{
		SourceID: t.get("Source_ID"), SourceType: t.get("Source_Type"), TargetID: t.get("Target_ID"), TargetType: t.get("Target_Type"),
		Relation: registry.Relation(t.get("Relationship")), Rationale: t.get("Rationale"), Status: t.get("Status"),
		VerifiedOn: t.get("Last_Verified"), VerifiedBy: t.get("Verified_By"),
	}
	if err := l.Check(); err != nil {
		e := caos.AsError(err)
		column := map[string]string{
			"source_id": "Source_ID", "source_type": "Source_Type", "target_id": "Target_ID", "target_type": "Target_Type", "relation": "Relationship",
			"rationale": "Rationale", "status": "Status", "verified_on": "Last_Verified", "verified_by": "Verified_By",
		}[e.Field]
		out := t.cell(t.at[column], "%s", e.Message)
		out.Hint = e.Hint
		return out
	}
	key := l.SourceID + " " + string(l.Relation) + " " + l.TargetID
	if err := t.once(seen, key, "the link "+clip(key), t.at["Source_ID"]); err != nil {
		return err
	}
	return t.item(item{section: matrixSection, entry: key, subject: l.SourceID, kind: "link", link: l})
}

// readinessRow reads a row of a readiness table.
func (t *table) readinessRow(seen map[string]int) error {
	if err := t.needed("Category", "Item", "Status"); err != nil {
		return err
	}
	if err := t.line(200, "Category", "Item", "Status", "Owner"); err != nil {
		return err
	}
	if err := t.day("Target_Date"); err != nil {
		return err
	}
	key := t.get("Category") + " / " + t.get("Item")
	if err := t.once(seen, key, "the item "+clip(key), t.at["Item"]); err != nil {
		return err
	}
	return t.item(item{section: readinessSection, entry: key, kind: "readiness-item"})
}
