package codec_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/codec"

	"github.com/gowebpki/jcs"
)

type step struct {
	Name    string            `json:"name"`
	Retries int               `json:"retries,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	At      time.Time         `json:"at,omitzero"`
}

type plan struct {
	base
	ID      string          `json:"id"`
	Ratio   float64         `json:"ratio"`
	On      bool            `json:"on"`
	Percent *int            `json:"percent"`
	Steps   []step          `json:"steps"`
	Extra   any             `json:"extra"`
	Raw     json.RawMessage `json:"raw"`
	Small   uint8           `json:"small"`
	Blob    []byte          `json:"blob"`
	Ignored string          `json:"-"`
}

type base struct {
	Project string `json:"project"`
}

const (
	asJSON = "application/json"
	asYAML = "application/yaml"
)

func TestDecodeGood(t *testing.T) {
	const j = ` {"id":"x","ratio":1e3,"on":true,"percent":null,"project":"p","small":255,
		"steps":[{"name":"a\u00e9\ud83d\ude00","retries":-3,"labels":{"k":"v"},"at":"2026-01-02T03:04:05Z"}],
		"extra":{"ID":1,"id":2},"raw":[1, 2]} `
	const y = `
# a comment
id: x
ratio: 1e3
on: true
percent: null
project: p
small: 255
steps:
- name: "aé😀"
  retries: -3
  labels: {k: v}
  at: "2026-01-02T03:04:05Z"
extra:
  ID: 1
  id: 2
raw: [1, 2]
`
	var a, b plan
	if err := codec.Decode([]byte(j), asJSON, &a, codec.DefaultLimits()); err != nil {
		t.Fatal(err)
	}
	if err := codec.Decode([]byte(y), asYAML, &b, codec.Limits{}); err != nil {
		t.Fatal(err)
	}
	ca, err := codec.Canonical(a)
	if err != nil {
		t.Fatal(err)
	}
	cb, err := codec.Canonical(b)
	if err != nil {
		t.Fatal(err)
	}
	if string(ca) != string(cb) {
		t.Fatalf("JSON and YAML differ:\n%s\n%s", ca, cb)
	}
	if a.Steps[0].Name != "aé😀" || a.Ratio != 1000 || a.Project != "p" || string(a.Raw) != "[1, 2]" {
		t.Fatalf("%+v", a)
	}
}

func TestDecodeRefuses(t *testing.T) {
	lim := codec.Limits{MaxBytes: 4000, MaxDepth: 8, MaxNodes: 60}
	for _, c := range []struct{ name, in, ct, field, say string }{
		{"unknown", `{"nope":1}`, asJSON, "nope", "unknown field"},
		{"unknown nested", `{"steps":[{"name":"a"},{"name":"b"},{"nam":1}]}`, asJSON, "steps[2].nam", "unknown field"},
		{"wrong case", `{"ID":"x"}`, asJSON, "ID", "wrong case"},
		{"wrong case embedded", `{"Project":"x"}`, asJSON, "Project", "wrong case"},
		{"ignored", `{"Ignored":"x"}`, asJSON, "Ignored", "unknown field"},
		{"duplicate", `{"id":"a","id":"b"}`, asJSON, "id", "twice"},
		{"duplicate by escape", `{"id":"a","\u0069d":"b"}`, asJSON, "id", "twice"},
		{"duplicate in any", `{"extra":{"a":[{"k":1,"k":1}]}}`, asJSON, "extra.a[0].k", "twice"},
		{"duplicate in raw", `{"raw":{"k":1,"k":1}}`, asJSON, "raw.k", "twice"},
		{"duplicate in map", `{"steps":[{"labels":{"a b":"1","a b":"2"}}]}`, asJSON, `steps[0].labels["a b"]`, "twice"},
		{"trailing", `{"id":"a"} {}`, asJSON, "", "follows the end"},
		{"trailing comma", `{"id":"a",}`, asJSON, "", "last comma"},
		{"type", `{"steps":[{"name":3}]}`, asJSON, "steps[0].name", "a string belongs here, not a number"},
		{"type of list", `{"steps":{}}`, asJSON, "steps", "a list belongs here"},
		{"null string", `{"id":null}`, asJSON, "id", "not null"},
		{"fraction", `{"steps":[{"retries":1.5}]}`, asJSON, "steps[0].retries", "whole number"},
		{"range", `{"small":256}`, asJSON, "small", "whole"},
		{"NaN", `{"ratio":NaN}`, asJSON, "ratio", "not a JSON value"},
		{"huge", `{"ratio":1e999}`, asJSON, "ratio", "out of range"},
		{"huge exponent", `{"extra":1e-99999999999}`, asJSON, "extra", "exponent"},
		{"long number", `{"extra":1.` + strings.Repeat("1", 200) + `}`, asJSON, "extra", "more than 100"},
		{"leading zero", `{"small":012}`, asJSON, "small", "begin with 0"},
		{"surrogate", `{"id":"\ud800"}`, asJSON, "id", "surrogate"},
		{"low surrogate", `{"id":"\udc00"}`, asJSON, "id", "surrogate"},
		{"NUL", `{"id":"\u0000"}`, asJSON, "id", "U+0000"},
		{"control", "{\"id\":\"\n\"}", asJSON, "id", "control character"},
		{"UTF-8", "{\"id\":\"\xff\"}", asJSON, "", "UTF-8"},
		{"BOM", "\xef\xbb\xbf{}", asJSON, "", "byte order mark"},
		{"empty", "  ", asJSON, "", "empty"},
		{"cut", `{"id":"x`, asJSON, "id", "ends inside a string"},
		{"own reader", `{"steps":[{"at":"yesterday"}]}`, asJSON, "steps[0].at", "cannot be read"},
		{"base64", `{"blob":"aGk"}`, asJSON, "blob", "not base64"},
		{"root type", `[]`, asJSON, "", "an object belongs here"},
		{"deep", `{"extra":` + strings.Repeat("[", 9) + strings.Repeat("]", 9) + `}`, asJSON, "extra[0][0][0][0][0][0][0]", "nested more than 8"},
		{"many", `{"extra":[` + strings.Repeat("0,", 60) + `0]}`, asJSON, "extra[58]", "more than 60 values"},
		{"long", `{"id":"` + strings.Repeat("x", 4000) + `"}`, asJSON, "", "4009 bytes"},
		{"content type", `{}`, "text/plain", "Content-Type", "neither"},
		{"charset", `{}`, "application/json; charset=latin1", "Content-Type", "UTF-8"},

		{"yaml unknown", "steps:\n- name: a\n- nam: b\n", asYAML, "steps[1].nam", "unknown field"},
		{"yaml duplicate", "id: a\nid: b\n", asYAML, "id", "twice"},
		{"yaml unquoted version", "id: 1.0\n", asYAML, "id", "a string belongs here, not a number"},
		{"yaml octal", "small: 012\n", asYAML, "", "some YAML readers"},
		{"yaml hex", "small: 0x1F\n", asYAML, "", "some YAML readers"},
		{"yaml nan", "ratio: .nan\n", asYAML, "", "some YAML readers"},
		{"yaml inf", "ratio: -.inf\n", asYAML, "", "some YAML readers"},
		{"yaml underscore", "small: 1_0\n", asYAML, "", "some YAML readers"},
		{"yaml anchor", "extra: &a [1]\n", asYAML, "", "anchor"},
		{"yaml alias", "extra: [*a]\n", asYAML, "", "alias"},
		{"yaml merge", "extra:\n  <<: {a: b}\n", asYAML, "", "merge key"},
		{"yaml tag", "id: !!binary aGk=\n", asYAML, "", "tag"},
		{"yaml own tag", "id: !go {a: 1}\n", asYAML, "", "tag"},
		{"yaml directive", "%YAML 1.2\n---\nid: a\n", asYAML, "", "directive"},
		{"yaml two documents", "id: a\n---\nid: b\n", asYAML, "", "more than one document"},
		{"yaml key", "1: a\n", asYAML, "1", "key is not a string"},
		{"yaml complex key", "? [a]\n: b\n", asYAML, "", "YAML"},
		{"yaml deep", "extra: " + strings.Repeat("[", 9) + strings.Repeat("]", 9), asYAML, "", "nested more than 8"},
		{"yaml dashes", strings.Repeat("- ", 200) + "a", asYAML, "", "nested more than 8"},
		{"yaml empty", "# nothing\n", asYAML, "", ""},
		{"yaml syntax", "id: [a\n", asYAML, "", "not YAML"},
		{"yaml UTF-8", "id: \xff\n", asYAML, "", "UTF-8"},
		{"yaml NUL", "id: \"\\0\"\n", asYAML, "", "U+0000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p plan
			err := codec.Decode([]byte(c.in), c.ct, &p, lim)
			var e *caos.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want a *caos.Error", err)
			}
			if e.Kind != caos.Invalid && e.Kind != caos.TooLarge {
				t.Errorf("kind %s", e.Kind)
			}
			if e.Field != c.field {
				t.Errorf("field %q, want %q (%v)", e.Field, c.field, e)
			}
			if !strings.Contains(e.Message, c.say) {
				t.Errorf("message %q does not say %q", e.Message, c.say)
			}
		})
	}
}

