package evidence_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/evidence"
)

func validate(t testing.TB, typ evidence.Type, format evidence.Format, content string) (evidence.Summary, error) {
	t.Helper()
	return evidence.Validate(t.Context(), typ, evidence.Input{Format: format, Content: strings.NewReader(content)}, evidence.Limits{MaxBytes: 64 << 20, MaxValue: 1 << 20})
}

const sarifHead = `{"$schema":"https://json.schemastore.org/sarif-2.1.0.json","version":"2.1.0","runs":[{"tool":{"driver":{"name":"lint","version":"3"}},"results":[`

func sarif(results ...string) string { return sarifHead + strings.Join(results, ",") + `]}]}` }

const aPDF = "%PDF-1.7\n1 0 obj <<>> endobj\nxref\n0 1\ntrailer <<>>\nstartxref\n9\n%%EOF\n"

func TestGoodArtifacts(t *testing.T) {
	for _, c := range []struct {
		name    string
		typ     evidence.Type
		content string
		format  evidence.Format // that is found
		verdict evidence.Verdict
		want    string // part of the summary's JSON
	}{
		{"junit", evidence.TestResult, junit("", ""), evidence.JUnit, evidence.Passed, `"tests":{"total":2,"passed":2,"failed":0,"skipped":0,"ids":["c.t0","c.t1"]}`},
		{"junit failed", evidence.TestResult, junit("", "<failure/>", "<error/>", "<skipped/>"), evidence.JUnit, evidence.Failed, `"total":4,"passed":1,"failed":2,"skipped":1,"failed_ids":["c.t1","c.t2"]`},
		{"junit all skipped", evidence.TestResult, junit("<skipped/>"), evidence.JUnit, evidence.Failed, `"skipped":1`},
		{"junit skipped after failure", evidence.TestResult, junit("<failure/><skipped/>"), evidence.JUnit, evidence.Failed, `"failed":1`},
		{"junit nested", evidence.TestResult, `<testsuite name="a" tests="2"><testsuite tests="1"><testcase name="x"/></testsuite><testcase name="y"/></testsuite>`, evidence.JUnit, evidence.Passed, `"ids":["x","y"]`},
		{"junit requirements", evidence.TestResult, junit(`<properties><property name="requirement" value="R-1, R-2"/></properties>`, `<properties><property name="Requirement" value="R-2"/></properties><failure/>`), evidence.JUnit, evidence.Failed, `"requirements":{"R-1":"PASSED","R-2":"FAILED"}`},
		{"junit requirement never run", evidence.TestResult, junit("", `<properties><property name="requirement" value="R-1"/></properties><skipped/>`), evidence.JUnit, evidence.Passed, `"requirements":{"R-1":"FAILED"}`},
		{"junit with a byte order mark", evidence.TestResult, "\ufeff" + junit(""), evidence.JUnit, evidence.Passed, `"total":1`},
		{"json with a byte order mark", evidence.Document, "\ufeff{\"a\":1}", evidence.JSON, evidence.Recorded, ``},
		{"junit unknown elements", evidence.TestResult, `<testsuites><testsuite><x><y/></x><testcase name="a"><system-out>1 &lt; 2 <![CDATA[<failure/>]]></system-out></testcase></testsuite></testsuites>`, evidence.JUnit, evidence.Passed, `"total":1`},
		{"sarif clean", evidence.TestResult, sarif(), evidence.SARIF, evidence.Passed, `"tool":"lint 3","results":{"error":0,`},
		{"sarif", evidence.TestResult, sarif(`{"message":{"text":"a"},"level":"error"}`, `{"message":{"text":"b"}}`, `{"message":{"text":"c"},"kind":"pass"}`, `{"message":{"text":"d"},"level":"error","suppressions":[{"kind":"external"}]}`, `{"message":{"text":"d"},"level":"note"}`), evidence.SARIF, evidence.Failed, `"results":{"error":1,"warning":1,"note":1,"none":1,"suppressed":1,"runs":1}`},
		{"sarif default level", evidence.TestResult, `{"version":"2.1.0","runs":[{"results":[{"ruleId":"A","message":{}},{"ruleIndex":1,"message":{}}],"tool":{"driver":{"rules":[{"id":"A","defaultConfiguration":{"level":"error"}},{"id":"B","defaultConfiguration":{"level":"note"}}],"name":"t"}}}]}`, evidence.SARIF, evidence.Failed, `"error":1,"warning":0,"note":1`},
		{"sarif that broke", evidence.TestResult, `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"invocations":[{"executionSuccessful":false}],"results":[]}]}`, evidence.SARIF, evidence.Failed, ``},
		{"results", evidence.TestResult, `{"tool":"rig 2","tests":[{"id":"a","status":"PASSED","requirement_ids":["R-1"]},{"name":"b","outcome":"skipped","extra":[1]}]}`, evidence.JSON, evidence.Passed, `"tool":"rig 2","tests":{"total":2,"passed":1,"failed":0,"skipped":1,"ids":["a","b"]},"requirements":{"R-1":"PASSED"}`},
		{"results list", evidence.TestResult, ` [{"nodeid":"a","outcome":"failed"}]`, evidence.JSON, evidence.Failed, `"failed_ids":["a"]`},
		{"metric csv", evidence.Metric, "time,altitude,mode\n0,1.5,climb\n1,2.5,climb\n2,,cruise\n", evidence.CSV, evidence.Recorded, `"series":{"points":3,"time":"time","metrics":[{"name":"altitude","points":2,"min":1.5,"max":2.5,"mean":2}]},"rows":3`},
		{"metric json", evidence.Metric, `{"unit":"ms","series":[{"timestamp":"2026-11-22T10:00:00Z","latency":3},{"timestamp":"2026-11-22T10:00:01Z","latency":5}]}`, evidence.JSON, evidence.Recorded, `"mean":4`},
		{"metric ndjson", evidence.Metric, "{\"ts\":1,\"v\":2}\n\n{\"ts\":2,\"v\":4}", evidence.NDJSON, evidence.Recorded, `"points":2`},
		{"log", evidence.Log, "10:00 started\r\n\x1b[31m10:01\x1b[0m äöü\n", evidence.Text, evidence.Recorded, `"lines":2`},
		{"log that looks like JSON", evidence.Log, "{\"a\":1}\n{\"b\":2}\n", evidence.NDJSON, evidence.Recorded, `"lines":2`},
		{"pdf", evidence.Document, aPDF, evidence.PDF, evidence.Recorded, `"format":"pdf"`},
		{"html", evidence.Document, "<!DOCTYPE html>\n<html><body>x</body></html>\n", evidence.HTML, evidence.Recorded, ``},
		{"json", evidence.Document, `{"a":[1,2,{"b":null}]}`, evidence.JSON, evidence.Recorded, ``},
		{"text", evidence.Document, "# Title\n", evidence.Text, evidence.Recorded, `"lines":1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			sum, err := validate(t, c.typ, "", c.content)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := json.Marshal(sum)
			if sum.Format != c.format || sum.Verdict != c.verdict || !strings.Contains(string(text), c.want) {
				t.Errorf("%s\nwant %s %s %s", text, c.format, c.verdict, c.want)
			}
			again, err := validate(t, c.typ, c.format, c.content)
			if a, _ := json.Marshal(again); err != nil || string(a) != string(text) {
				t.Errorf("with its format named: %s, %v", a, err)
			}
		})
	}
}

// TestFormatByName gives names that say what the first bytes do not.
func TestFormatByName(t *testing.T) {
	for name, c := range map[string]struct {
		typ     evidence.Type
		content string
		want    evidence.Format
	}{
		"notes.md":      {evidence.Document, "[link](https://example.com)\n", evidence.Markdown},
		"table.csv":     {evidence.Document, "a,b\n1,2\n", evidence.CSV},
		"run.log":       {evidence.Log, "{\"a\":1}\nplain\n", evidence.Text},
		"scan.json":     {evidence.TestResult, sarif(), evidence.SARIF},
		"scan.SARIF":    {evidence.TestResult, sarif(), evidence.SARIF},
		"series.jsonl":  {evidence.Metric, "{\"t\":1,\"v\":2}\n", evidence.NDJSON},
		"report.xml":    {evidence.TestResult, junit(""), evidence.JUnit},
		"report.pdf":    {evidence.Document, aPDF, evidence.PDF},
		"odd.unknown":   {evidence.Document, "text\n", evidence.Text},
		"no extension":  {evidence.Metric, "time,v\n1,2\n", evidence.CSV},
		"evidence.xml":  {evidence.Document, "<a/>\n", evidence.Text},
		"page.html":     {evidence.Document, "<html></html>", evidence.HTML},
		"archive.jsonl": {evidence.Log, "{\"a\":1}\n", evidence.NDJSON},
	} {
		sum, err := evidence.Validate(t.Context(), c.typ, evidence.Input{Name: name, Content: strings.NewReader(c.content)}, evidence.Limits{})
		if err != nil || sum.Format != c.want {
			t.Errorf("%s: %s, %v, want %s", name, sum.Format, err, c.want)
		}
	}
}

func TestRefusedArtifacts(t *testing.T) {
	laughs := `<?xml version="1.0"?><!DOCTYPE t [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><testsuite><testcase name="&b;"/></testsuite>`
	for _, c := range []struct {
		name    string
		typ     evidence.Type
		format  evidence.Format
		content string
		kind    caos.Kind
		say     string
	}{
		{"empty", evidence.Log, "", "", caos.Invalid, "empty"},
		{"gzip", evidence.Log, "", "\x1f\x8b\x08\x00rest", caos.Invalid, "compressed (gzip)"},
		{"gzip as text", evidence.Log, evidence.Text, "\x1f\x8b\x08\x00rest", caos.Invalid, "compressed (gzip)"},
		{"zip", evidence.Document, "", "PK\x03\x04rest", caos.Invalid, "compressed (zip)"},
		{"other format", evidence.Metric, evidence.PDF, aPDF, caos.Invalid, "not written in the format"},
		{"pdf as test", evidence.TestResult, "", aPDF, caos.Invalid, "not written in the format"},
		{"text as test", evidence.TestResult, "", "all tests passed, promise", caos.Invalid, "neither JUnit"},

		{"junit without tests", evidence.TestResult, "", junit(), caos.Invalid, "holds no test"},
		{"junit without anything", evidence.TestResult, evidence.JUnit, "   ", caos.Invalid, "no element"},
		{"junit with entities", evidence.TestResult, "", laughs, caos.Invalid, "document type declaration"},
		{"junit with unknown entity", evidence.TestResult, "", `<testsuite><testcase name="&lol;"/></testsuite>`, caos.Invalid, "not well-formed"},
		{"junit other root", evidence.TestResult, "", `<project/>`, caos.Invalid, `root is "project"`},
		{"junit cut", evidence.TestResult, "", junit("")[:60], caos.Invalid, "not well-formed"},
		{"junit fewer than declared", evidence.TestResult, "", `<testsuite tests="2"><testcase name="a"/></testsuite>`, caos.Invalid, "declares 2 tests and holds 1"},
		{"junit hides failures", evidence.TestResult, "", `<testsuite tests="1" failures="1"><testcase name="a"/></testsuite>`, caos.Invalid, "declares 1 failures"},
		{"junit shows undeclared failures", evidence.TestResult, "", `<testsuite tests="1" failures="0"><testcase name="a"><failure/></testcase></testsuite>`, caos.Invalid, "declares 0 failures"},
		{"junit nonsense count", evidence.TestResult, "", `<testsuite tests="-1"/>`, caos.Invalid, "declares tests"},
		{"junit nameless", evidence.TestResult, "", `<testsuite><testcase/></testsuite>`, caos.Invalid, "has no name"},
		{"junit test in test", evidence.TestResult, "", `<testsuite><testcase name="a"><testcase name="b"/></testcase></testsuite>`, caos.Invalid, "stands in"},
		{"junit two roots", evidence.TestResult, "", `<testsuite><testcase name="a"/></testsuite><testsuite/>`, caos.Invalid, "two documents"},
		{"junit text outside", evidence.TestResult, "", `<testsuite><testcase name="a"/></testsuite>and more`, caos.Invalid, "outside the report"},
		{"junit deep", evidence.TestResult, "", strings.Repeat("<testsuite>", 100), caos.TooLarge, "nested more than 64"},
		{"junit latin1", evidence.TestResult, "", `<?xml version="1.0" encoding="ISO-8859-1"?><testsuite/>`, caos.Invalid, "not well-formed"},
		{"junit bad requirement", evidence.TestResult, "", junit(`<properties><property name="requirement" value="../x"/></properties>`), caos.Invalid, "not a requirement id"},
		{"junit huge text", evidence.TestResult, "", `<testsuite><testcase name="a"><system-out>` + strings.Repeat("x", 3<<20), caos.TooLarge, "one value"},
		{"junit huge attribute", evidence.TestResult, "", `<testsuite><testcase name="` + strings.Repeat("x", 3<<20), caos.TooLarge, "one value"},

		{"sarif version", evidence.TestResult, evidence.SARIF, `{"version":"1.0.0","runs":[{"tool":{"driver":{"name":"t"}},"results":[]}]}`, caos.Invalid, "not 2.1.0"},
		{"sarif without runs", evidence.TestResult, evidence.SARIF, `{"version":"2.1.0","runs":[]}`, caos.Invalid, "holds no run"},
		{"sarif without results", evidence.TestResult, evidence.SARIF, `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}}}]}`, caos.Invalid, "has no results"},
		{"sarif without tool", evidence.TestResult, evidence.SARIF, `{"version":"2.1.0","runs":[{"results":[]}]}`, caos.Invalid, "does not name its tool"},
		{"sarif level", evidence.TestResult, "", sarif(`{"message":{},"level":"fatal"}`), caos.Invalid, "unknown level"},
		{"sarif kind", evidence.TestResult, "", sarif(`{"message":{},"kind":"maybe"}`), caos.Invalid, "unknown kind"},
		{"sarif result", evidence.TestResult, "", sarif(`7`), caos.Invalid, "not an object"},
		{"sarif duplicate key", evidence.TestResult, "", sarif(`{"message":{},"level":"note","level":"error"}`), caos.Invalid, "twice"},
		{"sarif duplicate runs", evidence.TestResult, "", sarif()[:len(sarif())-1] + `,"runs":[]}`, caos.Invalid, "twice"},
		{"sarif trailing", evidence.TestResult, "", sarif() + `{}`, caos.Invalid, "follows the end"},
		{"sarif cut", evidence.TestResult, "", sarifHead, caos.Invalid, "not well-formed"},
		{"sarif deep", evidence.TestResult, "", `{"version":"2.1.0","runs":[{"properties":` + strings.Repeat("[", 1000), caos.TooLarge, "nested"},
		{"sarif deep result", evidence.TestResult, "", sarif(`{"message":` + strings.Repeat(`{"a":`, 100) + `1` + strings.Repeat(`}`, 101)), caos.TooLarge, "nested"},
		{"sarif huge string", evidence.TestResult, "", sarifHead + `{"message":{"text":"` + strings.Repeat("x", 3<<20), caos.TooLarge, "one value"},

		{"results empty", evidence.TestResult, "", `{"tests":[]}`, caos.Invalid, "holds no test"},
		{"results none", evidence.TestResult, "", `{}`, caos.Invalid, "0 lists"},
		{"results two lists", evidence.TestResult, "", `{"tests":[{"id":"a","status":"ok"}],"results":[]}`, caos.Invalid, "2 lists"},
		{"results outcome", evidence.TestResult, "", `[{"id":"a","status":"fine"}]`, caos.Invalid, "outcome"},
		{"results without outcome", evidence.TestResult, "", `[{"id":"a"}]`, caos.Invalid, "outcome"},
		{"results without id", evidence.TestResult, "", `[{"status":"passed"}]`, caos.Invalid, "no id"},
		{"results scalar", evidence.TestResult, evidence.JSON, `7`, caos.Invalid, "neither"},
		{"results NaN", evidence.TestResult, evidence.JSON, `[{"id":"a","status":"passed","t":NaN}]`, caos.Invalid, "not well-formed"},

		{"metric without rows", evidence.Metric, "", "time,v\n", caos.Invalid, "no point"},
		{"metric without numbers", evidence.Metric, "", "time,v\n1,a\n", caos.Invalid, "no number"},
		{"metric without time", evidence.Metric, "", "a,b\n1,2\n", caos.Invalid, "orders its rows"},
		{"metric bad time", evidence.Metric, "", "time,v\nnoon,2\n", caos.Invalid, "neither a time"},
		{"metric NaN", evidence.Metric, "", "time,v\n1,NaN\n", caos.Invalid, "not a finite number"},
		{"metric overflow", evidence.Metric, "", "time,v\n1,1e999\n", caos.Invalid, "not a finite number"},
		{"metric mixed", evidence.Metric, "", "time,v\n1,2\n2,x\n", caos.Invalid, "as it was in the rows above"},
		{"metric ragged", evidence.Metric, "", "time,v\n1,2,3\n", caos.Invalid, "not well-formed"},
		{"metric same header", evidence.Metric, "", "time,v,v\n1,2,3\n", caos.Invalid, "no name of its own"},
		{"metric endless quote", evidence.Metric, "", "time,v\n1,\"" + strings.Repeat("x\n", 2<<20), caos.TooLarge, "one value"},
		{"metric json empty", evidence.Metric, "", `{"series":[]}`, caos.Invalid, "no point"},
		{"metric json point", evidence.Metric, "", `[{"time":1,"v":"x"}]`, caos.Invalid, "holds no number"},
		{"metric json no time", evidence.Metric, "", `[{"v":1}]`, caos.Invalid, "no member that orders it"},

		{"log blank", evidence.Log, "", " \n\t\n", caos.Invalid, "blank"},
		{"log binary", evidence.Log, "", "a\x00b\n", caos.Invalid, "byte 0"},
		{"log control", evidence.Log, "", "a\x07b\n", caos.Invalid, "control character"},
		{"log latin1", evidence.Log, "", "gr\xfc\xdfe\n", caos.Invalid, "UTF-8"},
		{"log cut character", evidence.Log, "", "gr\xc3", caos.Invalid, "UTF-8"},
		{"log long line", evidence.Log, "", strings.Repeat("x", 100_000), caos.TooLarge, "line 1 has more than"},
		{"ndjson bad line", evidence.Log, evidence.NDJSON, "{\"a\":1}\n[1]\n", caos.Invalid, "line 2"},
		{"ndjson duplicate", evidence.Log, evidence.NDJSON, "{\"a\":1,\"a\":2}\n", caos.Invalid, "line 1"},

		{"pdf cut", evidence.Document, "", aPDF[:40], caos.Invalid, "breaks off"},
		{"pdf with a tail", evidence.Document, "", aPDF + strings.Repeat(" ", 5000), caos.Invalid, "breaks off"},
		{"pdf in name only", evidence.Document, evidence.PDF, "text", caos.Invalid, "does not begin"},
		{"html cut", evidence.Document, "", "<html><body>", caos.Invalid, "breaks off"},
		{"html in name only", evidence.Document, evidence.HTML, "text </html>", caos.Invalid, "does not begin"},
		{"json empty", evidence.Document, "", "{}", caos.Invalid, "empty"},
		{"json broken", evidence.Document, "", "{\"a\":", caos.Invalid, "not well-formed"},
		{"json deep", evidence.Document, "", strings.Repeat("[", 1<<20), caos.TooLarge, "nested"},
		{"table empty", evidence.Document, evidence.CSV, "a,b\n", caos.Invalid, "no row"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := validate(t, c.typ, c.format, c.content)
			field := "artifact_uri"
			if strings.Contains(c.say, "not written in the format") {
				field = "artifact_metadata.format"
			}
			wantError(t, err, c.kind, field, c.say)
		})
	}
}

// stream gives content that is too long to hold, without holding it.
type stream struct {
	head, body, tail string
	size, at         int64
}

func (s *stream) Read(p []byte) (int, error) {
	if s.at >= s.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), s.size-s.at))
	end := s.size - int64(len(s.tail))
	for i := range n {
		switch at := s.at + int64(i); {
		case at < int64(len(s.head)):
			p[i] = s.head[at]
		case at >= end:
			p[i] = s.tail[at-end]
		default:
			p[i] = s.body[(at-int64(len(s.head)))%int64(len(s.body))]
		}
	}
	s.at += int64(n)
	return n, nil
}

