//go:build cgo

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"caos/internal/worker"
)

// maxRejects of an input are reported one by one.
const maxRejects = 100

// The engine's tables of rows that a CSV reader left out.
const (
	rejectTable = "caos_rejects"
	rejectScans = "caos_reject_scans"
)

// know takes a table into those that statements may name.
func (e *engine) know(name string, plain bool) {
	e.known[strings.ToLower(name)], e.plain[strings.ToLower(name)] = name, plain
}

// input makes a table or a view of files. Parquet is a view: its columns are read where
// they are used. The others are tables: parsing them once is what costs.
func (e *engine) input(ctx context.Context, in worker.Input) (*worker.InputResult, error) {
	r := &worker.InputResult{Name: in.Name}
	for i, name := range in.Files {
		in.Files[i] = path.Join(worker.InFolder, name)
		size, err := regular(in.Files[i])
		if err != nil {
			return nil, err
		}
		r.Bytes += size
	}
	e.total = r.Bytes
	e.progress(worker.PhaseInput, in.Name, 0, 0)
	var err error
	switch in.Format {
	case worker.Parquet:
		err = e.parquet(ctx, in)
	case worker.CSVFormat:
		err = e.text(ctx, in, r, e.csv)
	default:
		err = e.text(ctx, in, r, e.json)
	}
	if err != nil {
		return nil, err
	}
	e.know(in.Name, len(in.PartitionBy) == 0)
	if r.Columns, err = e.describe(ctx, "SELECT * FROM "+ident(in.Name)); err != nil {
		return nil, err
	}
	if r.Rows, err = e.number(ctx, "SELECT count(*) FROM "+ident(in.Name)); err != nil {
		return nil, err
	}
	return r, e.required(ctx, in)
}

// regular gives the size of an input file.
func regular(name string) (int64, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return 0, &worker.Failure{Kind: worker.KindInput, File: name, Message: "the file is not there"}
	}
	if !info.Mode().IsRegular() {
		return 0, &worker.Failure{Kind: worker.KindRefused, File: name, Message: "an input is a regular file, this is something else"}
	}
	return info.Size(), nil
}

func (e *engine) parquet(ctx context.Context, in worker.Input) error {
	for _, name := range in.Files {
		if head, err := firstBytes(name); err != nil {
			return err
		} else if !bytes.HasPrefix(head, []byte("PAR1")) {
			return &worker.Failure{Kind: worker.KindInput, File: name, Message: "this is not a Parquet file" + looksLike(head)}
		}
	}
	what, err := e.unfold(ctx, in)
	if err != nil {
		return err
	}
	source := "SELECT " + what + " FROM read_parquet(" + list(in.Files) + ", " + hive(in) + ", union_by_name=false)"
	found, err := e.describe(ctx, source)
	if err != nil {
		return err
	}
	for _, c := range in.Columns {
		have, ok := column(found, c.Name)
		if !ok {
			return missing(c, found)
		}
		want, err := e.canonical(ctx, c)
		if err != nil {
			return err
		}
		if want != "" && want != have.Type {
			return &worker.Failure{Kind: worker.KindSchema, Message: fmt.Sprintf("the column %q is of type %s, not %s as expected", c.Name, have.Type, want)}
		}
	}
	_, err = e.exec(ctx, worker.PhaseInput, in.Name, "CREATE VIEW "+ident(in.Name)+" AS "+source)
	return err
}

// text makes a table of text files, after their compression is known and while it is
// verified.
func (e *engine) text(ctx context.Context, in worker.Input, r *worker.InputResult, load func(context.Context, worker.Input, *worker.InputResult) error) error {
	compression, err := compressionOf(in)
	if err != nil {
		return err
	}
	in.Compression = compression
	if in.CSV == nil || in.CSV.Encoding == "" || in.CSV.Encoding == "utf-8" {
		for _, name := range in.Files {
			if err := isText(name, compression); err != nil {
				return err
			}
		}
	}
	whole := verify(in)
	err = load(ctx, in, r)
	// A file that is cut off is the cause of what the reader makes of its end.
	if broken := <-whole; broken != nil {
		return broken
	}
	return err
}

