package contract

import (
	"slices"
	"strings"
	"testing"
)

const several = `apiVersion: v3.1.0
kind: DataContract
id: 95-00-09-02-004
version: 1.0.0
status: active
schema:
- name: flights
  properties:
  - name: carrier
    logicalType: string
    quality:
    - {metric: nullValues, mustBe: 0}
  - name: delay
    logicalType: number
    quality:
    - {metric: nullValues, mustBe: 0}
  quality:
  - {metric: rowCount, mustBeGreaterThan: 0}
`

// All that is wrong is named at once, in both halves of the reading; the first is what Parse
// says.
func TestLint(t *testing.T) {
	if found := Lint([]byte(several)); len(found) != 0 {
		t.Fatal(found)
	}
	for name, c := range map[string]struct {
		change []string
		fields string
	}{
		"the standard's schema": {[]string{"logicalType: string", "logicalType: text", "logicalType: number", "logicalType: real", "mustBeGreaterThan", "mustBeBigger"},
			"schema[0].properties[0].logicalType schema[0].properties[1].logicalType schema[0].quality[0]"},
		"what is carried out": {[]string{"metric: nullValues", "metric: emptiness", "metric: rowCount", "metric: size"},
			"schema[0].properties[0].quality[0].metric schema[0].properties[1].quality[0].metric schema[0].quality[0].metric"},
		"not a document": {[]string{"apiVersion", "\t"}, ""},
	} {
		text := []byte(strings.NewReplacer(c.change...).Replace(several))
		var fields []string
		for _, e := range Lint(text) {
			fields = append(fields, e.Field)
		}
		_, err := Parse(text)
		if err == nil || err.Error() != Lint(text)[0].Error() {
			t.Errorf("%s: Parse says %v, Lint %v", name, err, Lint(text)[0])
		}
		slices.Sort(fields)
		if got := strings.Join(fields, " "); c.fields != "" && got != c.fields {
			t.Errorf("%s: %s", name, got)
		}
	}
}
