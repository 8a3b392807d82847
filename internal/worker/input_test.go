package worker_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"caos/internal/worker"
)

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

func zstandard(text string) string {
	w, _ := zstd.NewWriter(nil)
	return string(w.EncodeAll([]byte(text), nil))
}

// numbers is a CSV of n rows.
func numbers(n int) string {
	var b strings.Builder
	b.WriteString("id,name\n")
	for i := range n {
		fmt.Fprintf(&b, "%d,name %d\n", i, i*7919)
	}
	return b.String()
}

// parquet makes Parquet by the worker itself.
func parquet(t testing.TB, sql string) string {
	t.Helper()
	folder := files(t, nil)
	_, f := do(t, folder, worker.Job{Steps: []worker.Statement{{Name: "s", SQL: sql}}, Outputs: []worker.Output{{Name: "o", From: "s", Format: "parquet"}}})
	if f != nil {
		t.Fatal(f)
	}
	text, err := os.ReadFile(filepath.Join(folder, "out", "o", "data.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func flip(text string, at int) string {
	b := []byte(text)
	for i := range 16 {
		b[at+i] ^= 0xff
	}
	return string(b)
}

func TestBadInput(t *testing.T) {
	good := parquet(t, "SELECT i AS id, 'name ' || i AS name FROM range(50000) r(i)")
	long := numbers(50_000)
	no := false
	huge := []byte(good)
	binary.LittleEndian.PutUint32(huge[len(huge)-8:], 0x7fffffff) // the length of the metadata
	deepJSON := strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000)
	for name, tt := range map[string]struct {
		file  string
		in    worker.Input
		sql   string
		kind  string // "" is no failure
		line  int64
		says  string
		phase string
	}{
		"good":               {file: long, in: worker.Input{Format: "csv"}},
		"good parquet":       {file: good, in: worker.Input{Format: "parquet"}},
		"good gzip":          {file: gzipped(long), in: worker.Input{Format: "csv"}},
		"two gzips in one":   {file: gzipped(numbers(10)) + gzipped("10,x\n"), in: worker.Input{Format: "csv"}},
		"good zstd":          {file: zstandard(long), in: worker.Input{Format: "csv"}},
		"header alone":       {file: "id,name\n", in: worker.Input{Format: "csv"}},
		"empty CSV":          {file: "", in: worker.Input{Format: "csv"}, kind: worker.KindInput},
		"missing":            {file: "-", in: worker.Input{Format: "csv"}, kind: worker.KindInput, says: "not there"},
		"ragged, short":      {file: "id,name,x\n1,a,b\n2,c\n3,d,e\n", in: worker.Input{Format: "csv"}, kind: worker.KindInput, line: 3, says: "Expected Number of Columns: 3 Found: 2"},
		"ragged, long":       {file: "id,name\n1,a\n2,b\n3,c,d\n", in: worker.Input{Format: "csv"}, kind: worker.KindInput, line: 4, says: "Expected Number of Columns: 2 Found: 3"},
		"ragged, late":       {file: long + "1,2,3\n", in: worker.Input{Format: "csv"}, kind: worker.KindInput, line: 50_002, says: "Expected Number of Columns"},
		"not a number":       {file: "id,name\n1,a\nx,b\n", in: worker.Input{Format: "csv", Columns: []worker.Column{{Name: "id", Type: "BIGINT"}}}, kind: worker.KindInput, line: 3, says: `Could not convert string "x"`},
		"bad encoding, late": {file: long + "1,caf\xe9\n", in: worker.Input{Format: "csv"}, kind: worker.KindInput, line: 50_002, says: "not utf-8"},
		"bad encoding":       {file: "id,name\n1,caf\xe9\n", in: worker.Input{Format: "csv"}, kind: worker.KindInput, line: 2, says: "not text in UTF-8"},
		"latin-1":            {file: "id,name\n1,caf\xe9\n", in: worker.Input{Format: "csv", CSV: &worker.CSV{Encoding: "latin-1"}}},
		"utf-16":             {file: "\xff\xfei\x00d\x00\n\x001\x00\n\x00", in: worker.Input{Format: "csv", CSV: &worker.CSV{Encoding: "utf-16"}}, sql: "SELECT * FROM a"},
		"open quote":         {file: "id,name\n1,\"a\n2,b\n", in: worker.Input{Format: "csv"}, kind: worker.KindInput},
		"zeroes":             {file: strings.Repeat("\x00", 100_000), in: worker.Input{Format: "csv"}, kind: worker.KindInput},
		"noise":              {file: strings.Repeat("\xde\xad\xbe\xef\x01", 10_000), in: worker.Input{Format: "csv"}, kind: worker.KindInput},
		"endless line":       {file: "id,name\n" + strings.Repeat("x", 8<<20), in: worker.Input{Format: "csv"}, kind: worker.KindInput},
		"semicolons":         {file: "id;name\n1;a\n", in: worker.Input{Format: "csv", CSV: &worker.CSV{Delimiter: ";"}}},
		"no header":          {file: "1,a\n2,b\n", in: worker.Input{Format: "csv", CSV: &worker.CSV{Header: &no}}, sql: "SELECT column0 FROM a"},
		"cut gzip":           {file: gzipped(long)[:60_000], in: worker.Input{Format: "csv"}, kind: worker.KindInput, says: "cut off"},
		"gzip cut in a row":  {file: gzipped(long + "1,2\n")[:len(gzipped(long))-9], in: worker.Input{Format: "csv"}, kind: worker.KindInput, says: "cut off"},
		"damaged gzip":       {file: flip(gzipped(long), 40_000), in: worker.Input{Format: "csv"}, kind: worker.KindInput, says: "gzip file"},
		"bad check sum":      {file: flip(gzipped(long)+strings.Repeat("\x00", 16), len(gzipped(long))-8)[:len(gzipped(long))], in: worker.Input{Format: "csv"}, kind: worker.KindInput, says: "damaged"},
		"cut zstd":           {file: zstandard(long)[:60_000], in: worker.Input{Format: "csv"}, kind: worker.KindInput, says: "cut off"},
		"damaged zstd":       {file: flip(zstandard(long), 40_000), in: worker.Input{Format: "csv"}, kind: worker.KindInput, says: "zstd file"},
		"gzip said to be no": {file: gzipped(long), in: worker.Input{Format: "csv", Compression: "none"}, kind: worker.KindInput, says: "expected compression none, found gzip"},
		"zip":                {file: "PK\x03\x04...........", in: worker.Input{Format: "csv"}, kind: worker.KindInput, says: "zip"},
		"parquet as csv":     {file: good, in: worker.Input{Format: "csv"}, kind: worker.KindInput, says: "Parquet"},
		"csv as parquet":     {file: long, in: worker.Input{Format: "parquet"}, kind: worker.KindInput, says: "not a Parquet"},
		"cut parquet":        {file: good[:len(good)/2], in: worker.Input{Format: "parquet"}, kind: worker.KindInput},
		"damaged parquet":    {file: flip(good, len(good)/3), in: worker.Input{Format: "parquet"}, kind: worker.KindInput, phase: worker.PhaseQuery},
		"damaged metadata":   {file: flip(good, len(good)-200), in: worker.Input{Format: "parquet"}, kind: worker.KindInput},
		"huge metadata":      {file: string(huge), in: worker.Input{Format: "parquet"}, kind: worker.KindInput},
		"short parquet":      {file: "PAR1", in: worker.Input{Format: "parquet"}, kind: worker.KindInput},
		"empty gzip":         {file: gzipped(""), in: worker.Input{Format: "csv"}, kind: worker.KindInput},
		"empty parquet":      {file: parquet(t, "SELECT 1 AS id, '' AS name WHERE false"), in: worker.Input{Format: "parquet"}},
		"json":               {file: `[{"id":1,"name":"a"},{"id":2,"name":"b"}]`, in: worker.Input{Format: "json"}},
		"ndjson":             {file: "{\"id\":1,\"name\":\"a\"}\n{\"id\":2,\"name\":\"b\"}\n", in: worker.Input{Format: "ndjson"}},
		"ndjson gzip":        {file: gzipped("{\"id\":1,\"name\":\"a\"}\n"), in: worker.Input{Format: "ndjson"}},
		"bad ndjson, late":   {file: strings.Repeat("{\"id\":1,\"name\":\"a\"}\n", 200_000) + "{\"id\":x}\n{\"id\":1}\n", in: worker.Input{Format: "ndjson"}, kind: worker.KindInput, line: 200_001},
		"bad ndjson":         {file: "{\"id\":1,\"name\":\"a\"}\n{\"id\":\n", in: worker.Input{Format: "ndjson"}, kind: worker.KindInput, line: 2},
		"deep json":          {file: deepJSON, in: worker.Input{Format: "ndjson"}, sql: "SELECT 1", kind: worker.KindCrash, phase: worker.PhaseInput},
		"json of no objects": {file: `[1,2]`, in: worker.Input{Format: "json"}, kind: worker.KindSQL},
		"missing column":     {file: "id,name\n1,a\n", in: worker.Input{Format: "csv", Columns: []worker.Column{{Name: "when", Type: "DATE"}}}, kind: worker.KindSchema, says: `the expected column "when" (DATE) is missing; there are: id, name`},
		"missing in parquet": {file: good, in: worker.Input{Format: "parquet", Columns: []worker.Column{{Name: "when", Type: "DATE"}}}, kind: worker.KindSchema, says: `"when"`},
		"missing in json":    {file: `[{"id":1}]`, in: worker.Input{Format: "json", Columns: []worker.Column{{Name: "when"}}}, kind: worker.KindSchema, says: `"when"`},
		"another type":       {file: good, in: worker.Input{Format: "parquet", Columns: []worker.Column{{Name: "id", Type: "VARCHAR"}}}, kind: worker.KindSchema, says: `"id" is of type BIGINT, not VARCHAR`},
		"types by any name":  {file: good, in: worker.Input{Format: "parquet", Columns: []worker.Column{{Name: "id", Type: "int8"}, {Name: "name", Type: "text"}}}},
		"no such type":       {file: good, in: worker.Input{Format: "parquet", Columns: []worker.Column{{Name: "id", Type: "NUMBERS"}}}, kind: worker.KindSchema, says: "which is none"},
		"type that escapes":  {file: good, in: worker.Input{Format: "parquet", Columns: []worker.Column{{Name: "id", Type: "BIGINT) AS x, (SELECT 1"}}}, kind: worker.KindSchema},
		"required":           {file: "id,name\n1,a\n2,\n", in: worker.Input{Format: "csv", Columns: []worker.Column{{Name: "name", Required: true}}}, kind: worker.KindSchema, says: `"name" must have a value in every row; 1 have none`},
		"pattern":            {file: long, in: worker.Input{Format: "csv", Files: []string{"*"}}, kind: worker.KindRefused},
		"outside":            {file: long, in: worker.Input{Format: "csv", Files: []string{"../../etc/passwd"}}, kind: worker.KindRefused},
		"absolute":           {file: long, in: worker.Input{Format: "csv", Files: []string{"/etc/passwd"}}, kind: worker.KindRefused},
		"link":               {file: long, in: worker.Input{Format: "csv", Files: []string{"trap"}}, kind: worker.KindRefused, says: "regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := files(t, map[string]string{"f.dat": tt.file})
			if tt.file == "-" {
				_ = os.Remove(filepath.Join(folder, "in", "f.dat"))
			}
			if err := os.Symlink("/etc/passwd", filepath.Join(folder, "in", "trap")); err != nil {
				t.Fatal(err)
			}
			tt.in.Name = "a"
			if tt.in.Files == nil {
				tt.in.Files = []string{"f.dat"}
			}
			if tt.sql == "" {
				tt.sql = "SELECT count(*), min(id), max(name) FROM a"
			}
			result, f := do(t, folder, worker.Job{Inputs: []worker.Input{tt.in}, Queries: []worker.Query{{Name: "q", SQL: tt.sql}}})
			if tt.kind == "" {
				if f != nil {
					t.Fatalf("%s: %v", f.Kind, f)
				}
				t.Log(show(result.Queries["q"].Rows))
				return
			}
			if f == nil {
				t.Fatalf("no failure: %s", show(result))
			}
			t.Logf("%s: %v", f.Kind, f)
			if f.Kind != tt.kind || tt.line != 0 && f.Line != tt.line || !strings.Contains(f.Message, tt.says) {
				t.Errorf("%s: %+v", f.Kind, f)
			}
			if tt.phase != "" && f.Phase != tt.phase {
				t.Errorf("it is said to be of phase %q", f.Phase)
			}
			if tt.kind == worker.KindInput && f.File != "in/f.dat" {
				t.Errorf("the file is not named: %+v", f)
			}
			if strings.Contains(f.Message, folder) || strings.Contains(f.Message, "/job") {
				t.Errorf("a path of this machine: %v", f)
			}
		})
	}
}

