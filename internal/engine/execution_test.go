package engine

import (
	"encoding/json"
	"strings"
	"testing"
)

// The fields of an execution are an interface that others script: these and no others, in
// this order, null and empty lists included.
func TestExecutionFields(t *testing.T) {
	fields := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(strings.NewReader(string(raw)))
		var out []string
		for depth, key := 0, false; ; {
			tok, err := dec.Token()
			if err != nil {
				return strings.Join(out, " ")
			}
			switch d, _ := tok.(json.Delim); {
			case d == '{' || d == '[':
				depth++
				key = depth == 1
			case d == '}' || d == ']':
				depth--
				key = depth == 1
			case depth == 1 && key:
				out = append(out, tok.(string))
				key = false
			case depth == 1:
				key = true
			}
		}
	}
	x := Execution{Input: json.RawMessage(`{}`), Output: json.RawMessage(`null`)}
	const want = "execution_id hook_id hook_version revision status input output error findings children steps requested_by created_at finished_at"
	if got := fields(x); got != want {
		t.Errorf("an execution has\n%s, want\n%s", got, want)
	}
	const step = "number action step kind status attempt started_at finished_at error audit_record_id"
	if got := fields(StepRecord{}); got != step {
		t.Errorf("a step has\n%s, want\n%s", got, step)
	}
}