func (e *engine) csv(ctx context.Context, in worker.Input, r *worker.InputResult) error {
	what, err := e.unfold(ctx, in)
	if err != nil {
		return err
	}
	if err := sameHeaders(in); err != nil {
		return err
	}
	folders := hive(in)
	in = inFiles(in)
	source := "read_csv(" + list(in.Files) + ", " + csvOptions(in)
	found, err := e.describe(ctx, "SELECT * FROM "+source+")")
	if err != nil { // find out the columns without minding bad rows, so that the first of those is named
		again, lenient := e.describe(ctx, "SELECT * FROM "+source+", ignore_errors=true)")
		if lenient != nil || in.MaxRejected == 0 && len(again) == 0 {
			return err
		}
		found = again
	}
	if err := nameColumns(in, found); err != nil {
		return err
	}
	for _, c := range in.Columns {
		have, ok := column(found, c.Name)
		if !ok {
			return missing(c, found)
		}
		want, err := e.canonical(ctx, c)
		if err != nil {
			return err
		}
		if want != "" {
			have.Type = want
		}
		for i := range found {
			if found[i].Name == have.Name {
				found[i] = have
			}
		}
	}
	// The types are settled: the engine is not to guess again, from other rows.
	columns := make([]string, len(found))
	for i, c := range found {
		columns[i] = text(c.Name) + ": " + text(c.Type)
	}
	source = strings.Replace(source, "hive_partitioning=false", folders, 1) + ", auto_detect=false, columns={" + strings.Join(columns, ", ") + "}"
	if in.MaxRejected > 0 {
		source += fmt.Sprintf(", store_rejects=true, rejects_table=%s, rejects_scan=%s, rejects_limit=%d",
			text(rejectTable), text(rejectScans), (in.MaxRejected+1)*int64(len(found)+1))
	}
	if _, err := e.exec(ctx, worker.PhaseInput, in.Name, "CREATE TABLE "+ident(in.Name)+" AS SELECT "+what+" FROM "+source+")"); err != nil {
		return err
	}
	if in.MaxRejected > 0 {
		return e.rejects(ctx, in, r)
	}
	return nil
}

// nameColumns gives the columns of a file without a header the names that were expected, in
// their order.
func nameColumns(in worker.Input, found []worker.Column) error {
	if in.CSV == nil || in.CSV.Header == nil || *in.CSV.Header || len(in.Columns) == 0 {
		return nil
	}
	if len(found) != len(in.Columns) {
		return &worker.Failure{Kind: worker.KindSchema, Message: fmt.Sprintf("the file has %d columns and no names for them, and %d are expected", len(found), len(in.Columns))}
	}
	for i := range found {
		found[i].Name = in.Columns[i].Name
	}
	return nil
}

// csvOptions are the reader's options of a dialect. Everything that the engine would guess
// is said, but for the types of columns that nobody named.
func csvOptions(in worker.Input) string {
	d := worker.CSV{}
	if in.CSV != nil {
		d = *in.CSV
	}
	or := func(value, otherwise string) string {
		if value == "" {
			return otherwise
		}
		return value
	}
	options := []string{
		"delim=" + text(or(d.Delimiter, ",")), "quote=" + text(or(d.Quote, `"`)), "escape=" + text(or(d.Escape, `"`)),
		"header=" + strconv.FormatBool(d.Header == nil || *d.Header), "encoding=" + text(or(d.Encoding, "utf-8")),
		"compression=" + text(in.Compression), "hive_partitioning=false", "comment=''", "skip=0", "strict_mode=true", "null_padding=false",
	}
	if d.Null != "" {
		options = append(options, "nullstr=["+text("")+", "+text(d.Null)+"]")
	}
	if d.DateFormat != "" {
		options = append(options, "dateformat="+text(d.DateFormat))
	}
	if d.TimestampFormat != "" {
		options = append(options, "timestampformat="+text(d.TimestampFormat))
	}
	return strings.Join(options, ", ")
}