func TestRejectedRows(t *testing.T) {
	csv := "id,name\n1,a\nx,b\n3,c,d\n4,e\ny,f\n"
	in := worker.Input{Name: "a", Files: []string{"in/f.csv"}, Format: "csv", Columns: []worker.Column{{Name: "id", Type: "INTEGER"}}, MaxRejected: 3}
	result, f := do(t, files(t, map[string]string{"f.csv": csv}), worker.Job{Inputs: []worker.Input{in}, Queries: []worker.Query{{Name: "q", SQL: "SELECT sum(id) FROM a"}}})
	if f != nil {
		t.Fatal(f)
	}
	got := result.Inputs[0]
	if got.Rows != 2 || got.Rejected != 3 || len(got.Rejects) != 3 || got.Rejects[0].Line != 3 || got.Rejects[0].File != "in/f.csv" || got.Rejects[1].Line != 4 || got.Rejects[2].Line != 6 {
		t.Errorf("%s", show(got))
	}
	if rows := show(result.Queries["q"].Rows); rows != `[["5"]]` && rows != `[[5]]` {
		t.Error(rows)
	}
	in.MaxRejected = 2
	_, f = do(t, files(t, map[string]string{"f.csv": csv}), worker.Job{Inputs: []worker.Input{in}})
	if f == nil || f.Kind != worker.KindInput || f.Line != 3 || !strings.Contains(f.Message, "more than the 2 bad rows") {
		t.Errorf("%v", f)
	}
	// A bad file among good ones is named.
	in.MaxRejected, in.Files = 0, []string{"1.csv", "2.csv"}
	_, f = do(t, files(t, map[string]string{"1.csv": "id,name\n1,a\n", "2.csv": "id,name\n1,a\n2,b\nx,c\n"}), worker.Job{Inputs: []worker.Input{in}})
	if f == nil || f.Kind != worker.KindInput || f.File != "in/2.csv" || f.Line != 4 {
		t.Errorf("%+v", f)
	}
}