func (s *stream) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
		s.at = offset
	case io.SeekEnd:
		s.at = s.size + offset
	}
	return s.at, nil
}

func whole(head, body, tail string, times int64) *stream {
	return &stream{head: head, body: body, tail: tail, size: int64(len(head)) + int64(len(body))*times + int64(len(tail))}
}

// TestLargeArtifacts reads tens of megabytes of each format in little memory.
func TestLargeArtifacts(t *testing.T) {
	result := `{"message":{"text":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},"level":"note"},`
	for name, c := range map[string]struct {
		typ evidence.Type
		s   *stream
	}{
		"junit":   {evidence.TestResult, whole(`<testsuite>`, `<testcase name="a"><system-out>bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb</system-out></testcase>`, `</testsuite>`, 100_000)},
		"sarif":   {evidence.TestResult, whole(sarifHead, result, strings.TrimSuffix(result, ",")+`]}]}`, 100_000)},
		"results": {evidence.TestResult, whole(`[`, `{"id":"a","status":"passed"},`, `{"id":"a","status":"passed"}]`, 200_000)},
		"metric":  {evidence.Metric, whole("time,v\n", "1,2.5\n", "", 1_000_000)},
		"log":     {evidence.Log, whole("", "a line of a log file\n", "", 500_000)},
		"pdf":     {evidence.Document, whole(aPDF[:9], strings.Repeat("\x00\xff", 50), aPDF[9:], 200_000)},
		"json":    {evidence.Document, whole("[", "1,", "1]", 2_000_000)},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			peak := uint64(0)
			watch := readSeeker{c.s, func() {
				runtime.ReadMemStats(&after)
				peak = max(peak, after.HeapInuse)
			}}
			start := time.Now()
			_, err := evidence.Validate(t.Context(), c.typ, evidence.Input{Content: &watch}, evidence.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if grown := int64(peak) - int64(before.HeapInuse); grown > 24<<20 {
				t.Errorf("%d MB took %d MB of memory", c.s.size>>20, grown>>20)
			}
			t.Logf("%d MB in %v", c.s.size>>20, time.Since(start))
		})
	}
	c := whole("", "a line\n", "", 1_000_000)
	_, err := evidence.Validate(t.Context(), evidence.Log, evidence.Input{Content: c}, evidence.Limits{MaxBytes: 1 << 20})
	wantError(t, err, caos.TooLarge, "artifact_uri", "more than 1048576")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = evidence.Validate(ctx, evidence.Log, evidence.Input{Content: c}, evidence.Limits{})
	wantError(t, err, caos.Unavailable, "artifact_uri", "stopped")
}

