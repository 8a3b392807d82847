package dataset

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"caos"
)

// good is a definition that nothing is wrong with.
const good = `
pipeline_id: DP-DLY-001
pipeline_version: "1.0"
title: Flights, cleaned
sources:
  - name: flights
    uri: file:///data/in/flights-{yyyy}{mm}.csv.gz
    columns: [{name: day, type: DATE, required: true}, {name: delay, type: "DECIMAL(10,2)"}]
    max_rejected: 10
    csv: {delimiter: ";", header: true, encoding: latin-1}
  - name: airports
    uri: s3://bucket/airports.parquet
    reference: true
  - name: weather
    uri: https://example.org/weather.ndjson?month={yyyy}-{mm}
    optional: true
    columns: [{name: day, type: DATE}]
transforms:
  - name: features
    sql: SELECT c.*, w.day AS wet FROM clean c LEFT JOIN weather w USING (day) -- ; not a second statement
    materialise: true
  - name: clean
    sql: SELECT *, getvariable('interval_start') AS since FROM flights WHERE delay < 1000
targets:
  - name: train
    uri: s3://bucket/train/{interval}/
    from: features
    partition_by: [day]
    contract: 95-00-09-02-004@1.2.0
  - name: clean
    uri: file:///data/out/clean-{yyyy}-{mm}.csv
    from: clean
    header: false
contract: 95-00-09-02-004
schedule: {cron: 30 4 1 * *, zone: Europe/Berlin}
events: [{type: caos.dataset.published, where: {data.pipeline_id: DP-RAW-001}}]
interval: month
compute: {memory: 512 MB, threads: 2, scratch: 1.5 GiB, timeout: 1h30m}
`