// TestSeveralFiles: columns meet by their names or not at all.
func TestSeveralFiles(t *testing.T) {
	a, b := parquet(t, "SELECT 'x' AS p, 'y' AS q"), parquet(t, "SELECT 'y' AS q, 'x' AS p")
	c := parquet(t, "SELECT 'x' AS p")
	for name, tt := range map[string]struct {
		format string
		texts  map[string]string
		kind   string
	}{
		"alike":           {"csv", map[string]string{"1": "p,q\nx,y\n", "2": "p,q\r\nx,y\r\n"}, ""},
		"with a mark":     {"csv", map[string]string{"1": "\xef\xbb\xbfp,q\nx,y\n", "2": "p,q\nx,y\n"}, ""},
		"swapped":         {"csv", map[string]string{"1": "p,q\nx,y\n", "2": "q,p\ny,x\n"}, worker.KindSchema},
		"fewer":           {"csv", map[string]string{"1": "p,q\nx,y\n", "2": "p\nx\n"}, worker.KindSchema},
		"gzip":            {"csv", map[string]string{"1": gzipped("p,q\nx,y\n"), "2": gzipped("p,q\nx,y\n")}, ""},
		"mixed":           {"csv", map[string]string{"1": gzipped("p,q\nx,y\n"), "2": "p,q\nx,y\n"}, worker.KindInput},
		"parquet":         {"parquet", map[string]string{"1": a, "2": a}, ""},
		"parquet swapped": {"parquet", map[string]string{"1": a, "2": b}, ""},
		"parquet fewer":   {"parquet", map[string]string{"1": a, "2": c}, worker.KindInput},
	} {
		result, f := do(t, files(t, tt.texts), worker.Job{Inputs: []worker.Input{{Name: "a", Files: []string{"1", "2"}, Format: tt.format}},
			Queries: []worker.Query{{Name: "q", SQL: "SELECT count(*) FILTER (WHERE p = 'x' AND q = 'y') FROM a"}}})
		switch {
		case tt.kind == "" && f != nil:
			t.Errorf("%s: %v", name, f)
		case tt.kind == "" && show(result.Queries["q"].Rows) != "[[2]]":
			t.Errorf("%s: %s", name, show(result.Queries["q"].Rows))
		case tt.kind != "" && (f == nil || f.Kind != tt.kind || f.File == ""):
			t.Errorf("%s: %v", name, f)
		}
	}
}

