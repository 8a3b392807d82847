package hook

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"caos"
	"caos/internal/contract"
	"caos/internal/dataset"
	"caos/internal/location"
	"caos/internal/worker"
)

// What a target is written as is what its checks read: partitioned by a date and by a text
// with signs of all kinds and none at all, as Parquet and as CSV with and without a header.
func TestCheckFilesReadsWhatWasWritten(t *testing.T) {
	t.Parallel()
	run := &testWorker{t: t}
	no := false
	for name, out := range map[string]worker.Output{
		"plain":             {Format: "parquet"},
		"by date and text":  {Format: "parquet", PartitionBy: []string{"day", "what"}},
		"csv":               {Format: "csv"},
		"csv by text":       {Format: "csv", PartitionBy: []string{"what"}},
		"csv, no header":    {Format: "csv", Header: &no},
		"csv by day, no h.": {Format: "csv", Header: &no, PartitionBy: []string{"day"}},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			if err := os.Chmod(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			out.Name, out.From = "train", "t"
			ctx := context.Background()
			res, err := run.Run(ctx, folder, worker.Job{Outputs: []worker.Output{out}, Steps: []worker.Statement{{Name: "t", Table: true,
				SQL: `SELECT i AS id, DATE '2001-01-01' + CAST(i % 3 AS INTEGER) AS day, CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN 'a/b=c %41' WHEN 2 THEN '001' ELSE 'ü x' END AS what FROM range(100) r(i)`}}},
				worker.Limits{MemoryBytes: 256 << 20, ScratchBytes: 100 << 20, Timeout: time.Minute}, nil)
			if err != nil {
				t.Fatal(err)
			}
			o := res.Outputs[0]
			var files []location.Local
			for _, f := range o.Files {
				files = append(files, location.Local{Path: filepath.Join(folder, f.Path), Name: nameOf(&o, f)})
			}
			c, err := contract.Parse([]byte(`
apiVersion: v3.1.0
kind: DataContract
id: 95-00-09-02-004
version: 1.0.0
status: active
schema:
  - name: train
    properties:
      - {name: id, logicalType: integer, primaryKey: true, required: true}
      - {name: day, logicalType: date, required: true}
      - {name: what, logicalType: string, quality: [{id: quarter, metric: nullValues, mustBe: 25}, {id: texts, type: custom, engine: caos, implementation: {values: {in: ["a/b=c %41", "001", "ü x"]}}}]}
    quality:
      - {id: rows, metric: rowCount, mustBe: 100}
      - {id: days, type: sql, query: "SELECT count(DISTINCT day) FROM {object} WHERE day BETWEEN DATE '2001-01-01' AND DATE '2001-01-03'", mustBe: 3}
`))
			if err != nil {
				t.Fatalf("%+v", err)
			}
			got, err := quality{run}.checkFiles(ctx, qualityRun{Folder: filepath.Join(t.TempDir(), "check"), Table: "train", Files: files, Format: out.Format,
				CSV: writtenCSV(dataset.Target{Format: out.Format, Header: out.Header}), Columns: datasetColumns(o.Columns), PartitionBy: out.PartitionBy, Object: &c.Objects[0],
				Limits: dataset.Limits{MemoryBytes: 256 << 20, Threads: 1, ScratchBytes: 100 << 20, Timeout: time.Minute}, Now: time.Now(), Profile: true}, nil)
			if err != nil {
				t.Fatalf("%+v", err)
			}
			for _, k := range got.Outcome.Checks {
				if !k.Passed {
					t.Errorf("%s: %s, expected %s; %s", k.ID, k.Value, k.Expected, k.Message)
				}
			}
			if got.Outcome.Status != contract.Pass || got.Outcome.Rows != 100 || got.Bytes != o.Bytes {
				t.Errorf("%s of %d rows, %d bytes of %d", got.Outcome.Status, got.Outcome.Rows, got.Bytes, o.Bytes)
			}
		})
	}
}

// A file is brought in under a name that stays in the folder, and only if it is one.
func TestCheckFilesTakesFilesAlone(t *testing.T) {
	folder := t.TempDir()
	real := filepath.Join(folder, "real")
	if err := os.WriteFile(real, []byte("id\n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]location.Local{
		"out of the folder": {Path: real, Name: "../../x"}, "absolute": {Path: real, Name: "/etc/x"}, "a link": {Path: filepath.Join(folder, "link"), Name: "x"},
		"a folder": {Path: folder, Name: "x"}, "nothing": {Path: filepath.Join(folder, "none"), Name: "x"},
	} {
		run := qualityRun{Folder: filepath.Join(t.TempDir(), "check"), Table: "t", Files: []location.Local{f}, Format: "csv", Object: &contract.Object{Name: "t"}}
		if _, err := (quality{&testWorker{t: t}}).checkFiles(context.Background(), run, nil); err == nil {
			t.Errorf("%s was read", name)
		} else if _, err := os.Stat(run.Folder); !os.IsNotExist(err) {
			t.Errorf("%s: the folder is left: %v", name, err)
		}
	}
}

func TestContractObject(t *testing.T) {
	c := &contract.Contract{ID: "95-00-09-02-004", Objects: []contract.Object{{Name: "a", PhysicalName: "tbl_b"}, {Name: "b"}, {Name: "C"}}}
	for target, want := range map[string]string{"a": "a", "b": "b", "tbl_b": "a", "c": "C", "d": ""} {
		o, err := contractObject(c, target)
		if want == "" {
			if caos.KindOf(err) != caos.Invalid {
				t.Errorf("%s: %v", target, err)
			}
			continue
		}
		if err != nil || o.Name != want {
			t.Errorf("%s: %+v %v", target, o, err)
		}
	}
	c.Objects = c.Objects[:1]
	if o, err := contractObject(c, "whatever"); err != nil || o.Name != "a" {
		t.Errorf("the only one: %v", err)
	}
}

func TestTableName(t *testing.T) {
	for in, want := range map[string]string{"train": "train", "a-b.c": "a_b_c", "1st": "t_1st", "": "t_", `x"; DROP`: "x___DROP", "ü": "_"} {
		if got := tableName(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