type readSeeker struct {
	io.ReadSeeker
	tick func()
}

func (r *readSeeker) Read(p []byte) (int, error) {
	n, err := r.ReadSeeker.Read(p)
	if n > 0 && p[0]&7 == 0 {
		r.tick()
	}
	return n, err
}

func TestMetadata(t *testing.T) {
	m, err := evidence.ParseMetadata(json.RawMessage(`{"format":"junit","requirement_ids":["95-00-03-REQ-001","REQ-FCS-2"],"objective_ids":["A-7.5","DO-178C/A-7:5"],
		"test_environment":"rig 3","tool":"pytest","tool_version":"9","sha256":"` + strings.Repeat("a", 64) + `","title":"T","description":"D\nE","source":"lab"}`))
	if err != nil || m.Format != evidence.JUnit || !slices.Equal(m.RequirementIDs, []string{"95-00-03-REQ-001", "REQ-FCS-2"}) {
		t.Fatal(m, err)
	}
	for _, none := range []string{"", "null", "{}"} {
		if _, err := evidence.ParseMetadata(json.RawMessage(none)); err != nil {
			t.Error(err)
		}
	}
	for in, field := range map[string]string{
		`{"requirement_id":"R-1"}`:                    "artifact_metadata.requirement_id",
		`{"Title":"x"}`:                               "artifact_metadata.Title",
		`{"title":"x","title":"y"}`:                   "artifact_metadata.title",
		`{"requirement_ids":["R-1","r 2"]}`:           "artifact_metadata.requirement_ids[1]",
		`{"requirement_ids":["R-1","R-1"]}`:           "artifact_metadata.requirement_ids[1]",
		`{"objective_ids":["` + long("A", 65) + `"]}`: "artifact_metadata.objective_ids[0]",
		`{"objective_ids":"A-1"}`:                     "artifact_metadata.objective_ids",
		`{"format":"exe"}`:                            "artifact_metadata.format",
		`{"sha256":"abc"}`:                            "artifact_metadata.sha256",
		`{"tool":"` + long("x", 301) + `"}`:           "artifact_metadata.tool",
		`{"title":"a\nb"}`:                            "artifact_metadata.title",
		`{"description":"` + long("x", 4001) + `"}`:   "artifact_metadata.description",
		`[]`:                                               "artifact_metadata",
		`{"requirement_ids":["..\/..\/etc"]}`:              "artifact_metadata.requirement_ids[0]",
		`{"requirement_ids":["<script>"]}`:                 "artifact_metadata.requirement_ids[0]",
		`{"requirement_ids":["R-1\u0000"]}`:                "artifact_metadata.requirement_ids[0]",
		`{"requirement_ids":["R--1"],"tool":"` + `x"}`:     "artifact_metadata.requirement_ids[0]",
		`{"requirement_ids":[` + long(`"R-1",`, 1) + `2]}`: "artifact_metadata.requirement_ids[1]",
	} {
		_, err := evidence.ParseMetadata(json.RawMessage(in))
		if e := caos.AsError(err); err == nil || e.Kind != caos.Invalid && e.Kind != caos.TooLarge || e.Field != field {
			t.Errorf("%.60s: %v, want the field %s", in, err, field)
		}
	}
}