// TestBombs sends what small text can be made to cost: each must end quickly and without
// large allocations.
func TestBombs(t *testing.T) {
	laughs := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'j'; c++ {
		laughs += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 9), ","))
	}
	long := strings.Repeat("k", 200)
	stairs := ""
	for i := range 1000 {
		stairs += strings.Repeat(" ", i) + long[:1] + ":\n"
	}
	for name, in := range map[string]string{
		"billion laughs":  laughs,
		"brackets":        strings.Repeat("[", 1<<20),
		"braces":          strings.Repeat("{a: ", 1<<18),
		"dashes":          strings.Repeat("- ", 1<<19),
		"question marks":  strings.Repeat("? ", 1<<19),
		"stairs":          stairs,
		"paths":           strings.Repeat(long+":\n ", 1) + strings.Repeat("  - a\n ", 100_000),
		"colons":          strings.Repeat("a: ", 1<<18),
		"commas":          "[" + strings.Repeat(",", 1<<20-2) + "]",
		"quotes":          strings.Repeat(`"`, 1<<20),
		"newlines":        strings.Repeat("\n", 1<<20),
		"comments":        strings.Repeat("#\n", 1<<19),
		"documents":       strings.Repeat("---\n", 1<<18),
		"long plain":      strings.Repeat("a ", 1<<19),
		"long lines":      "a: " + strings.Repeat("b\n ", 1<<18),
		"literal":         "a: |\n" + strings.Repeat(" b\n", 1<<18),
		"folded":          "a: >\n" + strings.Repeat(" b\n", 1<<18),
		"single quotes":   "a: '" + strings.Repeat("''", 1<<18) + "'",
		"double escapes":  `a: "` + strings.Repeat(`\n`, 1<<18) + `"`,
		"unclosed single": "a: '" + strings.Repeat("b\n ", 1<<18),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := codec.Value([]byte(in), asYAML, codec.DefaultLimits())
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			mem := (after.TotalAlloc - before.TotalAlloc) >> 20
			t.Logf("%v, %d MiB, %v", took, mem, err)
			if took > 5*time.Second || mem > 1500 {
				t.Errorf("took %v and %d MiB", took, mem)
			}
			if name == "billion laughs" && !strings.Contains(err.Error(), "anchor") {
				t.Error(err)
			}
		})
	}
}

