package report

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// quality is a validation of flights with a few things wrong.
func qualitySample() *Quality {
	at := time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC)
	f := func(v float64) *float64 { return &v }
	q := &Quality{
		ValidationID: "VAL-EXEC-20261122T101500.123456Z", ExecutionID: "EXEC-20261122T101459.000001Z", Classification: "INTERNAL", Project: "delays", RequestedBy: "dana", At: at,
		DatasetID: "DP-DLY-001.train", DatasetVersion: 3, DatasetURI: "s3://flights/train/", DatasetDigest: "SHA256:" + strings.Repeat("ab", 32),
		PipelineID: "DP-DLY-001", PipelineExecution: "EXEC-DP-DLY-001-20261122T100000.000001Z", ContractID: "95-00-09-02-004", ContractVersion: "1.2.0",
		ContractName: "Flights, as the delay model is trained on them", ContractDigest: "SHA256:" + strings.Repeat("cd", 32), ContractObject: "train", Engine: "DuckDB 1.5.6",
		Rows: 3_000_000, Bytes: 81_234_567, Seconds: 4.21, Status: Fail, Score: f(0.931), Anomalies: 42,
		Dimensions: []QualityDimension{{"accuracy", f(0.75), 3, 1}, {"completeness", f(0.9), 9, 1}, {"consistency", f(1), 4, 0}, {"uniqueness", nil, 0, 0}},
		Checks: []QualityCheck{
			{ID: "delay_null", Name: "Departure delay is there", Column: "dep_delay", Dimension: "completeness", Severity: "error", Weight: 3, Value: "2.35 %", Expected: "less than 1 %", FailingRows: 70_500},
			{ID: "delay_range", Name: "Delays are possible", Description: "No flight leaves more than two hours early.", Column: "dep_delay", Dimension: "accuracy", Severity: "warning", Weight: 1, Value: "17 rows", Expected: "0 rows", FailingRows: 17},
			{ID: "carrier_known", Name: "Carriers are known", Column: "carrier", Dimension: "consistency", Severity: "error", Weight: 1, CannotRun: true, Message: "the table carriers could not be read"},
			{ID: "rows", Name: "There are rows", Dimension: "completeness", Severity: "error", Weight: 1, Passed: true, Value: "3,000,000 rows", Expected: "at least 1,000 rows"},
			{ID: "unique", Name: "A flight is there once", Column: "flight_id", Dimension: "consistency", Severity: "error", Weight: 1, Passed: true, Value: "0 rows", Expected: "0 rows"},
		},
		Columns: []QualityColumn{
			{Name: "dep_delay", Type: "BIGINT", Nulls: 70_500, Distinct: 1123, Min: "-1302", Max: "1971", Mean: f(8.31), Quantiles: []float64{-1302, -9, -4, 0, 7, 52, 1971},
				Outliers: []QualityOutlier{{"delay_iqr", "1.5 times the distance of the quartiles", f(-20.5), f(23.5), 301_442}}},
			{Name: "distance", Type: "BIGINT", Distinct: 1388, Min: "0", Max: "4962", Mean: f(733.5), Quantiles: []float64{0, 141, 325, 580, 957, 1946, 4962}},
			{Name: "carrier", Type: "VARCHAR", Distinct: 12, Min: "AA", Max: "WN"},
			{Name: "tail_number", Type: "VARCHAR", Nulls: 12, Distinct: 4821, Masked: true},
			{Name: "cancelled", Type: "BOOLEAN", Distinct: 2, Min: "false", Max: "true"},
		},
		Samples: []QualitySample{
			{"delay_range", []QualityValue{{Column: "flight_id", Value: "2001-01-04/UA/0512"}, {Column: "dep_delay", Value: "-1302"}, {Column: "tail_number", Masked: true}}},
			{"delay_range", []QualityValue{{Column: "flight_id", Value: "2001-02-14/WN/1730"}, {Column: "dep_delay", Value: "-990"}, {Column: "tail_number", Masked: true}}},
		},
		Findings:   []QualityFinding{{"anomalies-flagged", "42 distinct values are flagged as outliers", "the report shows their bounds and a sample"}},
		Statements: []QualityStatement{{"dq_scan", "SELECT count(*) AS n,\n       count(*) FILTER (WHERE dep_delay IS NULL) AS delay_null\nFROM train"}},
		Change:     &QualityChange{Previous: "VAL-EXEC-20261115T101500.123456Z", Status: Warning, Score: f(-0.05), Rows: 120_000, DatasetChanged: true, FailingNow: []string{"Departure delay is there"}, PassingNow: []string{"A flight is there once"}},
	}
	for i := range 12 {
		p := QualityPoint{ValidationID: fmt.Sprintf("VAL-%d", i), At: at.AddDate(0, 0, 7*(i-11)), Version: 1, Status: Pass, Score: f(0.97 + 0.002*float64(i%3))}
		switch i {
		case 5:
			p.Status, p.Score = Warning, f(0.95)
		case 6:
			p.Status, p.Score = Fail, nil
		case 11:
			p.Status, p.Score = Fail, f(0.931)
		}
		q.Trend = append(q.Trend, p)
	}
	return q
}