func long(s string, n int) string { return strings.Repeat(s, n) }

func TestReadIDs(t *testing.T) {
	f, err := os.Open(example + "95-00-09-00-004_Production_Traceability_Matrix.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := evidence.ReadIDs(f, evidence.IDSource{Column: "Source_ID"})
	if err != nil || len(all) < 40 {
		t.Fatal(len(all), err)
	}
	ids, err := evidence.ReadIDs(strings.NewReader("# planned\nR-1\n\n R-2 \nR-1\n"), evidence.IDSource{})
	if err != nil || !slices.Equal(ids, []string{"R-1", "R-2"}) {
		t.Fatal(ids, err)
	}
	for in, from := range map[string]evidence.IDSource{
		"R-1\nnot an id\n":  {},
		"a,b\n1,2\n":        {Column: "c"},
		"":                  {Column: "c"},
		"a\n\"open\n":       {Column: "a"},
		"a\nx y\n":          {Column: "a"},
		"a,b\nR-1,x\n":      {Column: "a", WhereColumn: "c"},
		long("x", 100_000):  {},
		"a\nR-1\nR-2,R-3\n": {Column: "a"},
	} {
		if ids, err := evidence.ReadIDs(strings.NewReader(in), from); caos.KindOf(err) != caos.Invalid {
			t.Errorf("%.30q: %v, %v", in, ids, err)
		}
	}
}

func fuzz(f *testing.F, typ evidence.Type, format evidence.Format, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		sum, err := evidence.Validate(t.Context(), typ, evidence.Input{Format: format, Content: bytes.NewReader(data)}, evidence.Limits{MaxBytes: 1 << 20, MaxValue: 1 << 14, MaxItems: 10_000})
		if err != nil {
			if e := caos.AsError(err); e.Kind != caos.Invalid && e.Kind != caos.TooLarge || e.Field == "" {
				t.Fatalf("%q: %v", data, err)
			}
			return
		}
		if _, err := json.Marshal(sum); err != nil {
			t.Fatal(err)
		}
		switch {
		case sum.Tests != nil && sum.Tests.Total == 0, sum.Results != nil && sum.Results.Runs == 0, sum.Series != nil && sum.Series.Points == 0:
			t.Fatalf("%q: nothing to check passed: %+v", data, sum)
		case sum.Verdict == evidence.Passed && sum.Tests != nil && (sum.Tests.Failed > 0 || sum.Tests.Passed == 0):
			t.Fatalf("%q: %+v", data, sum)
		}
	})
}

func FuzzJUnit(f *testing.F) {
	fuzz(f, evidence.TestResult, evidence.JUnit, junit("", "<failure/>"), `<testsuite tests="1"><testcase name="a"><skipped/></testcase></testsuite>`)
}

func FuzzSARIF(f *testing.F) {
	fuzz(f, evidence.TestResult, evidence.SARIF, sarif(`{"message":{},"ruleId":"a"}`), sarif())
}

func FuzzResults(f *testing.F) {
	fuzz(f, evidence.TestResult, evidence.JSON, `{"tests":[{"id":"a","status":"passed","requirements":"R-1"}]}`, `[]`)
}

func FuzzMetricCSV(f *testing.F) {
	fuzz(f, evidence.Metric, evidence.CSV, "time,v\n1,2\n2,3\n", "t,\"a\nb\"\n1,2\n")
}

func FuzzMetricJSON(f *testing.F) {
	fuzz(f, evidence.Metric, evidence.JSON, `{"series":[{"time":1,"v":2}]}`, `[{"ts":"2026-01-01","x":1e3}]`)
}

func FuzzText(f *testing.F) { fuzz(f, evidence.Log, evidence.Text, "a\nb\r\n", "\x1b[0m ä") }