// TestHugeMetadata: a footer that claims a gigabyte, and has it, is held by memory.
func TestHugeMetadata(t *testing.T) {
	folder := files(t, map[string]string{"f.parquet": "PAR1"})
	f, err := os.OpenFile(filepath.Join(folder, "in", "f.parquet"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("\x00\x00\x00\x40PAR1"), 1<<30+64); err != nil { // the rest is a hole
		t.Fatal(err)
	}
	_, failure := do(t, folder, worker.Job{Inputs: []worker.Input{{Name: "a", Files: []string{"f.parquet"}, Format: "parquet"}}})
	if failure == nil || failure.Kind != worker.KindMemory && failure.Kind != worker.KindInput {
		t.Errorf("%+v", failure)
	}
	t.Log(failure)
}

// TestAFullDisk: a disk that is full is said to be.
func TestAFullDisk(t *testing.T) {
	folder := files(t, nil)
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=4m"); err != nil {
		t.Skip("cannot make a small disk: ", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(folder, 0) })
	_, f := do(t, folder, worker.Job{Steps: []worker.Statement{{Name: "s", SQL: "SELECT hash(i) AS h FROM range(3000000) r(i)"}}, Outputs: []worker.Output{{Name: "o", From: "s", Format: "csv"}}})
	if f == nil || f.Kind != worker.KindDisk {
		t.Errorf("%+v", f)
	}
}

