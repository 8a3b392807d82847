package hook

import (
	"bytes"
	"compress/gzip"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// Each bad input ends a run FAILED with a finding that names step, file and line, and leaves
// every byte of the targets as it was; or, where the definition says that something is
// optional, PARTIAL. Mutations that make this fail: staging before checking; commit without
// the digest that was checked.
func TestDataPipelineBadInput(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts many workers")
	}
	good := `{name: flight_date, type: DATE}, {name: carrier, type: VARCHAR, required: true}, {name: distance, type: INTEGER}, {name: delay, type: INTEGER}`
	const sql = "SELECT carrier, distance, delay > 15 AS late FROM flights"
	for _, c := range []struct {
		name    string
		file    string // of the source, "flights.csv" if empty
		bytes   string
		format  string // csv if empty
		columns string
		sql     string
		more    string // of the source
		compute string
		rule    string
		words   []string // in the finding
	}{
		{name: "missing source", file: "none.csv", rule: "source-missing", words: []string{"source flights"}},
		{name: "wrong schema: a column is missing", bytes: "flight_date,carrier,distance\n2001-01-01,AA,3\n", rule: "worker-schema", words: []string{"source flights", "flights.csv", "delay"}},
		{name: "wrong schema: another type", bytes: strings.Replace(flightsCSV, "95,61", "far,61", 1), rule: "worker-", words: []string{"source flights", "flights.csv", "line 4"}},
		{name: "corrupt parquet", file: "flights.parquet", format: "parquet", bytes: "PAR1" + strings.Repeat("x", 400) + "PAR1", rule: "worker-input", words: []string{"source flights", "flights.parquet"}},
		{name: "truncated gzip", file: "flights.csv.gz", bytes: truncatedGzip(t), rule: "worker-input", words: []string{"source flights", "flights.csv.gz"}},
		{name: "bad encoding", bytes: strings.Replace(flightsCSV, "CC", "C\xff\xfeC", 1), rule: "worker-input", words: []string{"source flights", "flights.csv"}},
		{name: "ragged CSV", bytes: strings.Replace(flightsCSV, "2001-01-02,AA,95,61", "2001-01-02,AA,95,61,7,8", 1), rule: "worker-input", words: []string{"source flights", "flights.csv", "line 4"}},
		{name: "failing SQL", sql: "SELECT carrier, distance, no_such_column FROM flights", rule: "worker-sql", words: []string{"transform features", "no_such_column"}},
		{name: "division", sql: "SELECT carrier, CAST('x' || distance AS INTEGER) AS distance, true AS late FROM flights", rule: "worker-sql", words: []string{"transform features"}},
		{name: "a full scratch disk", sql: "SELECT carrier, distance, repeat(md5(i::VARCHAR), 4) AS late FROM flights, range(20000000) t(i)", compute: "{memory: 512 MiB, threads: 1, scratch: 16 MiB, timeout: 60s}",
			rule: "worker-disk", words: []string{"transform features"}},
		{name: "a source larger than the scratch folder", bytes: flightsCSV + strings.Repeat("2001-01-03,DD,1,1\n", 1_000_000), compute: "{memory: 512 MiB, threads: 1, scratch: 16 MiB, timeout: 60s}", rule: "scratch-full", words: []string{"sources"}},
		{name: "too slow", sql: "SELECT 'AA' AS carrier, CAST(sum(a.i * b.i % 7) AS INTEGER) AS distance, true AS late FROM range(3000000) a(i), range(3000000) b(i)",
			compute: "{memory: 512 MiB, threads: 1, scratch: 64 MiB, timeout: 1s}", rule: "worker-time", words: []string{"1s"}},
		{name: "no rows", bytes: "flight_date,carrier,distance,delay\n", rule: "quality-blocked", words: []string{"target train"}},
		{name: "an empty required value", bytes: strings.Replace(flightsCSV, "BB,310", ",310", 1), rule: "worker-schema", words: []string{"flights", "carrier"}},
		{name: "a value that a blocking check refuses", bytes: strings.Replace(flightsCSV, "BB,310", "BB,", 1), rule: "quality-blocked", words: []string{"target train", "distance"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dbtest.Open(t, db.SQLite))
			file, format, columns := c.file, c.format, c.columns
			if file == "" {
				file = "flights.csv"
			}
			if format == "" {
				format = "csv"
			}
			if columns == "" {
				columns = good
			}
			if c.name != "missing source" {
				text := c.bytes
				if text == "" {
					text = flightsCSV
				}
				w.write(file, text)
			}
			query, compute := c.sql, c.compute
			if query == "" {
				query = sql
			}
			if compute == "" {
				compute = "{memory: 512 MiB, threads: 1, scratch: 64 MiB, timeout: 60s}"
			}
			def := w.pipelineText("1.0", indent("- name: flights\n  uri: file://"+filepath.Join(w.files, file)+"\n  format: "+format+"\n  columns: ["+columns+"]"+c.more),
				indent("- name: features\n  materialise: true\n  sql: "+query), indent("- name: train\n  from: features\n  uri: file://"+w.target("train.parquet")+"\n  format: parquet\n  contract: 95-00-09-02-004"), "compute: "+compute+"\n")
			w.registerData(def, dailyRules)
			if err := os.WriteFile(w.target("train.parquet"), []byte("what was there"), 0o644); err != nil {
				t.Fatal(err)
			}
			before := tree(t, w.dirs.targets)
			x, _ := w.runs(nil)
			out := w.ended(x, pipelineFailed)
			if !sameTree(before, tree(t, w.dirs.targets)) {
				t.Error("the targets were touched")
			}
			if len(x.Findings) == 0 {
				t.Fatalf("no finding: %+v", x.Error)
			}
			f := x.Findings[0]
			if !strings.HasPrefix(f.Rule, c.rule) || f.Remedy == "" {
				t.Errorf("finding %+v", f)
			}
			for _, word := range c.words {
				if !strings.Contains(f.Message, word) {
					t.Errorf("the finding does not say %q: %s", word, f.Message)
				}
			}
			if len(out.Issues) == 0 || len(out.OutputDatasets) != 0 {
				t.Errorf("output %+v", out)
			}
			t.Logf("%s: %s | %s", f.Rule, f.Message, f.Remedy)
			if html := w.objectOf(x.ID, KindPipelineReport); !strings.Contains(html, "FAILED") {
				t.Error("the report does not say so")
			}
			w.counts(map[string]int{`SELECT COUNT(*) FROM pipeline_turns`: 0, `SELECT COUNT(*) FROM dataset_versions`: 0, `SELECT COUNT(*) FROM pipeline_runs WHERE status='FAILED'`: 1,
				`SELECT COUNT(*) FROM events WHERE type LIKE 'caos.pipeline.completed'`: 0})
			if total, free, _ := w.engine.Allocator().Usage(); free != total {
				t.Errorf("of %+v only %+v came back", total, free)
			}
			w.noScratch()
		})
	}
}

