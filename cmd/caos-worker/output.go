//go:build cgo

package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"caos/internal/worker"
)

// Names of the engine's own while it writes; no table of a job begins with caos_.
const (
	outputTable = "caos_output"
	rowColumn   = "caos_row"
)

// Partitions up to maxPartitions are written one by one, in an order that is always the
// same; up to maxLooks of them with a look each at a plain source, without a copy of it.
const (
	maxPartitions = 256
	maxLooks      = 16
)

// noValue is the folder of rows without a value, in Hive's words.
const noValue = "__HIVE_DEFAULT_PARTITION__"

// output writes a table to files below out/<name>/.
func (e *engine) output(ctx context.Context, o worker.Output) (*worker.OutputResult, error) {
	from, ok := e.known[strings.ToLower(o.From)]
	if !ok {
		return nil, &worker.Failure{Kind: worker.KindRefused, Message: fmt.Sprintf("there is no source or step %q to write", o.From)}
	}
	columns, err := e.describe(ctx, "SELECT * FROM "+ident(from))
	if err != nil {
		return nil, err
	}
	for _, name := range append(append([]string(nil), o.PartitionBy...), o.OrderBy...) {
		if _, ok := column(columns, name); !ok {
			return nil, &worker.Failure{Kind: worker.KindSchema, Message: fmt.Sprintf("%s has no column %q to partition or order by", from, name)}
		}
	}
	if len(o.PartitionBy) >= len(columns) {
		return nil, &worker.Failure{Kind: worker.KindSchema, Message: "at least one column must be left that is not partitioned by"}
	}
	dir := filepath.Join(worker.OutFolder, o.Name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	r := &worker.OutputResult{Name: o.Name, Columns: columns}
	query := ordered(from, o.OrderBy, columns)
	if len(o.PartitionBy) > 0 {
		// Many looks cost more than a copy; whether there are many is known by the first.
		if e.plain[strings.ToLower(from)] && len(o.OrderBy) == 0 {
			parts, err := e.partitions(ctx, o, from, maxLooks)
			if err != nil {
				return nil, err
			}
			if len(parts) <= maxLooks {
				r.Rows, err = e.writeParts(ctx, o, from, parts, columns)
				return r, err
			}
		}
		r.Rows, err = e.writePartitions(ctx, o, query, columns)
		return r, err
	}
	r.Rows, err = e.exec(ctx, worker.PhaseOutput, o.Name, "COPY ("+query+") TO "+text(filepath.Join(dir, fileName(o)))+" ("+copyOptions(o)+")")
	return r, err
}

// ordered reads a table in the order of some columns. Rows that are alike in these stay in
// the order they had, which the engine's sort alone does not see to. Rows that can only be
// alike by being the same need no such care, which takes a third of the time of a sort.
func ordered(from string, by []string, columns []worker.Column) string {
	if len(by) == 0 {
		return "SELECT * FROM " + ident(from)
	}
	if tells(by, columns) {
		order := make([]string, len(by))
		for i, name := range by {
			order[i] = ident(name) + " ASC NULLS LAST"
		}
		return "SELECT * FROM " + ident(from) + " ORDER BY " + strings.Join(order, ", ")
	}
	order := make([]string, len(by))
	for i, name := range by {
		order[i] = ident(name) + " ASC NULLS LAST"
	}
	return "SELECT * EXCLUDE (" + rowColumn + ") FROM (SELECT *, row_number() OVER () AS " + rowColumn + " FROM " + ident(from) + ") ORDER BY " +
		strings.Join(order, ", ") + ", " + rowColumn
}

// tells reports whether rows that are alike in some columns are the same in all: the
// columns are all there are, and of types of which no two values are alike and written
// differently, as 0.0 and -0.0 are, or a month and thirty days.
func tells(by []string, columns []worker.Column) bool {
	for _, c := range columns {
		if !slices.ContainsFunc(by, func(name string) bool { return strings.EqualFold(name, c.Name) }) {
			return false
		}
		switch c.Type {
		case "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "VARCHAR", "DATE", "TIMESTAMP":
		default:
			return false
		}
	}
	return true
}

// writePartitions writes a file for each combination of the values of some columns. The
// engine can do that by itself, but the order of rows is another each time, and with it
// the digest of the same data; so it is done file by file while there are not too many.
func (e *engine) writePartitions(ctx context.Context, o worker.Output, query string, columns []worker.Column) (int64, error) {
	if _, err := e.exec(ctx, worker.PhaseOutput, o.Name, "CREATE OR REPLACE TEMP TABLE "+outputTable+" AS "+query); err != nil {
		return 0, err
	}
	parts, err := e.partitions(ctx, o, outputTable, maxPartitions)
	if err != nil {
		return 0, err
	}
	var total int64
	if len(parts) <= maxPartitions {
		total, err = e.writeParts(ctx, o, outputTable, parts, columns)
	} else {
		dir := filepath.Join(worker.OutFolder, o.Name)
		total, err = e.exec(ctx, worker.PhaseOutput, o.Name, "COPY (FROM "+outputTable+") TO "+text(dir)+" ("+copyOptions(o)+
			", PARTITION_BY ("+idents(o.PartitionBy)+"), FILENAME_PATTERN 'data_{i}')")
	}
	if err != nil {
		return 0, err
	}
	_, err = e.conn.ExecContext(ctx, "DROP TABLE "+outputTable)
	return total, err
}

// part is one combination of the values that an output is partitioned by, as text.
type part struct {
	values []sql.NullString
	rows   int64
}

// writeParts writes the files of some combinations of values. Rows that are not found again
// by their values would be lost, or written twice, without a word.
func (e *engine) writeParts(ctx context.Context, o worker.Output, from string, parts []part, columns []worker.Column) (total int64, err error) {
	for _, p := range parts {
		n, err := e.partition(ctx, o, from, p.values, columns)
		if err != nil {
			return 0, err
		}
		if n != p.rows {
			return 0, &worker.Failure{Kind: worker.KindSQL, Message: fmt.Sprintf("%s cannot be partitioned by %s: of %d rows with one value %d are found by it", o.From, strings.Join(o.PartitionBy, ", "), p.rows, n)}
		}
		total += n
	}
	return total, nil
}

// partition writes the file of one combination of values.
func (e *engine) partition(ctx context.Context, o worker.Output, from string, values []sql.NullString, columns []worker.Column) (int64, error) {
	folder, conditions := filepath.Join(worker.OutFolder, o.Name), make([]string, len(values))
	for i, v := range values {
		c, _ := column(columns, o.PartitionBy[i])
		conditions[i] = ident(c.Name) + " IS NULL"
		value := noValue
		if v.Valid {
			value = hiveName(v.String)
			conditions[i] = ident(c.Name) + " = CAST(" + text(v.String) + " AS " + c.Type + ")"
		}
		if len(value) > maxPart {
			return 0, &worker.Failure{Kind: worker.KindSQL, Message: fmt.Sprintf("a value of the column %q is too long to partition by", c.Name)}
		}
		folder = filepath.Join(folder, hiveName(c.Name)+"="+value)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return 0, err
	}
	return e.exec(ctx, worker.PhaseOutput, o.Name, "COPY (SELECT * EXCLUDE ("+idents(o.PartitionBy)+") FROM "+ident(from)+
		" WHERE "+strings.Join(conditions, " AND ")+") TO "+text(filepath.Join(folder, fileName(o)))+" ("+copyOptions(o)+")")
}

// maxPart is the longest name of a value in a path.
const maxPart = 180

// partitions lists the combinations of values, sorted, and how many rows have each; one more
// than the most, if there are more.
func (e *engine) partitions(ctx context.Context, o worker.Output, from string, most int) ([]part, error) {
	values := make([]string, len(o.PartitionBy))
	for i, name := range o.PartitionBy {
		values[i] = "CAST(" + ident(name) + " AS VARCHAR)"
	}
	rows, err := e.conn.QueryContext(ctx, "SELECT "+strings.Join(values, ", ")+", count(*) FROM "+ident(from)+" GROUP BY ALL ORDER BY ALL LIMIT "+strconv.Itoa(most+1))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var parts []part
	for rows.Next() {
		p := part{values: make([]sql.NullString, len(values))}
		to := make([]any, 0, len(values)+1)
		for i := range p.values {
			to = append(to, &p.values[i])
		}
		if err := rows.Scan(append(to, &p.rows)...); err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, rows.Err()
}

// hiveName writes a value as part of a path, as readers of partitioned tables expect it.
func hiveName(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("_-.", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if b.Len() == 0 {
		return noValue
	}
	return b.String()
}

func fileName(o worker.Output) string {
	if o.Format == worker.Parquet {
		return "data.parquet"
	}
	switch o.Compression {
	case worker.Gzip:
		return "data.csv.gz"
	case worker.Zstd:
		return "data.csv.zst"
	}
	return "data.csv"
}

func copyOptions(o worker.Output) string {
	compression := o.Compression
	if o.Format == worker.Parquet {
		switch compression {
		case "":
			compression = "snappy"
		case worker.NoCompression:
			compression = "uncompressed"
		}
		return "FORMAT parquet, COMPRESSION " + text(compression)
	}
	if compression == "" {
		compression = worker.NoCompression
	}
	return "FORMAT csv, HEADER " + strconv.FormatBool(o.Header == nil || *o.Header) + ", COMPRESSION " + text(compression)
}