// TestValues: every type comes back as worker.Rows says.
func TestValues(t *testing.T) {
	result, f := do(t, files(t, nil), worker.Job{Queries: []worker.Query{{Name: "q", SQL: `SELECT 'NaN'::DOUBLE AS a, 'Infinity'::DOUBLE AS b, '-Infinity'::FLOAT AS c, 1.50::DECIMAL(10,2) AS d, -0.05::DECIMAL(3,2) AS e,
		9007199254740993::BIGINT AS f, 42::BIGINT AS g, 170141183460469231731687303715884105727::HUGEINT AS h, DATE '2001-02-03' AS i, TIMESTAMP '2001-02-03 04:05:06.789' AS j,
		TIMESTAMPTZ '2001-02-03 04:05:06+02' AS k, TIME '04:05:06' AS l, [1, NULL] AS m, {'x': 'NaN'::DOUBLE} AS n, '\xAB'::BLOB AS o, NULL AS p, true AS q, 'ü' AS r,
		'00000000-0000-0000-0000-000000000001'::UUID AS s, INTERVAL 1 MONTH AS u, 1.5::DOUBLE AS v, 18446744073709551615::UBIGINT AS w, [DATE '2001-02-03'] AS x, 0::DECIMAL(10,2) AS y, 'a'::ENUM('a') AS z`},
		{Name: "cut", SQL: "SELECT i FROM range(10) r(i) ORDER BY i DESC", MaxRows: 2}, {Name: "none", SQL: "SELECT 1 AS one WHERE false"}, {Name: "div", SQL: "SELECT avg(i), sum(i), 1 / 0, 0.0 / 0 FROM range(0) r(i)"}}})
	if f != nil {
		t.Fatal(f)
	}
	want := `["NaN","Infinity","-Infinity","1.50","-0.05","9007199254740993",42,"170141183460469231731687303715884105727","2001-02-03","2001-02-03T04:05:06.789Z","2001-02-03T02:05:06Z","04:05:06",[1,null],{"x":"NaN"},"qw==",null,true,"ü","00000000-0000-0000-0000-000000000001","P1M0DT0S",1.5,"18446744073709551615",["2001-02-03"],"0.00","a"]`
	if got := show(result.Queries["q"].Rows[0]); got != want {
		t.Errorf("\n%s\n%s", got, want)
	}
	if got := show(result.Queries["cut"]); got != `{"columns":[{"name":"i","type":"BIGINT"}],"rows":[[9],[8]],"truncated":true}` {
		t.Error(got)
	}
	if got := show(result.Queries["none"]); got != `{"columns":[{"name":"one","type":"INTEGER"}],"rows":[]}` {
		t.Error(got)
	}
	t.Log(show(result.Queries["div"]))
}

