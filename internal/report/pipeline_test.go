package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// pipelineSample is a run that published without an optional source.
func pipelineSample() *Pipeline {
	began := time.Date(2026, 11, 22, 4, 30, 2, 120_000_000, time.UTC)
	r := &Pipeline{ExecutionID: "EXEC-DP-DLY-001-20261122T043000.000123Z", PipelineID: "DP-DLY-001", Version: "1.2", Digest: digestOf(1), Title: "Flights, cleaned for training",
		Owner: "dana", Project: "flight-delay", Classification: "Internal", Mode: "SCHEDULED", Interval: "2001-01-01/2001-02-01", RequestedBy: "svc-data", Status: "PARTIAL",
		Records: 3_000_120, Score: num(0.9731), Seconds: 41.2, AskedAt: began.Add(-2 * time.Minute), BeganAt: began, EndedAt: began.Add(42 * time.Second),
		Issues: []string{"Source weather could not be read, and a table without rows stood for it: there is no file at s3://lake/weather/2001-01.parquet.",
			"Source flights: 120 rows were left out, the first is s3://lake/flights/2001-01.csv.gz, line 48211: Expected Number of Columns: 11 Found: 12.",
			"Target train: check late share failed: measured 18.2 %, expected < 18 %."},
		Outputs: []string{"https://caos.example/v1/datasets/DP-DLY-001.train/versions/7", "https://caos.example/v1/datasets/DP-DLY-001.windows/versions/7"},
		Compute: PipeCosts{MemoryBytes: 1 << 30, Threads: 2, ScratchBytes: 4 << 30, Timeout: 1800, PeakBytes: 611_300_000, WorkerSeconds: 28.4, FetchSeconds: 9.1, WaitedTurn: 118, WaitedCompute: 0.4}}
	columns := []PipeColumn{{"flight_date", "DATE"}, {"carrier", "VARCHAR"}, {"distance", "INTEGER"}, {"delay", "INTEGER"}}
	r.Sources = []PipeIn{
		{Name: "flights", URI: "s3://lake/flights/*.csv.gz", Format: "csv", State: PartDone, Dataset: "ext:0a1b2c3d4e5f@3", Digest: digestOf(2), Rows: 3_000_000, Rejected: 120, Bytes: 81_200_000, Columns: columns,
			Files:   []PipeFile{{"s3://lake/flights/2001-01.csv.gz", digestOf(3), 41_200_000}, {"s3://lake/flights/2001-02.csv.gz", digestOf(4), 40_000_000}},
			Rejects: []PipeReject{{"s3://lake/flights/2001-01.csv.gz", 48211, "", "Expected Number of Columns: 11 Found: 12"}, {"s3://lake/flights/2001-02.csv.gz", 9, "delay", "Could not convert string \"NA\" to INTEGER"}}},
		{Name: "carriers", URI: "file:///srv/reference/carriers.csv", Format: "csv", State: PartDone, Dataset: "ext:ffeeddccbbaa@1", Digest: digestOf(5), Bytes: 812, Files: []PipeFile{{"file:///srv/reference/carriers.csv", digestOf(5), 812}}},
		{Name: "weather", URI: "s3://lake/weather/{yyyy}-{mm}.parquet", Format: "parquet", Optional: true, State: PartMissing, Reason: "there is no file"},
	}
	r.Steps = []PipeStep{
		{Name: "clean", From: []string{"flights"}, State: PartDone, Rows: -1, Columns: columns, SQL: "SELECT *\nFROM flights\nWHERE distance > 0 AND delay < 24 * 60"},
		{Name: "features", From: []string{"carriers", "clean", "weather"}, State: PartDone, Rows: 2_998_101, Seconds: 6.31, Columns: columns, SQL: "SELECT c.*, w.wind\nFROM clean c\nLEFT JOIN weather w USING (flight_date)\nJOIN carriers USING (carrier)"},
		{Name: "monthly", From: []string{"features"}, State: PartDone, Rows: 12, Seconds: 0.02, Columns: columns[:2], SQL: "SELECT date_trunc('month', flight_date) AS month, avg(delay) FROM features GROUP BY 1"},
	}
	r.Targets = []PipeOut{
		{Name: "train", From: "features", URI: "s3://lake/train/", Format: "parquet", State: PartDone, Dataset: "DP-DLY-001.train", N: 7, Page: r.Outputs[0], Digest: digestOf(6), Rows: 2_998_101, Bytes: 33_100_000, Columns: columns,
			Files: []PipeFile{{"carrier=AA/data.parquet", digestOf(7), 20_000_000}, {"carrier=BB/data.parquet", digestOf(8), 13_100_000}},
			Quality: &PipeQuality{Contract: "95-00-09-02-004@1.0.0", Digest: digestOf(9), Status: "WARNING", Score: num(0.95), Blocking: num(1), Performed: 3, Passed: 2, Failed: 1, Anomalies: 411, Checks: []PipeCheck{
				{ID: "late", Name: "late share", Severity: "warning", Value: "18.2 %", Expected: "< 18 %", Failing: 545_654, Message: ""},
				{ID: "carrier.required", Name: "", Column: "carrier", Severity: "error", Passed: true, Value: "0 of 2,998,101 rows", Expected: "= 0 rows"},
				{ID: "rows", Name: "there are rows", Severity: "error", Passed: true, Value: "2,998,101 rows", Expected: "> 0 rows"}}}},
		{Name: "windows", From: "monthly", URI: "s3://lake/windows/{interval}/", Format: "csv", State: PartDone, Dataset: "DP-DLY-001.windows", N: 7, Page: r.Outputs[1], Digest: digestOf(10), Rows: 12, Bytes: 612, Columns: columns[:2],
			Files: []PipeFile{{"data.csv", digestOf(11), 612}}},
	}
	for i, text := range []string{"looked at 3 sources: 3 files", "was given 1 GiB of memory and 2 threads", "fetched 77 MiB of 2 sources", "made 2 targets of 3000120 rows", "checked 1 target", "staged 2 targets, 32 MiB", "published train", "published windows"} {
		r.Moments = append(r.Moments, Moment{At: began.Add(time.Duration(i*i) * 800 * time.Millisecond), Text: text, Seconds: float64(i) * 1.37})
	}
	r.Verification = []PipeProof{{Text: "The run, its steps and the audit record of each.", Command: "caos execution show " + r.ExecutionID}, {Text: "Version 7 of DP-DLY-001.train, and the digests of its files.", Command: "caos dataset show DP-DLY-001.train --version 7", Expect: digestOf(6)}}
	return r
}