func TestValue(t *testing.T) {
	v, err := codec.Value([]byte(`{"a":[1,2.50,"x",null,true],"Big":12345678901234567890}`), "application/problem+json; charset=utf-8", codec.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	m := v.(map[string]any)
	if m["Big"] != json.Number("12345678901234567890") || m["a"].([]any)[1] != json.Number("2.50") {
		t.Fatalf("%#v", v)
	}
	for _, scalar := range []string{`"x"`, `1`, `null`} {
		if _, err := codec.Value([]byte(scalar), "", codec.Limits{}); err != nil {
			t.Errorf("%s: %v", scalar, err)
		}
	}
}

func TestCanonical(t *testing.T) {
	for _, c := range []struct {
		in   any
		want string
	}{
		{map[string]any{"b": 1, "a": []any{"é", "<&>", 1e21, 0.000001, math.Copysign(0, -1)}}, `{"a":["é","<&>",1e+21,0.000001,0],"b":1}`},
		{map[string]any{"\ue000": 1, "😀": 2}, "{\"😀\":2,\"\ue000\":1}"}, // sorted by UTF-16
		{[]any{int64(1) << 53, -(int64(1) << 53)}, `[9007199254740992,-9007199254740992]`},
		{json.RawMessage(` {"z" : "\u20ac" , "a" : [ ] } `), `{"a":[],"z":"€"}`},
		{"text", `"text"`},
		{nil, `null`},
	} {
		got, err := codec.Canonical(c.in)
		if err != nil || string(got) != c.want {
			t.Errorf("%v: %s, %v; want %s", c.in, got, err, c.want)
		}
	}
	for _, bad := range []any{int64(1)<<53 + 1, uint64(math.MaxUint64), map[string]any{"x": []any{json.Number("-9007199254740993")}}, math.NaN(), json.RawMessage(`{"a":1,"a":2}`)} {
		if got, err := codec.Canonical(bad); err == nil {
			t.Errorf("%v became %s", bad, got)
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"id":"x","steps":[{"name":"a"}]}`, `{"a":[1,2.5e3,-0,"\ud83d\ude00",null,true,false]}`, `{"id":"\u0069"}`, `[[[[]]]]`, `"`, `{"raw":{"a":1}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := codec.Value(data, asJSON, codec.DefaultLimits())
		if err == nil {
			if !json.Valid(data) {
				t.Fatalf("%q is not JSON", data)
			}
			if c, err := codec.Canonical(v); err == nil {
				again, err := codec.Value(c, asJSON, codec.DefaultLimits())
				if err != nil {
					t.Fatalf("%s: the canonical form is refused: %v", c, err)
				}
				if c2, err := codec.Canonical(again); err != nil || string(c) != string(c2) {
					t.Fatalf("%s is not stable: %s, %v", c, c2, err)
				}
				want, err := jcs.Transform(data)
				if err != nil || string(want) != string(c) {
					t.Fatalf("%s, the other program says %s, %v", c, want, err)
				}
			}
		}
		var p plan
		if codec.Decode(data, asJSON, &p, codec.DefaultLimits()) == nil && err != nil {
			t.Fatalf("%q is good as a plan and bad as a value: %v", data, err)
		}
	})
}