func renderQuality(t testing.TB, q *Quality) string {
	t.Helper()
	var b bytes.Buffer
	if err := ValidationHTML(&b, q); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// largeQuality is as much as a validation may have.
func largeQuality() *Quality {
	q := qualitySample()
	base, column := q.Checks[0], q.Columns[0]
	for i := range 1200 {
		k := base
		k.ID, k.Name, k.Passed = fmt.Sprint("check", i), fmt.Sprint("Check number ", i), i%7 != 0
		q.Checks = append(q.Checks, k)
		q.Statements = append(q.Statements, QualityStatement{k.ID, "SELECT " + strings.Repeat("x, ", 4000) + "1"})
	}
	for i := range 500 {
		c := column
		c.Name = fmt.Sprint("column_", i)
		q.Columns = append(q.Columns, c)
	}
	for range 200 {
		q.Samples = append(q.Samples, q.Samples[0])
	}
	return q
}

func hostileQuality() *Quality {
	q := qualitySample()
	n := 0
	spoil(reflect.ValueOf(q).Elem(), &n)
	nan := math.NaN()
	q.Columns[0].Quantiles = []float64{math.Inf(-1), 1, 2, 3, 4, 5, math.Inf(1)}
	q.Columns[1].Quantiles = []float64{1, 1, 1, 1, 1, 1, 1}
	q.Columns[1].Mean, q.Columns[1].Outliers = &nan, []QualityOutlier{{Low: &nan, High: &nan}}
	return q
}

// What a validation says is there, and whatever its texts are, they neither act nor break.
func TestValidationPages(t *testing.T) {
	allowedHere := allowedWith("details", "summary")
	for name, q := range map[string]*Quality{"sample": qualitySample(), "hostile": hostileQuality(), "large": largeQuality(), "empty": {}, "one point": {Trend: make([]QualityPoint, 1)},
		"no score": {Status: Fail, Trend: make([]QualityPoint, 2)}} {
		page := renderQuality(t, q)
		text := checkHTMLOf(t, []byte(page), allowedHere)
		for _, sign := range "\u202E\u2066\u200B\uFEFF\x00\x1b\x07" {
			if strings.ContainsRune(text, sign) {
				t.Errorf("%s: sign %U is in the text", name, sign)
			}
		}
		if name != "hostile" && (strings.Contains(page, "NaN") || strings.Contains(page, "Inf")) {
			t.Errorf("%s: a figure that is none", name)
		}
		if page != renderQuality(t, q) {
			t.Errorf("%s: two renderings differ", name)
		}
		if len(page) > 12<<20 {
			t.Errorf("%s: %d bytes", name, len(page))
		}
	}
	page := renderQuality(t, qualitySample())
	for _, want := range []string{"FAIL", "0.931", "Departure delay is there", "2.35 %", "less than 1 %", "70,500 of 3,000,000 rows (2.35 %)", "No flight leaves more than two hours early. Measured", "could not be checked", "95-00-09-02-004",
		"DP-DLY-001.train version 3", "(masked)", "−1,302", "s3://flights/train/", "count(*) FILTER", "Failing now:", "120,000 more rows", "DuckDB 1.5.6"} {
		if !strings.Contains(page, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	if strings.Contains(page, "tail_number</code> to") {
		t.Error("a masked column has values")
	}
}

func TestScoreText(t *testing.T) {
	for v, want := range map[float64]string{1: "1.00", 0.99999: "0.9999", 0.97: "0.97", 0: "0.00", 0.931: "0.931", 0.29: "0.29"} {
		if got := scoreText(&v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	if percent(1, 1_000_000) != "under 0.01 %" || percent(999_999, 1_000_000) != "over 99.99 %" || percent(1, 4) != "25.00 %" || percent(0, 5) != "0.00 %" {
		t.Error("percent")
	}
	if thousands(-1234567) != "−1,234,567" || thousands(12) != "12" || thousands(123) != "123" || thousands(1234) != "1,234" {
		t.Error("thousands", thousands(-1234567))
	}
}

// TestLookAtValidation writes pages for people to look at.
func TestLookAtValidation(t *testing.T) {
	folder := os.Getenv("CAOS_REPORT_LOOK")
	if folder == "" {
		t.Skip("CAOS_REPORT_LOOK names no folder")
	}
	good := qualitySample()
	good.Status, good.Change, good.Findings = Pass, nil, nil
	good.Checks = slices.DeleteFunc(good.Checks, func(k QualityCheck) bool { return !k.Passed })
	for name, q := range map[string]*Quality{"v-fail": qualitySample(), "v-pass": good, "v-hostile": hostileQuality(), "v-large": largeQuality(), "v-empty": {Status: Fail}} {
		start := time.Now()
		page := renderQuality(t, q)
		t.Logf("%s: %d bytes in %v", name, len(page), time.Since(start))
		if err := os.WriteFile(filepath.Join(folder, name+".html"), []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
