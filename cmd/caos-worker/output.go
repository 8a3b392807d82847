package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"caos/internal/worker"
)

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
	query := "SELECT * FROM " + ident(from)
	if len(o.OrderBy) > 0 {
		order := make([]string, len(o.OrderBy))
		for i, name := range o.OrderBy {
			order[i] = ident(name) + " ASC NULLS LAST"
		}
		query += " ORDER BY " + strings.Join(order, ", ")
	}
	r := &worker.OutputResult{Name: o.Name, Columns: columns}
	if len(o.PartitionBy) > 0 {
		r.Rows, err = e.exec(ctx, worker.PhaseOutput, o.Name, "COPY ("+query+") TO "+text(dir)+" ("+copyOptions(o)+
			", PARTITION_BY ("+idents(o.PartitionBy)+"), WRITE_EMPTY_FILE false, FILENAME_PATTERN 'data_{i}')")
		return r, err
	}
	r.Rows, err = e.exec(ctx, worker.PhaseOutput, o.Name, "COPY ("+query+") TO "+text(filepath.Join(dir, fileName(o)))+" ("+copyOptions(o)+")")
	return r, err
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