func FuzzYAML(f *testing.F) {
	for _, s := range []string{"id: x\nsteps:\n- name: a\n", "a: &a [*a]", "a: |\n  b\n", "? a\n: b", "{a: [b, c]}", "- - - a", "a: 'it''s'", "--- a\n...\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if out, err := codec.JSON(data, asYAML, codec.DefaultLimits()); err == nil && !json.Valid(out) {
			t.Fatalf("%q became %q", data, out)
		}
	})
}

func oneKB() []byte {
	b := []byte(`{"id":"plan-1","ratio":0.25,"on":true,"percent":10,"project":"fcs","steps":[`)
	for i := range 11 {
		b = fmt.Appendf(b, `{"name":"step number %d","retries":%d,"labels":{"owner":"quality","kind":"test"}},`, i, i)
	}
	return append(b[:len(b)-1], `]}`...)
}

func BenchmarkDecode1KB(b *testing.B) {
	in := oneKB()
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		var p plan
		if err := codec.Decode(in, asJSON, &p, codec.DefaultLimits()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCanonical1KB(b *testing.B) {
	in := json.RawMessage(oneKB())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codec.Canonical(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkYAML1KB(b *testing.B) {
	in := oneKB()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codec.Value(in, asYAML, codec.DefaultLimits()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUnmarshal1KB is the peer: encoding/json alone, which refuses little.
func BenchmarkUnmarshal1KB(b *testing.B) {
	in := oneKB()
	b.ReportAllocs()
	for b.Loop() {
		var p plan
		if err := json.Unmarshal(in, &p); err != nil {
			b.Fatal(err)
		}
	}
}