func truncatedGzip(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(flightsCSV + strings.Repeat("2001-01-03,DD,117,1\n", 4000))); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()[:b.Len()-20]
}

// SQL that escapes is refused when it is registered or when it is run; nothing is published.
func TestDataPipelineEscapes(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	w.write("flights.csv", flightsCSV)
	w.registerData("", dailyRules)
	secret := w.write("secret.csv", "secret\n1\n")
	n := 0
	for _, sql := range []string{"SELECT * FROM read_csv('" + secret + "')", "SELECT * FROM '" + secret + "'", "COPY flights TO '/tmp/out.csv'", "SELECT getenv('PATH') AS carrier, 1 AS distance, true AS late FROM flights",
		"ATTACH 'x.db' AS x", "SELECT * FROM glob('/etc/*')", "SELECT 1; SELECT 2", "INSTALL httpfs", "SET memory_limit='10GB'", "PRAGMA database_list", "SELECT * FROM duckdb_settings()"} {
		n++
		text := strings.Replace(w.daily(""), "SELECT carrier, distance, delay > 15 AS late FROM flights", "\""+strings.ReplaceAll(sql, `"`, `\"`)+"\"", 1)
		text = strings.Replace(text, `pipeline_version: "1.0"`, `pipeline_version: "1.`+string(rune('0'+n%10))+`"`, 1)
		text = strings.ReplaceAll(text, dpDaily, "DP-E"+string(rune('A'+n))+"-001")
		if err := w.tryRegister(text); err != nil {
			continue // refused before it exists
		}
		x, _ := w.runs(map[string]any{"pipeline_id": "DP-E" + string(rune('A'+n)) + "-001", "pipeline_version": "1." + string(rune('0'+n%10))})
		w.ended(x, pipelineFailed)
		if f := x.Findings[0]; f.Rule != "worker-refused" && f.Rule != "worker-sql" {
			t.Errorf("%s: %+v", sql, f)
		}
	}
	if got := tree(t, w.dirs.targets); len(got) != 0 {
		t.Errorf("published %v", got)
	}
}