// TestOutputs: what was written can be read again, is the same each time, and partitions
// lie in folders.
func TestOutputs(t *testing.T) {
	var digests []string
	for range 2 {
		folder := files(t, map[string]string{"a.csv": numbers(300_000)})
		result, f := do(t, folder, worker.Job{
			Inputs: []worker.Input{{Name: "a", Files: []string{"a.csv"}, Format: "csv"}},
			Steps: []worker.Statement{{Name: "b", SQL: "SELECT *, id % 12 AS month, id % 2 = 0 AS even FROM a"},
				{Name: "odd", SQL: "SELECT id, CASE WHEN id % 3 > 0 THEN DATE '2001-01-01' + (id % 3)::INTEGER END AS d, CASE WHEN id % 2 = 0 THEN '../a/ü'' b' END AS s FROM a"}},
			Outputs: []worker.Output{
				{Name: "plain", From: "b", Format: "parquet"}, {Name: "zstd", From: "b", Format: "parquet", Compression: "zstd"},
				{Name: "sorted", From: "b", Format: "parquet", OrderBy: []string{"name"}}, {Name: "csv", From: "b", Format: "csv"},
				{Name: "gz", From: "b", Format: "csv", Compression: "gzip"}, {Name: "zst", From: "b", Format: "csv", Compression: "zstd"},
				{Name: "months", From: "b", Format: "parquet", PartitionBy: []string{"month"}, OrderBy: []string{"id"}},
				{Name: "both", From: "b", Format: "csv", PartitionBy: []string{"month", "even"}},
				{Name: "ties", From: "b", Format: "parquet", OrderBy: []string{"month"}},
				{Name: "odd", From: "odd", Format: "csv", PartitionBy: []string{"d", "s"}},
			},
		})
		if f != nil {
			t.Fatal(f)
		}
		var all []string
		for _, o := range result.Outputs {
			if o.Rows != 300_000 || len(o.Files) == 0 {
				t.Errorf("%s: %d rows in %d files", o.Name, o.Rows, len(o.Files))
			}
			if o.Name == "months" && (len(o.Files) != 12 || !slices.ContainsFunc(o.Files, func(f worker.File) bool { return strings.HasPrefix(f.Path, "out/months/month=11/") })) {
				t.Errorf("%s", show(o.Files))
			}
			for _, file := range o.Files {
				all = append(all, o.Name+" "+file.Path+" "+file.Digest)
			}
		}
		digests = append(digests, strings.Join(all, "\n"))
	}
	if digests[0] != digests[1] {
		a, b := strings.Split(digests[0], "\n"), strings.Split(digests[1], "\n")
		for i := range a {
			if i < len(b) && a[i] != b[i] {
				t.Errorf("%s\n%s", a[i], b[i])
			}
		}
	}
}

