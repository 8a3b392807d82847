package main

import (
	"testing"

	"caos"
)

const placedText = `# a comment
pipeline_id: DP-DLY-001
sources:
  - name: flights
    uri: file:///in/flights.csv
    csv:
      delimiter: ";"
transforms:
  - name: clean
    sql: |
      SELECT *
      FROM flights
      WHERE x
"odd key": [1, {"a": 2}]
`

func TestPlaceOf(t *testing.T) {
	for field, want := range map[string]place{
		"pipeline_id": {2, 1}, "sources[0].uri": {5, 5}, "sources[0].csv.delimiter": {7, 7}, "transforms[0].sql": {10, 5}, "sources[0]": {4, 5},
		"sources[3].uri": {3, 1}, "nothing": {}, "": {}, `["odd key"][1].a`: {14, 17}, "sources[0].csv.quote": {6, 5}, "[[[": {},
	} {
		if got := placeOf([]byte(placedText), field); got != want {
			t.Errorf("%s is at %v, want %v", field, got, want)
		}
	}
	if got := placeOf([]byte("{\n \"a\": {\"b\": [\n 1, 2]}}"), "a.b[1]"); got != (place{3, 5}) {
		t.Errorf("in JSON: %v", got)
	}
	if got := placeOf([]byte("a: [\n"), "a"); got != (place{}) {
		t.Errorf("in what is no YAML: %v", got)
	}
	err := caos.Errorf(caos.Invalid, "not YAML").WithHint("line 3, column 9")
	if got := placeOfError(nil, err); got != (place{3, 9}) {
		t.Errorf("by what is said: %v", got)
	}
	if got := inSQL([]byte(placedText), place{10, 5}, "Binder Error: no column x\n\nLINE 3: WHERE x"); got != (place{13, 7}) {
		t.Errorf("in a statement: %v", got)
	}
	if got := (place{2, 3}).of("p.yaml"); got != "p.yaml:2:3" {
		t.Error(got)
	}
}

// FuzzPlaceOf: whatever the text and the path, a place in the text or none.
func FuzzPlaceOf(f *testing.F) {
	f.Add(placedText, "transforms[0].sql")
	f.Add("{", "a.b")
	f.Fuzz(func(t *testing.T, text, field string) {
		if p := placeOf([]byte(text), field); p.line < 0 || p.column < 0 || p.line > len(text)+2 {
			t.Errorf("%v", p)
		}
	})
}