// pipelineFailure is a run that its checks stopped.
func pipelineFailure() *Pipeline {
	r := pipelineSample()
	r.Status, r.Score, r.Outputs = "FAILED", num(0.5), nil
	r.Findings = []Finding{{Rule: "quality-blocked", Subject: "train", Message: "target train: check distance.nullValues failed: measured 1 of 4 rows (25 %), expected = 0 rows",
		Remedy: "correct the data or the SQL; if the rule is what is wrong, register a new version of 95-00-09-02-004@1.0.0"}}
	r.Issues = append([]string{"Target train: check distance.nullValues failed: measured 1 of 4 rows (25 %), expected = 0 rows."}, r.Issues...)
	r.Targets[0].State, r.Targets[0].N, r.Targets[0].Page, r.Targets[0].Quality.Status = PartFailed, 0, "", "FAIL"
	r.Targets[1].State, r.Targets[1].N, r.Targets[1].Page = PartUndone, 0, ""
	return r
}

func pipelineLarge() *Pipeline {
	r := pipelineSample()
	for i := range 9 {
		name := fmt.Sprintf("a_rather_long_transform_name_%02d", i)
		r.Steps = append(r.Steps, PipeStep{Name: name, From: []string{"features", "weather"}, State: PartNotRun, Rows: -1, SQL: strings.Repeat("SELECT 1 ", 400)})
		r.Targets = append(r.Targets, PipeOut{Name: fmt.Sprintf("t%d", i), From: name, URI: "s3://lake/" + strings.Repeat("x", 300), Optional: true, State: PartFailed, Reason: strings.Repeat("because ", 60)})
	}
	for i := range 400 {
		r.Targets[0].Files = append(r.Targets[0].Files, PipeFile{fmt.Sprintf("carrier=%d/data.parquet", i), digestOf(i), 12})
		r.Issues = append(r.Issues, fmt.Sprintf("Target t%d is not published.", i))
	}
	return r
}

func pipelineHostile() *Pipeline {
	r := pipelineSample()
	n := 0
	spoil(reflect.ValueOf(r).Elem(), &n)
	return r
}

func renderPipeline(t testing.TB, r *Pipeline) string {
	t.Helper()
	var b bytes.Buffer
	if err := PipelineHTML(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What a run says is there, and whatever its texts are, they neither act nor break.
func TestPipelinePages(t *testing.T) {
	for name, r := range map[string]*Pipeline{"sample": pipelineSample(), "failure": pipelineFailure(), "large": pipelineLarge(), "hostile": pipelineHostile(), "empty": {},
		"itself": {Steps: []PipeStep{{Name: "a", From: []string{"b"}}, {Name: "b", From: []string{"a", "b"}}}}} {
		page := renderPipeline(t, r)
		text := checkHTMLOf(t, []byte(page), allowedWith("details", "summary", "g"))
		for _, sign := range "\u202E\u2066\u200B\uFEFF\x00\x1b\x07" {
			if strings.ContainsRune(text, sign) {
				t.Errorf("%s: sign %U is in the text", name, sign)
			}
		}
		if page != renderPipeline(t, r) {
			t.Errorf("%s: two renderings differ", name)
		}
		if strings.Contains(page, "NaN") {
			t.Errorf("%s: a figure that is none", name)
		}
	}
	page := renderPipeline(t, pipelineSample())
	for _, want := range []string{"PARTIAL", "DP-DLY-001 1.2", "3,000,120", "0.9731", "120 rejected", "48211", "2 of 3", "DP-DLY-001.train, version 7", "95-00-09-02-004@1.0.0", "late share", "used at most 611.3 MB",
		"2001-01-01/2001-02-01", "transform features: 2,998,101 rows, from carriers, clean, weather", "caos execution show EXEC-DP-DLY-001-20261122T043000.000123Z", "SQL"} {
		if !strings.Contains(page, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	if failed := renderPipeline(t, pipelineFailure()); !strings.Contains(failed, "Nothing is published") || strings.Count(failed, "check distance.nullValues failed: measured 1 of 4 rows (25 %), expected = 0 rows") != 1 {
		t.Error("a failure is not said once")
	}
	if runMark(num(0.99999)) != "0.9999" || runTime(0.0123) != "12 ms" || runTime(125) != "2m5s" {
		t.Error("figures")
	}
}

// TestLookAtPipeline writes pages for people to look at.
func TestLookAtPipeline(t *testing.T) {
	folder := os.Getenv("CAOS_REPORT_LOOK")
	if folder == "" {
		t.Skip("CAOS_REPORT_LOOK names no folder")
	}
	for name, r := range map[string]*Pipeline{"p-partial": pipelineSample(), "p-failed": pipelineFailure(), "p-large": pipelineLarge(), "p-hostile": pipelineHostile(), "p-empty": {}} {
		if err := os.WriteFile(filepath.Join(folder, name+".html"), []byte(renderPipeline(t, r)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
