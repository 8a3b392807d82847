package worker_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"caos/internal/worker"
)

// TestPartitions: a view is written in partitions of the same bytes whatever the number of
// threads, with every row in its place and in its order, be they few or many.
func TestPartitions(t *testing.T) {
	table := parquet(t, "SELECT i AS id, CASE WHEN i % 10 < 9 THEN i % 10 END AS few, i % 40 AS many, 'name ' || i AS name FROM range(400000) r(i)")
	known := map[string]string{}
	for _, threads := range []int{1, 2, 4, 2} {
		for _, by := range []string{"few", "many"} {
			folder := files(t, map[string]string{"a.parquet": table})
			result, err := runner(t, "").Run(context.Background(), folder, worker.Job{
				Inputs:  []worker.Input{{Name: "a", Files: []string{"a.parquet"}, Format: "parquet"}},
				Steps:   []worker.Statement{{Name: "v", SQL: "SELECT * FROM a WHERE id >= 7"}},
				Outputs: []worker.Output{{Name: "o", From: "v", Format: "parquet", PartitionBy: []string{by}}},
			}, worker.Limits{MemoryBytes: 1 << 30, Threads: threads, ScratchBytes: 1 << 30, Timeout: time.Minute}, nil)
			if err != nil {
				t.Fatal(err)
			}
			o := result.Outputs[0]
			if o.Rows != 399_993 || len(o.Files) != map[string]int{"few": 10, "many": 40}[by] {
				t.Errorf("%s, %d threads: %d rows in %d files", by, threads, o.Rows, len(o.Files))
			}
			if got := fmt.Sprint(o.Files); known[by] == "" {
				known[by] = got
			} else if known[by] != got {
				t.Errorf("%s, %d threads: other bytes", by, threads)
			}
			var names []string
			parts := map[string]string{}
			for i, f := range o.Files {
				name := fmt.Sprintf("p%d.parquet", i)
				text, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(f.Path)))
				if err != nil {
					t.Fatal(err)
				}
				names, parts[name] = append(names, name), string(text)
			}
			again, failure := do(t, files(t, parts), worker.Job{
				Inputs: []worker.Input{{Name: "b", Files: names, Format: "parquet"}},
				Queries: []worker.Query{{Name: "q", SQL: "SELECT count(DISTINCT id), min(id), max(id) FROM b"},
					{Name: "order", SQL: "SELECT count(*) FROM (SELECT id - lag(id) OVER () AS step FROM b) WHERE step < 0"}},
			})
			if failure != nil {
				t.Fatal(failure)
			}
			if got := show(again.Queries["q"].Rows); got != "[[399993,7,399999]]" {
				t.Errorf("%s: %s", by, got)
			}
			if got := show(again.Queries["order"].Rows); got != fmt.Sprintf("[[%d]]", len(o.Files)-1) {
				t.Errorf("%s: the order of rows changes %s times", by, got)
			}
		}
	}
}

// TestPartitionsThatOverlap: rows that would be written twice, because two values look
// different and are alike, end the run.
func TestPartitionsThatOverlap(t *testing.T) {
	for _, table := range []bool{true, false} {
		_, f := do(t, files(t, nil), worker.Job{
			Steps:   []worker.Statement{{Name: "s", Table: table, SQL: "SELECT i, CASE WHEN i % 2 = 0 THEN CAST('0.0' AS DOUBLE) ELSE CAST('-0.0' AS DOUBLE) END AS zero FROM range(10) r(i)"}},
			Outputs: []worker.Output{{Name: "o", From: "s", Format: "csv", PartitionBy: []string{"zero"}}},
		})
		if f == nil || f.Kind != worker.KindSQL || f.Phase != worker.PhaseOutput {
			t.Errorf("table %t: %+v", table, f)
		}
	}
}