func parse(t testing.TB, text string) Definition {
	t.Helper()
	d, err := ParseDefinition([]byte(text), "")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestParseDefinition(t *testing.T) {
	d := parse(t, good)
	if found := Lint(d, Limits{}); len(found) != 0 {
		t.Fatalf("%+v", found)
	}
	if d.Sources[0].Format != FormatCSV || d.Sources[1].Format != FormatParquet || d.Sources[2].Format != FormatNDJSON || d.Targets[0].Format != FormatParquet ||
		d.Targets[0].Compression != "zstd" || d.Targets[1].Format != FormatCSV || d.Classification != "Internal" {
		t.Errorf("not filled in: %+v", d)
	}
	order, err := d.Ordered()
	if err != nil || order[0].Name != "clean" || order[1].Name != "features" {
		t.Errorf("%v %v", order, err)
	}
	// A name that is not where tables stand may be one all the same, and a column at worst.
	odd := Definition{Transforms: []Transform{{Name: "a", SQL: "PIVOT b ON x USING sum(y)"}, {Name: "b", SQL: "SELECT a, c FROM flights"}, {Name: "c", SQL: "SELECT 1"}}}
	if order, err := odd.Ordered(); err != nil || order[0].Name != "c" || order[1].Name != "a" && order[1].Name != "b" {
		t.Errorf("%v %v", order, err)
	}
	odd.Transforms[1].SQL = "SELECT c FROM flights"
	if order, err := odd.Ordered(); err != nil || order[0].Name+order[1].Name+order[2].Name != "cba" {
		t.Errorf("%v %v", order, err)
	}
	// Also quoted, in any case, and where only After says so; not in texts, in comments, as a
	// part of another name, or what reads itself.
	odd = Definition{Sources: []Source{{Name: "flights"}, {Name: "carriers"}, {Name: "notes"}, {Name: "left"}}, Transforms: []Transform{
		{Name: "b", After: []string{"a"}, SQL: `SELECT b.notes, 'left' -- left
			FROM Flights b /* left /* left */ left */ JOIN "Carriers" USING (id) WHERE x <> $$left$$`},
		{Name: "a", SQL: "SELECT '"}}}
	if reads := odd.Reads(); !slices.Equal(reads["b"], []string{"flights", "carriers", "a"}) || len(reads["a"]) != 0 || len(reads) != 2 {
		t.Errorf("%q", reads)
	}
	request, err := d.Compute.Request()
	if want := (Limits{512_000_000, 2, 3 << 29, 90 * time.Minute}); err != nil || request != want {
		t.Errorf("%+v %v", request, err)
	}
	// The digest is of what is said, not of how.
	first, err := d.Digest()
	if err != nil {
		t.Fatal(err)
	}
	again, _ := ptr(parse(t, "# a comment\n"+strings.ReplaceAll(good, "compute: {memory: 512 MB,", "compute: {memory: 512 MB ,"))).Digest()
	other, _ := ptr(parse(t, strings.ReplaceAll(good, "512 MB", "513 MB"))).Digest()
	if again != first || other == first {
		t.Error("the digest does not tell contents apart")
	}
	for text, field := range map[string]string{
		"pipeline_id: A\npipeline_id: B":               "pipeline_id",
		"sources: [{name: a, nmae: b}]":                "sources[0].nmae",
		"Sources: []":                                  "Sources",
		"sources: [{name: 1}]":                         "sources[0].name",
		"sources: &a [*a]":                             "",
		"compute: {memory: 512}":                       "compute.memory",
		"targets: [{name: a, order_by: [[a]]}]":        "targets[0].order_by[0]",
		strings.Repeat("[", 100):                       "",
		"title: " + strings.Repeat("x", maxDefinition): "",
	} {
		_, err := ParseDefinition([]byte(text), "")
		if e := caos.AsError(err); err == nil || field != "" && e.Field != field {
			t.Errorf("%.40q: %v, want field %s", text, err, field)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// What is wrong is found, at its place, and nothing else is.
func TestLint(t *testing.T) {
	change := func(pairs ...string) string {
		out := good
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(out, pairs[i]) {
				t.Fatalf("no %q to change", pairs[i])
			}
			out = strings.Replace(out, pairs[i], pairs[i+1], 1)
		}
		return out
	}
	sql := func(text string) string {
		return change("SELECT *, getvariable('interval_start') AS since FROM flights WHERE delay < 1000", "|-\n      "+text)
	}
	tests := []struct{ text, rule, field, says string }{
		{change("DP-DLY-001", "DP-dly-001"), "pipeline-id", "pipeline_id", ""},
		{change(`"1.0"`, `"1.0.0"`), "pipeline-version", "pipeline_version", ""},
		{change("title: Flights, cleaned", `title: " "`), "title", "title", ""},
		{change("title: Flights, cleaned", "title: a\nclassification: Secret"), "classification", "classification", ""},
		{change("title: Flights, cleaned", "title: a\nproject: ../x"), "project", "project", ""},
		{change("title: Flights, cleaned", "title: a\nowner: Eve Mallory"), "owner", "owner", ""},
		{change("name: airports", "name: clean"), "name-twice", "transforms[1].name", "sources[1]"},
		{change("name: airports", "name: Airports"), "name-form", "sources[1].name", ""},
		{change("name: airports", "name: table"), "name-reserved", "sources[1].name", ""},
		{change("name: airports", "name: caos_1"), "name-reserved", "sources[1].name", ""},
		{change("name: airports", "name: FLIGHTS"), "name-twice", "sources[1].name", ""},
		{change("/flights-{yyyy}{mm}.csv.gz", "/flights-{yy}.csv"), "uri-placeholder", "sources[0].uri", "{yy}"},
		{change("file:///data/in", "file://data/in"), "uri-form", "sources[0].uri", "host"},
		{change("file:///data/in", "/data/in"), "uri-scheme", "sources[0].uri", ""},
		{change("file:///data/in", "file:///data/../in"), "uri-form", "sources[0].uri", ".."},
		{change("s3://bucket/airports", "s3://me:you@bucket/airports"), "uri-secret", "sources[1].uri", ""},
		{change("ndjson?month", "ndjson?X-Amz-Signature=1&month"), "uri-secret", "sources[2].uri", ""},
		{change("s3://bucket/train/", "https://bucket/train/"), "uri-scheme", "targets[0].uri", ""},
		{change("s3://bucket/train/{interval}/", "s3://bucket/train/*/"), "uri-pattern", "targets[0].uri", ""},
		{change("s3://bucket/train/{interval}/", "s3://bucket/train-{interval}"), "target-folder", "targets[0].uri", ""},
		{change("s3://bucket/train/{interval}/", "s3://bucket/train/"), "target-replaced", "targets[0].uri", ""},
		{change("file:///data/out/clean-{yyyy}-{mm}.csv", "s3://bucket/train/{interval}/{dd}/x.csv"), "target-overlap", "targets[1].uri", "targets[0]"},
		{change("file:///data/out/clean-{yyyy}-{mm}.csv", "s3://bucket/train/{interval}"), "target-overlap", "targets[1].uri", ""},
		{change("file:///data/out/clean-{yyyy}-{mm}.csv", "file:///data/in/{interval}.csv", "in/flights-{yyyy}{mm}.csv.gz", "in/*.csv"), "target-is-source", "targets[1].uri", "sources[0]"},
		{change("file:///data/out/clean-{yyyy}-{mm}.csv", "file:///data/in/flights-{yyyy}{mm}.csv.gz"), "target-is-source", "targets[1].uri", ""},
		{change("s3://bucket/airports.parquet", "s3://bucket/airports"), "format", "sources[1].format", ""},
		{change("file:///data/out/clean-{yyyy}-{mm}.csv", "file:///data/out/clean-{yyyy}-{mm}.json"), "format", "targets[1].format", ""},
		{change("header: false", "header: false\n    format: parquet"), "header", "targets[1].header", ""},
		{change("header: false", "compression: lzma"), "compression", "targets[1].compression", ""},
		{change("s3://bucket/airports.parquet", "s3://bucket/airports.parquet\n    compression: gzip"), "compression", "sources[1].compression", ""},
		{change(`"DECIMAL(10,2)"`, `"DECIMAL(10,2"`), "column-type", "sources[0].columns[1].type", ""},
		{change(`"DECIMAL(10,2)"`, `"INT; DROP"`), "column-type", "sources[0].columns[1].type", ""},
		{change("{name: delay", "{name: DAY"), "name-twice", "sources[0].columns[1].name", ""},
		{change("    optional: true\n    columns: [{name: day, type: DATE}]", "    optional: true"), "optional-columns", "sources[2].columns", ""},
		{change("    optional: true", "    max_rejected: 4"), "max-rejected", "sources[2].max_rejected", ""},
		{change("max_rejected: 10", "max_rejected: -1"), "max-rejected", "sources[0].max_rejected", ""},
		{change(`delimiter: ";"`, `delimiter: "\n"`), "csv", "sources[0].csv.delimiter", ""},
		{change("encoding: latin-1", "encoding: ebcdic"), "csv", "sources[0].csv.encoding", ""},
		{change("    materialise: true", "    after: [claen]"), "transform-unknown", "transforms[0].after[0]", "is it clean?"},
		{change("from: features", "from: feature"), "target-from", "targets[0].from", "is it features?"},
		{change("from: features", `from: ""`), "target-from", "targets[0].from", ""},
		{sql(""), "sql-empty", "transforms[1].sql", ""},
		{sql("-- nothing"), "sql-empty", "transforms[1].sql", ""},
		{sql("SELECT 1; SELECT 2"), "sql-several", "transforms[1].sql", "2"},
		{sql("DROP TABLE flights"), "sql-not-select", "transforms[1].sql", "DROP"},
		{sql("COPY flights TO '/tmp/x'"), "sql-not-select", "transforms[1].sql", "COPY"},
		{sql("SELECT 'it FROM flights"), "sql-open", "transforms[1].sql", "single quotes"},
		{sql("SELECT 1 /* FROM flights"), "sql-open", "transforms[1].sql", "comment"},
		{sql("SELECT * FROM '/etc/passwd', flights"), "sql-file", "transforms[1].sql", "/etc/passwd"},
		{sql("SELECT * FROM flights, read_csv('/etc/passwd')"), "sql-outside", "transforms[1].sql", "read_csv"},
		{sql("SELECT getenv('HOME') FROM flights"), "sql-outside", "transforms[1].sql", "getenv"},
		{sql("SELECT * FROM fligths, flights"), "table-unknown", "transforms[1].sql", "is it flights?"},
		{sql("SELECT * FROM flights, airports"), "reference-read", "transforms[1].sql", ""},
		{sql("SELECT * FROM features, flights"), "transform-cycle", "transforms", "clean → features → clean"},
		{sql("SELECT * FROM flights JOIN clean USING (day)"), "transform-cycle", "transforms", "clean → clean"},
		{sql("SELECT 1 AS day, 2 AS delay"), "source-unused", "sources[0]", ""},
		{change("from: clean", "from: features", "LEFT JOIN weather w USING (day)", "", "w.day", "1"), "source-unused", "sources[2]", ""},
		{change("interval: month", ""), "interval-missing", "sources[0].uri", ""},
		{change("interval: month", "", "-{yyyy}{mm}", "", "month={yyyy}-{mm}", "", "/{interval}", "", "-{yyyy}-{mm}", ""), "interval-missing", "transforms[1].sql", ""},
		{change("interval: month", "interval: week"), "interval", "interval", ""},
		{change("interval: month", "interval: schedule", "schedule: {cron: 30 4 1 * *, zone: Europe/Berlin}", ""), "interval", "interval", ""},
		{change("30 4 1 * *", "30 4 31 2 *"), "cron", "schedule.cron", ""},
		{change("30 4 1 * *", "0 30 4 1 * *"), "cron", "schedule.cron", ""},
		{change("30 4 1 * *", `"@daily"`), "cron", "schedule.cron", ""},
		{change("Europe/Berlin", "Europe/Berlim"), "zone", "schedule.zone", ""},
		{change("Europe/Berlin", "Local"), "zone", "schedule.zone", ""},
		{change("512 MB", `"512"`), "compute", "compute.memory", "not between"},
		{change("512 MB", "512 M"), "compute", "compute.memory", ""},
		{change("512 MB", "512 TB"), "compute", "compute.memory", ""},
		{change("512 MB", "99999999999999999 TiB"), "compute", "compute.memory", ""},
		{change("512 MB", "3 GiB"), "compute-limit", "compute.memory", "2 GiB"},
		{change("threads: 2", "threads: 5"), "compute-limit", "compute.threads", ""},
		{change("threads: 2", "threads: -1"), "compute", "compute.threads", ""},
		{change("1h30m", "9h"), "compute-limit", "compute.timeout", ""},
		{change("1h30m", "forever"), "compute", "compute.timeout", ""},
		{change("contract: 95-00-09-02-004\n", "contract: latest\n"), "contract-form", "contract", ""},
		{change("@1.2.0", "@v1"), "contract-form", "targets[0].contract", ""},
		{change("type: caos.dataset.published", `type: "caos..x"`), "event-type", "events[0].type", ""},
		{change("where: {data.pipeline_id: DP-RAW-001}", "where: {}"), "event-loop", "events[0]", ""},
		{change("DP-RAW-001", "DP-DLY-001"), "event-loop", "events[0]", ""},
		{change("where: {data.pipeline_id", "where: {id: x, data.pipeline_id"), "event-where", "events[0].where", ""},
		{change("where: {data.pipeline_id", "where: {data.a: [1], data.pipeline_id"), "event-where", "events[0].where", ""},
		{"pipeline_id: DP-A-001\npipeline_version: '1.0'\ntitle: x\nsources: []\ntargets: []", "too-few", "sources", ""},
	}
	for _, test := range tests {
		d, err := ParseDefinition([]byte(test.text), "")
		if err != nil {
			t.Errorf("%s: %v", test.rule, err)
			continue
		}
		found := Lint(d, Limits{MemoryBytes: 2 << 30, Threads: 4, Timeout: 8 * time.Hour})
		at := slices.IndexFunc(found, func(f LintFinding) bool { return f.Rule == test.rule && f.Field == test.field })
		if at < 0 || !strings.Contains(found[at].Message+" "+found[at].Remedy, test.says) {
			t.Errorf("want %s at %s saying %q, found %+v", test.rule, test.field, test.says, found)
			continue
		}
		if found[at].Remedy == "" {
			t.Errorf("%s at %s has no remedy", test.rule, test.field)
		}
		if found[at].Severity == LintError {
			if err := FirstError(found); caos.KindOf(err) != caos.Invalid || caos.AsError(err).Field == "" {
				t.Errorf("%s: %v", test.rule, err)
			}
		}
	}
}

// What is too much is said once, quickly.
func TestLintBounds(t *testing.T) {
	d := parse(t, good)
	big := d
	for i := range maxSources + 1 {
		big.Sources = append(big.Sources, Source{Name: fmt.Sprintf("s%d", i), URI: "file:///a"})
	}
	if found := Lint(big, Limits{}); len(found) != 1 || found[0].Rule != "too-many" {
		t.Errorf("%+v", found)
	}
	wide := Definition{PipelineID: "DP-A-001", PipelineVersion: "1.0", Title: "wide"}
	for i := range maxSources {
		wide.Sources = append(wide.Sources, Source{Name: fmt.Sprintf("s%d", i), URI: fmt.Sprintf("file:///in/%d/*.csv", i)})
	}
	for i := range maxTransforms {
		sql := fmt.Sprintf("SELECT * FROM s%d", i%maxSources)
		if i > 0 {
			sql += fmt.Sprintf(", t%d", i-1)
		}
		wide.Transforms = append(wide.Transforms, Transform{Name: fmt.Sprintf("t%d", i), SQL: sql})
	}
	for i := range maxTargets {
		wide.Targets = append(wide.Targets, Target{Name: fmt.Sprintf("o%d", i), URI: fmt.Sprintf("file:///out/%d", i), From: fmt.Sprintf("t%d", maxTransforms-1)})
	}
	wide.fill()
	quickest := time.Hour
	for range 5 { // others use the machine, too
		began := time.Now()
		if found := Lint(wide, Limits{}); len(found) != 0 {
			t.Errorf("%+v", found)
		}
		quickest = min(quickest, time.Since(began))
	}
	if quickest > 100*time.Millisecond {
		t.Errorf("looking at the largest definition took %v, and it is looked at within a transaction", quickest)
	}
	chain := wide
	chain.Transforms = slices.Clone(wide.Transforms)
	chain.Transforms[0].SQL = fmt.Sprintf("SELECT * FROM t%d", maxTransforms-1)
	if found := Lint(chain, Limits{}); len(found) == 0 || found[0].Rule != "transform-cycle" {
		t.Errorf("%+v", found)
	}
}

func TestSelect(t *testing.T) {
	d := parse(t, good)
	at := time.Date(2001, 3, 10, 12, 0, 0, 0, time.UTC)
	names := func(sel *Selection) string {
		var out []string
		for _, s := range sel.Sources {
			out = append(out, s.Name)
		}
		out = append(out, ">")
		for _, s := range sel.Transforms {
			out = append(out, s.Name)
		}
		out = append(out, ">")
		for _, s := range sel.Targets {
			out = append(out, s.Name)
		}
		for _, s := range sel.Without {
			out = append(out, "-"+s.Name)
		}
		for _, s := range sel.Left {
			out = append(out, "!"+s)
		}
		return strings.Join(out, " ")
	}
	tests := []struct {
		sources, targets []string
		want, span       string
		field            string // of a refusal
	}{
		{nil, nil, "flights airports weather > clean features > train clean", "2001-02-01/2001-03-01", ""},
		{nil, []string{"clean"}, "flights airports > clean > clean !weather", "2001-02-01/2001-03-01", ""},
		{nil, []string{"DP-DLY-001.clean"}, "flights airports > clean > clean !weather", "2001-02-01/2001-03-01", ""},
		{[]string{"flights@2000-12-01/2001-01-01"}, nil, "flights > clean features > train clean -weather", "2000-12-01/2001-01-01", ""},
		{[]string{"flights@2000-12-01T00:00Z/2000-12-01T06:00Z", "weather@2000-12-01T01:00:00+01:00/2000-12-01T06:00Z"}, []string{"train"},
			"flights weather > clean features > train", "2000-12-01T00:00:00Z/2000-12-01T06:00:00Z", ""},
		{[]string{"weather"}, nil, "", "", "data_sources"},
		{[]string{"weather"}, []string{"clean"}, "", "", "target_datasets[0]"},
		{[]string{"flight"}, nil, "", "", "data_sources[0]"},
		{[]string{"flights", "flights"}, nil, "", "", "data_sources[1]"},
		{[]string{"flights@2001"}, nil, "", "", "data_sources[0]"},
		{[]string{"flights@2001-01-01/2001-02-01", "weather@2001-01-01/2001-02-02"}, nil, "", "", "data_sources[1]"},
		{nil, []string{"trian"}, "", "", "target_datasets[0]"},
		{nil, []string{"train", "DP-DLY-001.train"}, "", "", "target_datasets[1]"},
	}
	for _, test := range tests {
		sel, err := d.Select(test.sources, test.targets, at)
		if test.field != "" {
			if e := caos.AsError(err); err == nil || e.Field != test.field || e.Kind != caos.Invalid {
				t.Errorf("%v %v: %v", test.sources, test.targets, err)
			}
			continue
		}
		if err != nil || names(sel) != test.want || sel.Span != test.span {
			t.Errorf("%v %v: %s of %s, %v", test.sources, test.targets, names(sel), sel.Span, err)
		}
	}
	sel, err := d.Select(nil, nil, at)
	if err != nil || sel.Sources[0].URI != "file:///data/in/flights-200102.csv.gz" || sel.Targets[0].URI != "s3://bucket/train/2001-02-01_2001-03-01/" {
		t.Errorf("%+v %v", sel, err)
	}
	if d.Sources[0].URI != "file:///data/in/flights-{yyyy}{mm}.csv.gz" {
		t.Error("the definition was changed")
	}
	plain := parse(t, strings.NewReplacer("interval: month", "", "{yyyy}", "", "{mm}", "", "{interval}", "x", "getvariable('interval_start')", "1").Replace(good))
	if _, err := plain.Select([]string{"flights@2001-01-01/2001-02-01"}, nil, at); caos.AsError(err).Rule != "interval-none" {
		t.Error(err)
	}
	// Two places that are one in this run alone.
	close := d
	close.Targets = slices.Clone(d.Targets)
	close.Targets[1].URI = "s3://bucket/train/2001-02-01_2001-03-01/x.csv"
	if _, err := close.Select(nil, nil, at); caos.AsError(err).Rule != "target-overlap" {
		t.Error(err)
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "7": 7, "7 B": 7, "512 MB": 512e6, "512mb": 512e6, "1 GiB": 1 << 30, "1.5 gib": 3 << 29, "2TB": 2e12, "64 KiB": 64 << 10, "1 kb": 1000} {
		if n, err := ParseSize(text); err != nil || n != want {
			t.Errorf("%q: %d, %v", text, n, err)
		}
	}
	for _, text := range []string{"", "GiB", "1 G", "1  GiB", "-1 GiB", "1e9", "1,5 GiB", "1.5", "0x10", "1 GiB ", "9999999999 TiB", "1.5 B"} {
		if n, err := ParseSize(text); err == nil {
			t.Errorf("%q: %d", text, n)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1 << 30: "1 GiB", 3 << 29: "1536 MiB", 5e6: "5 MB", 1000: "1 kB"} {
		if got := FormatSize(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
		if n2, err := ParseSize(FormatSize(n)); err != nil || n2 != n {
			t.Errorf("%d came back as %d", n, n2)
		}
	}
}

// A definition that was read can be looked at, chosen from and digested, whatever it is, and
// one without errors can be put in order.
func FuzzParseDefinition(f *testing.F) {
	f.Add([]byte(good), false)
	f.Add([]byte(`{"pipeline_id":"DP-A-001","sources":[{"name":"a","uri":"s3://b/{yyyy}"}],"targets":[{"name":"t","from":"a","uri":"file:///x/"}]}`), true)
	f.Add([]byte("sources: [{name: a, uri: 'file:///a*'}]\ntargets: [{from: a, uri: 'file:///ab'}]\ntransforms: [{name: b, sql: \"select * from a, b where $$ x\"}]"), false)
	f.Fuzz(func(t *testing.T, text []byte, isJSON bool) {
		kind := "application/yaml"
		if isJSON {
			kind = "application/json"
		}
		d, err := ParseDefinition(text, kind)
		if err != nil {
			var e *caos.Error
			if !errors.As(err, &e) || e.Kind != caos.Invalid && e.Kind != caos.TooLarge {
				t.Fatalf("%v", err)
			}
			return
		}
		found := Lint(d, Limits{})
		if _, err := d.Digest(); err != nil && caos.KindOf(err) != caos.Invalid {
			t.Fatalf("digest: %v", err)
		}
		if FirstError(found) != nil {
			return
		}
		order, err := d.Ordered()
		if err != nil || len(order) != len(d.Transforms) {
			t.Fatalf("%d of %d transforms: %v", len(order), len(d.Transforms), err)
		}
		if _, err := d.Select(nil, nil, time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)); err != nil && caos.KindOf(err) != caos.Invalid {
			t.Fatalf("select: %v", err)
		}
		if _, err := d.Compute.Request(); err != nil {
			t.Fatal(err)
		}
	})
}
