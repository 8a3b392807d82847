package codec_test

import (
	"testing"

	"caos/internal/codec"
)

// TestYAML translates what people write in configuration files and request bodies.
func TestYAML(t *testing.T) {
	for in, want := range map[string]string{
		"a: 1": `{"a":1}`,
		"a:\n  b:\n    - c\n    - d: e\n      f: g\n": `{"a":{"b":["c",{"d":"e","f":"g"}]}}`,
		"a:\n- b\n- - c\n  - d\n":                     `{"a":["b",["c","d"]]}`,
		"- a\n- b: c\n":                               `["a",{"b":"c"}]`,
		"{a: [1, 'two', \"three\"], b: {c: d}}":       `{"a":[1,"two","three"],"b":{"c":"d"}}`,
		"{}":                                          `{}`,
		"[]":                                          `[]`,
		"a: {}\nb: []\nc:\n":                          `{"a":{},"b":[],"c":null}`,
		"a: null\nb: ~\n":                             `{"a":null,"b":null}`,
		"a: true\nb: false\n":                         `{"a":true,"b":false}`,
		"a: yes\nb: off\n":                            `{"a":"yes","b":"off"}`,
		"a: -1.5e+3\nb: 0\nc: -7":                     `{"a":-1.5e+3,"b":0,"c":-7}`,
		"a: '0123'\nb: \"1.0\"\nc: 1.2.3\n":           `{"a":"0123","b":"1.0","c":"1.2.3"}`,
		"a: 2026-11-22\nb: 2026-11-22T10:15:00Z":      `{"a":"2026-11-22","b":"2026-11-22T10:15:00Z"}`,
		"a: |\n  x\n   y\n\n  z\n":                    `{"a":"x\n y\n\nz\n"}`,
		"a: |-\n  x\nb: c\n":                          `{"a":"x","b":"c"}`,
		"a: >\n  x\n  y\n\n  z\n":                     `{"a":"x y\nz\n"}`,
		"a: 'it''s'\nb: \"tab\\t\\u00e9\\x41\"":       `{"a":"it's","b":"tab\té` + `A"}`,
		"a: one\n  two\n":                             `{"a":"one two"}`,
		"# c\na: b # d\n# e\nc: 'x # y'\n":            `{"a":"b","c":"x # y"}`,
		"---\na: b\n":                                 `{"a":"b"}`,
		"---\na: b\n...\n":                            `{"a":"b"}`,
		"a: NN-FCS-001\nb: s3://x/y?z=1\n":            `{"a":"NN-FCS-001","b":"s3://x/y?z=1"}`,
		"'quoted key': 1\n\"1\": 2\n":                 `{"quoted key":1,"1":2}`,
		"a: \"<&>\"":                                  `{"a":"\u003c\u0026\u003e"}`,
	} {
		got, err := codec.JSON([]byte(in), asYAML, codec.Limits{})
		if err != nil || string(got) != want {
			t.Errorf("%q: %s, %v; want %s", in, got, err, want)
		}
	}
}