func TestLimitsOfTheEngine(t *testing.T) {
	for name, tt := range map[string]struct {
		job  worker.Job
		lim  worker.Limits
		kind string
	}{
		"memory": {worker.Job{TempBytes: 1 << 20, Queries: []worker.Query{{Name: "q", SQL: "SELECT count(*) FROM (SELECT list(i) AS l FROM range(100000000) r(i)) WHERE len(l) > 1"}}},
			worker.Limits{MemoryBytes: 256 << 20, Threads: 1, ScratchBytes: 64 << 20, Timeout: time.Minute}, worker.KindMemory},
		"spill": {worker.Job{Queries: []worker.Query{{Name: "q", SQL: "SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY hash(i)) AS n, hash(i) AS h FROM range(30000000) r(i))"}}},
			worker.Limits{MemoryBytes: 256 << 20, Threads: 2, ScratchBytes: 32 << 20, Timeout: time.Minute}, worker.KindDisk},
		"disk": {worker.Job{Steps: []worker.Statement{{Name: "s", SQL: "SELECT uuid()::VARCHAR AS u FROM range(100000000)"}}, Outputs: []worker.Output{{Name: "o", From: "s", Format: "csv"}}},
			worker.Limits{MemoryBytes: 512 << 20, Threads: 2, ScratchBytes: 32 << 20, Timeout: time.Minute}, worker.KindDisk},
		"time": {worker.Job{Queries: []worker.Query{{Name: "q", SQL: "SELECT count(*) FROM range(1000000) a(i), range(1000000) b(j) WHERE hash(i + j) = 1"}}},
			worker.Limits{MemoryBytes: 512 << 20, Threads: 1, ScratchBytes: 32 << 20, Timeout: time.Second}, worker.KindTime},
		"one value": {worker.Job{Queries: []worker.Query{{Name: "q", SQL: "SELECT repeat('x', 2000000000)"}}},
			worker.Limits{MemoryBytes: 256 << 20, Threads: 1, ScratchBytes: 32 << 20, Timeout: time.Minute}, worker.KindMemory},
		"one long value": {worker.Job{Queries: []worker.Query{{Name: "q", SQL: "SELECT repeat('x', 2000000)"}}},
			worker.Limits{MemoryBytes: 256 << 20, Threads: 1, ScratchBytes: 32 << 20, Timeout: time.Minute}, worker.KindSQL},
		"deep": {worker.Job{Queries: []worker.Query{{Name: "q", SQL: "SELECT " + strings.Repeat("abs(", 800) + "1" + strings.Repeat(")", 800)}}},
			worker.Limits{MemoryBytes: 256 << 20, Threads: 1, ScratchBytes: 32 << 20, Timeout: time.Minute}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			_, err := runner(t, "").Run(context.Background(), files(t, nil), tt.job, tt.lim, nil)
			f, ok := err.(*worker.Failure)
			if !ok {
				t.Fatalf("%v", err)
			}
			t.Logf("%s after %s: %.300v", f.Kind, time.Since(begin), f)
			if tt.kind != "" && f.Kind != tt.kind {
				t.Errorf("%s: %+v", f.Kind, f)
			}
		})
	}
}

// TestABomb: a small file that grows a thousand times is held by memory and scratch.
func TestABomb(t *testing.T) {
	if testing.Short() {
		t.Skip("decompresses gigabytes")
	}
	row := strings.Repeat("0", 999) + "\n"
	bomb := gzipped("id\n" + strings.Repeat(row, 400_000))
	in := worker.Input{Name: "a", Files: []string{"b.csv.gz"}, Format: "csv", Columns: []worker.Column{{Name: "id", Type: "VARCHAR"}}}
	_, err := runner(t, "").Run(context.Background(), files(t, map[string]string{"b.csv.gz": bomb}), worker.Job{Inputs: []worker.Input{in}},
		worker.Limits{MemoryBytes: 256 << 20, Threads: 1, ScratchBytes: 64 << 20, Timeout: time.Minute}, nil)
	f, ok := err.(*worker.Failure)
	if !ok || f.Kind != worker.KindMemory && f.Kind != worker.KindDisk {
		t.Errorf("%v", err)
	}
	t.Logf("%d KiB: %v", len(bomb)>>10, err)
}