// rejects counts and reports the rows that were left out, and fails if they are too many.
func (e *engine) rejects(ctx context.Context, in worker.Input, r *worker.InputResult) error {
	rows, err := e.conn.QueryContext(ctx, fmt.Sprintf(`SELECT s.file_path, r.line, coalesce(r.column_name, ''), r.error_message
		FROM %s r JOIN %s s USING (scan_id, file_id) ORDER BY s.file_id, r.line, r.column_idx`, rejectTable, rejectScans))
	if err != nil {
		return err
	}
	defer rows.Close()
	type place struct {
		file string
		line int64
	}
	bad := map[place]bool{}
	for rows.Next() {
		var x worker.Reject
		if err := rows.Scan(&x.File, &x.Line, &x.Column, &x.Message); err != nil {
			return err
		}
		x.File, x.Message = relative(x.File), sentence(x.Message)
		bad[place{x.File, x.Line}] = true
		if len(r.Rejects) < maxRejects {
			r.Rejects = append(r.Rejects, x)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	r.Rejected = int64(len(bad))
	if r.Rejected > in.MaxRejected {
		first := r.Rejects[0]
		return &worker.Failure{Kind: worker.KindInput, File: first.File, Line: first.Line,
			Message: fmt.Sprintf("%s; more than the %d bad rows that are allowed", first.Message, in.MaxRejected)}
	}
	for _, table := range []string{rejectTable, rejectScans} {
		if _, err := e.conn.ExecContext(ctx, "DROP TABLE "+table); err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) json(ctx context.Context, in worker.Input, _ *worker.InputResult) error {
	format := "auto"
	if in.Format == worker.NDJSON {
		format = "newline_delimited"
	}
	compression := in.Compression
	if compression == worker.NoCompression {
		compression = "uncompressed" // as this reader calls it
	}
	source := "read_json(" + list(in.Files) + ", format=" + text(format) + ", compression=" + text(compression) + ", hive_partitioning=false)"
	found, err := e.describe(ctx, "SELECT * FROM "+source)
	if err != nil {
		return err
	}
	var casts []string
	for _, c := range in.Columns {
		have, ok := column(found, c.Name)
		if !ok {
			return missing(c, found)
		}
		want, err := e.canonical(ctx, c)
		if err != nil {
			return err
		}
		if want != "" && want != have.Type {
			casts = append(casts, "CAST("+ident(have.Name)+" AS "+want+") AS "+ident(have.Name))
		}
	}
	replace := ""
	if len(casts) > 0 {
		replace = " REPLACE (" + strings.Join(casts, ", ") + ")"
	}
	_, err = e.exec(ctx, worker.PhaseInput, in.Name, "CREATE TABLE "+ident(in.Name)+" AS SELECT *"+replace+" FROM "+source)
	return err
}

// canonical gives a type in the engine's own words; "" for any type.
func (e *engine) canonical(ctx context.Context, c worker.Column) (string, error) {
	if c.Type == "" {
		return "", nil
	}
	cast := "SELECT CAST(NULL AS " + c.Type + ") AS x"
	if err := e.check(ctx, cast); err != nil {
		return "", &worker.Failure{Kind: worker.KindSchema, Message: fmt.Sprintf("the column %q is expected to be of type %q, which is none", c.Name, c.Type)}
	}
	columns, err := e.describe(ctx, cast)
	if err != nil || len(columns) != 1 {
		return "", &worker.Failure{Kind: worker.KindSchema, Message: fmt.Sprintf("the column %q is expected to be of type %q, which is none", c.Name, c.Type)}
	}
	return columns[0].Type, nil
}

// required fails if a column that must have values lacks some.
func (e *engine) required(ctx context.Context, in worker.Input) error {
	var counts []string
	var names []string
	for _, c := range in.Columns {
		if c.Required {
			counts = append(counts, "count(*) - count("+ident(c.Name)+")")
			names = append(names, c.Name)
		}
	}
	if len(counts) == 0 {
		return nil
	}
	missing := make([]int64, len(counts))
	to := make([]any, len(counts))
	for i := range missing {
		to[i] = &missing[i]
	}
	if err := e.conn.QueryRowContext(ctx, "SELECT "+strings.Join(counts, ", ")+" FROM "+ident(in.Name)).Scan(to...); err != nil {
		return err
	}
	for i, n := range missing {
		if n > 0 {
			return &worker.Failure{Kind: worker.KindSchema, Message: fmt.Sprintf("the column %q must have a value in every row; %d have none", names[i], n)}
		}
	}
	return nil
}

func column(columns []worker.Column, name string) (worker.Column, bool) {
	i := slices.IndexFunc(columns, func(c worker.Column) bool { return c.Name == name })
	if i < 0 {
		i = slices.IndexFunc(columns, func(c worker.Column) bool { return strings.EqualFold(c.Name, name) })
	}
	if i < 0 {
		return worker.Column{}, false
	}
	return columns[i], true
}

// missing names what was expected and what is there.
func missing(c worker.Column, found []worker.Column) error {
	names := make([]string, 0, len(found))
	for _, f := range found {
		names = append(names, f.Name)
	}
	shown := strings.Join(names, ", ")
	if len(shown) > 500 {
		shown = shown[:500] + "…"
	}
	return &worker.Failure{Kind: worker.KindSchema, Message: fmt.Sprintf("the expected column %q (%s) is missing; there are: %s", c.Name, c.Type, shown)}
}

func list(files []string) string {
	quoted := make([]string, len(files))
	for i, f := range files {
		quoted[i] = text(f)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func firstBytes(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, 16)
	n, err := io.ReadFull(f, head)
	if err != nil && n == 0 && err != io.EOF {
		return nil, err
	}
	return head[:n], nil
}