// A source that changes between probe and fetch, or while it is fetched, is not read.
func TestDataPipelineSourceChanges(t *testing.T) {
	w := newWorld(t, dbtest.Open(t, db.SQLite))
	w.write("flights.csv", flightsCSV)
	w.registerData(w.daily(""), dailyRules)
	held, err := w.engine.Allocator().Acquire(context.Background(), holdAll(w)) // between the two
	if err != nil {
		t.Fatal(err)
	}
	x, err := w.submitAsync(pipelineRequest(nil))
	if err != nil {
		t.Fatal(err)
	}
	w.reaches(x.ID, "allocate-compute")
	w.write("flights.csv", flightsCSV+"2001-01-03,AA,1,1\n")
	held()
	x = w.await(x.ID)
	w.ended(x, pipelineFailed)
	if f := findingOf(x, "source-changed"); f == nil || !strings.Contains(f.Message, "source flights") {
		t.Errorf("findings %+v", x.Findings)
	}
	if got := tree(t, w.dirs.targets); len(got) != 0 {
		t.Errorf("published %v", got)
	}
}

// What a submission alone shows is refused, and leaves no execution.
func TestDataPipelineRefuses(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		w.write("flights.csv", flightsCSV)
		w.registerData(w.daily(""), dailyRules)
		try := func(who string, change map[string]any, kind caos.Kind, rule string) {
			t.Helper()
			_, err := w.submit(who, pipelineHook, pipelineRequest(change))
			if caos.KindOf(err) != kind || caos.AsError(err).Rule != rule && rule != "" {
				t.Errorf("%v: %v, rule %q", change, err, caos.AsError(err).Rule)
			}
		}
		try("dana", map[string]any{"pipeline_id": "DP-XYZ-001"}, caos.NotFound, "")
		try("dana", map[string]any{"pipeline_version": "9.9"}, caos.NotFound, "")
		try("dana", map[string]any{"execution_mode": "SCHEDULED"}, caos.Invalid, "mode-honest")
		try("dana", map[string]any{"execution_mode": "EVENT_DRIVEN"}, caos.Invalid, "mode-honest")
		try("dana", map[string]any{"data_sources": []string{"nothing"}}, caos.Invalid, "")
		try("dana", map[string]any{"target_datasets": []string{"nothing"}}, caos.Invalid, "")
		try("dana", map[string]any{"data_sources": []string{"flights@x/y"}}, caos.Invalid, "")
		try("cora", nil, caos.Denied, "")
		w.counts(map[string]int{`SELECT COUNT(*) FROM executions`: 0})
	})
}
