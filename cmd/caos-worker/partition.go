//go:build cgo

package main

import (
	"context"
	"slices"
	"strings"

	"caos/internal/worker"
)

// hive says whether the reader takes columns from the names of folders, and which: as text,
// because types are not for guessing.
func hive(in worker.Input) string {
	if len(in.PartitionBy) == 0 {
		return "hive_partitioning=false"
	}
	types := make([]string, len(in.PartitionBy))
	for i, name := range in.PartitionBy {
		types[i] = text(name) + ": VARCHAR"
	}
	return "hive_partitioning=true, hive_types_autocast=false, hive_types={" + strings.Join(types, ", ") + "}"
}

// unfold is what is selected of an input: columns from the names of folders get the
// types that they had, and rows without a value have none again.
func (e *engine) unfold(ctx context.Context, in worker.Input) (string, error) {
	if len(in.PartitionBy) == 0 {
		return "*", nil
	}
	back := make([]string, len(in.PartitionBy))
	for i, name := range in.PartitionBy {
		c, _ := column(in.Columns, name)
		typ, err := e.canonical(ctx, c)
		if err != nil {
			return "", err
		}
		back[i] = "CAST(NULLIF(" + ident(name) + ", " + text(noValue) + ") AS " + typ + ") AS " + ident(name)
	}
	return "* REPLACE (" + strings.Join(back, ", ") + ")", nil
}

// inFiles is an input with those columns alone that its files hold.
func inFiles(in worker.Input) worker.Input {
	in.Columns = slices.DeleteFunc(slices.Clone(in.Columns), func(c worker.Column) bool { return slices.Contains(in.PartitionBy, c.Name) })
	return in
}
